"""Moves of pgx's chess games in UCI notation: chess on 8 x 8, Gardner's minichess on 5 x 5.

Axes: S squares per side. Actions are S^2 origins x planes; a square is column * S + row, counted from a1 and seen
by the player to move: black's rows count from the other side. Planes are AlphaZero's (Silver et al. 2018): nine
underpromotions, then queen moves by direction and distance, then knight moves. Gardner's board has the files a to e
and the rows 1 to 5, with white's pieces on row 1.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

Area = tuple[float, float, float, float]
"""(x, y, width, height) in units of the picture."""
FILES = "abcdefgh"
UNDERPROMOTIONS = "rbn"
"""The pieces of planes 0-2, 3-5 and 6-8."""
PAWN = 1
GRID = 50
"""Units of a square in pgx's pictures, which have a margin of half a square and white at the bottom."""


class Move(NamedTuple):
    """A move on the board as white sees it."""

    origin: int
    """A square."""
    target: int
    """A square."""
    piece: str
    """The piece that a pawn becomes: q, r, b, n, or nothing."""


def is_black(state: Any) -> bool:
    """Whether black is to move."""
    return bool(state._turn if hasattr(state, "_turn") else state._x.color)


def board(state: Any) -> np.ndarray:
    """i32[S^2] by square, as the player to move sees it: pawn 1, knight 2, ... king 6, the other's negative."""
    return np.asarray(state._board if hasattr(state, "_board") else state._x.board)


def move(action: int, state: Any) -> Move:
    """What an action does in a state.

    Raises:
        ValueError: no piece can make this move on this board.
    """
    squares = board(state)
    side = math.isqrt(len(squares))
    targets = _targets(side)
    origin, plane = divmod(int(action), len(targets[0]))
    target = int(targets[origin][plane])
    if target < 0:
        raise ValueError(f"action {action} leads off the board of {side} x {side}")
    last = origin % side == side - 2 and squares[origin] == PAWN
    piece = UNDERPROMOTIONS[plane // 3] if plane < 9 else "q" if last else ""
    if is_black(state):
        origin, target = (square + side - 1 - 2 * (square % side) for square in (origin, target))
    return Move(origin, target, piece)


def to_uci(action: int, state: Any) -> str:
    """The UCI name of an action in a state, such as e2e4, e1g1 (castling) or a7a8q.

    Raises:
        ValueError: no piece can make this move on this board.
    """
    side = math.isqrt(len(board(state)))
    origin, target, piece = move(action, state)
    names = (f"{FILES[square // side]}{square % side + 1}" for square in (origin, target))
    return "".join(names) + piece


def areas(state: Any) -> dict[int, tuple[Area, ...]]:
    """For each legal action the squares of the picture to click: the piece's, then its destination."""
    side = math.isqrt(len(board(state)))

    def area(square: int) -> Area:
        column, row = divmod(square, side)
        return GRID * (column + 0.5), GRID * (side - row - 0.5), GRID, GRID

    found: dict[int, tuple[Area, ...]] = {}
    for action in np.flatnonzero(np.asarray(state.legal_action_mask)).tolist():
        origin, target, _ = move(action, state)
        found[action] = (area(origin), area(target))
    return found


@functools.cache
def _targets(side: int) -> np.ndarray:
    """i32[S^2, planes]: the destination of each plane from each square; -1 off the board."""
    steps = [(1, 0), (1, 1), (1, -1)] * 3  # (rows, columns) of the underpromotions
    away, towards = range(1 - side, 0), range(1, side)
    steps += [(d, 0) for d in away] + [(d, 0) for d in towards]
    steps += [(0, d) for d in away] + [(0, d) for d in towards]
    steps += [(d, d) for d in away] + [(d, d) for d in towards]
    steps += [(-d, d) for d in away] + [(-d, d) for d in towards]
    steps += [(-1, -2), (1, -2), (-2, -1), (2, -1), (-1, 2), (1, 2), (-2, 1), (2, 1)]
    found = np.full((side**2, len(steps)), -1, np.int32)
    for square in range(side**2):
        column, row = divmod(square, side)
        for plane, (rows, columns) in enumerate(steps):
            if plane < 9 and row != side - 2:
                continue
            if 0 <= row + rows < side and 0 <= column + columns < side:
                found[square, plane] = side * (column + columns) + row + rows
    return found
