"""Hex by its rules, slow and obvious, with the methods of an OpenSpiel state; and who wins on tiny boards."""

from functools import cache

Cell = tuple[int, int]


def neighbours(cell: Cell, size: int) -> list[Cell]:
    """The cells beside one: left, right, up, down, down left, up right."""
    row, column = cell
    beside = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
    beside += [(row + 1, column - 1), (row - 1, column + 1)]
    return [(r, c) for r, c in beside if 0 <= r < size and 0 <= c < size]


def joins(stones: frozenset[Cell], size: int, axis: int) -> bool:
    """Whether stones join the first row to the last (axis 0), or the first column to the last (axis 1)."""
    reached = {cell for cell in stones if cell[axis] == 0}
    frontier = list(reached)
    while frontier:
        cell = frontier.pop()
        if cell[axis] == size - 1:
            return True
        for other in neighbours(cell, size):
            if other in stones and other not in reached:
                reached.add(other)
                frontier.append(other)
    return False


class Hex:
    """Player 0 joins top and bottom, player 1 left and right. Player 1 names cells as (column, row)."""

    def __init__(self, size: int, swap: bool = False) -> None:
        self.size, self.swap = size, swap
        self.stones: tuple[set[Cell], set[Cell]] = (set(), set())
        self.mover = 0
        self.moves = 0

    def winner(self) -> int | None:
        for player in range(2):
            if joins(frozenset(self.stones[player]), self.size, player):
                return player
        return None

    def is_terminal(self) -> bool:
        return self.winner() is not None

    def returns(self) -> list[float]:
        """The game's outcome for each player; zeros while it lasts."""
        return {None: [0.0, 0.0], 0: [1.0, -1.0], 1: [-1.0, 1.0]}[self.winner()]

    def current_player(self) -> int:
        return self.mover

    def cell(self, action: int) -> Cell:
        row, column = divmod(action, self.size)
        return (row, column) if self.mover == 0 else (column, row)

    def legal_actions(self) -> list[int]:
        if self.is_terminal():
            return []
        taken = self.stones[0] | self.stones[1]
        actions = [action for action in range(self.size**2) if self.cell(action) not in taken]
        return actions + [self.size**2] * (self.swap and self.moves == 1)

    def apply_action(self, action: int) -> None:
        assert action in self.legal_actions()
        if action == self.size**2:
            ((row, column),) = self.stones[0]
            self.stones[0].clear()
            self.stones[1].add((column, row))
        else:
            self.stones[self.mover].add(self.cell(action))
        self.mover = 1 - self.mover
        self.moves += 1


@cache
def mover_wins(own: int, other: int, size: int, axis: int) -> bool:
    """Whether the player to move, who joins along `axis`, can win, by trying everything; nobody has won yet.

    Sets of cells are bits `size * row + column`.
    """
    return any(
        bits_join(own | cell, size, axis) or not mover_wins(other, own | cell, size, 1 - axis)
        for cell in (1 << number for number in range(size**2))
        if not (own | other) & cell
    )


@cache
def bits_join(stones: int, size: int, axis: int) -> bool:
    """`joins` of a set of bits."""
    return joins(cells_of(stones, size), size, axis)


def cells_of(stones: int, size: int) -> frozenset[Cell]:
    """The cells of a set of bits."""
    return frozenset(divmod(number, size) for number in range(size**2) if stones >> number & 1)
