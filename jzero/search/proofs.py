"""Proven values: bounds on every edge, and their use in a search.

MCTS-solver (Winands, Björnsson and Saito 2008, "Monte-Carlo tree search solver") with draws as bounds (Cazenave and
Saffidine 2010, "Score bounded Monte-Carlo tree search"). An edge has a lower and an upper bound on its exact value
for the player who moves there. With reward r and discount d, whose sign says whether the mover changes,

    edge = r                            where it ends the game (d = 0), else
    edge = r + d * [lower, upper] of the child, the two changing places where d < 0
    node = the largest lower, the largest upper bound of its edges; an untried action counts as [-1, 1]

and a value is proven if the two are equal. This needs games with a reward of -1 to 1 at the end only. An edge that
violates it (a reward before the end, one above 1, or NaN) has the bounds [-inf, inf] and proves nothing, nor does a
node with such an edge.

Axes: B games, N nodes, S slots, W the slots read, A actions. Rows may have no batch axis, for kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jzero.search import layout
from jzero.search.layout import Interval
from jzero.search.scores import Scores, over_slots
from jzero.search.tree import Tree
from jzero.search.types import Bounds, Node, Path


def is_proven(bounds: Interval | Bounds) -> jax.Array:
    """bool[...]: whether bounds [...] are equal."""
    return bounds.upper <= bounds.lower


def of_edge(reward: jax.Array, discount: jax.Array, child: Interval) -> Interval:
    """Bounds [...] of edges with `reward` [...] and `discount` [...] to nodes with bounds `child` [...]."""
    ends, turns = discount == 0, discount < 0
    serves = jnp.where(ends, jnp.abs(reward) <= 1, (reward == 0) & (jnp.abs(discount) <= 1))
    # Not a product with 0: a child's bounds may be infinite.
    scale = jnp.where(ends, 1.0, discount)
    low, high = scale * child.lower, scale * child.upper
    low, high = jnp.where(turns, high, low), jnp.where(turns, low, high)
    low, high = jnp.where(ends, reward, low), jnp.where(ends, reward, high)
    return Interval(jnp.where(serves, low, -jnp.inf), jnp.where(serves, high, jnp.inf))


def of_node(bounds: Bounds) -> Interval:
    """Bounds [...] of nodes, from those of their actions."""
    found = over_slots(("max", bounds.lower), ("max", bounds.upper))
    ends = zip(found, layout.UNKNOWN, strict=True)
    return Interval(*(jnp.where(bounds.has_open, jnp.maximum(end, unknown), end) for end, unknown in ends))


def of_last_edge(tree: Tree, path: Path, reward: jax.Array, discount: jax.Array) -> Interval:
    """Bounds [B] of the paths' last edges, with `reward` [B] and `discount` [B]."""
    slot = path.last_slot[:, None, None]
    known = jnp.take_along_axis(layout.rows_at(tree.edge_bounds, path.last_node), slot, axis=1)[:, 0]
    # An edge that was there before may know more than its two numbers say.
    is_new, found = layout.is_untried(path.child), of_edge(reward, discount, layout.UNKNOWN)
    return Interval(*(jnp.where(is_new, a, b) for a, b in zip(found, Interval.of(known), strict=True)))


def enter(
    known: tuple[jax.Array, Interval],
    reward: jax.Array,
    discount: jax.Array,
    node: jax.Array,
    slot: jax.Array,
    has_open: jax.Array,
    active: jax.Array,
) -> tuple[tuple[jax.Array, Interval], Interval]:
    """One hop of a backup: stores the bounds of an edge and derives those of the edge above.

    Args:
      known: bounds of the trees f32[B, N, S, 2], and of the edge [B].
      reward: [B] of the edge above, which leads to `node`.
      discount: [B] of the edge above.
      node: i32[B] where the edge starts.
      slot: i32[B] slot of the edge.
      has_open: bool[B] whether the node has actions without an edge.
      active: bool[B] rows to change.

    Returns:
      `known` of the edge above; the node's bounds [B].
    """
    bounds, edge = known
    # Whole rows, which must be read before they are written: it spares a copy of the array.
    row = _with_edge(layout.rows_at(bounds, node), slot, edge)
    rows, target = jnp.arange(node.shape[0], dtype=jnp.int32), jnp.where(active, node, bounds.shape[1])
    bounds = bounds.at[rows, target].set(row, mode="drop", unique_indices=True)
    found = of_node(Bounds(*Interval.of(row), has_open))
    above = of_edge(reward, discount, found)
    edge = Interval(*(jnp.where(active, new, old) for new, old in zip(above, edge, strict=True)))
    return (bounds, edge), found


def _with_edge(row: jax.Array, slot: jax.Array, edge: Interval) -> jax.Array:
    """The bounds `row` [B, S, 2] of nodes, with `edge` [B] at `slot` i32[B]."""
    slots = jax.lax.broadcasted_iota(jnp.int32, row.shape, 1)
    return jnp.where(slots == slot[:, None, None], edge.stored()[:, None, :], row)


class Worthwhile(NamedTuple):
    """The actions that may still matter: no other action is proven at least as good and possibly better."""

    slots: jax.Array
    """bool[..., W]: which of the actions with slots."""
    best_open: jax.Array
    """bool[...]: whether the best action without a node does."""


def worthwhile(bounds: Bounds) -> Worthwhile:
    """The choices at nodes [...].

    An action is closed if its upper bound is at most the largest lower bound. The exception is an action with that
    lower bound, if all actions with it are proven: equally good ones stay.
    """
    lower, upper, has_open = bounds
    least, most = layout.UNKNOWN
    sure = jnp.max(lower, axis=-1)
    sure = jnp.where(has_open, jnp.maximum(sure, least), sure)
    has_sure = lower >= sure[..., None]
    hope = jnp.max(jnp.where(has_sure, upper, -jnp.inf), axis=-1)
    hope = jnp.where(has_open & (sure <= least), most, hope)
    return Worthwhile((upper > sure[..., None]) | (has_sure & (hope <= sure)[..., None]), most > sure)


def without_closed(score: Scores, node: Node) -> Scores:
    """Scores [..., W], -inf for actions that are not `worthwhile`, at nodes whose slots are all tried.

    Below the root, proven actions get -inf too while another may be better: further visits would add nothing. At
    the root they stay, since the policy is read from the visits.
    """
    if node.bounds is None:
        return score
    may = worthwhile(node.bounds)
    unproven = may.slots & ~is_proven(node.bounds)
    some = any_of(unproven) | (node.bounds.has_open & may.best_open)
    alone = some & (node.index != layout.ROOT_INDEX)
    slots = jnp.where(alone[..., None], unproven, may.slots)
    return Scores(
        jnp.where(slots, score.slots, -jnp.inf), jnp.where(may.best_open, score.best_open, -jnp.inf)
    )


def stop_if_proven(child: jax.Array, slot: jax.Array, bounds: Bounds) -> jax.Array:
    """The code `child` f32[...], as a terminal's if its edge in `slot` i32[...] is proven."""
    slots = jax.lax.broadcasted_iota(jnp.int32, bounds.lower.shape, bounds.lower.ndim - 1)
    proven = any_of(is_proven(bounds) & (slots == slot[..., None]))
    return jnp.where(proven & (child > layout.ROOT_INDEX), layout.terminal_code(child), child)


def any_of(slots: jax.Array) -> jax.Array:
    """bool[...]: whether any of bool[..., W] is true; a kernel has no other reduction for it."""
    return jnp.max(slots.astype(jnp.int32), axis=-1) > 0


def at_root(tree: Tree) -> Worthwhile:
    """`worthwhile` of all slots of the root."""
    return worthwhile(Bounds(*Interval.of(tree.edge_bounds[:, Tree.ROOT_INDEX]), root_has_open(tree)))


def root_has_open(tree: Tree) -> jax.Array:
    """bool[B]: whether the root has an action without a node. (A root's slots may be assigned in advance.)"""
    return jnp.any(tree.open_priors[:, Tree.ROOT_INDEX] > -jnp.inf, axis=-1)


def closed_actions(tree: Tree) -> jax.Array:
    """bool[B, A]: actions of the root that are not `worthwhile`."""
    may, root = at_root(tree), tree.children[:, Tree.ROOT_INDEX]
    exists = tree.edge_bounds[:, Tree.ROOT_INDEX, :, layout.UPPER] > -jnp.inf
    return layout.by_action(~may.slots, tree.actions_of(root), exists, tree.num_actions, ~may.best_open)


def action_bounds(tree: Tree) -> jax.Array:
    """f32[B, A, 2] lower and upper bound of each root action in a search with `solve=True`.

    An illegal action has the bounds of an untried one, [-1, 1].
    """
    edges, root = tree.edge_bounds[..., Tree.ROOT_INDEX, :, :], tree.children[..., Tree.ROOT_INDEX, :, :]
    exists, actions = edges[..., layout.UPPER] > -jnp.inf, tree.actions_of(root)
    ends = [
        layout.by_action(end, actions, exists, tree.num_actions, unknown)
        for end, unknown in zip(Interval.of(edges), layout.UNKNOWN, strict=True)
    ]
    return jnp.stack(ends, axis=-1)


def node_bounds(tree: Tree) -> jax.Array:
    """f32[B, N, 2] lower and upper bound of each node in a search with `solve=True`, for the player to move there.

    They are 0 for a terminal node, which nothing follows, and [-1, 1] for a node that does not exist.
    """
    has_open = jnp.any(tree.open_priors > -jnp.inf, axis=-1)
    parent, node = tree.parents, jnp.arange(tree.nodes.shape[-2], dtype=jnp.int32)
    found = of_node(Bounds(*Interval.of(tree.edge_bounds), has_open)).stored()
    known = (node == Tree.ROOT_INDEX) | (parent >= 0)
    found = jnp.where(
        known[..., None] & (found[..., layout.UPPER :] > -jnp.inf), found, layout.UNKNOWN.stored()
    )
    ends = (parent >= 0) & (tree.nodes[..., layout.DISCOUNT] == 0)
    return jnp.where(ends[..., None], 0.0, found)
