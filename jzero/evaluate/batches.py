"""What the parts of `jzero.evaluate` share: fixed-size batches of rows, and a check of the actions chosen.

A player or network is compiled for one batch size, so any number of rows is cut into chunks of that size and the
last chunk is filled up with copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def padded_chunks(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (i32[size], count): row numbers, of which the first `count` are real and the rest repeat the last.

    Args:
        rows: i32[N] row numbers.
        size: rows of one chunk.
    """
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        yield np.pad(chunk, (0, size - len(chunk)), mode="edge"), len(chunk)


def check_legal(actions: np.ndarray, legal: np.ndarray, histories: Sequence[Sequence[int]], who: str) -> None:
    """Raises the error for the first illegal action.

    Args:
        actions: i32[N].
        legal: bool[N, A].
        histories: the N games' actions so far.
        who: whose actions these are, for the message.

    Raises:
        ValueError: an action is out of range or illegal.
    """
    num_actions = legal.shape[-1]
    in_range = (actions >= 0) & (actions < num_actions)
    bad = np.flatnonzero(~in_range | ~legal[np.arange(len(actions)), np.where(in_range, actions, 0)])
    if bad.size:
        row = bad[0]
        raise ValueError(
            f"{who} chose action {actions[row]} after {[int(action) for action in histories[row]]}, where the "
            f"legal actions are {np.flatnonzero(legal[row]).tolist()}; mask illegal actions before choosing"
        )
