"""The search tree: arrays of packed rows that hold only what the search reached.

Axes: B games, N nodes (the root and one per simulation), A actions, S = min(A, N - 1) slots.

Few of a node's actions are ever tried, and in a fixed order: untried actions share one value estimate, so the next
one is always that with the largest prior. A node therefore keeps its expanded edges in the order of opening and, of
all others, only the best. A hop reads two short contiguous rows, whatever A is:

- `children[B, N, S, CHILD_FIELDS]`: prior logit, child, visits and Q-value of each expanded edge;
- `nodes[B, N, NODE_FIELDS]`: the node's value, the edge to it, its best open action (see `layout`). If every player
has a value (max^n), NODE_VALUE and RAW_VALUE are those of the player to move, and further fields hold that player
and the values and rewards of all.

`open_priors[B, N, A]` is read once per simulation, to find the successor of the action just opened.

Trees may have more leading axes, as returned by `jax.vmap` of a policy, or none, as inside it.

Numbers are float32; integers are exact up to 2^24. The Q-value of an edge is `reward + discount * value of the
child`, for the player who moves at the edge's parent. The names of mctx's `Tree` are properties.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, cast

import chex
import jax
import jax.numpy as jnp
import mctx

from jzero.pytrees import Embedding, PyTree
from jzero.search import layout


@chex.dataclass(frozen=True)
class SearchSummary:
    """Statistics of the root, as in mctx. `A` is the number of actions.

    Attributes:
      visit_counts: f32[B, A] visits of the root's children.
      visit_probs: [B, A] visits divided by their sum.
      value: [B] the root's value after the search.
      qvalues: [B, A] `reward + discount * value` of the root's children, 0 where unvisited.
    """

    visit_counts: jax.Array
    visit_probs: jax.Array
    value: jax.Array
    qvalues: jax.Array


T = TypeVar("T")


_KEPT = ("embeddings", "root_invalid_actions", "extra_data", "model_state")
"""Fields that a tree keeps for its users."""


def _compiled(read: Callable) -> Callable:
    """`read(tree, ...)`, which reads only packed arrays, as one program also outside `jit`.

    Otherwise each of its operations would be dispatched, and traced, separately there.
    """
    program, emptied = jax.jit(read, inline=True), dict.fromkeys(_KEPT, cast(Any, None))

    @functools.wraps(read)
    def call(tree: Tree, *args: Any) -> Any:
        return program(dataclasses.replace(tree, **emptied), *args)

    return call


@chex.dataclass(frozen=True)
class Tree(Generic[T]):
    """State of a batch of searches.

    Attributes:
      nodes: f32[B, N, NODE_FIELDS], see the module's docstring.
      children: f32[B, N, S, CHILD_FIELDS], likewise.
      open_priors: f32[B, N, A] prior logits of the untried actions, -inf for those that have a node.
      embeddings: [B, N, ...] the model's state of each node.
      root_invalid_actions: [B, A], non-zero where an action is illegal at the root.
      extra_data: anything a policy keeps with its tree, of type `T`, e.g. `root_gumbel` [B, A].
      model_state: the model's state between calls; None if it keeps nothing.
      edge_bounds: f32[B, N, S, 2] bounds of each edge's value, see `proofs`; None without proofs.
    """

    nodes: jax.Array
    children: jax.Array
    open_priors: jax.Array
    embeddings: Any
    root_invalid_actions: Any
    extra_data: T
    model_state: Any = None
    edge_bounds: Any = None

    ROOT_INDEX: ClassVar[int] = layout.ROOT_INDEX
    NO_PARENT: ClassVar[int] = layout.NO_PARENT
    UNVISITED: ClassVar[int] = layout.UNVISITED

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return self.open_priors.shape[-1]

    @property
    def num_simulations(self) -> int:
        """Capacity of the tree in simulations: N - 1."""
        return self.nodes.shape[-2] - 1

    @property
    def num_players(self) -> int:
        """Number of values per node: 1, or one per player."""
        return max(1, (self.nodes.shape[-1] - layout.PLAYER_VALUES) // 2)

    @property
    def player_values(self) -> jax.Array:
        """f32[B, N, P] mean value of each node for every player, in a tree with several values."""
        return self.nodes[..., layout.player_values(self.num_players)]

    @property
    def node_visits(self) -> jax.Array:
        """i32[B, N] visits of each node; the root counts its own evaluation."""
        return self.nodes[..., layout.NODE_VISITS].astype(jnp.int32)

    @property
    def node_values(self) -> jax.Array:
        """f32[B, N] mean value of each node for the player to move there."""
        return self.nodes[..., layout.NODE_VALUE]

    @property
    def raw_values(self) -> jax.Array:
        """f32[B, N] the model's value of each node."""
        return self.nodes[..., layout.RAW_VALUE]

    @property
    def parents(self) -> jax.Array:
        """i32[B, N], NO_PARENT for the root and for nodes that do not exist."""
        return self.nodes[..., layout.PARENT].astype(jnp.int32)

    @property
    def action_from_parent(self) -> jax.Array:
        """i32[B, N], NO_PARENT for the root and for nodes that do not exist."""
        return self.nodes[..., layout.ACTION].astype(jnp.int32)

    @property
    def children_prior_logits(self) -> jax.Array:
        """f32[B, N, A] prior logits; -inf for actions that the model masks, the least number for the root's illegal
        ones.
        """
        return self._prior_logits(self.root_invalid_actions)

    @_compiled
    def _prior_logits(self, illegal: jax.Array) -> jax.Array:
        logits = self._by_action(self.children[..., layout.PRIOR], self.open_priors)
        nodes = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 2)
        return finite_at_root(logits, nodes, illegal[..., None, :])

    @property
    @_compiled
    def children_index(self) -> jax.Array:
        """i32[B, N, A] node index of each child; UNVISITED if there is none."""
        return self._by_action(layout.child_nodes(self.children), self.UNVISITED)

    @property
    @_compiled
    def children_visits(self) -> jax.Array:
        """i32[B, N, A] visits of each edge."""
        return self._by_action(self.children[..., layout.VISITS].astype(jnp.int32), 0)

    @property
    @_compiled
    def children_values(self) -> jax.Array:
        """f32[B, N, A] value of each child for the player to move there, 0 where unvisited."""
        return self._by_action(self._of_child_nodes(layout.NODE_VALUE), 0.0)

    @property
    @_compiled
    def children_rewards(self) -> jax.Array:
        """f32[B, N, A] reward of each edge, 0 where unvisited."""
        return self._by_action(self._of_child_nodes(layout.REWARD), 0.0)

    @property
    @_compiled
    def children_discounts(self) -> jax.Array:
        """f32[B, N, A] discount of each edge, 0 where unvisited."""
        return self._by_action(self._of_child_nodes(layout.DISCOUNT), 0.0)

    @_compiled
    def qvalues(self, indices: jax.Array | int) -> jax.Array:
        """Q-values [B, ..., A] at the nodes `indices` [B, ...] or at one index for all, 0 where unvisited.

        For an unbatched tree, as inside `jax.vmap`: [A] at a scalar index.
        """
        indices = jnp.asarray(indices, jnp.int32)
        if indices.ndim == 0:
            indices = jnp.broadcast_to(indices, self.nodes.shape[:-2])
        at = self._rows(self.children, indices)
        return layout.by_action(
            at[..., layout.QVALUE], self.actions_of(at), at[..., layout.VISITS] > 0, self.num_actions, 0.0
        )

    def actions_of(self, children: jax.Array) -> jax.Array:
        """Actions i32[B, ...] of the edges `children` [B, ..., CHILD_FIELDS]; arbitrary for unused ones."""
        code = children[..., layout.CHILD].astype(jnp.int32)
        node = jnp.maximum(layout.node_index(code), 0)
        reached = self._rows(self.nodes[..., layout.ACTION], node).astype(jnp.int32)
        return jnp.where(layout.is_untried(code), layout.untried_action(code), reached)

    @_compiled
    def summary(self) -> SearchSummary:
        """Visit counts, value and Q-values of the root."""
        root = self.children[..., self.ROOT_INDEX, :, :]
        visits = layout.by_action(
            root[..., layout.VISITS],
            self.actions_of(root),
            root[..., layout.VISITS] > 0,
            self.num_actions,
            0.0,
        )
        total = jnp.sum(visits, axis=-1, keepdims=True)
        return SearchSummary(
            visit_counts=visits,
            visit_probs=jnp.where(total > 0, visits / jnp.maximum(total, 1), 1 / self.num_actions),
            value=self.nodes[..., self.ROOT_INDEX, layout.NODE_VALUE],
            qvalues=self.qvalues(self.ROOT_INDEX),
        )

    def to_mctx(self) -> mctx.Tree[T]:
        """The tree as mctx's `Tree`, with one array per field; its fields can be replaced. Also for unbatched
        trees.
        """
        return mctx.Tree(**{field.name: getattr(self, field.name) for field in dataclasses.fields(mctx.Tree)})

    @property
    def root_player(self) -> jax.Array:
        """i32[B]: the player to move at the root, in a tree with several values."""
        return self.nodes[..., self.ROOT_INDEX, layout.PLAYER].astype(jnp.int32)

    def root_player_qvalues(self) -> jax.Array:
        """f32[B, A, P]: Q-values of the root's actions for every player, 0 where unvisited.

        For a tree with several values; `qvalues` has only those of the player to move.
        """
        root = self.children[..., self.ROOT_INDEX, :, :]
        node = jnp.maximum(layout.node_index(root[..., layout.CHILD].astype(jnp.int32)), 0)
        child = self._rows(self.nodes, node)
        value, reward = jnp.split(child[..., layout.PLAYER_VALUES :], 2, axis=-1)
        qvalues = reward + child[..., layout.DISCOUNT, None] * value
        by_player = jax.vmap(layout.by_action, in_axes=(-1, None, None, None, None), out_axes=-1)
        return by_player(qvalues, self.actions_of(root), root[..., layout.VISITS] > 0, self.num_actions, 0.0)

    def _rows(self, array: jax.Array, index: jax.Array) -> jax.Array:
        """`array` [B, N, ...] at the nodes `index` [B, ...]."""

        def one(array: jax.Array, index: jax.Array) -> jax.Array:
            return array[index]

        for _ in self.nodes.shape[:-2]:
            one = jax.vmap(one)
        return one(array, index)

    def _of_child_nodes(self, field: int) -> jax.Array:
        return self._rows(self.nodes[..., field], jnp.maximum(layout.child_nodes(self.children), 0))

    def _by_action(self, values: jax.Array, missing: float | jax.Array) -> jax.Array:
        actions = self.actions_of(self.children)
        return layout.by_action(
            values, actions, layout.child_nodes(self.children) >= 0, self.num_actions, missing
        )


def _replace(tree: Tree, **changes: Any) -> Tree | mctx.Tree:
    """The tree with replaced fields; mctx's tree if one of them exists only there."""
    if changes.keys() <= {field.name for field in dataclasses.fields(tree)}:
        return dataclasses.replace(tree, **changes)
    return cast(Any, tree.to_mctx()).replace(**changes)


Tree.replace = _replace  # chex puts its own in the place of a method


def finite_at_root(logits: jax.Array, node: jax.Array | int, illegal: jax.Array) -> jax.Array:
    """Prior logits [..., A] of nodes with mctx's mask: finite for the root's `illegal` [..., A] actions."""
    masked = (node == Tree.ROOT_INDEX) & layout.is_set(illegal)
    return jnp.where(masked, jnp.finfo(logits.dtype).min, logits)


def init_tree(
    prior_logits: jax.Array,
    value: jax.Array,
    embedding: Embedding,
    *,
    num_nodes: int,
    invalid_actions: jax.Array,
    to_play: jax.Array | None = None,
    extra_data: PyTree = None,
    model_state: PyTree = None,
    solve: bool = False,
) -> Tree:
    """A tree with only its root.

    Args:
      prior_logits: f32[B, A] prior logits of the root.
      value: [B] value of the root, or [B, P] with `to_play`.
      embedding: [B, ...] the model's state of the root.
      num_nodes: capacity in nodes, including the root.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      to_play: i32[B] the player to move at the root, for a tree with one value per player.
      extra_data: kept with the tree.
      model_state: the model's state between calls.
      solve: whether the tree holds bounds on the values of its edges.
    """
    batch_size, num_actions = prior_logits.shape
    num_slots = min(num_actions, num_nodes - 1)
    no_parent = jnp.full(batch_size, Tree.NO_PARENT, jnp.int32)
    zero = jnp.zeros_like(prior_logits[:, 0])
    reward = jnp.zeros_like(value, dtype=jnp.float32)
    root = layout.node_rows(value, reward, zero, no_parent, no_parent, prior_logits, to_play)
    children = jnp.broadcast_to(layout.empty_slot(), (batch_size, num_nodes, num_slots, layout.CHILD_FIELDS))

    edge_bounds = None
    if solve:
        edge_bounds = jnp.broadcast_to(layout.NO_EDGE.stored(), (*children.shape[:-1], 2))

    def vary(x: jax.Array) -> jax.Array:
        return vary_like(x, prior_logits)

    def room(row: jax.Array, empty: jax.Array | None = None) -> jax.Array:
        empty = layout.nothing(row) if empty is None else empty
        empty = jnp.broadcast_to(empty, (batch_size, num_nodes - 1, *row.shape[1:]))
        return vary(jnp.concatenate([row[:, None], vary_like(empty, row)], axis=1))

    return Tree(
        nodes=room(root, layout.empty_node_row(root.shape[-1])),
        children=vary(children),
        open_priors=room(prior_logits),
        embeddings=jax.tree.map(room, embedding),
        root_invalid_actions=invalid_actions,
        extra_data=extra_data,
        model_state=jax.tree.map(vary, model_state),
        edge_bounds=jax.tree.map(vary, edge_bounds),
    )


def give_root_slots(tree: Tree, order: jax.Array, prior_logits: jax.Array) -> Tree:
    """Assigns the root's first slots to the actions `order` i32[B, M], M <= S.

    Otherwise actions get slots as they are opened, in order of their `prior_logits` [B, A].
    """
    width = order.shape[1]
    logits = jnp.take_along_axis(prior_logits, order, axis=-1)
    codes = layout.untried_code(order).astype(jnp.float32)
    slots = jnp.stack([logits, codes, jnp.zeros_like(logits), jnp.zeros_like(logits)], axis=-1)
    children = tree.children.at[:, Tree.ROOT_INDEX, :width].set(slots)
    nodes = tree.nodes.at[:, Tree.ROOT_INDEX, layout.NUM_CHILDREN].set(width)
    tree = dataclasses.replace(tree, nodes=nodes, children=children)
    if tree.edge_bounds is None:
        return tree
    bounds = jnp.where((logits > -jnp.inf)[..., None], layout.UNKNOWN.stored(), layout.NO_EDGE.stored())
    edge_bounds = tree.edge_bounds.at[:, Tree.ROOT_INDEX, :width].set(bounds)
    return dataclasses.replace(tree, edge_bounds=edge_bounds)


def vary_like(x: jax.Array, like: jax.Array) -> jax.Array:
    """Marks `x` as varying over the mesh axes that `like` varies over.

    Under `shard_map` a loop's initial carry must vary over the same axes as its result (JAX's check of varying
    manual axes); outside it nothing changes.
    """
    missing = jax.typeof(like).manual_axis_type.varying - jax.typeof(x).manual_axis_type.varying
    return jax.lax.pcast(x, tuple(missing), to="varying") if missing else x
