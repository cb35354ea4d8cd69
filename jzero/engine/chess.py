"""Moves of pgx's chess games as UCI writes them: chess on 8 x 8, Gardner's minichess on 5 x 5.

Axes: S squares of a side. An action is S^2 origins x planes; a square is column * S + row, both from a1 on, and
seen by the player to move: black's rows count from the other side. Planes are those of AlphaZero (Silver et al.
2018): nine underpromotions, then queen moves by direction and distance, then knight moves. Gardner's board has the
files a to e and the rows 1 to 5, white's pieces on row 1.

What decides is pgx's rules: a third repetition (of the position with its right to capture en passant, whether a
pawn could or not), 100 plies without a capture or a pawn's move, too little material, and 512 plies (256 on 5 x 5)
are draws at once, without a claim.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from jzero.env import Env

FILES = "abcdefgh"
UNDERPROMOTIONS = "rbn"
"""The pieces of planes 0-2, 3-5 and 6-8."""
PAWN = 1


def side_of(env: Env, state: Any) -> int:
    """Squares of a side.

    Raises:
        ValueError: the states are not those of one of pgx's chess games.
    """
    sides = {len(_targets(side)) * len(_targets(side)[0]): side for side in (5, 8)}
    side = sides.get(env.num_actions)
    if side is None or not (
        hasattr(state, "_board") or hasattr(getattr(state, "_x", None), "castling_rights")
    ):
        raise ValueError(
            f"env is {getattr(env, 'name', type(env).__name__)!r}; UCI plays chess, with the states of pgx's: "
            "give a run of pgx:chess or pgx:gardner_chess"
        )
    return side


def is_black(state: Any) -> bool:
    """Whether black is to move."""
    return bool(state._turn if hasattr(state, "_turn") else state._x.color)


def board(state: Any) -> np.ndarray:
    """i32[S^2] by square, as the player to move sees it: pawn 1, knight 2, ... king 6, the other's negative."""
    return np.asarray(state._board if hasattr(state, "_board") else state._x.board)


def to_uci(action: int, state: Any) -> str:
    """What UCI calls an action in a state, such as e2e4, e1g1 (castling) or a7a8q.

    Raises:
        ValueError: no piece moves so on this board.
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
    black = is_black(state)
    return _square(origin, side, black) + _square(target, side, black) + piece


def legal_moves(state: Any, mask: np.ndarray) -> dict[str, int]:
    """The actions of a mask bool[A] by their names."""
    return {to_uci(action, state): action for action in np.flatnonzero(mask).tolist()}


def _square(square: int, side: int, black: bool) -> str:
    column, row = divmod(square, side)
    return f"{FILES[column]}{side - row if black else row + 1}"


@functools.cache
def _targets(side: int) -> np.ndarray:
    """i32[S^2, planes]: where each plane leads from each square; -1 off the board."""
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
