"""GTP's view of a Go position, this repository's or pgx's: the board, the score, legal moves.

Points are actions: size * row + column, row 0 at the top; size^2 passes. Colours are 0 black, 1 white.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from jzero.env import Env
from jzero.evaluate.gtp import COLUMNS, go_rules, to_vertex
from jzero.pytrees import OneState

STONES = {1: "X", -1: "O", 0: "."}


def rules_of(env: Env) -> tuple[int, float]:
    """Rows of the board, and komi.

    Raises:
        ValueError: the game is not Go.
    """
    rules = go_rules(env)
    if rules is None:
        raise ValueError(
            f"env is {getattr(env, 'name', type(env).__name__)!r}; GTP needs Go: give a run of go, pgx:go_9x9 or "
            "pgx:go_19x19"
        )
    return rules


def to_move(state: OneState) -> int:
    """The colour to move."""
    return int(state._x.step_count if hasattr(state, "_x") else state.ply) % 2


def board(state: OneState) -> np.ndarray:
    """i32[size^2]: 1 for black stones, -1 for white ones."""
    return np.sign(np.asarray(state._x.board if hasattr(state, "_x") else state.stones, np.int32))


def repeats(state: OneState) -> bool:
    """Whether the last move repeated an earlier board, which loses by pgx's rules."""
    if hasattr(state, "_x"):
        return bool(state._x.is_psk)
    hashes, last = np.asarray(state.hashes), int(state.last_action)
    same = (hashes == np.asarray(state.hash)[:, None]).all(axis=0)
    return 0 <= last < len(state.stones) and int(same.sum()) > 1


def neighbours(point: int, size: int) -> Iterator[int]:
    """The points adjacent to `point`."""
    row, column = divmod(point, size)
    for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if 0 <= r < size and 0 <= c < size:
            yield size * r + c


def regions(stones: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Connected points of one kind: (1, -1 or 0, the points in ascending order)."""
    size, seen = math.isqrt(len(stones)), set()
    for start in range(len(stones)):
        if start in seen:
            continue
        region, edge = {start}, [start]
        while edge:
            for point in neighbours(edge.pop(), size):
                if point not in region and stones[point] == stones[start]:
                    region.add(point)
                    edge.append(point)
        seen |= region
        yield int(stones[start]), sorted(region)


def score(stones: np.ndarray, komi: float) -> float:
    """Black's area minus white's and komi: stones, and empty regions that touch one colour only (Tromp and
    Taylor).
    """
    size, total = math.isqrt(len(stones)), float(stones.sum()) - komi
    for kind, region in regions(stones):
        if kind == 0:
            reached = {int(stones[other]) for point in region for other in neighbours(point, size)} - {0}
            total += len(region) * sum(reached) if len(reached) == 1 else 0
    return total


def score_text(points: float) -> str:
    """The score in GTP's format: B+3.5, W+12 or 0."""
    return "0" if points == 0 else f"{'B' if points > 0 else 'W'}+{abs(points):g}"


def picture(stones: np.ndarray, last: int | None) -> str:
    """The board as text: black X, white O, the last move in brackets."""
    size = math.isqrt(len(stones))
    letters = "    " + " ".join(COLUMNS[:size])
    lines = [letters]
    for r in range(size):
        cells = [STONES[int(stones[size * r + c])] for c in range(size)]
        text = f" {size - r:2} " + " ".join(cells) + f" {size - r:2}"
        if last is not None and last // size == r:
            at = 4 + 2 * (last % size)
            text = f"{text[: at - 1]}({text[at]}){text[at + 2 :]}"
        lines.append(text)
    return "\n".join([*lines, letters])


def fixed_handicap(stones: int, size: int) -> list[str]:
    """The vertices of a fixed handicap (GTP 2, section 4.1.1).

    Raises:
        ValueError: the board has no such handicap.
    """
    most = 0 if size < 7 else 9 if size % 2 and size >= 9 else 4
    if not 2 <= stones <= most:
        expected = f"expected 2 to {most}" if most else "there is none"
        raise ValueError(f"invalid number of stones: {stones} on a board of {size} rows, {expected}")
    low = 2 if size < 13 else 3
    high, middle = size - 1 - low, size // 2
    corners = [(high, low), (low, high), (low, low), (high, high)]  # (row from the top, column)
    sides = [(middle, low), (middle, high), (high, middle), (low, middle)]
    points = corners[: min(stones, 4)] + sides[: 0 if stones < 6 else 2 if stones < 8 else 4]
    if stones in (5, 7, 9):
        points.append((middle, middle))
    return [to_vertex(size * r + c, size) for r, c in points]
