"""One simulation in three steps, for a whole batch at once: descend, expand, backup.

Axes: B games, N nodes, S slots, W the slots looked at, A actions, D the greatest depth. Loops carry [B]-sized
values and the recorded path [D, B]; the tree is written by scatters that drop the rows which are done. Nothing
of size [B, N, A] is selected per hop, and a hop reads only the slots in use: a simulation costs
O(depth x children tried + A) a game.

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
from jzero.search.scores import Row, best_open
from jzero.search.tree import Tree, vary_like

WIDTHS = (8, 32)
"""A hop looks at this many slots if no node of the batch uses more, else at all of them."""


class Node(NamedTuple):
    """Where each game of a descent stands, as a policy sees it."""

    row: Row
    """Its numbers, [B, W] a slot."""
    slots: jax.Array
    """f32[B, W, CHILD_FIELDS] the same slots as stored."""
    index: jax.Array
    """i32[B] its number in the tree."""

    @property
    def codes(self) -> jax.Array:
        """f32[B, W] what each slot stores as its child."""
        return self.slots[..., tree_lib.CHILD]


Select = Callable[[Tree, Node], tuple[jax.Array, jax.Array, jax.Array]]
"""(tree, node) -> (slot i32[B], its child's code f32[B], bool[B] whether to open the best open action instead)."""


class Path(NamedTuple):
    """The edges of one simulation, root first. Rows at and beyond `depth` hold old data."""

    nodes: jax.Array
    """i32[D, B] node at which each edge starts."""
    slots: jax.Array
    """i32[D, B] slot of each edge."""
    depth: jax.Array
    """i32[B] number of edges."""
    last_node: jax.Array
    """i32[B] node at which the last edge starts."""
    last_slot: jax.Array
    """i32[B] slot of the last edge."""
    child: jax.Array
    """i32[B] code of the last edge's child: an index, a terminal's code, or the action of a new edge."""


def search(
    params: Any,
    rng_key: jax.Array,
    tree: Tree,
    *,
    recurrent_fn: Callable,
    root_select: Select,
    interior_select: Select,
    root_width: int | None = None,
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
      root_width: slots that `root_select` wants to see; None for those in use.
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
        key, tree, path_nodes, path_slots = carry
        key, _, expand_key = jax.random.split(key, 3)
        path = descend(tree, root_select, interior_select, root_width, path_nodes, path_slots, max_depth)
        tree, leaf = expand(params, expand_key, tree, recurrent_fn, path, sim + 1)
        return key, backup(tree, path, leaf), path.nodes, path.slots

    _, tree, _, _ = loop_fn(0, num_simulations, simulate, (rng_key, tree, buffer, buffer))
    return tree


def descend(
    tree: Tree,
    root_select: Select,
    interior_select: Select,
    root_width: int | None,
    path_nodes: jax.Array,
    path_slots: jax.Array,
    max_depth: jax.Array,
) -> Path:
    """Follows the selected edges until one without a child, a terminal child, or `max_depth` edges.

    Args:
      tree: the trees.
      root_select: chooses at the root.
      interior_select: chooses elsewhere.
      root_width: slots that `root_select` sees.
      path_nodes: i32[D, B] a buffer.
      path_slots: i32[D, B] a buffer.
      max_depth: i32[], at most D.
    """

    def is_inner(child: jax.Array) -> jax.Array:
        return child > Tree.ROOT_INDEX

    def keep_going(carry: tuple) -> jax.Array:
        hop, child, *_ = carry
        return (hop < max_depth) & jnp.any(is_inner(child))

    def one_hop(carry: tuple) -> tuple:
        hop, child, depth, last_node, last_slot, nodes, slots = carry
        active = is_inner(child)
        node = jnp.maximum(child, Tree.ROOT_INDEX)
        slot, next_child = _choose(tree, node, interior_select, active)
        return (
            hop + 1,
            jnp.where(active, next_child, child),
            depth + active,
            jnp.where(active, node, last_node),
            jnp.where(active, slot, last_slot),
            nodes.at[hop].set(node),
            slots.at[hop].set(slot),
        )

    root = jnp.zeros_like(tree.nodes[:, 0, 0], dtype=jnp.int32)
    slot, child = _choose(tree, root, root_select, root == 0, root_width)
    path = path_nodes.at[0].set(root), path_slots.at[0].set(slot)
    carry = (jnp.int32(1), child, root + 1, root, slot, *path)
    _, child, depth, last_node, last_slot, nodes, slots = jax.lax.while_loop(keep_going, one_hop, carry)
    return Path(nodes, slots, depth, last_node, last_slot, child)


def _choose(
    tree: Tree, index: jax.Array, select: Select, active: jax.Array, width: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """(slot, code of the child there), i32[B] each, at the nodes `index` [B]."""
    fields = tree_lib.rows_at(tree.nodes, index)
    in_use = fields[:, tree_lib.NUM_CHILDREN].astype(jnp.int32)

    def among(width: int) -> tuple[jax.Array, jax.Array]:
        stored = tree_lib.rows_at(tree.children, index, width)
        node = Node(_row(stored, fields, tree.num_actions), stored, index)
        slot, child, is_open = select(tree, node)
        opened = tree_lib.untried_code(fields[:, tree_lib.OPEN_ACTION].astype(jnp.int32))
        return jnp.where(is_open, in_use, slot), jnp.where(is_open, opened, child.astype(jnp.int32))

    num_slots = tree.children.shape[2]
    if width is not None:
        return among(width)
    widths = [*(width for width in WIDTHS if width < num_slots), num_slots]
    if len(widths) == 1:
        return among(num_slots)
    most = jnp.max(jnp.where(active, in_use, 0))
    branch = sum((most > width).astype(jnp.int32) for width in widths[:-1])
    return jax.lax.switch(branch, [lambda width=width: among(width) for width in widths])


def _row(stored: jax.Array, fields: jax.Array, num_actions: int) -> Row:
    """The numbers of nodes from their slots [B, W, CHILD_FIELDS] and fields [B, NODE_FIELDS]."""
    visits = stored[..., tree_lib.VISITS]
    return Row(
        prior_logits=stored[..., tree_lib.PRIOR],
        visits=visits,
        qvalues=stored[..., tree_lib.QVALUE],
        open_prior=fields[..., tree_lib.OPEN_PRIOR],
        open_mass=fields[..., tree_lib.OPEN_MASS],
        prior_mass=fields[..., tree_lib.PRIOR_MASS],
        node_visits=fields[..., tree_lib.NODE_VISITS],
        node_value=fields[..., tree_lib.NODE_VALUE],
        raw_value=fields[..., tree_lib.RAW_VALUE],
        num_actions=num_actions,
    )


def root_node(tree: Tree, width: int | None = None) -> Node:
    """The root of every tree with its first `width` slots."""
    stored, fields = tree.children[:, Tree.ROOT_INDEX, :width], tree.nodes[:, Tree.ROOT_INDEX]
    index = jnp.zeros_like(fields[:, 0], dtype=jnp.int32)
    return Node(_row(stored, fields, tree.num_actions), stored, index)


def expand(
    params: Any,
    rng_key: jax.Array,
    tree: Tree,
    recurrent_fn: Callable,
    path: Path,
    new_index: jax.Array,
) -> tuple[Tree, jax.Array]:
    """Evaluates the last edge of every path in one call and adds the nodes that did not exist.

    Returns:
      tree; leaf i32[B], the node each path ends in.
    """
    rows = jnp.arange(tree.nodes.shape[0])
    parent, slot = path.last_node, path.last_slot
    is_new = tree_lib.is_untried(path.child)
    action = jnp.where(is_new, tree_lib.untried_action(path.child), 0)

    embedding = jax.tree.map(lambda x: tree_lib.rows_at(x, parent), tree.embeddings)
    step, embedding = recurrent_fn(params, rng_key, action, embedding)
    is_terminal = step.discount == 0
    # Nothing follows a terminal, whatever a network says of it (which may be NaN).
    value = jnp.where(is_terminal, 0.0, step.value)
    logits = step.prior_logits.astype(jnp.float32)

    def write(array: jax.Array, new: jax.Array, empty: jax.Array | int = 0) -> jax.Array:
        used = is_new.reshape(is_new.shape + (1,) * (new.ndim - 1))
        new = jnp.where(used, new.astype(array.dtype), jnp.asarray(empty, array.dtype))
        return jax.lax.dynamic_update_index_in_dim(array, new, new_index, axis=1)

    new_row = tree_lib.node_rows(value, step.reward, step.discount, parent, action, logits)
    # In this order XLA's CPU compiler writes every array in place; others cost a copy of one a simulation.
    priors = write(tree.priors, logits)
    embeddings = jax.tree.map(write, tree.embeddings, embedding)
    tree = dataclasses.replace(tree, priors=priors, embeddings=embeddings)
    tree = _open(tree, is_new, parent, slot, action, is_terminal, new_index)
    nodes = write(tree.nodes, new_row, tree_lib.empty_node_row())
    leaf = jnp.where(is_new, new_index, tree_lib.node_index(path.child))
    # A row of `node_rows` counts its first visit.
    nodes = nodes.at[rows, leaf, tree_lib.NODE_VISITS].add(jnp.where(is_new, 0.0, 1.0), unique_indices=True)
    return dataclasses.replace(tree, nodes=nodes), leaf


def _open(
    tree: Tree,
    is_new: jax.Array,
    parent: jax.Array,
    slot: jax.Array,
    action: jax.Array,
    is_terminal: jax.Array,
    new_index: jax.Array,
) -> Tree:
    """Enters node `new_index` as the child of edge `action` in `slot` of `parent` where `is_new`."""
    rows, num_nodes = jnp.arange(parent.shape[0]), tree.nodes.shape[1]
    fields, logits = tree_lib.rows_at(tree.nodes, parent), tree_lib.rows_at(tree.priors, parent)
    code = jnp.where(is_terminal, tree_lib.terminal_code(new_index), new_index)
    prior = jnp.take_along_axis(logits, action[:, None], axis=-1)[:, 0]
    edge = jnp.stack([prior, code.astype(jnp.float32)], axis=-1)
    target = jnp.where(is_new, parent, num_nodes)
    children = tree.children.at[rows, target, slot, tree_lib.PRIOR : tree_lib.CHILD + 1].set(
        edge, mode="drop", unique_indices=True
    )
    # Edges are opened by falling prior, equal ones by rising action: what is open comes after this edge.
    was_open = slot == fields[:, tree_lib.NUM_CHILDREN].astype(jnp.int32)
    last = fields[:, tree_lib.OPEN_PRIOR, None]
    later = jnp.arange(logits.shape[1], dtype=jnp.int32) > action[:, None]
    still_open = jnp.where((logits < last) | ((logits == last) & later), logits, -jnp.inf)
    best, prior, mass = best_open(still_open)
    opened = jnp.stack([slot + 1.0, best, prior, mass], axis=-1)
    target = jnp.where(is_new & was_open, parent, num_nodes)
    nodes = tree.nodes.at[rows, target, tree_lib.NUM_CHILDREN : tree_lib.OPEN_MASS + 1].set(
        opened, mode="drop", unique_indices=True
    )
    return dataclasses.replace(tree, children=children, nodes=nodes)


def backup(tree: Tree, path: Path, leaf: jax.Array) -> Tree:
    """Adds the value of the leaf [B] to every node of the path, discounted edge by edge.

    A node's value is the mean of what it backed up; an edge's Q-value is its reward plus its discount times
    the new value of its child, and it has as many visits as its child.
    """
    num_nodes = tree.nodes.shape[1]
    rows = jnp.arange(tree.nodes.shape[0])

    def one_hop(carry: tuple) -> tuple:
        hop, children, nodes, child, value = carry
        active = hop < path.depth
        node, slot = path.nodes[hop], path.slots[hop]
        target = jnp.where(active, node, num_nodes)

        value = jnp.where(active, child.reward + child.discount * value, value)
        fields = tree_lib.rows_at(nodes, node)
        visits = fields[:, tree_lib.NODE_VISITS]
        mean = (fields[:, tree_lib.NODE_VALUE] * visits + value) / (visits + 1)
        nodes = nodes.at[rows, target, tree_lib.NODE_VISITS : tree_lib.NODE_VALUE + 1].set(
            jnp.stack([visits + 1, mean], axis=-1), mode="drop", unique_indices=True
        )
        qvalue = child.reward + child.discount * child.value
        children = children.at[rows, target, slot, tree_lib.VISITS : tree_lib.QVALUE + 1].set(
            jnp.stack([child.visits, qvalue], axis=-1), mode="drop", unique_indices=True
        )
        parent = _Child(visits + 1, mean, fields[:, tree_lib.REWARD], fields[:, tree_lib.DISCOUNT])
        child = jax.tree.map(lambda new, old: jnp.where(active, new, old), parent, child)
        return hop - 1, children, nodes, child, value

    fields = tree_lib.rows_at(tree.nodes, leaf)
    child = _Child(
        fields[:, tree_lib.NODE_VISITS],
        fields[:, tree_lib.NODE_VALUE],
        fields[:, tree_lib.REWARD],
        fields[:, tree_lib.DISCOUNT],
    )
    # Nothing lies below a leaf: its value is what the model said, or 0 at a terminal.
    carry = (jnp.max(path.depth) - 1, tree.children, tree.nodes, child, child.value)
    _, children, nodes, _, _ = jax.lax.while_loop(lambda carry: carry[0] >= 0, one_hop, carry)
    return dataclasses.replace(tree, children=children, nodes=nodes)


class _Child(NamedTuple):
    """What an edge needs of its child: f32[B] each."""

    visits: jax.Array
    value: jax.Array
    reward: jax.Array
    discount: jax.Array
