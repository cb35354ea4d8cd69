"""Where one clicks on the pictures that pgx draws, and what players call its actions.

pgx draws cells of `grid` units with a margin of half a cell.
"""

from __future__ import annotations

from typing import Any

from jzero_envs.adapters import pgx_chess
from jzero_envs.adapters.pgx_chess import Area

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
CHESS = ("chess", "gardner_chess")
"""Games whose positions and moves have a notation."""


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
    return pgx_chess.areas(state) if name in CHESS else {}


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
    return pgx_chess.to_uci(action, state) if name in CHESS else str(action)
