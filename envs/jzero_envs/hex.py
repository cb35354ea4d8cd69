"""Hex on an N x N board of hexagons: join your two sides of the board by a chain of stones. There are no draws.

Player 0 joins top and bottom, player 1 left and right. A position is seen by the player to move, who joins row 0 to
row N - 1: after every move the board is transposed, which maps one player's sides to the other's. Actions are in
that frame too: `N row + column` for a cell, and with `swap` one more, N^2. For player 0 these are the cells of the
board as it is drawn; `Hex.turn` converts player 1's actions to and from that board.

The neighbours of a cell (r, c) are (r, c +- 1), (r +- 1, c), (r + 1, c - 1) and (r - 1, c + 1).

Whether two sides are joined is known without a search for paths. Every stone has its chain's label: N^2 + 2 if the
chain touches its player's row 0, else N^2 + 1 if it touches row N - 1, else 1 + the largest number of its cells.
A new stone gives the largest label beside it to all chains beside it, and wins if both sides are beside it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished
from jzero_envs.stones import LETTERS, checked_size, hash_of_cells

NEIGHBOURS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0), (1, -1), (-1, 1)], np.int32)  # (rows, columns)
COLOURS = ("#dc2626", "#2563eb")  # of player 0 and of player 1


class HexState(NamedTuple):
    """One position, turned so that the player to move joins the top to the bottom. A = N^2, or N^2 + 1."""

    board: jax.Array  # i8[N, N], i16 where N > 11: labels, those of the opponent's stones negative
    current_player: jax.Array  # i32[]: 0 (moves first) or 1
    legal_action_mask: jax.Array  # bool[A]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class Hex:
    """The player who joins both own sides wins (+1 / -1); an illegal action loses at once.

    A state takes 2 N^2 + 14 bytes up to N = 11 (256 for 11 x 11), 3 N^2 + 14 beyond, one more with `swap`.

    Raises:
      ValueError: an argument is out of its range.
    """

    size: int = 11
    """N, rows and columns; 2 to 19."""
    swap: bool = False
    """Whether player 1 may take over the first stone as its first move: the stone becomes player 1's, in the
    transposed cell, so that it is the same from player 1's side."""

    name = "hex"
    num_players = 2

    def __post_init__(self) -> None:
        checked_size("Hex", self.size, 2, 19, default=11)
        if not isinstance(self.swap, bool):
            raise ValueError(
                f"Hex: swap is {self.swap!r}; expected True or False; leave it out for swap=False"
            )

    @property
    def num_actions(self) -> int:
        """N^2 cells, then the swap."""
        return self.size**2 + self.swap

    @property
    def turn(self) -> np.ndarray:
        """i32[A]: action `a` on the transposed board is `turn[a]`. Its own inverse.

        On the board as it is drawn, and in pgx, the action of player 0 is `a` and that of player 1 is `turn[a]`.
        """
        cells = np.arange(self.size**2).reshape(self.size, self.size).T.ravel()
        return np.append(cells, np.arange(self.size**2, self.num_actions)).astype(np.int32)

    def init(self, key: jax.Array) -> HexState:
        """The empty board; the game has no chance, so `key` is not used."""
        del key
        size = self.size
        return HexState(
            board=jnp.zeros((size, size), np.int8 if size**2 + 2 <= np.iinfo(np.int8).max else np.int16),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.arange(self.num_actions, dtype=jnp.int32) < size**2,
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: HexState, action: jax.Array, key: jax.Array) -> HexState:
        """The position after the mover takes `action` (i32[]); `key` is not used."""
        del key
        action = jnp.asarray(action, jnp.int32)
        in_range = (action >= 0) & (action < self.num_actions)
        legal = in_range & state.legal_action_mask[jnp.where(in_range, action, 0)]
        placed, won = _with_stone(state.board, action)
        board = -placed.T
        if self.swap:
            # The stone keeps its cell in the mover's frame, in which it is the opponent's before and after.
            swaps = action == self.size**2
            board, won = jnp.where(swaps, state.board, board), won & ~swaps
        mask = (board == 0).ravel() & ~won
        if self.swap:
            mask = jnp.append(mask, (state.board == 0).all())
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        next_state = HexState(
            board=board,
            current_player=1 - state.current_player,
            legal_action_mask=mask,
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0).astype(jnp.float32),
            terminated=won,
            truncated=state.truncated,
        )
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: HexState) -> jax.Array:
        """f32[N, N, C]: the mover's stones, the opponent's; with `swap` a plane of ones if the swap is legal.

        The mover joins row 0 to row N - 1.
        """
        planes = [state.board > 0, state.board < 0]
        if self.swap:
            planes.append(jnp.broadcast_to(state.legal_action_mask[-1], state.board.shape))
        return jnp.stack(planes, axis=-1).astype(jnp.float32)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The board turned by 180 degrees. (The mover's frame accounts for the transposition.)"""
        cells = np.arange(self.size**2)[::-1]
        action = np.append(cells, np.arange(self.size**2, self.num_actions)).astype(np.int32)
        return (Symmetry(observation=lambda board: board[::-1, ::-1], action=action),)

    def fingerprint(self, state: HexState) -> jax.Array:
        """u32[2]: a hash of the stones, the player to move and whether the game is over (Zobrist 1970)."""
        flags = state.current_player.astype(jnp.uint32) | state.terminated.astype(jnp.uint32) << 1
        return hash_of_cells(jnp.sign(state.board).ravel(), flags)

    def outcome_features(self, state: HexState, player: jax.Array) -> jax.Array:
        """i8[N, N, 1]: the stones as `player` (i32[]) sees the board: 1 its own, -1 the other's, 0 none."""
        mover = state.current_player == player
        return jnp.sign(jnp.where(mover, state.board, -state.board.T)).astype(jnp.int8)[..., None]

    def text(self, state: HexState) -> str:
        """One (unbatched) state as text, each row half a cell further right. X moves first, joins top to bottom."""
        rows = [
            f"{' ' * row}{row + 1:>2} {' '.join('.XO'[stone] for stone in line)}"
            for row, line in enumerate(self._drawn(state))
        ]
        return "\n".join([f"   {' '.join(LETTERS[: self.size])}", *rows])

    def action_name(self, state: HexState, action: int) -> str:
        """The cell's name on the picture, such as d4: a1 is at the top left. The last action is "swap"."""
        if action == self.size**2:
            return "swap"
        row, column = self._cell(state, action)
        return f"{LETTERS[column]}{row + 1}"

    def areas(self, state: HexState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The centres of the picture's cells, and the word below the board."""
        found: dict[int, tuple[tuple[float, ...], ...]] = {}
        for action in range(self.size**2):
            x, y = _centre(*self._cell(state, action))
            found[action] = ((x - 9, y - 8, 18, 16),)
        if self.swap:
            found[self.size**2] = ((0, _centre(self.size, 0)[1], 60, 20),)
        return found

    def svg(self, state: HexState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string; player 0 joins top and bottom."""
        word = "swap" if self.swap and bool(state.legal_action_mask[-1]) else ""
        return _draw(self._drawn(state), word, room=self.swap)

    def _drawn(self, state: HexState) -> np.ndarray:
        """i[N, N]: 1 player 0's stones, -1 player 1's, 0 empty cells; on the board as it is drawn."""
        stones = np.sign(np.asarray(state.board))
        return stones if int(state.current_player) == 0 else -stones.T

    def _cell(self, state: HexState, action: int) -> tuple[int, int]:
        """Row and column, on the board as it is drawn, of an action on a cell."""
        cell = divmod(int(action), self.size)
        return cell if int(state.current_player) == 0 else cell[::-1]


def _with_stone(board: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The labels [N, N] with the mover's stone in `cell` (i32[]), before the board is transposed; bool[]: it wins.

    The side beyond row 0 is a neighbour with the label N^2 + 2, the side beyond row N - 1 one with N^2 + 1.
    """
    size, dtype = len(board), board.dtype
    bottom, top = size**2 + 1, size**2 + 2
    row, column = (jnp.stack(jnp.divmod(cell, size))[None] + NEIGHBOURS).T
    inside = (column >= 0) & (column < size)
    stones = board[row.clip(0, size - 1), column.clip(0, size - 1)].astype(jnp.int32)
    around = jnp.where(row < 0, top, jnp.where(row >= size, bottom, jnp.where(inside, stones, 0)))
    label = jnp.maximum(around.max(), cell + 1)
    cells, joined = board.ravel(), jnp.arange(size**2, dtype=jnp.int16) == cell.astype(jnp.int16)
    for other in jnp.where(around > 0, around, label).astype(dtype):
        joined |= cells == other
    placed = jnp.where(joined, label.astype(dtype), cells).reshape(size, size)
    return placed, (around == top).any() & (around == bottom).any()


# The picture.

WIDTH, SLANT = 20.0, 17.32  # of a cell and of a row, in units: sqrt(3) to 1.5


def _centre(row: int, column: int) -> tuple[float, float]:
    """Of a cell: x and y."""
    return round(WIDTH * (column + row / 2) + WIDTH / 2 + 4, 2), round(SLANT * row + 15, 2)


def _corner(row: int, column: int, number: int) -> str:
    """One of a cell's six corners, clockwise from the top, as "x,y"."""
    x, y = _centre(row, column)
    right, down = ((0, -2), (1, -1), (1, 1), (0, 2), (-1, 1), (-1, -1))[number]
    return f"{x + right * WIDTH / 2:.4g},{y + down * SLANT / 3:.4g}"


def _draw(stones: np.ndarray, word: str, room: bool) -> str:
    """SVG of i[N, N]: player 0 red, its sides top and bottom; player 1 blue; the chain that wins has white dots.

    `word` is written below the board, where there is `room` for it.
    """
    size = len(stones)
    last, parts = size - 1, []
    # Corners along each side, in pairs of one cell.
    sides = (
        [(0, c, n) for c in range(size) for n in (5, 0, 1)],
        [(last, c, n) for c in range(size) for n in (4, 3, 2)],
        [(r, 0, n) for r in range(size) for n in (5, 4, 3)],
        [(r, last, n) for r in range(size) for n in (0, 1, 2)],
    )
    for number, side in enumerate(sides):
        points = " ".join(_corner(*corner) for corner in side)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[number // 2]}" stroke-width="5"/>'
        )
    for row, column in np.ndindex(size, size):
        points = " ".join(_corner(row, column, number) for number in range(6))
        parts.append(f'<polygon points="{points}" fill="#fef3c7" stroke="#a8a29e"/>')
    winning = _winning_chain(stones)
    for row, column in np.argwhere(stones):
        x, y = _centre(row, column)
        parts.append(f'<circle cx="{x}" cy="{y}" r="7" fill="{COLOURS[int(stones[row, column] < 0)]}"/>')
        if (row, column) in winning:
            parts.append(f'<circle class="chain" cx="{x}" cy="{y}" r="2.5" fill="#fff"/>')
    width, height = _centre(last, last)[0] + WIDTH / 2 + 4, _centre(last, 0)[1] + 15
    if room:
        height += 22
        parts.append(f'<text x="8" y="{height - 8:.4g}" font-size="13" fill="#0f172a">{word}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.4g} {height:.4g}" '
        f'width="{width:.4g}" height="{height:.4g}" stroke-linejoin="round" '
        f'font-family="sans-serif">{"".join(parts)}</svg>'
    )


def _winning_chain(stones: np.ndarray) -> set[tuple[int, int]]:
    """The cells of the chain of i[N, N] that joins its player's sides; none if there is no such chain."""
    size = len(stones)
    for player, axis in ((1, 0), (-1, 1)):
        cells = {(int(r), int(c)) for r, c in np.argwhere(stones == player)}
        while starts := [cell for cell in cells if cell[axis] == 0]:
            chain, new = set(), {starts[0]}
            while new:
                chain |= new
                beside = {(r + down, c + right) for r, c in new for down, right in NEIGHBOURS.tolist()}
                new = beside & cells - chain
            if any(cell[axis] == size - 1 for cell in chain):
                return chain
            cells -= chain
    return set()
