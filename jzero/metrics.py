"""Metrics: means as sums and weights, which add up over parts of any size and are divided once, on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Mean(NamedTuple):
    """A mean as a total and a weight; weight 0 is an empty mean."""

    total: jax.Array
    """f32[...] weighted sum of the values."""
    weight: jax.Array
    """f32[...] sum of the weights."""

    @property
    def value(self) -> jax.Array:
        """The mean for weights that are counts, 0 if empty; for losses."""
        return self.total / jnp.maximum(self.weight, 1.0)


Metrics = dict[str, Mean]


def mean(values: jax.Array, weights: jax.Array) -> Mean:
    """The mean of `values` with `weights` of the same shape."""
    return Mean(jnp.sum(values * weights), jnp.sum(weights))


def one(value: jax.Array) -> Mean:
    """The mean of one number f32[]."""
    return Mean(value, jnp.ones_like(value))


def finite_sum(metrics: Metrics) -> Metrics:
    """Sums metrics f32[U] over U updates, up to the first update with a metric that is not finite.

    That update corrupts all weights, so later metrics say nothing.

    Returns:
      the sums, and `updates_averaged`: the number of updates in them.
    """
    finite = jnp.all(jnp.stack([jnp.isfinite(x) for x in jax.tree.leaves(metrics)]), axis=0)
    before = jnp.cumprod(jnp.concatenate([jnp.ones(1), finite[:-1].astype(jnp.float32)]))
    sums = jax.tree.map(lambda x: jnp.sum(jnp.where(before > 0, x, 0.0)), metrics)
    return sums | {"updates_averaged": one(jnp.sum(before))}


def read(metrics: Mapping[str, Mean]) -> dict[str, float]:
    """The means as numbers, without empty ones."""
    found = jax.device_get(dict(metrics))
    return {name: float(m.total) / float(m.weight) for name, m in found.items() if float(m.weight) != 0}
