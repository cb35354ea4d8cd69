"""Several leaves per tree at a time: K descents, one model call for [B x K] edges, K backups.

Between a descent and its backup its edges are in flight. Policies see them (`Node.in_flight`) and steer later
descents of the same call elsewhere. A descent that reaches a node under evaluation ends there and counts as another
visit to it.

Axes: B games, N nodes, S slots, A actions, D the maximum depth, K leaves.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jzero.pytrees import Params, PyTree
from jzero.search import layout, walk
from jzero.search.chance import add_afterstates
from jzero.search.engines import choose, constant_on_gpu, kernels
from jzero.search.tree import Tree, vary_like
from jzero.search.types import Choices, NewNodes, Path, Rules


class _Paths(NamedTuple):
    """The descents of one call; the paths have a leading axis [K]."""

    path: Path
    leaf: jax.Array
    """i32[K, B] last node of each path."""
    is_new: jax.Array
    """bool[K, B]"""


def search_leaves(
    params: Params,
    rng_key: jax.Array,
    tree: Tree,
    rules: Rules,
    *,
    num_simulations: int | jax.Array,
    start: int,
    leaves: int,
    rounds: jax.Array | None = None,
) -> Tree:
    """Runs simulations from the root of `tree`, up to `leaves` per game at a time.

    Args:
      params: passed to the model.
      rng_key: split once per call, for the model.
      tree: see `init_tree`; the nodes from `start` on are free.
      rules: selection and evaluation.
      num_simulations: number of simulations; may be traced, at most N - `start`.
      start: index of the first new node.
      leaves: K.
      rounds: i32[num_simulations, B] round of each simulation; a call does not cross rounds. None: no rounds.
    """
    batch_size, num_nodes = tree.nodes.shape[:2]
    buffers = walk.path_buffers(tree, rules)
    nothing = vary_like(jnp.zeros((leaves, batch_size), jnp.int32), tree.nodes)
    games = jnp.arange(batch_size, dtype=jnp.int32)
    choices, depth = rules.choices, buffers[0].shape[0]
    operations, kernel, for_kernel = functools.partial(walk.follow, rules, buffers), None, ()
    if choices is not None:
        kernel = functools.partial(_descend, choices.fixed, depth)
        for_kernel = rules.depth_within(depth), choices.arrays, choices.rounds

    def may_go(done: jax.Array, k: jax.Array) -> jax.Array:
        go = done + k < num_simulations
        if rounds is None:
            return go
        last = rounds.shape[0] - 1
        same = rounds[jnp.minimum(done + k, last), games] == rounds[jnp.minimum(done, last), games]
        return go & same

    def one_call(carry: tuple) -> tuple:
        key, tree, done, calls = carry
        key, expand_key = jax.random.split(key)

        def one_descent(k: jax.Array, carry: tuple) -> tuple:
            tree, in_flight, paths = carry
            # No kernel gathers states here; only a user's transform of Q-values may read them.
            seen = tree if choices is None else dataclasses.replace(tree, embeddings=())
            arguments = in_flight, may_go(done, k), done + k, *for_kernel
            path, in_flight = choose(kernel, operations, seen, *arguments)
            new_index = start + (done + k) * rules.nodes_each
            if rules.chance is not None:
                after, slot, before = new_index, 0, path.depth
                decide_key = jax.random.fold_in(expand_key, k)
                tree, path = add_afterstates(params, decide_key, tree, rules, path, after)
                decided = jnp.where(path.depth > before, after, num_nodes)
                in_flight = in_flight.at[games, decided, slot].add(1.0, mode="drop")
                new_index = after + 1
            is_new = layout.is_untried(path.child)
            # A node that waits for its evaluation is stored like a terminal, so that descents end there.
            tree = walk.open_edges(tree, path, is_new, jnp.ones_like(is_new), new_index)
            leaf = jnp.where(is_new, new_index, layout.node_index(path.child))
            one = _Paths(path, leaf, is_new)
            return tree, in_flight, jax.tree.map(lambda all, x: all.at[k].set(x), paths, one)

        nodes, slots = (vary_like(jnp.zeros((leaves, *x.shape), x.dtype), x) for x in buffers)
        empty = Path(nodes, slots, nothing, nothing, nothing, nothing)
        paths = _Paths(empty, nothing, nothing > 0)
        in_flight = jnp.zeros_like(tree.children[..., 0])
        # Games stop at different numbers of descents, but none goes on after it stopped.
        goes = jax.vmap(lambda k: jnp.any(may_go(done, k)))(jnp.arange(leaves, dtype=jnp.int32))
        most = constant_on_gpu(jnp.sum(goes, dtype=jnp.int32), leaves)
        tree, _, paths = jax.lax.fori_loop(0, most, one_descent, (tree, in_flight, paths))
        tree = _expand(params, expand_key, tree, rules, paths, most)

        def one_backup(k: jax.Array, tree: Tree) -> Tree:
            return _backup(tree, rules, *jax.tree.map(lambda x: x[k], paths))

        tree = jax.lax.fori_loop(0, most, one_backup, tree)
        return key, tree, done + jnp.sum(paths.path.depth > 0, axis=0, dtype=jnp.int32), calls + 1

    def goes_on(carry: tuple) -> jax.Array:
        *_, done, calls = carry
        if rounds is None:  # all games take part in every call, so their number is known
            return calls < -(-num_simulations // leaves)
        return jnp.any(done < num_simulations)

    return jax.lax.while_loop(goes_on, one_call, (rng_key, tree, nothing[0], jnp.int32(0)))[1]


def _descend(
    choices: Choices,
    depth: int,
    tree: Tree,
    in_flight: jax.Array,
    takes_part: jax.Array,
    simulation: jax.Array,
    max_depth: jax.Array,
    arrays: tuple[jax.Array, ...],
    rounds: jax.Array | None,
    *,
    interpret: bool,
) -> tuple[Path, jax.Array]:
    """`walk.follow` as a kernel; `choices` comes without the arrays that follow, `simulation` i32[B] by game."""
    if rounds is not None:
        simulation = jnp.minimum(simulation, rounds.shape[0] - 1)
    choices, limit = choices._replace(arrays=arrays, rounds=rounds), jnp.where(takes_part, max_depth, 0)
    path, _, _ = kernels().descend(tree, choices, simulation, limit, depth, in_flight, interpret=interpret)
    hop = jnp.arange(depth, dtype=jnp.int32)[:, None]
    node = jnp.where(hop < path.depth, path.nodes, tree.nodes.shape[1])
    games = jnp.arange(node.shape[1], dtype=jnp.int32)
    return path, in_flight.at[games, node, path.slots].add(1.0, mode="drop")


def _backup(tree: Tree, rules: Rules, path: Path, leaf: jax.Array, is_new: jax.Array) -> Tree:
    """The trees after a backup of each game's evaluated `leaf` i32[B]; `is_new` bool[B]."""
    leaf = jnp.maximum(leaf, 0)

    def operations(tree: Tree, path: Path, leaf: jax.Array, is_new: jax.Array) -> tuple:
        games = jnp.arange(leaf.shape[0], dtype=jnp.int32)
        again = jnp.where((path.depth > 0) & ~is_new, leaf, tree.nodes.shape[1])
        nodes = tree.nodes.at[games, again, layout.NODE_VISITS].add(1.0, mode="drop")
        tree = walk.backup(dataclasses.replace(tree, nodes=nodes), path, leaf)
        return tree.nodes, tree.children, tree.edge_bounds

    def kernel(tree: Tree, path: Path, leaf: jax.Array, _: jax.Array, *, interpret: bool) -> tuple:
        return kernels().backup(tree, path, leaf, interpret=interpret)

    chosen = None if rules.choices is None else kernel
    seen = dataclasses.replace(tree, embeddings=())
    nodes, children, edge_bounds = choose(chosen, operations, seen, path, leaf, is_new)
    return dataclasses.replace(tree, nodes=nodes, children=children, edge_bounds=edge_bounds)


def _expand(
    params: Params, rng_key: jax.Array, tree: Tree, rules: Rules, paths: _Paths, most: jax.Array
) -> Tree:
    """Evaluates the last edges of the first `most` paths in one call and writes the new nodes."""
    leaves, batch_size = paths.leaf.shape
    path, games = paths.path, jnp.arange(batch_size, dtype=jnp.int32)
    action = jnp.where(paths.is_new, layout.untried_action(path.child), 0)

    def among(count: int, model_state: PyTree) -> tuple[tuple[NewNodes, PyTree], PyTree]:
        """Evaluates the first `count` leaves of every game, padded to all leaves."""
        parent = path.last_node[:count]
        embedding = jax.tree.map(lambda x: x[games, parent], tree.embeddings)

        def flatten(x: jax.Array) -> jax.Array:
            return x.reshape(count * batch_size, *x.shape[2:])

        edge = flatten(action[:count])
        found, model_state = walk.evaluate(
            params, rng_key, rules, edge, jax.tree.map(flatten, embedding), model_state
        )
        new = walk.new_nodes(found, flatten(parent), edge)

        def unflatten(x: jax.Array) -> jax.Array:
            x = x.reshape(count, batch_size, *x.shape[1:])
            return jnp.concatenate([x, jnp.zeros((leaves - count, *x.shape[1:]), x.dtype)])

        return jax.tree.map(unflatten, (new, found.embedding)), model_state

    counts = [1]
    while counts[-1] < leaves:
        counts.append(min(2 * counts[-1], leaves))
    branch = sum((most > count).astype(jnp.int32) for count in counts[:-1])
    branch = constant_on_gpu(jnp.asarray(branch), len(counts) - 1)
    (new, embedding), model_state = jax.lax.switch(
        branch, [lambda state, count=count: among(count, state) for count in counts], tree.model_state
    )
    target = jnp.where(paths.is_new, paths.leaf, tree.nodes.shape[1])

    def write(array: jax.Array, new: jax.Array) -> jax.Array:
        return array.at[games, target].set(layout.as_stored(new, array), mode="drop")

    code = jnp.where(new.is_terminal, layout.terminal_code(paths.leaf), paths.leaf).astype(jnp.float32)
    parent = jnp.where(paths.is_new, path.last_node, tree.nodes.shape[1])
    return dataclasses.replace(
        tree,
        nodes=write(tree.nodes, new.rows),
        open_priors=write(tree.open_priors, new.logits),
        embeddings=jax.tree.map(write, tree.embeddings, embedding),
        children=tree.children.at[games, parent, path.last_slot, layout.CHILD].set(code, mode="drop"),
        model_state=model_state,
    )
