"""The tree of one game as a user's transform of Q-values sees it.

mctx passes a transform one game's tree, whose fields are arrays [N, ...], and the index of a node. This package's
tree has no such arrays for edges, and making them takes time proportional to N x A. So a transform first gets a
`TreeView`, which reads the rows of single nodes (`tree.children_visits[node_index]`); a transform that does
anything else with a field gets mctx's tree. Axes: N nodes, W the slots read, S slots, A actions.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jzero.pytrees import PyTree
from jzero.search import layout
from jzero.search.tree import Tree, finite_at_root


def call(transform: Callable, view: TreeView) -> jax.Array:
    """Applies a transform; returns its values [A] at the view's node."""
    # A view cannot do all that arrays can, and JAX and NumPy say so by exceptions of many kinds.
    with contextlib.suppress(Exception):
        return transform(view, view.node)
    return transform(view.whole(), view.node)


Index = int | jax.Array
"""Number of a node."""


class Rows:
    """A field [N, ...] of a tree that supports only `rows[node]` for one node; anything else raises a TypeError."""

    def __init__(self, row: Callable[[Index], jax.Array]) -> None:
        self._row = row

    def __getitem__(self, index: Any) -> jax.Array:
        node, *rest = index if isinstance(index, tuple) else (index,)
        if not _is_number(node):
            raise TypeError("rows can be read for one node at a time only")
        row = self._row(node)
        return row[tuple(rest)] if rest else row

    # What Python would otherwise answer for any object.
    __eq__ = __bool__ = __iter__ = __contains__ = None  # type: ignore[assignment]


def _is_number(index: Any) -> bool:
    if isinstance(index, (jax.Array, np.ndarray, np.generic)):
        return index.ndim == 0 and jnp.issubdtype(index.dtype, jnp.integer)
    return isinstance(index, int) and not isinstance(index, bool)


class TreeView:
    """Mctx's fields of one game's tree, with the row of the transform's node already read.

    Args:
      tree: tree of one game, without a batch axis.
      node: i32[] index of the node.
      fields: f32[NODE_FIELDS] the node's row.
      slots: f32[W, CHILD_FIELDS] its slots in use.
      num_actions: A, the actions to show, without the edges of chance that follow them.
    """

    ROOT_INDEX, NO_PARENT, UNVISITED = Tree.ROOT_INDEX, Tree.NO_PARENT, Tree.UNVISITED

    def __init__(
        self, tree: Tree, node: jax.Array, fields: jax.Array, slots: jax.Array, num_actions: int
    ) -> None:
        self._tree, self.node, self._fields, self._slots = tree, node, fields, slots
        self.num_actions, self.num_simulations = num_actions, tree.num_simulations
        self.embeddings, self.extra_data = tree.embeddings, tree.extra_data
        self.root_invalid_actions = tree.root_invalid_actions[:num_actions]

        self.node_visits = self._numbers(layout.NODE_VISITS, jnp.int32)
        self.raw_values = self._numbers(layout.RAW_VALUE)
        self.node_values = self._numbers(layout.NODE_VALUE)
        self.parents = self._numbers(layout.PARENT, jnp.int32)
        self.action_from_parent = self._numbers(layout.ACTION, jnp.int32)
        self.children_index = self._edges(lambda slots: layout.child_nodes(slots), Tree.UNVISITED)
        self.children_visits = self._edges(lambda slots: slots[:, layout.VISITS].astype(jnp.int32), 0)
        self.children_rewards = self._edges(lambda slots: self._of_children(slots, layout.REWARD))
        self.children_discounts = self._edges(lambda slots: self._of_children(slots, layout.DISCOUNT))
        self.children_values = self._edges(lambda slots: self._of_children(slots, layout.NODE_VALUE))
        self.children_prior_logits = Rows(self._prior_logits)
        self._qvalues = self._edges(
            lambda slots: jnp.where(slots[:, layout.VISITS] > 0, slots[:, layout.QVALUE], 0.0)
        )

    def qvalues(self, indices: Index) -> jax.Array:
        """Q-values f32[A] of the node `indices`, 0 where unvisited."""
        return self._qvalues[indices]

    def whole(self) -> PyTree:
        """Mctx's tree of this game."""
        open_priors = self._tree.open_priors[:, : self.num_actions]
        return dataclasses.replace(
            self._tree, open_priors=open_priors, root_invalid_actions=self.root_invalid_actions
        ).to_mctx()

    def _numbers(self, field: int, dtype: DTypeLike = jnp.float32) -> Rows:
        """[N]: a field of each node's row."""

        def row(node: Index) -> jax.Array:
            fields = self._fields if node is self.node else self._tree.nodes[node]
            return fields[field].astype(dtype)

        return Rows(row)

    def _edges(self, of_slots: Callable[[jax.Array], jax.Array], missing: float = 0.0) -> Rows:
        """[N, A]: a number per edge of each node."""

        def row(node: Index) -> jax.Array:
            slots = self._slots_of(node)
            return self._by_action(slots, of_slots(slots), missing)

        return Rows(row)

    def _prior_logits(self, node: Index) -> jax.Array:
        slots = self._slots_of(node)
        open_priors = self._tree.open_priors[node][: self.num_actions]
        logits = self._by_action(slots, slots[:, layout.PRIOR], open_priors)
        return finite_at_root(logits, node, self.root_invalid_actions)

    def _slots_of(self, node: Index) -> jax.Array:
        """f32[W, CHILD_FIELDS] of the view's node, [S, CHILD_FIELDS] of others."""
        return self._slots if node is self.node else self._tree.children[node]

    def _of_children(self, slots: jax.Array, field: int) -> jax.Array:
        return self._tree.nodes[jnp.maximum(layout.child_nodes(slots), 0), field]

    def _by_action(self, slots: jax.Array, values: jax.Array, missing: float | jax.Array) -> jax.Array:
        """[A]: the values of slots, reordered by action."""
        used, actions = layout.child_nodes(slots) >= 0, self._tree.actions_of(slots)
        return layout.by_action(values, actions, used, self.num_actions, missing)
