"""Shared by games that keep sets as bits of uint32 words."""

import jax
import numpy as np


def on_last_axis(values: np.ndarray, ndim: int) -> np.ndarray:
    """`values` [K] as an array [1, ..., 1, K] of `ndim` axes: some projects forbid to leave this to JAX."""
    return values.reshape((1,) * (ndim - 1) + (-1,))


def bits_of(words: jax.Array, count: int = 32) -> jax.Array:
    """u32[..., count] of 0 and 1: the lowest `count` bits of each word u32[...], lowest first."""
    shifts = on_last_axis(np.arange(count, dtype=np.uint32), words.ndim + 1)
    return words[..., None] >> shifts & 1
