"""Shared by `jzero.evaluate`: fixed-size batches of rows, and a check of chosen actions.

A player or network is compiled for one batch size, so rows are cut into chunks of that size, and copies fill the
last chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import PyTree, States


def padded_chunks(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (i64[size], count): row numbers; the first `count` are real, the rest copies.

    Args:
        rows: i64[N] row numbers.
        size: rows per chunk, > 0.
    """
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        yield np.pad(chunk, (0, size - len(chunk)), mode="edge"), len(chunk)


def in_batches(function: Callable[[Any], Any], rows: PyTree, size: int) -> States:
    """Applies `function` to all rows, in device batches of exactly `size` rows.

    Args:
        function: from a pytree of arrays [size, ...] to a pytree of arrays [size, ...], row by row.
        rows: pytree of host arrays [N, ...], N > 0.
        size: rows per batch, > 0.

    Returns:
        A pytree of host arrays [N, ...].

    Raises:
        ValueError: `size` is not positive.
    """
    if size <= 0:
        raise ValueError(f"batch_size: expected a number > 0, got {size}")
    num_rows = len(jax.tree.leaves(rows)[0])
    parts = []
    for chunk, count in padded_chunks(np.arange(num_rows), size):
        part = function(jax.tree.map(lambda leaf, chunk=chunk: jnp.asarray(leaf[chunk]), rows))
        parts.append(jax.tree.map(lambda leaf, count=count: np.asarray(leaf)[:count], part))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def check_legal(actions: np.ndarray, legal: np.ndarray, histories: Sequence[Sequence[int]], who: str) -> None:
    """Raises an error for the first illegal action.

    Args:
        actions: i32[N].
        legal: bool[N, A].
        histories: actions of the N games so far.
        who: name of the player, for the message.

    Raises:
        ValueError: the wrong number of actions, or one that is out of range or illegal.
    """
    if np.shape(actions) != (len(legal),):
        raise ValueError(
            f"{who}: expected one action per row, shape {(len(legal),)}, got {np.shape(actions)}"
        )
    in_range = (actions >= 0) & (actions < legal.shape[-1])
    bad = np.flatnonzero(~in_range | ~legal[np.arange(len(actions)), np.where(in_range, actions, 0)])
    if bad.size:
        row = bad[0]
        raise ValueError(
            f"{who} chose action {actions[row]} after {list(histories[row])}; the legal actions are "
            f"{np.flatnonzero(legal[row]).tolist()}; mask illegal actions before choosing"
        )
