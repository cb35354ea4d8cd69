"""The search tree: arrays of packed rows.

Axes: B games, N nodes (root and one a simulation), A actions.

What one step of a descent reads of a node lies in one contiguous row, so that a hop costs two gathers:

- `edges[B, N, EDGE_FIELDS, A]`: prior logits, visits, Q-value and child of every action (its node index, or
  `terminal_code` of it);
- `nodes[B, N, NODE_FIELDS]`: visits, value, raw value of the node, and the reward and discount of the edge
  that leads to it (stored once, with the child).

Visits and indices are float32, exact up to 2^24. The Q-value of an edge is `reward + discount * value of the
child`, seen by the player who moves at the edge's parent. The names of mctx's `Tree` are properties.
"""

from __future__ import annotations

from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp

PRIOR, VISITS, QVALUE, CHILD = range(4)
EDGE_FIELDS = 4
NODE_VISITS, NODE_VALUE, NODE_RAW_VALUE, NODE_REWARD, NODE_DISCOUNT = range(5)
NODE_FIELDS = 5


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


@chex.dataclass(frozen=True)
class Tree:
    """State of a batch of searches.

    Attributes:
      edges: f32[B, N, EDGE_FIELDS, A], see the file's header.
      nodes: f32[B, N, NODE_FIELDS], see the file's header.
      parents: i32[B, N], NO_PARENT for the root and for nodes that do not exist.
      action_from_parent: i32[B, N], likewise.
      embeddings: [B, N, ...] the model's state of each node.
      root_invalid_actions: [B, A], non-zero where an action is illegal at the root.
      extra_data: anything a policy keeps with its tree, e.g. `root_gumbel` [B, A].
    """

    edges: jax.Array
    nodes: jax.Array
    parents: Any
    action_from_parent: Any
    embeddings: Any
    root_invalid_actions: Any
    extra_data: Any

    ROOT_INDEX: ClassVar[int] = 0
    NO_PARENT: ClassVar[int] = -1
    UNVISITED: ClassVar[int] = -1

    @property
    def num_actions(self) -> int:
        """Number of actions A."""
        return self.edges.shape[-1]

    @property
    def num_simulations(self) -> int:
        """Number of simulations the tree has room for: N - 1."""
        return self.nodes.shape[-2] - 1

    @property
    def node_visits(self) -> jax.Array:
        """i32[B, N] visits of each node; the root counts its own evaluation."""
        return self.nodes[..., NODE_VISITS].astype(jnp.int32)

    @property
    def node_values(self) -> jax.Array:
        """f32[B, N] mean value of each node for the player to move there."""
        return self.nodes[..., NODE_VALUE]

    @property
    def raw_values(self) -> jax.Array:
        """f32[B, N] the model's value of each node."""
        return self.nodes[..., NODE_RAW_VALUE]

    @property
    def children_prior_logits(self) -> jax.Array:
        """f32[B, N, A] prior logits; -inf where the model masked an action."""
        return self.edges[..., PRIOR, :]

    @property
    def children_visits(self) -> jax.Array:
        """i32[B, N, A] visits of each edge."""
        return self.edges[..., VISITS, :].astype(jnp.int32)

    @property
    def children_index(self) -> jax.Array:
        """i32[B, N, A] node index of each child, UNVISITED where there is none."""
        return node_index(self.edges[..., CHILD, :].astype(jnp.int32))

    @property
    def children_values(self) -> jax.Array:
        """f32[B, N, A] value of each child for the player to move there, 0 where unvisited."""
        return self._of_children(NODE_VALUE)

    @property
    def children_rewards(self) -> jax.Array:
        """f32[B, N, A] reward of each edge, 0 where unvisited."""
        return self._of_children(NODE_REWARD)

    @property
    def children_discounts(self) -> jax.Array:
        """f32[B, N, A] discount of each edge, 0 where unvisited."""
        return self._of_children(NODE_DISCOUNT)

    def _of_children(self, field: int) -> jax.Array:
        def one_tree(nodes: jax.Array, index: jax.Array) -> jax.Array:
            return jnp.where(index == self.UNVISITED, 0.0, nodes[jnp.maximum(index, 0), field])

        gather = one_tree if self.nodes.ndim == 2 else jax.vmap(one_tree)
        return gather(self.nodes, self.children_index)

    def qvalues(self, indices: jax.Array | int) -> jax.Array:
        """Q-values [B, A] at the nodes `indices` [B] ([A] at a scalar index of an unbatched tree)."""
        if jnp.ndim(indices) == 0:
            return self.edges[..., indices, QVALUE, :]
        return jax.vmap(lambda edges, index: edges[index, QVALUE])(self.edges, jnp.asarray(indices))

    def summary(self) -> SearchSummary:
        """Visit counts, value and Q-values of the root."""
        root = self.edges[:, self.ROOT_INDEX]
        visits = root[:, VISITS]
        total = jnp.sum(visits, axis=-1, keepdims=True)
        return SearchSummary(
            visit_counts=visits,
            visit_probs=jnp.where(total > 0, visits / jnp.maximum(total, 1), 1 / self.num_actions),
            value=self.nodes[:, self.ROOT_INDEX, NODE_VALUE],
            qvalues=root[:, QVALUE],
        )


def terminal_code(index: jax.Array) -> jax.Array:
    """What an edge stores for a terminal child of node `index`; see `node_index`."""
    return -2 - index


def node_index(code: jax.Array) -> jax.Array:
    """The node index that an edge's stored child stands for; UNVISITED stays UNVISITED."""
    return jnp.where(code < Tree.UNVISITED, -2 - code, code)


def edge_rows(prior_logits: jax.Array) -> jax.Array:
    """Edge rows f32[B, EDGE_FIELDS, A] of new nodes with `prior_logits` [B, A] and no child."""
    prior_logits = prior_logits.astype(jnp.float32)
    zeros = jnp.zeros_like(prior_logits)
    return jnp.stack([prior_logits, zeros, zeros, jnp.full_like(zeros, Tree.UNVISITED)], axis=1)


def node_rows(value: jax.Array, reward: jax.Array, discount: jax.Array) -> jax.Array:
    """Node rows f32[B, NODE_FIELDS] of nodes visited once, reached by an edge of `reward` and `discount`."""
    value = value.astype(jnp.float32)
    return jnp.stack([jnp.ones_like(value), value, value, reward, discount], axis=1).astype(jnp.float32)


def init_tree(
    prior_logits: jax.Array,
    value: jax.Array,
    embedding: Any,
    *,
    num_simulations: int,
    invalid_actions: jax.Array,
    extra_data: Any = None,
) -> Tree:
    """A tree that holds only its root.

    Args:
      prior_logits: [B, A] of the root.
      value: [B] of the root.
      embedding: [B, ...] the model's state of the root.
      num_simulations: how many nodes may be added.
      invalid_actions: [B, A], non-zero where illegal at the root.
      extra_data: kept with the tree.
    """
    chex.assert_rank([prior_logits, value], [2, 1])
    chex.assert_equal_shape_prefix([prior_logits, value], 1)
    num_nodes = num_simulations + 1
    zeros = jnp.zeros_like(value, dtype=jnp.float32)

    def room(row: jax.Array, empty: jax.Array | int = 0) -> jax.Array:
        empty = jnp.asarray(empty, row.dtype)
        empty = jnp.broadcast_to(empty, (row.shape[0], num_nodes - 1, *row.shape[1:]))
        return jnp.concatenate([row[:, None], vary_like(empty, row)], axis=1)

    no_parent = room(jnp.full_like(zeros, Tree.NO_PARENT, dtype=jnp.int32), Tree.NO_PARENT)
    return Tree(
        edges=room(edge_rows(prior_logits), edge_rows(jnp.zeros_like(prior_logits[:1]))[:, None]),
        nodes=room(node_rows(value, zeros, zeros)),
        parents=no_parent,
        action_from_parent=no_parent,
        embeddings=jax.tree.map(room, embedding),
        root_invalid_actions=invalid_actions,
        extra_data=extra_data,
    )


def vary_like(x: jax.Array, like: jax.Array) -> jax.Array:
    """Marks `x` as varying over the mesh axes that `like` varies over.

    Under `shard_map` a loop's initial carry must vary over the same axes as its result (JAX's check of varying
    manual axes); outside of it nothing changes.
    """
    missing = jax.typeof(like).manual_axis_type.varying - jax.typeof(x).manual_axis_type.varying
    return jax.lax.pcast(x, tuple(missing), to="varying") if missing else x
