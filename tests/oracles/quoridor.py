"""Quoridor by its rules, slow and obvious: cells are (row, column), walls are sets of blocked pairs of cells.

Actions are of the board as it is drawn, player 0 at the bottom: cells row-major, horizontal walls, vertical walls.
"""

from collections.abc import Iterator

Cell = tuple[int, int]
Pair = frozenset[Cell]  # two neighbours with a wall between them


class Quoridor:
    """One game, with the methods of an OpenSpiel state."""

    def __init__(self, size: int = 9, walls: int = 10, max_plies: int | None = None) -> None:
        self.size = size
        self.max_plies = 4 * size**2 if max_plies is None else max_plies
        self.pawns: list[Cell] = [(size - 1, size // 2), (0, size // 2)]
        self.left = [walls, walls]
        self.walls: set[tuple[str, int, int]] = set()  # ("h" or "v", row, column)
        self.mover = 0
        self.ply = 0

    def goal(self, player: int) -> int:
        """The row that `player` wants to reach."""
        return 0 if player == 0 else self.size - 1

    def winner(self) -> int | None:
        return next((player for player in (0, 1) if self.pawns[player][0] == self.goal(player)), None)

    def is_terminal(self) -> bool:
        return self.winner() is not None or self.ply >= self.max_plies

    def returns(self) -> list[float]:
        """1 and -1 after a win, zeros after a draw or while the game lasts."""
        return {None: [0.0, 0.0], 0: [1.0, -1.0], 1: [-1.0, 1.0]}[self.winner()]

    def current_player(self) -> int:
        return self.mover

    def legal_actions(self) -> list[int]:
        if self.is_terminal():
            return []
        steps = [row * self.size + column for row, column in self.walks()]
        return sorted(steps) + [
            self.size**2 + (self.size - 1) ** 2 * "hv".index(kind) + row * (self.size - 1) + column
            for kind, row, column in self.legal_walls()
        ]

    def apply_action(self, action: int) -> None:
        if action not in self.legal_actions():
            raise ValueError(f"action {action} is illegal")
        if action < self.size**2:
            self.pawns[self.mover] = divmod(action, self.size)
        else:
            kind, anchor = divmod(action - self.size**2, (self.size - 1) ** 2)
            self.walls.add(("hv"[kind], *divmod(anchor, self.size - 1)))
            self.left[self.mover] -= 1
        self.mover = 1 - self.mover
        self.ply += 1

    def blocked(self, walls: set[tuple[str, int, int]]) -> set[Pair]:
        """The pairs of neighbouring cells that walls stand between."""
        pairs = set()
        for kind, r, c in walls:
            if kind == "h":
                pairs |= {frozenset({(r, c), (r + 1, c)}), frozenset({(r, c + 1), (r + 1, c + 1)})}
            else:
                pairs |= {frozenset({(r, c), (r, c + 1)}), frozenset({(r + 1, c), (r + 1, c + 1)})}
        return pairs

    def on_board(self, cell: Cell) -> bool:
        return 0 <= cell[0] < self.size and 0 <= cell[1] < self.size

    def neighbours(self, cell: Cell, blocked: set[Pair]) -> Iterator[Cell]:
        """Cells next to `cell` that a pawn could walk to on an empty board with these walls."""
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            other = (cell[0] + down, cell[1] + right)
            if self.on_board(other) and frozenset({cell, other}) not in blocked:
                yield other

    def walks(self) -> set[Cell]:
        """Where the mover's pawn may go."""
        blocked = self.blocked(self.walls)
        own, other = self.pawns[self.mover], self.pawns[1 - self.mover]
        found = set()
        for cell in self.neighbours(own, blocked):
            if cell != other:
                found.add(cell)
                continue
            behind = (2 * other[0] - own[0], 2 * other[1] - own[1])
            around = set(self.neighbours(other, blocked))
            found |= {behind} if behind in around else around - {own}
        return found

    def legal_walls(self) -> list[tuple[str, int, int]]:
        """In the order of their actions."""
        if self.left[self.mover] == 0:
            return []
        anchors = range(self.size - 1)
        every = [(kind, r, c) for kind in "hv" for r in anchors for c in anchors]
        return [wall for wall in every if self.fits(wall) and self.both_can_arrive(self.walls | {wall})]

    def fits(self, wall: tuple[str, int, int]) -> bool:
        """It overlaps no wall and crosses none."""
        kind, r, c = wall
        crossing = ("v" if kind == "h" else "h", r, c)
        along = (0, 1) if kind == "h" else (1, 0)
        overlapping = {(kind, r + i * along[0], c + i * along[1]) for i in (-1, 0, 1)}
        return not self.walls & (overlapping | {crossing})

    def both_can_arrive(self, walls: set[tuple[str, int, int]]) -> bool:
        blocked = self.blocked(walls)
        return all(self.distance(self.pawns[player], player, blocked) is not None for player in (0, 1))

    def distance(self, start: Cell, player: int, blocked: set[Pair] | None = None) -> int | None:
        """Moves from `start` to the player's goal row, pawns ignored; None where there is no way."""
        blocked = self.blocked(self.walls) if blocked is None else blocked
        reached, frontier, moves = {start}, {start}, 0
        while frontier:
            if any(row == self.goal(player) for row, _ in frontier):
                return moves
            frontier = {near for cell in frontier for near in self.neighbours(cell, blocked)} - reached
            reached |= frontier
            moves += 1
        return None
