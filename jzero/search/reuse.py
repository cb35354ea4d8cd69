"""Keeps the subtree below the action played, for the next search.

    output = muzero_policy(params, key, root, recurrent_fn, 64, num_nodes=129)
    kept = subtree(output.search_tree, output.action)
    output = muzero_policy(params, key, next_root, recurrent_fn, 64, tree=kept)

Nodes are numbered in order of creation, so a parent comes before its children, and dropping the latest nodes leaves
a tree. Axes: B games, N nodes, S slots, A actions, P players.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from jzero.search import layout, proofs, scores
from jzero.search.tree import Tree


def subtree(tree: Tree, action: jax.Array) -> Tree:
    """The trees below `action` i32[B] of every root, with the same shapes; empty if the action has no node.

    Pass it as `tree=` to the search of the next positions. For a game that restarted pass the action -1, which
    keeps nothing.
    """
    root = tree.children[:, Tree.ROOT_INDEX]
    index = layout.node_index(root[..., layout.CHILD].astype(jnp.int32))
    chosen = (tree.actions_of(root) == action[:, None]) & (root[..., layout.VISITS] > 0)
    child = jnp.max(jnp.where(chosen, index, -1), axis=-1)
    nodes, children, open_priors, source = jax.vmap(_subtree)(
        tree.nodes, tree.children, tree.open_priors, child
    )
    edge_bounds = tree.edge_bounds
    if edge_bounds is not None:
        moved = jax.vmap(lambda x, at: x[at])(edge_bounds, source)
        edge_bounds = jnp.where(
            children[..., layout.CHILD, None] == Tree.UNVISITED, layout.NO_EDGE.stored(), moved
        )
    return dataclasses.replace(
        tree,
        nodes=nodes,
        children=children,
        open_priors=open_priors,
        embeddings=jax.tree.map(lambda x: jax.vmap(lambda x, at: x[at])(x, source), tree.embeddings),
        root_invalid_actions=jnp.zeros_like(tree.root_invalid_actions),
        extra_data=None,
        edge_bounds=edge_bounds,
    )


def _subtree(
    nodes: jax.Array, children: jax.Array, open_priors: jax.Array, root: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One tree's arrays with the subtree of `root` i32[] moved to the front; source i32[N] of each node."""
    num_nodes = nodes.shape[0]
    index = jnp.arange(num_nodes, dtype=jnp.int32)
    parent = nodes[:, layout.PARENT].astype(jnp.int32)
    # Whether `root` is among a node's ancestors: those 1, 2, 4, ... steps above in turn.
    inside, above = index == root, jnp.where(parent >= 0, parent, index)
    for _ in range(math.ceil(math.log2(num_nodes))):
        inside, above = inside | inside[above], above[above]
    moved = jnp.cumsum(inside, dtype=jnp.int32) - 1
    source = jnp.zeros_like(index).at[jnp.where(inside, moved, num_nodes)].set(index, mode="drop")
    exists = index < jnp.sum(inside, dtype=jnp.int32)

    nodes = jnp.where(exists[:, None], nodes[source], layout.empty_node_row(nodes.shape[-1]))
    parent = nodes[:, layout.PARENT].astype(jnp.int32)
    nodes = nodes.at[:, layout.PARENT].set(
        jnp.where(exists, moved[parent], Tree.NO_PARENT).astype(jnp.float32)
    )
    at_root = jnp.array([layout.PARENT, layout.ACTION], jnp.int32)
    nodes = nodes.at[Tree.ROOT_INDEX, at_root].set(Tree.NO_PARENT)

    children = jnp.where(exists[:, None, None], children[source], layout.empty_slot())
    code = children[..., layout.CHILD].astype(jnp.int32)
    node = moved[jnp.maximum(layout.node_index(code), 0)]
    code = jnp.where(code > 0, node, code)
    is_terminal = (code < Tree.UNVISITED) & ~layout.is_untried(code)
    code = jnp.where(is_terminal, layout.terminal_code(node), code)
    children = children.at[..., layout.CHILD].set(code.astype(jnp.float32))
    return nodes, children, jnp.where(exists[:, None], open_priors[source], 0.0), source


def with_root(tree: Tree, fresh: Tree, start: int, considered: jax.Array | None = None) -> Tree:
    """A reused tree whose root has the priors, value and state of `fresh`; nodes from `start` on are free.

    Nodes with an index of at least `start` are dropped, and so are edges of the root that are now illegal. The
    root's visits and value come from its edges and its own evaluation.

    Args:
      tree: see `subtree`.
      fresh: a tree with the same shapes that holds only its root; its prior logits may be noisy.
      start: index of the first free node afterwards.
      considered: i32[B, M] actions that get the root's first slots, in this order; other tried actions follow.
    """
    is_full = jnp.any(tree.node_visits[:, start:] > 0)
    tree = jax.lax.cond(is_full, lambda tree: _drop_from(tree, start), lambda tree: tree, tree)

    def at_root(array: jax.Array, row: jax.Array) -> jax.Array:
        return array.at[:, Tree.ROOT_INDEX].set(row)

    logits = fresh.open_priors[:, Tree.ROOT_INDEX]
    slots, row, open_priors = _root(tree, fresh.nodes[:, Tree.ROOT_INDEX], logits, considered)
    edge_bounds = tree.edge_bounds
    if edge_bounds is not None:
        edge_bounds = at_root(edge_bounds, _root_bounds(tree, slots))
    return dataclasses.replace(
        fresh,
        nodes=at_root(tree.nodes, row),
        children=at_root(tree.children, slots),
        open_priors=at_root(tree.open_priors, open_priors),
        embeddings=jax.tree.map(lambda old, new: at_root(old, new[:, 0]), tree.embeddings, fresh.embeddings),
        edge_bounds=edge_bounds,
    )


def _drop_from(tree: Tree, start: int) -> Tree:
    """The trees without the nodes from `start` on; edges to these are untried again."""
    is_late = jnp.arange(tree.nodes.shape[1], dtype=jnp.int32) >= start
    code = tree.children[..., layout.CHILD].astype(jnp.int32)
    dropped = ~layout.is_untried(code) & (layout.node_index(code) >= start)
    open_priors = layout.by_action(
        tree.children[..., layout.PRIOR],
        tree.actions_of(tree.children),
        dropped,
        tree.num_actions,
        tree.open_priors,
    )
    # A node's later children have later numbers, so what remains of its slots is the beginning.
    in_use = tree.nodes[..., layout.NUM_CHILDREN] - jnp.sum(dropped, axis=-1, dtype=jnp.float32)
    opened = jnp.stack([in_use, *scores.best_open(open_priors)], axis=-1)
    nodes = tree.nodes.at[..., layout.OPEN].set(opened)
    emptied = (dropped | is_late[None, :, None])[..., None]
    edge_bounds = tree.edge_bounds
    if edge_bounds is not None:
        edge_bounds = jnp.where(emptied, layout.NO_EDGE.stored(), edge_bounds)
    return dataclasses.replace(
        tree,
        nodes=jnp.where(is_late[None, :, None], layout.empty_node_row(nodes.shape[-1]), nodes),
        children=jnp.where(emptied, layout.empty_slot(), tree.children),
        open_priors=jnp.where(is_late[None, :, None], 0.0, open_priors),
        edge_bounds=edge_bounds,
    )


def _root_bounds(tree: Tree, slots: jax.Array) -> jax.Array:
    """Bounds f32[B, S, 2] of the root's new `slots` [B, S, CHILD_FIELDS]: those of its edges before."""
    actions = jnp.clip(tree.actions_of(slots), 0, tree.num_actions - 1)
    known = jnp.take_along_axis(proofs.action_bounds(tree), actions[..., None], axis=1)
    is_edge = (slots[..., layout.CHILD] != Tree.UNVISITED) & (slots[..., layout.PRIOR] > -jnp.inf)
    return jnp.where(is_edge[..., None], known, layout.NO_EDGE.stored())


def _root(
    tree: Tree, row: jax.Array, logits: jax.Array, considered: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The root's slots [B, S, CHILD_FIELDS], row [B, NODE_FIELDS] and open priors [B, A]; see `with_root`."""
    old, num_slots = tree.children[:, Tree.ROOT_INDEX], tree.children.shape[2]
    games = jnp.arange(old.shape[0], dtype=jnp.int32)[:, None]
    used, actions = old[..., layout.VISITS] > 0, tree.actions_of(old)

    def dense(field: int) -> jax.Array:
        return layout.by_action(old[..., field], actions, used, tree.num_actions, 0.0)

    visits = jnp.where(logits > -jnp.inf, dense(layout.VISITS), 0.0)
    tried = visits > 0
    # Tried actions by falling prior, which settles ties as in a search without reuse.
    key = jnp.where(tried, jnp.maximum(logits, -1e6), -jnp.inf)
    if considered is not None:
        first = 1e9 - 1e3 * jnp.arange(considered.shape[1], dtype=jnp.float32)
        key = key.at[games, considered].set(first)
    key, order = jax.lax.top_k(key, num_slots)

    def slots_of(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(x, order, axis=-1)

    has_node, untried = slots_of(tried), layout.untried_code(order).astype(jnp.float32)
    code = jnp.where(has_node, slots_of(dense(layout.CHILD)), untried)
    slots = [
        slots_of(logits),
        code,
        slots_of(visits),
        jnp.where(has_node, slots_of(dense(layout.QVALUE)), 0.0),
    ]
    in_use = key > -jnp.inf
    slots = jnp.where(in_use[..., None], jnp.stack(slots, axis=-1), layout.empty_slot())

    open_priors = jnp.where(tried, -jnp.inf, logits)
    opened = jnp.stack([jnp.sum(in_use, axis=-1, dtype=jnp.float32), *scores.best_open(open_priors)], axis=-1)
    row = row.at[:, layout.OPEN].set(opened)

    total = 1 + jnp.sum(visits, axis=-1)
    child = jnp.where(has_node, layout.node_index(code.astype(jnp.int32)), 0)
    fields, num_players = tree.nodes[games, child], tree.num_players
    weight = slots[..., layout.VISITS]
    if num_players == 1:
        mean = (row[:, layout.RAW_VALUE] + jnp.sum(weight * slots[..., layout.QVALUE], axis=-1)) / total
    else:
        values, rewards = layout.player_values(num_players), layout.player_rewards(num_players)
        worth = fields[..., rewards] + fields[..., layout.DISCOUNT, None] * fields[..., values]
        raw = row[:, values]
        means = (
            raw + jnp.sum(jnp.where(weight[..., None] > 0, weight[..., None] * worth, 0.0), axis=1)
        ) / total[:, None]
        row = row.at[:, values].set(means)
        mean = layout.for_player(means, row[:, layout.PLAYER].astype(jnp.int32))
    row = row.at[:, layout.NODE_VISITS].set(total).at[:, layout.NODE_VALUE].set(mean)
    return slots, row, open_priors
