"""Tic-tac-toe and Connect Four by their rules, slow and obvious, with the methods of an OpenSpiel state."""

from collections.abc import Sequence
from functools import cache


class LineGame:
    """Two players take cells in turn; a straight line of `length` own cells wins, a full board is a draw."""

    rows: int
    columns: int
    length: int

    def __init__(self) -> None:
        # board[row][column], row 0 on top: 0 or 1, the player whose stone it is, or None.
        self.board: list[list[int | None]] = [[None] * self.columns for _ in range(self.rows)]
        self.mover = 0

    @classmethod
    @cache
    def lines(cls) -> list[list[tuple[int, int]]]:
        """Every line: its cells as (row, column)."""
        found = []
        for row in range(cls.rows):
            for column in range(cls.columns):
                for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    line = [(row + i * down, column + i * right) for i in range(cls.length)]
                    if all(0 <= r < cls.rows and 0 <= c < cls.columns for r, c in line):
                        found.append(line)
        return found

    def winner(self) -> int | None:
        for line in self.lines():
            stones = {self.board[row][column] for row, column in line}
            if len(stones) == 1 and None not in stones:
                return stones.pop()
        return None

    def is_terminal(self) -> bool:
        return self.winner() is not None or all(None not in row for row in self.board)

    def returns(self) -> list[float]:
        """The game's outcome for each player; zeros while it lasts."""
        winner = self.winner()
        if winner is None:
            return [0.0, 0.0]
        return [1.0, -1.0] if winner == 0 else [-1.0, 1.0]

    def current_player(self) -> int:
        return self.mover

    def cell(self, action: int) -> tuple[int, int] | None:
        """Where `action` puts a stone; None where it may not be taken, whether or not the game is over."""
        raise NotImplementedError

    def num_distinct_actions(self) -> int:
        raise NotImplementedError

    def legal_actions(self) -> list[int]:
        if self.is_terminal():
            return []
        return [action for action in range(self.num_distinct_actions()) if self.cell(action) is not None]

    def apply_action(self, action: int) -> None:
        if action not in self.legal_actions():
            raise ValueError(f"action {action} is illegal")
        row, column = self.cell(action)
        self.board[row][column] = self.mover
        self.mover = 1 - self.mover


class TicTacToe(LineGame):
    """Actions are the cells, row-major from the top left."""

    rows, columns, length = 3, 3, 3

    def num_distinct_actions(self) -> int:
        return 9

    def cell(self, action: int) -> tuple[int, int] | None:
        row, column = divmod(action, 3)
        return (row, column) if self.board[row][column] is None else None


class ConnectFour(LineGame):
    """Actions are the columns from the left; a stone falls to the lowest empty cell."""

    rows, columns, length = 6, 7, 4

    def num_distinct_actions(self) -> int:
        return 7

    def cell(self, action: int) -> tuple[int, int] | None:
        empty = [row for row in range(self.rows) if self.board[row][action] is None]
        return (empty[-1], action) if empty else None


def replay(game: type[LineGame], actions: Sequence[int]) -> LineGame:
    """The position after `actions`."""
    position = game()
    for action in actions:
        position.apply_action(action)
    return position


Board = tuple[int | None, ...]  # nine cells of tic-tac-toe, row-major


def board_of(position: LineGame) -> Board:
    return tuple(stone for row in position.board for stone in row)


def tic_tac_toe_position(board: Board) -> TicTacToe:
    """The position with these stones; player 0 moves where both have as many."""
    position = TicTacToe()
    position.board = [list(board[3 * row : 3 * row + 3]) for row in range(3)]
    position.mover = board.count(0) - board.count(1)
    return position


def tic_tac_toe_children(board: Board) -> dict[int, Board]:
    """The boards one move on, by action."""
    position = tic_tac_toe_position(board)
    return {a: (*board[:a], position.mover, *board[a + 1 :]) for a in position.legal_actions()}


@cache
def tic_tac_toe_value(board: Board) -> int:
    """What perfect play brings player 0, by brute-force minimax: 1 a win, 0 a draw, -1 a loss."""
    position = tic_tac_toe_position(board)
    if position.is_terminal():
        return int(position.returns()[0])
    values = [tic_tac_toe_value(child) for child in tic_tac_toe_children(board).values()]
    return max(values) if position.mover == 0 else min(values)


def tic_tac_toe_boards() -> set[Board]:
    """All boards that play can reach, the finished ones included."""
    reached, frontier = set(), {(None,) * 9}
    while frontier:
        reached |= frontier
        frontier = {child for board in frontier for child in tic_tac_toe_children(board).values()} - reached
    return reached
