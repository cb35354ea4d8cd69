"""Exact solver for Hex on a small board: a search with must-play regions and bridges.

Sets of cells are ints, bit `N row + column` of the board as it is drawn. Player 0 joins top and bottom, player 1
left and right.

The search returns the winner and a carrier of the win: the empty cells that the winner's strategy needs, whatever
else is played. If the opponent wins after a move with the carrier K, only moves in K can do better, so the moves
left to try are the intersection of all such carriers. If it is empty, the position is lost, and their union is the
carrier. Bridges give carriers without a search: two chains, or a chain and a side, with two empty cells beside both
are as good as connected, since the opponent can take only one of the cells. (Hayward, Bjornsson, Johanson, Kan, Po
and van Rijswijck 2003, "Solving 7x7 Hex: Virtual connections and game-state reduction".)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Stones = tuple[int, int]
"""The sets of player 0's and player 1's stones."""


class Verdict(NamedTuple):
    """The winner of a position."""

    mover_wins: bool
    carrier: int
    """The empty cells that the winner needs."""


class Look(NamedTuple):
    """Facts about a position, without a search."""

    verdict: Verdict | None
    must_play: int
    """The moves that may win."""
    needed: int
    """The union of the carriers of the opponent's threats."""


class HexSolver:
    """Solves positions of one board size; results are cached."""

    def __init__(self, size: int) -> None:
        """`size` is N. A first move on 5 x 5 takes up to about ten seconds; 4 x 4 is solved in 0.2 seconds."""
        self.size = size
        self.cells = (1 << size**2) - 1
        row, column = (1 << size) - 1, sum(1 << size * row for row in range(size))
        self._sides = ((row, row << size * (size - 1)), (column, column << size - 1))
        self._far = [_far_from_middle(size, cell) for cell in range(size**2)]
        self._looks: dict[tuple[Stones, int], Look] = {}
        self._known: dict[tuple[Stones, int], Verdict] = {}

    def mover_wins(self, stones: Stones, player: int) -> bool:
        """Whether `player`, who is to move, can win; nobody has won yet."""
        return self._solve(stones, player).mover_wins

    def winning_moves(self, stones: Stones, player: int) -> list[int]:
        """The cells that win for `player`, who is to move; nobody has won yet."""
        return [cell for cell in members(self._empty(stones)) if self.wins_with(stones, player, cell)]

    def wins_with(self, stones: Stones, player: int, cell: int) -> bool:
        """Whether `player`, who is to move, wins with an empty cell; nobody has won yet."""
        after = _with(stones, player, cell)
        joined = self._bridged(after[player], player, self._empty(after)) is not None
        return joined or not self.mover_wins(after, 1 - player)

    def hardest_move(self, stones: Stones, player: int) -> int:
        """The cell that leaves the opponent the fewest moves that may win, judged by bridges."""
        moves = members(self._empty(stones))
        return min(
            moves, key=lambda c: self._look(_with(stones, player, c), 1 - player).must_play.bit_count()
        )

    def _solve(self, stones: Stones, player: int) -> Verdict:
        """Solves a position and its 180-degree rotation once."""
        turned = self._turned(stones[0]), self._turned(stones[1])
        if turned < stones:
            mover_wins, carrier = self._solve(turned, player)
            return Verdict(mover_wins, self._turned(carrier))
        known = self._known.get((stones, player))
        if known is None:
            known = self._known[stones, player] = self._search(stones, player)
        return known

    def _search(self, stones: Stones, player: int) -> Verdict:
        """Tries first the moves that leave the opponent the fewest moves; of these, the nearest to the middle."""
        verdict, must_play, needed = self._look(stones, player)
        if verdict is not None:
            return verdict
        children = [(cell, _with(stones, player, cell)) for cell in members(must_play)]
        children.sort(
            key=lambda child: (
                self._look(child[1], 1 - player).must_play.bit_count(),
                self._far[child[0]],
            )
        )
        for cell, after in children:
            if must_play >> cell & 1:
                reply = self._solve(after, 1 - player)
                if not reply.mover_wins:
                    return Verdict(True, reply.carrier | 1 << cell)
                must_play &= reply.carrier
                needed |= reply.carrier
        return Verdict(False, needed)

    def _look(self, stones: Stones, player: int) -> Look:
        """Conclusions from the bridges of a position."""
        known = self._looks.get((stones, player))
        if known is None:
            known = self._looks[stones, player] = self._see(stones, player)
        return known

    def _see(self, stones: Stones, player: int) -> Look:
        empty = self._empty(stones)
        must_play, needed = empty, 0
        for cell in members(empty):
            bit = 1 << cell
            carrier = self._bridged(stones[player] | bit, player, empty & ~bit)
            if carrier is not None:
                return Look(Verdict(True, carrier | bit), empty, 0)
            threat = self._bridged(stones[1 - player] | bit, 1 - player, empty & ~bit)
            if threat is not None:
                must_play &= threat | bit
                needed |= threat | bit
        return Look(None if must_play else Verdict(False, needed), must_play, needed)

    def _bridged(self, stones: int, player: int, empty: int) -> int | None:
        """The cells of disjoint bridges that join the player's sides; None if none are found."""
        start, end = self._sides[player]
        beside, used, chain = start, 0, 0
        while True:
            stones &= ~chain
            chain = self._chain(beside & stones, stones)
            if chain & end:
                return used
            beside |= self._grown(chain)
            if chain:
                continue
            free = beside & empty & ~used
            pair = _two_of(free & end)
            if pair:
                return used | pair
            for cell in members(stones):
                pair = _two_of(free & self._grown(1 << cell))
                if pair:
                    break
            else:
                return None
            used |= pair
            beside |= 1 << cell

    def _chain(self, seeds: int, stones: int) -> int:
        """The stones connected to the seeds."""
        chain, new = 0, seeds
        while new:
            chain |= new
            new = self._grown(new) & stones & ~chain
        return chain

    def _grown(self, cells: int) -> int:
        """The neighbours of a set of cells."""
        size, (first, last) = self.size, self._sides[1]
        right, left = cells & ~last, cells & ~first  # cells with a neighbour on that side
        level = right << 1 | left >> 1
        return (level | cells << size | cells >> size | left << size - 1 | right >> size - 1) & self.cells

    def _turned(self, cells: int) -> int:
        """The set on the board turned by 180 degrees."""
        return int(f"{cells:0{self.size**2}b}"[::-1], 2)

    def _empty(self, stones: Stones) -> int:
        return self.cells & ~(stones[0] | stones[1])


def members(cells: int) -> Iterator[int]:
    """The members of a set, lowest first."""
    while cells:
        lowest = cells & -cells
        yield lowest.bit_length() - 1
        cells ^= lowest


def _with(stones: Stones, player: int, cell: int) -> Stones:
    """The stones with one more."""
    first, second = stones
    return (first | 1 << cell, second) if player == 0 else (first, second | 1 << cell)


def _two_of(cells: int) -> int:
    """The two lowest members of a set; 0 if it has fewer."""
    rest = cells & (cells - 1)
    return cells & -cells | rest & -rest if rest else 0


def _far_from_middle(size: int, cell: int) -> int:
    """Twice the steps from a cell to the middle of the board."""
    down, right = (2 * x - size + 1 for x in divmod(cell, size))
    return max(abs(down), abs(right), abs(down + right))
