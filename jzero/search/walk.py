"""One simulation in three steps, for a whole batch at once: descend, expand, backup.

Axes: B games, N nodes, A actions, D the greatest depth. Loops carry [B]-sized values and the recorded path
[D, B]; the tree is written by scatters that drop the rows which are done. Nothing of size [B, N, A] is selected
per hop, so a simulation costs O(depth x A) a game.

A child that is terminal (the discount of its edge is 0) is stored under a negative code, so that a descent
stops there without reading it: terminals are never expanded below, and each visit backs up their exact value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.search import tree as tree_lib
from jzero.search.tree import Tree, vary_like

RootSelect = Callable[[jax.Array, jax.Array], jax.Array]
"""(edges [B, F, A], nodes [B, F]) of the root -> action i32[B]."""
InteriorSelect = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(edges [B, F, A], nodes [B, F], depth i32[]) -> action i32[B]."""


class Path(NamedTuple):
    """The edges of one simulation, root first. Rows at and beyond `depth` hold old data."""

    nodes: jax.Array
    """i32[D, B] node at which each edge starts."""
    actions: jax.Array
    """i32[D, B] action of each edge."""
    depth: jax.Array
    """i32[B] number of edges."""
    child: jax.Array
    """i32[B] stored code of the last edge's child: UNVISITED, an index, or a terminal's code."""


def search(
    params: Any,
    rng_key: jax.Array,
    tree: Tree,
    *,
    recurrent_fn: Callable,
    root_select: RootSelect,
    interior_select: InteriorSelect,
    num_simulations: int,
    max_depth: int | jax.Array | None,
    loop_fn: Callable = jax.lax.fori_loop,
) -> Tree:
    """Runs `num_simulations` simulations from the root of `tree`.

    Args:
      params: passed to `recurrent_fn`.
      rng_key: split once a simulation, for `recurrent_fn`.
      tree: see `init_tree`; its room is at least `num_simulations` nodes.
      recurrent_fn: `(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`.
      root_select: chooses at the root.
      interior_select: chooses elsewhere.
      num_simulations: how many.
      max_depth: greatest number of edges of a path (may be traced), or None.
      loop_fn: `jax.lax.fori_loop` or a function of its signature.
    """
    cap = max(num_simulations, 1)
    if isinstance(max_depth, int):
        cap = min(max_depth, cap)
    max_depth = jnp.minimum(cap, cap if max_depth is None else max_depth)
    buffer = vary_like(jnp.zeros((cap, tree.nodes.shape[0]), jnp.int32), tree.nodes)

    def simulate(sim: jax.Array, carry: tuple) -> tuple:
        key, tree, path_nodes, path_actions = carry
        key, _, expand_key = jax.random.split(key, 3)
        path = descend(tree, root_select, interior_select, path_nodes, path_actions, max_depth)
        tree, leaf, value = expand(params, expand_key, tree, recurrent_fn, path, sim + 1)
        return key, backup(tree, path, leaf, value), path.nodes, path.actions

    _, tree, _, _ = loop_fn(0, num_simulations, simulate, (rng_key, tree, buffer, buffer))
    return tree


def descend(
    tree: Tree,
    root_select: RootSelect,
    interior_select: InteriorSelect,
    path_nodes: jax.Array,
    path_actions: jax.Array,
    max_depth: jax.Array,
) -> Path:
    """Follows the selected actions until an edge without a child, a terminal child, or `max_depth` edges.

    Args:
      tree: the trees.
      root_select: chooses at the root.
      interior_select: chooses elsewhere.
      path_nodes: i32[D, B] a buffer.
      path_actions: i32[D, B] a buffer.
      max_depth: i32[], at most D.
    """
    rows = jnp.arange(tree.nodes.shape[0])

    def follow(edges: jax.Array, action: jax.Array) -> jax.Array:
        return edges[rows, tree_lib.CHILD, action].astype(jnp.int32)

    def is_inner(child: jax.Array) -> jax.Array:
        return child > Tree.ROOT_INDEX

    def keep_going(carry: tuple) -> jax.Array:
        hop, child, *_ = carry
        return (hop < max_depth) & jnp.any(is_inner(child))

    def one_hop(carry: tuple) -> tuple:
        hop, child, depth, nodes, actions = carry
        active = is_inner(child)
        node = jnp.maximum(child, Tree.ROOT_INDEX)
        edges = tree.edges[rows, node]
        action = interior_select(edges, tree.nodes[rows, node], hop)
        return (
            hop + 1,
            jnp.where(active, follow(edges, action), child),
            depth + active,
            nodes.at[hop].set(node),
            actions.at[hop].set(action),
        )

    edges = tree.edges[:, Tree.ROOT_INDEX]
    action = root_select(edges, tree.nodes[:, Tree.ROOT_INDEX])
    child = follow(edges, action)
    carry = (
        jnp.int32(1),
        child,
        jnp.ones_like(child),
        path_nodes.at[0].set(Tree.ROOT_INDEX),
        path_actions.at[0].set(action),
    )
    _, child, depth, nodes, actions = jax.lax.while_loop(keep_going, one_hop, carry)
    return Path(nodes, actions, depth, child)


def expand(
    params: Any,
    rng_key: jax.Array,
    tree: Tree,
    recurrent_fn: Callable,
    path: Path,
    new_index: jax.Array,
) -> tuple[Tree, jax.Array, jax.Array]:
    """Evaluates the last edge of every path in one call and adds the nodes that did not exist.

    Returns:
      tree; leaf i32[B], the node each path ends in; value f32[B], what that node backs up.
    """
    num_nodes = tree.nodes.shape[1]
    rows = jnp.arange(tree.nodes.shape[0])
    parent = path.nodes[path.depth - 1, rows]
    action = path.actions[path.depth - 1, rows]
    is_new = path.child == Tree.UNVISITED

    embedding = jax.tree.map(lambda x: x[rows, parent], tree.embeddings)
    step, embedding = recurrent_fn(params, rng_key, action, embedding)

    # An index past the end drops the write of a row that ends in a node that exists (a terminal, or max_depth).
    target = jnp.where(is_new, new_index, num_nodes)

    def write(array: jax.Array, row: jax.Array) -> jax.Array:
        return array.at[rows, target].set(row.astype(array.dtype), mode="drop", unique_indices=True)

    is_terminal = step.discount == 0
    code = jnp.where(is_terminal, tree_lib.terminal_code(new_index), new_index)
    # Nothing follows a terminal, whatever a network says of it (which may be NaN).
    value = jnp.where(is_terminal, 0.0, step.value)
    edges = write(tree.edges, tree_lib.edge_rows(step.prior_logits))
    edges = edges.at[rows, jnp.where(is_new, parent, num_nodes), tree_lib.CHILD, action].set(
        code.astype(jnp.float32), mode="drop", unique_indices=True
    )
    nodes = write(tree.nodes, tree_lib.node_rows(value, step.reward, step.discount))
    leaf = jnp.where(is_new, new_index, tree_lib.node_index(path.child))
    value = nodes[rows, leaf, tree_lib.NODE_VALUE]
    # `node_rows` counts the first visit.
    nodes = nodes.at[rows, leaf, tree_lib.NODE_VISITS].add(jnp.where(is_new, 0.0, 1.0), unique_indices=True)
    tree = dataclasses.replace(
        tree,
        edges=edges,
        nodes=nodes,
        parents=write(tree.parents, parent),
        action_from_parent=write(tree.action_from_parent, action),
        embeddings=jax.tree.map(write, tree.embeddings, embedding),
    )
    return tree, leaf, value


def backup(tree: Tree, path: Path, leaf: jax.Array, value: jax.Array) -> Tree:
    """Adds the leaf's `value` [B] to every node of the path, discounted edge by edge.

    A node's value is the mean of what it backed up; an edge's Q-value is its reward plus its discount times
    the new value of its child.
    """
    num_nodes = tree.nodes.shape[1]
    rows = jnp.arange(tree.nodes.shape[0])

    def one_hop(carry: tuple) -> tuple:
        hop, edges, nodes, child, value = carry
        active = hop < path.depth
        node, action = path.nodes[hop], path.actions[hop]
        target = jnp.where(active, node, num_nodes)

        value = jnp.where(active, child.reward + child.discount * value, value)
        row = nodes[rows, node]
        visits = row[:, tree_lib.NODE_VISITS]
        mean = (row[:, tree_lib.NODE_VALUE] * visits + value) / (visits + 1)
        nodes = nodes.at[rows, target, : tree_lib.NODE_VALUE + 1].set(
            jnp.stack([visits + 1, mean], axis=-1), mode="drop", unique_indices=True
        )
        edges = edges.at[rows, target, tree_lib.VISITS, action].add(1.0, mode="drop", unique_indices=True)
        edges = edges.at[rows, target, tree_lib.QVALUE, action].set(
            child.reward + child.discount * child.value, mode="drop", unique_indices=True
        )
        parent = _Child(mean, row[:, tree_lib.NODE_REWARD], row[:, tree_lib.NODE_DISCOUNT])
        child = jax.tree.map(lambda new, old: jnp.where(active, new, old), parent, child)
        return hop - 1, edges, nodes, child, value

    row = tree.nodes[rows, leaf]
    child = _Child(row[:, tree_lib.NODE_VALUE], row[:, tree_lib.NODE_REWARD], row[:, tree_lib.NODE_DISCOUNT])
    carry = (jnp.max(path.depth) - 1, tree.edges, tree.nodes, child, value)
    _, edges, nodes, _, _ = jax.lax.while_loop(lambda carry: carry[0] >= 0, one_hop, carry)
    return dataclasses.replace(tree, edges=edges, nodes=nodes)


class _Child(NamedTuple):
    """What an edge needs of its child: f32[B] each."""

    value: jax.Array
    reward: jax.Array
    discount: jax.Array
