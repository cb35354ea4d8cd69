"""Connect Four by plain recursion: slow, obvious, for positions with few empty cells."""

from functools import cache

ROWS, COLUMNS = 6, 7

Board = tuple[tuple[int, ...], ...]
"""Each column from the bottom up, 0 for stones of the first player and 1 for the second's."""


def board_after(moves: list[int]) -> Board:
    """The board after the two players dropped stones into these columns in turn."""
    board = ((),) * COLUMNS
    for ply, column in enumerate(moves):
        board = drop(board, column, ply % 2)
    return board


def drop(board: Board, column: int, player: int) -> Board:
    """The board with one more stone."""
    return (*board[:column], (*board[column], player), *board[column + 1 :])


def wins(board: Board, column: int) -> bool:
    """Whether the top stone of the column is part of four in a row."""
    row = len(board[column]) - 1
    player = board[column][row]

    def run(right: int, up: int) -> int:
        length, c, r = 0, column + right, row + up
        while 0 <= c < COLUMNS and 0 <= r < len(board[c]) and board[c][r] == player:
            length, c, r = length + 1, c + right, r + up
        return length

    return any(run(x, y) + run(-x, -y) >= 3 for x, y in ((1, 0), (0, 1), (1, 1), (1, -1)))


@cache
def value_of_move(board: Board, column: int) -> int:
    """1, 0 or -1: the game's value for the mover, who drops a stone into an open column."""
    player = sum(map(len, board)) % 2
    after = drop(board, column, player)
    if wins(after, column):
        return 1
    return -max((value_of_move(after, reply) for reply in open_columns(after)), default=0)


def open_columns(board: Board) -> list[int]:
    """The columns that are not full."""
    return [column for column in range(COLUMNS) if len(board[column]) < ROWS]
