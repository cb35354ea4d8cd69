"""One simulation in three steps, for a whole batch: descend, evaluate, finish (add nodes, backup).

Axes: B games, N nodes, S slots, W the slots read, A actions, D the maximum depth, P players. Loops carry [B]-sized
values and the recorded path [D, B]; scatters write the tree and drop finished rows. No array of size [B, N, A] is
selected per hop, and a hop reads only the slots in use: a simulation costs O(depth x children tried + A) per game.

A terminal child (the discount of its edge is 0) is stored with a negative code, so that a descent stops there
without reading it: terminals have no children, and each visit backs up their exact value.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.pytrees import Embedding, Params, PyTree
from jzero.search import layout, proofs
from jzero.search.engines import constant_on_gpu, hop_while
from jzero.search.layout import Interval
from jzero.search.scores import Row, best_open
from jzero.search.tree import Tree, vary_like
from jzero.search.types import Bounds, Evaluation, NewNodes, Node, Path, Rules, Select

WIDTHS = (8, 32)
"""Numbers of slots that a hop reads if no node uses more, if they are at most half of all; else it reads all."""
LONG_ROW = 1 << 13
"""Bytes from which a row is read once instead of at each use."""


def path_buffers(tree: Tree, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """Buffers i32[D, B] for the nodes and for the slots of a path."""
    depth = tree.nodes.shape[1] - 1
    if isinstance(rules.max_depth, int):
        depth = max(1, min(rules.max_depth, depth))  # 0 is as 1, as in mctx
    buffer = vary_like(jnp.zeros((depth, tree.nodes.shape[0]), jnp.int32), tree.nodes)
    return buffer, buffer


def descend(
    rules: Rules, tree: Tree, buffers: tuple[jax.Array, jax.Array], *_: Any
) -> tuple[Path, jax.Array, PyTree]:
    """Follows the selected edges of every tree to a leaf; returns the model's inputs there.

    Args:
      rules: the selection rules.
      tree: the trees.
      buffers: see `path_buffers`.
      *_: arguments for the kernel of this step.

    Returns:
      the paths; the actions i32[B] of their last edges; the states [B, ...] at which these start.
    """
    path = follow(rules, buffers, tree)[0]
    return path, *last_edges(tree, path)


def follow(
    rules: Rules,
    buffers: tuple[jax.Array, jax.Array],
    tree: Tree,
    in_flight: jax.Array | None = None,
    takes_part: jax.Array | None = None,
    *_: Any,
) -> tuple[Path, jax.Array | None]:
    """Follows the selected edges to an edge without a child, a terminal child, or the maximum depth.

    Args:
      rules: the selection rules.
      buffers: see `path_buffers`.
      tree: the trees.
      in_flight: f32[B, N, S] descents through each edge not yet backed up, or None.
      takes_part: bool[B] active games; None for all.
      *_: arguments for the kernel of this step.

    Returns:
      the path; `in_flight` with this descent's edges added.
    """
    rows, num_nodes = jnp.arange(tree.nodes.shape[0], dtype=jnp.int32), tree.nodes.shape[1]
    path_nodes, path_slots = buffers
    cap = path_nodes.shape[0]
    max_depth = jnp.minimum(cap, cap if rules.max_depth is None else rules.max_depth)

    def is_inner(child: jax.Array) -> jax.Array:
        return child > Tree.ROOT_INDEX

    def mark(in_flight: jax.Array | None, node: jax.Array, slot: jax.Array, active: jax.Array) -> PyTree:
        if in_flight is None:
            return None
        target = jnp.where(active, node, num_nodes)
        return in_flight.at[rows, target, slot].add(1.0, mode="drop", unique_indices=True)

    def keep_going(carry: tuple) -> jax.Array:
        hop, child, *_ = carry
        return (hop < max_depth) & jnp.any(is_inner(child))

    def one_hop(carry: tuple, on: jax.Array) -> tuple:
        hop, child, depth, last_node, last_slot, nodes, slots, in_flight = carry
        active = is_inner(child) & on
        node = jnp.maximum(child, Tree.ROOT_INDEX)
        slot, next_child = _choose(tree, node, rules.interior_select, active, in_flight)
        return (
            hop + 1,
            jnp.where(active, next_child, child),
            depth + active.astype(jnp.int32),
            jnp.where(active, node, last_node),
            jnp.where(active, slot, last_slot),
            nodes.at[hop].set(node),
            slots.at[hop].set(slot),
            mark(in_flight, node, slot, active),
        )

    root = jnp.zeros_like(tree.nodes[:, 0, 0], dtype=jnp.int32)
    everyone = root == Tree.ROOT_INDEX
    active = everyone if takes_part is None else takes_part
    has_open = None if tree.edge_bounds is None else proofs.root_has_open(tree)
    slot, child = _choose(tree, root, rules.root_select, everyone, in_flight, rules.root_width, has_open)
    child = jnp.where(active, child, Tree.UNVISITED)
    path = path_nodes.at[0].set(root), path_slots.at[0].set(slot)
    depth = root + active.astype(jnp.int32)
    carry = (jnp.int32(1), child, depth, root, slot, *path, mark(in_flight, root, slot, active))
    _, child, depth, last_node, last_slot, nodes, slots, in_flight = hop_while(keep_going, one_hop, carry)
    return Path(nodes, slots, depth, last_node, last_slot, child), in_flight


def _choose(
    tree: Tree,
    index: jax.Array,
    select: Select,
    active: jax.Array,
    in_flight: jax.Array | None,
    width: int | None = None,
    has_open: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(slot, its child code), i32[B] each, at the nodes `index` [B]."""
    fields = layout.rows_at(tree.nodes, index)
    if has_open is None:
        has_open = fields[:, layout.OPEN_PRIOR] > -jnp.inf
    in_use = fields[:, layout.NUM_CHILDREN].astype(jnp.int32)

    def among(width: int) -> tuple[jax.Array, jax.Array]:
        stored = layout.rows_at(tree.children, index, width)
        flying = None if in_flight is None else layout.rows_at(in_flight, index, width)
        bounds = None
        if tree.edge_bounds is not None:
            bounds = Bounds(*Interval.of(layout.rows_at(tree.edge_bounds, index, width)), has_open)
        node = Node(_row(stored, fields, tree.num_actions), stored, fields, index, flying, bounds)
        slot, child, is_open = select(tree, node)
        if bounds is not None:
            child = proofs.stop_if_proven(child, slot, bounds)
        opened = layout.untried_code(fields[:, layout.OPEN_ACTION].astype(jnp.int32))
        return jnp.where(is_open, in_use, slot), jnp.where(is_open, opened, child.astype(jnp.int32))

    num_slots = tree.children.shape[2]
    if width is not None:
        return among(width)
    widths = [*(width for width in WIDTHS if 2 * width <= num_slots), num_slots]
    if len(widths) == 1:
        return among(num_slots)
    most = jnp.max(jnp.where(active, in_use, 0))
    branch = sum((most > width).astype(jnp.int32) for width in widths[:-1])
    # A GPU takes all slots at once: at a switch it would wait for the host.
    branch = constant_on_gpu(jnp.asarray(branch), len(widths) - 1)
    return jax.lax.switch(branch, [lambda width=width: among(width) for width in widths])


def _row(stored: jax.Array, fields: jax.Array, num_actions: int) -> Row:
    """The statistics of nodes from their slots [B, W, CHILD_FIELDS] and fields [B, NODE_FIELDS]."""
    visits = stored[..., layout.VISITS]
    return Row(
        prior_logits=stored[..., layout.PRIOR],
        visits=visits,
        qvalues=stored[..., layout.QVALUE],
        open_prior=fields[..., layout.OPEN_PRIOR],
        open_mass=fields[..., layout.OPEN_MASS],
        prior_mass=fields[..., layout.PRIOR_MASS],
        node_visits=fields[..., layout.NODE_VISITS],
        node_value=fields[..., layout.NODE_VALUE],
        raw_value=fields[..., layout.RAW_VALUE],
        num_actions=num_actions,
    )


def root_node(tree: Tree, width: int | None = None) -> Node:
    """The root of every tree with its first `width` slots."""
    stored, fields = tree.children[:, Tree.ROOT_INDEX, :width], tree.nodes[:, Tree.ROOT_INDEX]
    index = jnp.zeros_like(fields[:, 0], dtype=jnp.int32)
    return Node(_row(stored, fields, tree.num_actions), stored, fields, index)


def last_edges(tree: Tree, path: Path) -> tuple[jax.Array, PyTree]:
    """The actions i32[B] of the paths' last edges, and the states [B, ...] at which these start.

    The action is 0 if the edge already has a node: that model call is unused.
    """
    action = jnp.where(layout.is_untried(path.child), layout.untried_action(path.child), 0)
    return action, read_at(tree.embeddings, path.last_node)


def read_at(arrays: PyTree, index: jax.Array) -> PyTree:
    """The rows [B, ...] of arrays [B, N, ...] at the nodes `index` [B], read before any write there.

    XLA's CPU compiler may read rows again at each use, even after a write, and then copies whole arrays in every
    simulation: always for a single game, and for several if a state holds the same numbers twice, as pgx's chess. A
    loop is not fused with other operations, and the compiler cannot know that this one runs once.
    """
    row_bytes = sum(x.dtype.itemsize * math.prod(x.shape[2:]) for x in jax.tree.leaves(arrays))

    def read() -> PyTree:
        return jax.tree.map(lambda x: layout.rows_at(x, index), arrays)

    def in_a_loop() -> PyTree:
        begin = jnp.any(index >= 0), jax.tree.map(lambda x: x[:, 0], arrays)
        return jax.lax.while_loop(lambda carry: carry[0], lambda _: (jnp.any(index < 0), read()), begin)[1]

    alone = isinstance(index.shape[0], int) and index.shape[0] == 1  # an exported batch may have no number
    if not alone and row_bytes < LONG_ROW:
        return read()
    return jax.lax.platform_dependent(cpu=in_a_loop, default=read)


def evaluate(
    params: Params,
    rng_key: jax.Array,
    rules: Rules,
    action: jax.Array,
    embedding: Embedding,
    model_state: PyTree,
) -> tuple[Evaluation, PyTree]:
    """Calls the model on `action` [B] in the states `embedding` [B, ...].

    Returns:
      the evaluation; the model's state.
    """
    if model_state is None:
        step, embedding = rules.recurrent_fn(params, rng_key, action, embedding)
    else:
        step, embedding, model_state = rules.recurrent_fn(params, rng_key, action, embedding, model_state)
    player = None if rules.to_play is None else rules.to_play(embedding)
    return (
        Evaluation(step.value, step.reward, step.discount, step.prior_logits, player, embedding),
        model_state,
    )


def new_nodes(found: Evaluation, parent: jax.Array, action: jax.Array) -> NewNodes:
    """The nodes after `action` [B] at the nodes `parent` [B]."""
    is_terminal = found.discount == 0
    # Nothing follows a terminal, whatever a network says of it (which may be NaN).
    nothing = is_terminal.reshape(is_terminal.shape + (1,) * (found.value.ndim - 1))
    value, logits = jnp.where(nothing, 0.0, found.value), found.logits.astype(jnp.float32)
    row = layout.node_rows(value, found.reward, found.discount, parent, action, logits, found.player)
    return NewNodes(row, logits, is_terminal)


def finish(tree: Tree, path: Path, found: Evaluation, new_index: jax.Array) -> Tree:
    """Adds the new nodes at the ends of the paths, and backs up.

    Args:
      tree: the trees.
      path: path of every game.
      found: the model's evaluation of the paths' last edges.
      new_index: i32[] index of the new nodes.
    """
    rows = jnp.arange(tree.nodes.shape[0], dtype=jnp.int32)
    is_new = layout.is_untried(path.child)
    action = jnp.where(is_new, layout.untried_action(path.child), 0)
    new = new_nodes(found, path.last_node, action)

    def write(array: jax.Array, new: jax.Array, empty: jax.Array | None = None) -> jax.Array:
        used = is_new.reshape(is_new.shape + (1,) * (new.ndim - 1))
        empty = layout.nothing(array) if empty is None else empty
        new = jnp.where(used, layout.as_stored(new, array), empty)
        return jax.lax.dynamic_update_index_in_dim(array, new, new_index, axis=1)

    # In this order XLA's CPU compiler writes every array in place; others cost a copy of one a simulation.
    embeddings = jax.tree.map(write, tree.embeddings, found.embedding)
    tree = open_edges(tree, path, is_new, new.is_terminal, new_index)
    open_priors = write(tree.open_priors, new.logits)
    nodes = write(tree.nodes, new.rows, layout.empty_node_row(new.rows.shape[-1]))
    leaf = jnp.where(is_new, new_index, layout.node_index(path.child))
    # A new node's row counts its first visit.
    nodes = nodes.at[rows, leaf, layout.NODE_VISITS].add((~is_new).astype(jnp.float32), unique_indices=True)
    tree = dataclasses.replace(tree, nodes=nodes, open_priors=open_priors, embeddings=embeddings)
    return backup(tree, path, leaf)


def open_edges(
    tree: Tree, path: Path, is_new: jax.Array, is_terminal: jax.Array, new_index: jax.Array
) -> Tree:
    """Links the nodes `new_index` i32[] or [B] as children of the paths' last edges where `is_new` [B]."""
    parent, slot = path.last_node, path.last_slot
    rows, num_nodes = jnp.arange(parent.shape[0], dtype=jnp.int32), tree.nodes.shape[1]
    fields, logits = read_at((tree.nodes, tree.open_priors), parent)
    action = layout.untried_action(path.child)
    is_action = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1) == action[:, None]
    code = jnp.where(is_terminal, layout.terminal_code(new_index), new_index)
    prior = jnp.sum(jnp.where(is_action, logits, 0.0), axis=-1)
    target = jnp.where(is_new, parent, num_nodes)
    children = tree.children.at[rows, target, slot, layout.EDGE].set(
        jnp.stack([prior, code.astype(jnp.float32)], axis=-1), mode="drop", unique_indices=True
    )
    # Reading the row before writing to it, which the comparison enforces, spares a copy of the array.
    target = jnp.where(is_new & (prior > -jnp.inf), parent, num_nodes)
    open_priors = tree.open_priors.at[rows, target, action].set(-jnp.inf, mode="drop", unique_indices=True)
    # An action that had its slot beforehand is not the node's best open one.
    was_open = slot == fields[:, layout.NUM_CHILDREN].astype(jnp.int32)
    opened = jnp.stack(
        [(slot + 1).astype(jnp.float32), *best_open(jnp.where(is_action, -jnp.inf, logits))], axis=-1
    )
    target = jnp.where(is_new & was_open, parent, num_nodes)
    nodes = tree.nodes.at[rows, target, layout.OPEN].set(opened, mode="drop", unique_indices=True)
    edge_bounds = tree.edge_bounds
    if edge_bounds is not None:
        target = jnp.where(is_new, parent, num_nodes)
        edge_bounds = edge_bounds.at[rows, target, slot].set(
            layout.UNKNOWN.stored(), mode="drop", unique_indices=True
        )
    return dataclasses.replace(
        tree, nodes=nodes, children=children, open_priors=open_priors, edge_bounds=edge_bounds
    )


class _Child(NamedTuple):
    """The numbers of a child that its edge needs."""

    visits: jax.Array
    """f32[B]"""
    value: jax.Array
    """f32[B], or [B, P] if every player has a value."""
    reward: jax.Array
    """like `value`"""
    discount: jax.Array
    """f32[B], or [B, 1]"""

    @classmethod
    def of(cls, fields: jax.Array, num_players: int) -> _Child:
        """The numbers of the node with row `fields` [B, NODE_FIELDS]."""
        visits, discount = fields[:, layout.NODE_VISITS], fields[:, layout.DISCOUNT]
        if num_players == 1:
            return cls(visits, fields[:, layout.NODE_VALUE], fields[:, layout.REWARD], discount)
        value, reward = layout.player_values(num_players), layout.player_rewards(num_players)
        return cls(visits, fields[:, value], fields[:, reward], discount[:, None])


def backup(tree: Tree, path: Path, leaf: jax.Array) -> Tree:
    """Adds the value of the leaf [B] to every node of the path, discounted edge by edge.

    A node's value is the mean of its backed-up values; an edge's Q-value is its reward plus its discount times the
    new value of its child, and its visits equal its child's.

    With proofs, the bounds of the path's edges tighten too, and a node's value and the values it backs up stay
    within its bounds: for a proven node they are exact.
    """
    num_nodes, num_players = tree.nodes.shape[1], tree.num_players
    rows = jnp.arange(tree.nodes.shape[0], dtype=jnp.int32)

    def for_each(x: jax.Array) -> jax.Array:
        return x if num_players == 1 else x[:, None]

    def for_mover(values: jax.Array, fields: jax.Array) -> jax.Array:
        if num_players == 1:
            return values
        return layout.for_player(values, fields[:, layout.PLAYER].astype(jnp.int32))

    def one_hop(carry: tuple, on: jax.Array) -> tuple:
        hop, children, nodes, child, value, proof = carry
        active = (hop < path.depth) & on
        node, slot = path.nodes[hop], path.slots[hop]
        target = jnp.where(active, node, num_nodes)

        value = jnp.where(for_each(active), child.reward + child.discount * value, value)
        fields = layout.rows_at(nodes, node)
        old = _Child.of(fields, num_players)
        mean = (old.value * for_each(old.visits) + value) / for_each(old.visits + 1)
        if proof is not None:
            has_open = jnp.where(
                node == Tree.ROOT_INDEX, root_has_open, fields[:, layout.OPEN_PRIOR] > -jnp.inf
            )
            proof, known = proofs.enter(proof, old.reward, old.discount, node, slot, has_open, active)
            mean = jnp.clip(mean, *known)
            value = jnp.where(active, jnp.clip(value, *known), value)
        nodes = nodes.at[rows, target, layout.NODE_STATISTICS].set(
            jnp.stack([old.visits + 1, for_mover(mean, fields)], axis=-1), mode="drop", unique_indices=True
        )
        if num_players > 1:
            own = layout.player_values(num_players)
            nodes = nodes.at[rows, target, own].set(mean, mode="drop", unique_indices=True)
        qvalue = for_mover(child.reward + child.discount * child.value, fields)
        children = children.at[rows, target, slot, layout.EDGE_STATISTICS].set(
            jnp.stack([child.visits, qvalue], axis=-1), mode="drop", unique_indices=True
        )
        parent = old._replace(visits=old.visits + 1, value=mean)
        child = jax.tree.map(
            lambda new, old: jnp.where(active.reshape(active.shape + (1,) * (new.ndim - 1)), new, old),
            parent,
            child,
        )
        return hop - 1, children, nodes, child, value, proof

    # Nothing lies below a leaf: its value is what the model said, or 0 at a terminal.
    child = _Child.of(layout.rows_at(tree.nodes, leaf), num_players)
    proof = None
    if tree.edge_bounds is not None:
        root_has_open = proofs.root_has_open(tree)
        proof = tree.edge_bounds, proofs.of_last_edge(tree, path, child.reward, child.discount)
    carry = (jnp.max(path.depth) - 1, tree.children, tree.nodes, child, child.value, proof)
    _, children, nodes, _, _, proof = hop_while(lambda carry: carry[0] >= 0, one_hop, carry)
    edge_bounds = None if proof is None else proof[0]
    return dataclasses.replace(tree, children=children, nodes=nodes, edge_bounds=edge_bounds)
