"""Calls a model only for the rows that need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jzero.pytrees import PyTree
from jzero.search.tree import vary_like

QUARTERS = 4


def call_packed(function: Callable[[Any], Any], wanted: jax.Array, rows: PyTree) -> PyTree:
    """`function(rows)` for the `wanted` rows; zeros elsewhere.

    The wanted rows move to the front, and only the quarters of the batch that they fill are evaluated, so the cost
    is proportional to their number. `function` is compiled once per number of quarters.

    Args:
      function: maps leaves [n, ...] to leaves [n, ...], row by row.
      wanted: bool[B]
      rows: leaves [B, ...]
    """
    batch_size = wanted.shape[0]
    order = jnp.argsort(~wanted)  # stable: wanted rows keep their order
    shapes = jax.eval_shape(function, rows)
    sizes = sorted({-(-batch_size * quarters // QUARTERS) for quarters in range(QUARTERS + 1)})

    nothing = jax.tree.map(lambda x: vary_like(jnp.zeros(x.shape, x.dtype), wanted), shapes)

    def first(size: int) -> PyTree:
        if size == 0:
            return nothing
        taken = order[:size]
        found = function(jax.tree.map(lambda x: x[taken], rows))
        return jax.tree.map(lambda zeros, x: zeros.at[taken].set(x), nothing, found)

    count = jnp.sum(wanted, dtype=jnp.int32)
    branch = sum((count > size).astype(jnp.int32) for size in sizes[:-1])
    found = jax.lax.switch(branch, [lambda size=size: first(size) for size in sizes])

    def only_wanted(x: jax.Array) -> jax.Array:
        return jnp.where(wanted.reshape(wanted.shape + (1,) * (x.ndim - 1)), x, jnp.zeros_like(x))

    return jax.tree.map(only_wanted, found)
