"""Gomoku by its rules, slow and obvious, with the methods of an OpenSpiel state."""

from functools import cache

from tests.oracles.games import LineGame


@cache
def gomoku(size: int) -> type[LineGame]:
    """The game on this board. Longer lines win too: each holds one of five."""

    class Gomoku(LineGame):
        rows, columns, length = size, size, 5

        def num_distinct_actions(self) -> int:
            return size**2

        def cell(self, action: int) -> tuple[int, int] | None:
            row, column = divmod(action, size)
            return (row, column) if self.board[row][column] is None else None

    return Gomoku
