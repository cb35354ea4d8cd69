"""Where one clicks on the pictures that pgx draws, and what players call its actions.

pgx draws cells of `grid` units with a margin of half a cell. Chess boards are seen by the player to move: columns
of `size` cells from a1 up, upside down for Black; actions are (cell, plane) with the planes of AlphaZero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Area = tuple[float, float, float, float]
LETTERS = "abcdefghjklmnopqrstuvwxyz"
"""Columns as Go counts them, without i."""

WORDS = {
    "2048": ("left", "up", "right", "down"),
    "kuhn_poker": ("check or fold", "bet or call"),
    "leduc_holdem": ("call", "raise", "fold"),
}
"""Names of all actions."""
GRID = {"tic_tac_toe": (60, 3), "othello": (30, 8), "go_9x9": (25, 9), "go_19x19": (25, 19)}
"""Units of a cell, and cells per row."""
CHESS = {"chess": (8, 73), "gardner_chess": (5, 49)}
"""Cells per row, and planes."""


def areas(name: str, state: Any) -> dict[int, tuple[Area, ...]]:
    """The rectangles of each action, clicked one after another; {} where the picture has no such places."""
    if name == "connect_four":
        return {column: ((17.5 + 35 * column, 17.5, 35, 210),) for column in range(7)}
    if name in GRID:
        grid, size = GRID[name]
        corner = 0 if name.startswith("go") else grid / 2  # Go's stones lie on crossings
        return {
            row * size + column: ((corner + grid * column, corner + grid * row, grid, grid),)
            for row in range(size)
            for column in range(size)
        }
    return _chess_areas(name, state) if name in CHESS else {}


def action_name(name: str, state: Any, action: int) -> str:
    """What players call the action; its number where they have no name for it."""
    if name in WORDS:
        return WORDS[name][action]
    if name == "connect_four":
        return str(action + 1)
    if name in GRID:
        size = GRID[name][1]
        row, column = divmod(action, size)
        if row == size:
            return "pass"
        if name.startswith("go"):
            return f"{LETTERS[column].upper()}{size - row}"
        return f"{'abcdefgh'[column]}{row + 1 if name == 'othello' else size - row}"
    return _chess_name(name, state, action) if name in CHESS else str(action)


def _chess_move(name: str, state: Any, action: int) -> tuple[int, int, str]:
    """Cells from and to as numbers of the board seen by White, and the piece that a pawn becomes, if it is told."""
    size, planes = CHESS[name]
    start, plane = divmod(action, planes)
    end = _targets(name)(start, plane)
    piece = "rbn"[plane // 3] if plane < 9 else ""
    if _is_black(state):
        start, end = (cell - 2 * (cell % size) + size - 1 for cell in (start, end))
    return start, end, piece


def _targets(name: str) -> Callable[[int, int], int]:
    """(cell, plane) -> the cell that the plane leads to; -1 beyond the board."""
    if name == "chess":
        from pgx._src.games.chess import FROM_PLANE as table
    else:
        from pgx.gardner_chess import TO_MAP as table
    targets = np.asarray(table)
    return lambda cell, plane: int(targets[cell, plane])


def _is_black(state: Any) -> bool:
    inner = getattr(state, "_x", None)
    return int(inner.color if inner is not None else state._turn) == 1


def _chess_name(name: str, state: Any, action: int) -> str:
    """The move as UCI writes it: e2e4, a7a8n. A queen is not written here, since the action does not say it."""
    size = CHESS[name][0]
    start, end, piece = _chess_move(name, state, action)
    cells = "".join(f"{LETTERS[cell // size]}{cell % size + 1}" for cell in (start, end))
    return cells + piece


def _chess_areas(name: str, state: Any) -> dict[int, tuple[Area, ...]]:
    size = CHESS[name][0]

    def area(cell: int) -> Area:
        return 25 + 50 * (cell // size), 25 + 50 * (size - 1 - cell % size), 50, 50

    legal = np.flatnonzero(np.asarray(state.legal_action_mask))
    moves = {int(action): _chess_move(name, state, int(action)) for action in legal}
    return {action: (area(start), area(end)) for action, (start, end, _) in moves.items()}
