"""Pytrees of numpy arrays with a leading axis [G], compared row by row."""

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import PyTree


def host(leaf: jax.Array) -> np.ndarray | jax.Array:
    """As numpy, except typed random keys, which numpy does not support."""
    return leaf if is_key(leaf) else np.asarray(leaf)


def is_key(leaf: PyTree) -> bool:
    """Whether an array holds typed random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _flat(tree: PyTree) -> list[np.ndarray]:
    """Every leaf as an array [G, ...] that numpy can compare."""
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def differ(tree: PyTree, other: PyTree) -> np.ndarray:
    """bool[G]: whether any leaf differs in a row; NaNs are equal, and floats are equal up to rounding."""
    ones, others = _flat(tree), _flat(other)
    if [one.shape for one in ones] != [another.shape for another in others]:
        return np.ones(len(ones[0]), bool)
    return np.any([~_same(a, b) for a, b in zip(ones, others, strict=True)], axis=0)


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.issubdtype(a.dtype, np.inexact):
        equal = np.isclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
    else:
        equal = a == b
    return np.all(equal.reshape(len(a), -1), axis=1)


def finite(tree: PyTree) -> np.ndarray:
    """bool[G]: rows without NaN or infinity."""
    return np.all([np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in _flat(tree)], axis=0)


def row_bytes(tree: PyTree) -> list[bytes]:
    """One string of bytes per row."""
    leaves = _flat(tree)
    return [b"".join(leaf[row].tobytes() for leaf in leaves) for row in range(len(leaves[0]))]
