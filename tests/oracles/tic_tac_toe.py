"""Tic-tac-toe by plain recursion over boards seen by the mover: 1 own stone, -1 the opponent's, 0 empty."""

from collections.abc import Callable
from functools import cache

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

Board = tuple[int, ...]


def after(board: Board, cell: int) -> Board:
    """The board after the mover's stone, seen by the next mover."""
    placed = (*board[:cell], 1, *board[cell + 1 :])
    return tuple(-stone for stone in placed)


def lost(board: Board) -> bool:
    """Whether the opponent has just won."""
    return any(all(board[cell] == -1 for cell in line) for line in LINES)


def empty_cells(board: Board) -> list[int]:
    """The legal actions of an unfinished game."""
    return [cell for cell in range(9) if board[cell] == 0]


@cache
def value(board: Board) -> int:
    """1, 0 or -1 for the mover."""
    if lost(board):
        return -1
    return max((-value(after(board, cell)) for cell in empty_cells(board)), default=0)


def best_moves(board: Board) -> list[int]:
    """The actions that keep the value."""
    return [cell for cell in empty_cells(board) if -value(after(board, cell)) == value(board)]


def all_games(policy: Callable[[Board], int], seat: int) -> list[tuple[int, tuple[int, ...]]]:
    """Every game of the policy in one seat against all replies: its result for the policy and its actions."""
    games = []

    def walk(board: Board, actions: tuple[int, ...]) -> None:
        own_turn = len(actions) % 2 == seat
        if lost(board) or not empty_cells(board):
            games.append(((-1 if own_turn else 1) * lost(board), actions))
            return
        for cell in [policy(board)] if own_turn else empty_cells(board):
            walk(after(board, cell), (*actions, cell))

    walk((0,) * 9, ())
    return games
