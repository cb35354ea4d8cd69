"""Metrics: means as sums and weights, so that parts of any size can be added up and divided once, on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Mean(NamedTuple):
    """A mean in two parts; of weight 0 it is the mean of nothing."""

    total: jax.Array
    """f32[...] sum of the values times their weights."""
    weight: jax.Array
    """f32[...] sum of the weights."""

    @property
    def value(self) -> jax.Array:
        """The mean under weights that are counts, 0 of nothing: what a loss is made of."""
        return self.total / jnp.maximum(self.weight, 1.0)


Metrics = dict[str, Mean]


def mean(values: jax.Array, weights: jax.Array) -> Mean:
    """The mean of `values` under `weights`, of the same shape."""
    return Mean(jnp.sum(values * weights), jnp.sum(weights))


def one(value: jax.Array) -> Mean:
    """A number f32[] that is its own mean."""
    return Mean(value, jnp.ones_like(value))


def finite_sum(metrics: Metrics) -> Metrics:
    """Sums over U updates of metrics f32[U], up to the first update that has one which is not finite.

    After that update all weights are spoiled; so only what went wrong first is not finite.

    Returns:
      the sums, and `updates_averaged`: how many updates they are of.
    """
    finite = jnp.all(jnp.stack([jnp.isfinite(x) for x in jax.tree.leaves(metrics)]), axis=0)
    before = jnp.cumprod(jnp.concatenate([jnp.ones(1), finite[:-1].astype(jnp.float32)]))
    sums = jax.tree.map(lambda x: jnp.sum(jnp.where(before > 0, x, 0.0)), metrics)
    return sums | {"updates_averaged": one(jnp.sum(before))}


def read(metrics: Mapping[str, Mean]) -> dict[str, float]:
    """The means as numbers, without those of nothing."""
    found = jax.device_get(dict(metrics))
    return {name: float(m.total) / float(m.weight) for name, m in found.items() if float(m.weight) != 0}
