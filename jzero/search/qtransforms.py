"""Transforms of a node's Q-values, with mctx's signature `(tree, node_index, **options) -> [A]`.

They take an unbatched tree and a scalar index; the formulas are in `scores`. A user's own function of this
signature may read `tree.qvalues(node_index)` and, indexed by `node_index`, `children_visits`,
`children_prior_logits`, `node_values`, `raw_values` and `node_visits`; it must give all unvisited actions of a
node the same value. Inside a search those defined here never see all actions, a user's own do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.search import scores
from jzero.search import tree as tree_lib
from jzero.search.scores import Row, Scores
from jzero.search.tree import Tree
from jzero.search.walk import Node

QTransform = Callable[..., jax.Array]


def qtransform_by_min_max(
    tree: Any, node_index: Any, *, min_value: float, max_value: float, fpu: scores.Fpu = None
) -> jax.Array:
    """Q-values [A] mapped from the given range to [0, 1]; see `scores.by_min_max`."""
    return _all_actions(
        scores.by_min_max, tree, node_index, min_value=min_value, max_value=max_value, fpu=fpu
    )


def qtransform_by_parent_and_siblings(
    tree: Any, node_index: Any, *, epsilon: float = 1e-8, fpu: scores.Fpu = None
) -> jax.Array:
    """Q-values [A] normalised within the node; see `scores.by_parent_and_siblings`."""
    return _all_actions(scores.by_parent_and_siblings, tree, node_index, epsilon=epsilon, fpu=fpu)


def qtransform_completed_by_mix_value(
    tree: Any,
    node_index: Any,
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


_OF_ROWS: dict[Callable, Callable[..., Scores]] = {
    qtransform_by_min_max: scores.by_min_max,
    qtransform_by_parent_and_siblings: scores.by_parent_and_siblings,
    qtransform_completed_by_mix_value: scores.completed_by_mix_value,
}


def _parts(qtransform: QTransform) -> tuple[Callable, dict[str, Any]]:
    """A transform's function and options."""
    if isinstance(qtransform, functools.partial) and not qtransform.args:
        return qtransform.func, qtransform.keywords
    return qtransform, {}


def is_of_rows(qtransform: QTransform, *constants: Any) -> bool:
    """Whether a transform is one of those defined here, and its options and the `constants` are plain numbers."""
    function, options = _parts(qtransform)
    return function in _OF_ROWS and not any(isinstance(x, jax.Array) for x in (*options.values(), *constants))


def transform_row(qtransform: QTransform, tree: Tree, node: Node) -> Scores:
    """Applies a transform to the nodes [B] of a search: to their slots and to their open actions."""
    function, options = _parts(qtransform)
    if function in _OF_ROWS:
        return _OF_ROWS[function](node.row, **options)
    return _transform_dense(qtransform, tree, node)


class DenseNodes(NamedTuple):
    """What a transform may read of one node, under the names and in the shapes of an unbatched tree."""

    children_qvalues: jax.Array
    children_visits: jax.Array
    children_prior_logits: jax.Array
    node_values: jax.Array
    raw_values: jax.Array
    node_visits: jax.Array

    def qvalues(self, node_index: Any) -> jax.Array:
        """Q-values [A], 0 where unvisited."""
        return self.children_qvalues[node_index]


def _transform_dense(qtransform: QTransform, tree: Tree, node: Node) -> Scores:
    """Lays the slots out by action for a transform that wants to see them so."""
    row, num_actions = node.row, tree.num_actions
    actions, visited = tree.actions_of(node.slots), row.visits > 0
    open_priors = tree_lib.rows_at(tree.open_priors, node.index)
    dense = DenseNodes(
        children_qvalues=tree_lib.by_action(row.qvalues, actions, visited, num_actions, 0.0),
        children_visits=tree_lib.by_action(row.visits, actions, visited, num_actions, 0.0).astype(jnp.int32),
        children_prior_logits=tree_lib.by_action(
            row.prior_logits, actions, visited, num_actions, open_priors
        ),
        node_values=row.node_value,
        raw_values=row.raw_value,
        node_visits=row.node_visits.astype(jnp.int32),
    )
    found = jax.vmap(lambda one: qtransform(jax.tree.map(lambda x: x[None], one), 0))(dense)
    # Any action without visits speaks for all of them.
    unvisited = scores.first_best(-dense.children_visits)
    return Scores(
        slots=jnp.take_along_axis(found, jnp.clip(actions, 0, num_actions - 1), axis=-1),
        best_open=jnp.take_along_axis(found, unvisited[:, None], axis=-1)[:, 0],
    )


def _all_actions(function: Callable[..., Scores], tree: Any, node_index: Any, **options: Any) -> jax.Array:
    """A row's transform on all actions of one node of an unbatched tree: each has a slot, nothing is open."""
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
    return function(row, **options).slots
