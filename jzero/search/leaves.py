"""Several leaves per tree at a time: K descents, one model call for [B x K] edges, K backups.

Between a descent and its backup its edges are in flight. Policies see them (`Node.in_flight`) and steer later
descents of the same call elsewhere. A descent that reaches a node under evaluation ends there and counts as another
visit to it.

Axes: B games, N nodes, S slots, A actions, D the maximum depth, K leaves.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero.pytrees import Params, PyTree
from jzero.search import layout, walk
from jzero.search.chance import add_afterstates
from jzero.search.tree import Tree, vary_like
from jzero.search.types import NewNodes, Path, Rules


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

    def may_go(done: jax.Array, k: jax.Array) -> jax.Array:
        go = done + k < num_simulations
        if rounds is None:
            return go
        last = rounds.shape[0] - 1
        same = rounds[jnp.minimum(done + k, last), games] == rounds[jnp.minimum(done, last), games]
        return go & same

    def one_call(carry: tuple) -> tuple:
        key, tree, done = carry
        key, expand_key = jax.random.split(key)

        def more(carry: tuple) -> jax.Array:
            k, *_ = carry
            return (k < leaves) & jnp.any(may_go(done, k))

        def one_descent(carry: tuple) -> tuple:
            k, tree, in_flight, paths = carry
            go = may_go(done, k)
            path, in_flight = walk.follow(tree, rules, *buffers, in_flight, go)
            new_index = start + (done + k) * rules.nodes_each
            if rules.chance is not None:
                after, slot, before = new_index, 0, path.depth
                decide_key = jax.random.fold_in(expand_key, k)
                tree, path = add_afterstates(params, decide_key, tree, rules, path, after)
                decided = jnp.where(path.depth > before, after, num_nodes)
                in_flight = cast(jax.Array, in_flight).at[games, decided, slot].add(1.0, mode="drop")
                new_index = after + 1
            is_new = layout.is_untried(path.child)
            # A node that waits for its evaluation is stored like a terminal, so that descents end there.
            tree = walk.open_edges(tree, path, is_new, jnp.ones_like(is_new), new_index)
            leaf = jnp.where(is_new, new_index, layout.node_index(path.child))
            one = _Paths(path, leaf, is_new)
            return k + 1, tree, in_flight, jax.tree.map(lambda all, x: all.at[k].set(x), paths, one)

        nodes, slots = (vary_like(jnp.zeros((leaves, *x.shape), x.dtype), x) for x in buffers)
        empty = Path(nodes, slots, nothing, nothing, nothing, nothing)
        paths = _Paths(empty, nothing, nothing > 0)
        in_flight = jnp.zeros_like(tree.children[..., 0])
        most, tree, _, paths = jax.lax.while_loop(more, one_descent, (jnp.int32(0), tree, in_flight, paths))
        tree = _expand(params, expand_key, tree, rules, paths, most)

        def one_backup(k: jax.Array, tree: Tree) -> Tree:
            path, leaf, is_new = jax.tree.map(lambda x: x[k], paths)
            again = jnp.where((path.depth > 0) & ~is_new, leaf, num_nodes)
            nodes = tree.nodes.at[games, again, layout.NODE_VISITS].add(1.0, mode="drop")
            return walk.backup(dataclasses.replace(tree, nodes=nodes), path, jnp.maximum(leaf, 0))

        tree = jax.lax.fori_loop(0, most, one_backup, tree)
        return key, tree, done + jnp.sum(paths.path.depth > 0, axis=0, dtype=jnp.int32)

    done = nothing[0]
    _, tree, _ = jax.lax.while_loop(
        lambda carry: jnp.any(carry[2] < num_simulations), one_call, (rng_key, tree, done)
    )
    return tree


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
