"""Transforms of a node's Q-values, with mctx's signature `(tree, node_index, **options) -> [A]`.

They take an unbatched tree and a scalar index; the formulas are in `scores`. A user's own function of this
signature may read `tree.qvalues(node_index)` and, indexed by `node_index`, `children_visits`,
`children_prior_logits`, `node_values`, `raw_values` and `node_visits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jzero.search import scores
from jzero.search.tree import Tree

QTransform = Callable[[Tree, Any], jax.Array]


def qtransform_by_min_max(tree: Tree, node_index: Any, *, min_value: float, max_value: float) -> jax.Array:
    """Q-values [A] mapped from the given range to [0, 1]; see `scores.by_min_max`."""
    return scores.by_min_max(
        tree.qvalues(node_index), tree.children_visits[node_index], min_value=min_value, max_value=max_value
    )


def qtransform_by_parent_and_siblings(tree: Tree, node_index: Any, *, epsilon: float = 1e-8) -> jax.Array:
    """Q-values [A] normalised within the node; see `scores.by_parent_and_siblings`."""
    return scores.by_parent_and_siblings(
        tree.qvalues(node_index),
        tree.children_visits[node_index],
        tree.node_values[node_index],
        epsilon=epsilon,
    )


def qtransform_completed_by_mix_value(
    tree: Tree,
    node_index: Any,
    *,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 0.01,
) -> jax.Array:
    """Scaled completed Q-values [A]; see `scores.completed_by_mix_value` (mctx's epsilon is 1e-8)."""
    return scores.completed_by_mix_value(
        tree.qvalues(node_index),
        tree.children_visits[node_index],
        tree.children_prior_logits[node_index],
        tree.raw_values[node_index],
        value_scale=value_scale,
        maxvisit_init=maxvisit_init,
        rescale_values=rescale_values,
        use_mixed_value=use_mixed_value,
        epsilon=epsilon,
    )
