r"""An opponent for Gomoku that sees threats.

    python -m jzero match runs/alphazero/20261121-101500 experiments.players.gomoku:threats
    python -m jzero match RUN "experiments.players.gomoku:threats?depth=3"

Run these from the repository's top folder. Sides: 0 is the player to move, 1 the opponent. Axes: N rows and
columns.
"""

from __future__ import annotations

import functools

import jax
import numpy as np
from jzero_envs.gomoku import LENGTH, Gomoku, lines

from jzero.env import Env
from jzero.evaluate.turns import Player, Turn

DEPTH = 10
"""Largest number of successive fours in a search for a win."""
NODES = 300
"""Largest number of positions per search."""
WEIGHTS = np.array([[1, 12, 80, 600, 0, 0], [1, 9, 60, 450, 0, 0]], np.float64)
"""Value of an empty cell on a line with stones of one side only, by side and number of stones."""


def threats(env: Env, depth: int = DEPTH) -> Player:
    """Searches for wins by fours, its own and the opponent's; else plays where the most valuable lines cross.

    It does the first of these that applies: complete five; stop the opponent's five; start a winning sequence of
    fours (an open four is the shortest); play the best cell that leaves the opponent no such sequence, which blocks
    open threes; play the best cell. Ties are broken at random.

    Args:
        env: Gomoku.
        depth: largest number of fours in a sequence.

    Raises:
        ValueError: the game is not Gomoku.
    """
    if not isinstance(env, Gomoku):
        raise ValueError(f"env is {env}; expected Gomoku: use gomoku?size=9, or the player rollouts")
    boards = jax.jit(jax.vmap(lambda state: env.observe(state)[..., :2] @ np.array([1.0, -1.0], np.float32)))

    def play(turn: Turn) -> np.ndarray:
        stones = np.asarray(boards(turn.states)).reshape(len(turn.rows), -1)
        noise = np.asarray(jax.random.uniform(turn.key, stones.shape))
        actions = np.zeros(len(turn.rows), np.int32)
        for row in np.flatnonzero(turn.rows):
            actions[row] = choose(Position(env.size, stones[row]), depth, noise[row])
        return actions

    return play


def choose(position: Position, depth: int, noise: np.ndarray) -> int:
    """The cell that side 0 takes; of equally good cells the one with the most `noise` (f[N^2] in [0, 1))."""
    for side in (0, 1):
        ends = position.ends(side)
        if ends:
            return ends[0]
    own = sequence_of_fours(position, 0, depth)
    if own:
        return own[0]
    worth = position.worth() + noise
    theirs = sequence_of_fours(position, 1, depth)
    for cell in sorted({*theirs, *position.makes_four(0)} if theirs else (), key=lambda c: -worth[c]):
        position.put(cell, 0)
        stopped = not sequence_of_fours(position, 1, depth)
        position.take(cell, 0)
        if stopped:
            return cell
    return int(worth.argmax())


def sequence_of_fours(position: Position, side: int, depth: int) -> list[int]:
    """A win by successive fours: the cells of both sides up to the last four, and its ends; [] if there is none.

    Each move makes a four whose only answer is the cell that completes it, until there are two such cells. If the
    answer makes a four of the other side, the next move must be on its end.
    """
    failed: set[bytes] = set()

    def search(left: int) -> list[int]:
        won = position.ends(side)
        if won:
            return won
        key = position.stones.tobytes()
        held = position.ends(1 - side)
        if left == 0 or len(held) > 1 or key in failed or len(failed) >= NODES:
            return []
        failed.add(key)
        for cell in position.makes_four(side):
            if held and cell != held[0]:
                continue
            position.put(cell, side)
            line = position.ends(side)
            if len(line) == 1:
                position.put(line[0], 1 - side)
                more = search(left - 1)
                position.take(line[0], 1 - side)
                line = [*line, *more] if more else []
            position.take(cell, side)
            if line:
                return [cell, *line]
        return []

    return search(depth)


class Position:
    """Stones on a board, with the number of each side's stones on every line."""

    def __init__(self, size: int, stones: np.ndarray) -> None:
        """`stones` [N^2]: 1 those of side 0, -1 those of side 1, 0 empty cells."""
        self.lines, self._through = np.concatenate(lines(size)), lines_through(size)
        self.stones = stones.astype(np.int8)
        on_lines = self.stones[self.lines]
        self.counts = np.stack([(on_lines == 1).sum(axis=1), (on_lines == -1).sum(axis=1)])

    def put(self, cell: int, side: int) -> None:
        """Puts a stone on an empty cell."""
        self.stones[cell] = 1 - 2 * side
        self.counts[side, self._through[cell]] += 1

    def take(self, cell: int, side: int) -> None:
        """Takes the side's stone away."""
        self.stones[cell] = 0
        self.counts[side, self._through[cell]] -= 1

    def ends(self, side: int) -> list[int]:
        """The cells that complete five."""
        return self._empty_on(side, LENGTH - 1)

    def makes_four(self, side: int) -> list[int]:
        """The cells that make a four which five can follow."""
        return self._empty_on(side, LENGTH - 2)

    def _empty_on(self, side: int, count: int) -> list[int]:
        """The empty cells on lines with `count` stones of the side and none of the other."""
        found = self.lines[(self.counts[side] == count) & (self.counts[1 - side] == 0)].ravel()
        return sorted({*found[self.stones[found] == 0].tolist()}) if found.size else []

    def worth(self) -> np.ndarray:
        """f64[N^2]: the value of each empty cell by its lines; -inf elsewhere."""
        own, other = self.counts
        value = np.where(other == 0, WEIGHTS[0][own], 0) + np.where(own == 0, WEIGHTS[1][other], 0)
        cells = np.bincount(self.lines.ravel(), np.repeat(value, LENGTH), len(self.stones))
        return np.where(self.stones == 0, cells, -np.inf)


@functools.cache
def lines_through(size: int) -> list[np.ndarray]:
    """For each cell the numbers of the lines through it."""
    cells = np.concatenate(lines(size))
    return [np.flatnonzero((cells == cell).any(axis=1)) for cell in range(size**2)]
