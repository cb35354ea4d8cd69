"""Places to click on pgx's pictures, names of its actions, and pictures of its card games.

pgx draws cells of `grid` units with a margin of half a cell.
"""

from __future__ import annotations

from typing import Any

from jzero_envs.adapters import pgx_chess, pgx_mahjong
from jzero_envs.adapters.pgx_chess import Area

LETTERS = "abcdefghjklmnopqrstuvwxyz"
"""Go's column letters, without i."""

WORDS = {
    "2048": ("left", "up", "right", "down"),
    "kuhn_poker": ("bet or call", "check or fold"),
    "leduc_holdem": ("call", "raise", "fold"),
    "sparrow_mahjong": pgx_mahjong.NAMES,
}
"""Names of all actions."""
GRID = {"tic_tac_toe": (60, 3), "othello": (30, 8), "go_9x9": (25, 9), "go_19x19": (25, 19)}
"""Units of a cell, and cells per row."""
RANKS = "JQK"
"""Cards of Kuhn and Leduc poker."""
CHESS = ("chess", "gardner_chess")
"""Games whose positions and moves have a notation."""


def areas(name: str, state: Any) -> dict[int, tuple[Area, ...]]:
    """The rectangles to click in turn for each action; {} if the picture has no such places."""
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
    """The name of the action; its number if it has no name."""
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


def cards_svg(name: str, state: Any, viewer: int | None) -> str:
    """A table of Kuhn or Leduc poker: both hands, the public card, the pot, the last action.

    Args:
        name: "kuhn_poker" or "leduc_holdem".
        state: one state.
        viewer: the player at the bottom, who does not see the other hand, and sees the public card once it is
            turned; None: all cards are face up.
    """
    cards = [int(card) for card in state._cards]
    chips = [int(count) for count in (state._chips if name == "leduc_holdem" else 1 + state._pot)]
    last, over = int(state._last_action), bool(state.terminated)
    own = viewer or 0
    parts = []
    for player, top in ((1 - own, 12), (own, 156)):
        to_move = not over and player == int(state.current_player)
        seen = viewer is None or player == viewer
        parts.append(_card(24, top, RANKS[cards[player]] if seen else ""))
        words = f"player {player + 1}", f"{chips[player]} in the pot", "to move" if to_move else ""
        parts += [_text(92, top + 20 + 22 * line, word) for line, word in enumerate(words)]
    if name == "leduc_holdem":
        turned = viewer is None or int(state._round) > 0
        parts.append(_card(172, 84, RANKS[cards[2]] if turned else ""))
    parts.append(_text(24, 122, WORDS[name][last] if last >= 0 else ""))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240" width="240" height="240">'
        f'<rect width="240" height="240" rx="16" fill="#1f6b4a"/>{"".join(parts)}</svg>'
    )


def _card(x: int, y: int, rank: str) -> str:
    """A card with its rank, or its back."""
    colour = "#fbfaf5" if rank else "#8c2f39"
    face = f'<rect x="{x}" y="{y}" width="50" height="72" rx="6" fill="{colour}" stroke="#fff" stroke-width="2"/>'
    letter = (
        f'<text x="{x + 25}" y="{y + 48}" font-size="34" text-anchor="middle" fill="#16181d">{rank}</text>'
    )
    return face + (letter if rank else "")


def _text(x: int, y: int, words: str) -> str:
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="14" fill="#fff">{words}</text>'
