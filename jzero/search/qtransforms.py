"""Transforms of a node's Q-values, with mctx's signature `(tree, node_index, **options) -> [A]`.

They take an unbatched tree and a scalar index; the formulas are in `scores`. A user function with this signature
gets one game's tree with mctx's fields, and the node's index; see `view`. Where it tells untried legal actions of a
node apart, mctx searches; see `fallback`. Inside a search, user functions see all actions; those here do not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import PyTree
from jzero.search import layout, scores
from jzero.search.root import as_float32
from jzero.search.scores import Row, Scores
from jzero.search.tree import Tree
from jzero.search.types import Node
from jzero.search.view import Index, TreeView, call

QTransform = Callable[..., jax.Array]


def qtransform_by_min_max(
    tree: PyTree, node_index: Index, *, min_value: float, max_value: float, fpu: scores.Fpu = None
) -> jax.Array:
    """Q-values [A] mapped from the given range to [0, 1]; see `scores.by_min_max`."""
    return _all_actions(
        scores.by_min_max, tree, node_index, min_value=min_value, max_value=max_value, fpu=fpu
    )


def qtransform_by_parent_and_siblings(
    tree: PyTree, node_index: Index, *, epsilon: float = 1e-8, fpu: scores.Fpu = None
) -> jax.Array:
    """Q-values [A] normalised within the node; see `scores.by_parent_and_siblings`."""
    return _all_actions(scores.by_parent_and_siblings, tree, node_index, epsilon=epsilon, fpu=fpu)


def qtransform_completed_by_mix_value(
    tree: PyTree,
    node_index: Index,
    *,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 0.01,
) -> jax.Array:
    """Scaled completed Q-values [A]; see `scores.completed_by_mix_value` (mctx's epsilon is 1e-8)."""
    return _all_actions(
        scores.completed_by_mix_value,
        tree,
        node_index,
        value_scale=value_scale,
        maxvisit_init=maxvisit_init,
        rescale_values=rescale_values,
        use_mixed_value=use_mixed_value,
        epsilon=epsilon,
    )


_OF_ROWS: tuple[tuple[Callable, Callable[..., Scores]], ...] = (
    (qtransform_by_min_max, scores.by_min_max),
    (qtransform_by_parent_and_siblings, scores.by_parent_and_siblings),
    (qtransform_completed_by_mix_value, scores.completed_by_mix_value),
)


def _parts(qtransform: QTransform) -> tuple[Callable[..., Scores] | None, dict[str, Any]]:
    """The row function of a transform defined here and its options as 32-bit numbers; else None, and none."""
    function, options = qtransform, {}
    if isinstance(qtransform, functools.partial) and not qtransform.args:
        function, options = qtransform.func, qtransform.keywords
    found = next((of_rows for own, of_rows in _OF_ROWS if own is function), None)
    return found, {} if found is None else _in_32_bits(options)


def _in_32_bits(options: dict[str, Any]) -> dict[str, Any]:
    return {name: as_float32(value) for name, value in options.items()}


def is_own(qtransform: QTransform) -> bool:
    """Whether a transform is defined here."""
    return _parts(qtransform)[0] is not None


def is_of_rows(qtransform: QTransform, *constants: Any) -> bool:
    """Whether a transform is defined here, and its options and the `constants` are Python numbers."""
    of_rows, options = _parts(qtransform)
    arrays = (isinstance(x, jax.Array | np.ndarray) for x in (*options.values(), *constants))
    return of_rows is not None and not any(arrays)


def transform_row(qtransform: QTransform, tree: Tree, node: Node, num_actions: int | None = None) -> Scores:
    """Applies a transform to the nodes [B] of a search: to their slots and their open actions.

    A user function sees the first `num_actions` actions (None: all), since edges of chance may follow them.
    """
    of_rows, options = _parts(qtransform)
    if of_rows is not None:
        return of_rows(node.row, **options)
    return _transform_dense(qtransform, tree, node, tree.num_actions if num_actions is None else num_actions)


def _transform_dense(qtransform: QTransform, tree: Tree, node: Node, num_actions: int) -> Scores:
    """Reorders the slots by action for a user's transform."""
    # Only what a game has alone can be mapped over games.
    tree, node = _with_descents(dataclasses.replace(tree, model_state=None), node)

    def one(tree: Tree, index: jax.Array, fields: jax.Array, slots: jax.Array) -> tuple[jax.Array, ...]:
        view = TreeView(tree, index, fields, slots, num_actions)
        found = call(qtransform, view)
        return (
            found.astype(jnp.float32),
            view.children_visits[view.node],
            view.children_prior_logits[view.node],
        )

    found, visits, logits = jax.vmap(one)(tree, node.index, node.fields, node.slots)
    # Any legal action without visits speaks for all of them.
    unvisited = scores.first_best(jnp.where(visits > 0, -jnp.inf, logits))
    actions = jnp.clip(tree.actions_of(node.slots), 0, num_actions - 1)
    return Scores(
        slots=jnp.take_along_axis(found, actions, axis=-1),
        best_open=jnp.take_along_axis(found, unvisited[:, None], axis=-1)[:, 0],
    )


def _with_descents(tree: Tree, node: Node) -> tuple[Tree, Node]:
    """The trees and their nodes, with the nodes' rows as parallel descents see them."""
    if node.in_flight is None:
        return tree, node
    row, games = node.row, jnp.arange(node.index.shape[0], dtype=jnp.int32)
    fields = node.fields.at[:, layout.NODE_VISITS].set(row.node_visits)
    slots = node.slots.at[..., layout.VISITS].set(row.visits).at[..., layout.QVALUE].set(row.qvalues)
    # Costs nothing unless the transform reads rows by another index than the one it is handed.
    tree = dataclasses.replace(
        tree,
        nodes=tree.nodes.at[games, node.index].set(fields),
        children=tree.children.at[games, node.index, : slots.shape[1]].set(slots),
    )
    return tree, node._replace(fields=fields, slots=slots)


def _all_actions(
    function: Callable[..., Scores], tree: PyTree, node_index: Index, **options: Any
) -> jax.Array:
    """A row function applied to all actions of one node of an unbatched tree: each has a slot, none is open."""
    logits = tree.children_prior_logits[node_index]
    visits = tree.children_visits[node_index].astype(jnp.float32)
    row = Row(
        prior_logits=logits,
        visits=visits,
        qvalues=tree.qvalues(node_index),
        open_prior=jnp.float32(-jnp.inf),
        open_mass=jnp.float32(-jnp.inf),
        prior_mass=jax.nn.logsumexp(logits),
        node_visits=tree.node_visits[node_index].astype(jnp.float32),
        node_value=tree.node_values[node_index],
        raw_value=tree.raw_values[node_index],
        num_actions=logits.shape[-1],
    )
    return function(row, **_in_32_bits(options)).slots
