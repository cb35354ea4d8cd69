"""Scalars as categorical distributions: the invertible scaling h and two-hot encoding.

Source: MuZero (Schrittwieser et al. 2020), appendix F; h is from Pohlen et al. 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

EPSILON = 0.001


def scale(x: jax.Array) -> jax.Array:
    """h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x: compresses large values; elementwise."""
    # Without sign(x), whose product with 0 would have no gradient at 0.
    return x / (jnp.sqrt(jnp.abs(x) + 1) + 1) + EPSILON * x


def unscale(y: jax.Array) -> jax.Array:
    """The inverse of `scale`, sign(y) (half^2 - 1) with half = (root - 1) / (2 epsilon); elementwise."""
    root = jnp.sqrt(1 + 4 * EPSILON * (jnp.abs(y) + 1 + EPSILON))
    # Without differences of nearly equal numbers, and with a gradient at 0.
    half = 2 * (jnp.abs(y) + 1 + EPSILON) / (root + 1)
    return y * (half + 1) * (2 - 4 * EPSILON / (root + 1 + 2 * EPSILON)) / (root + 1)


def to_unit(values: jax.Array, limit: float) -> jax.Array:
    """Values in [-limit, limit] as numbers in [-1, 1]: h(x) / h(limit), or unchanged with a limit of 1."""
    return values if limit == 1 else scale(values) / scale(jnp.float32(limit))


def from_unit(numbers: jax.Array, limit: float) -> jax.Array:
    """The inverse of `to_unit`."""
    return numbers if limit == 1 else unscale(numbers * scale(jnp.float32(limit)))


class Support(NamedTuple):
    """Atoms evenly spaced over h([-limit, limit])."""

    limit: float
    """Largest absolute value that it represents."""
    atoms: int
    """Number of atoms; odd, so that 0 is one of them."""

    def positions(self) -> jax.Array:
        """f32[atoms]: the atoms, on the scale of h."""
        end = scale(jnp.float32(self.limit))
        return jnp.linspace(-end, end, self.atoms, dtype=jnp.float32)

    def two_hot(self, values: jax.Array) -> jax.Array:
        """Distributions f32[..., atoms] whose mean is h(values); values [...] beyond the limit are clipped.

        The two atoms next to a value share the mass; a value on an atom gets all of it there.
        """
        end = scale(jnp.float32(self.limit))
        place = (jnp.clip(scale(values), -end, end) + end) / (2 * end) * (self.atoms - 1)
        atoms = _last_axis(jnp.arange(self.atoms, dtype=jnp.float32), place.ndim)
        return jnp.maximum(1 - jnp.abs(place[..., None] - atoms), 0.0)

    def decode(self, logits: jax.Array) -> jax.Array:
        """Values f32[...] from logits [..., atoms]: the inverse of h at the mean atom."""
        atoms = _last_axis(self.positions(), logits.ndim - 1)
        return unscale(jnp.sum(jax.nn.softmax(logits, axis=-1) * atoms, axis=-1))

    def outside(self, values: jax.Array) -> jax.Array:
        """bool[...]: values that `two_hot` clips."""
        return jnp.abs(values) > self.limit * (1 + 1e-5)


def _last_axis(row: jax.Array, before: int) -> jax.Array:
    """A row [n] as the last axis of an array, after `before` axes of size 1."""
    return jnp.expand_dims(row, tuple(range(before)))
