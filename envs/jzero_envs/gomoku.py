"""Gomoku on an N x N board: five stones in a row win, or more than five (free style); a full board is a draw.

Actions are the cells, row-major from the top left.

A side's stones are bits of uint32 words: bit `(N + 1) row + column`, lowest first. The last bit of a row is never
set, so a line shifted by one column cannot continue in the next row.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished, square_symmetries
from jzero_envs.bits import bits_of
from jzero_envs.stones import LETTERS, checked_size, hash_of_cells

LENGTH = 5  # of a line that wins
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # of lines: (rows, columns)


class GomokuState(NamedTuple):
    """One position, seen by the player to move: every move ends by swapping the two sides."""

    stones: jax.Array  # u32[2, ceil(N (N + 1) / 32)]: the mover's and the opponent's
    current_player: jax.Array  # i32[]: 0 (black, moves first) or 1
    legal_action_mask: jax.Array  # bool[N^2]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class Gomoku:
    """Five or more in a row win (+1 / -1), a full board is a draw (0); an illegal action loses at once.

    No move is forbidden. A state takes N^2 + 8 ceil(N (N + 1) / 32) + 14 bytes: 303 for 15 x 15, 119 for 9 x 9.

    Raises:
      ValueError: `size` is out of its range.
    """

    size: int = 15
    """N, rows and columns; 5 to 19."""
    lines: bool = False
    """Whether observations also tell of the lines through each cell that one side can still complete."""

    name = "gomoku"
    num_players = 2

    def __post_init__(self) -> None:
        checked_size("Gomoku", self.size, 5, 19, default=15)

    @property
    def num_actions(self) -> int:
        """N^2 cells."""
        return self.size**2

    def init(self, key: jax.Array) -> GomokuState:
        """The empty board; the game has no chance, so `key` is not used."""
        del key
        return GomokuState(
            stones=jnp.zeros((2, math.ceil(self.size * (self.size + 1) / 32)), jnp.uint32),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions, bool),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: GomokuState, action: jax.Array, key: jax.Array) -> GomokuState:
        """The position after the mover puts a stone on the cell `action` (i32[]); `key` is not used."""
        del key
        cell = jnp.arange(self.num_actions, dtype=jnp.int32) == action
        legal = (cell & state.legal_action_mask).any()
        own, other = state.stones
        row, column = jnp.divmod(jnp.asarray(action, jnp.int32), self.size)
        word, bit = jnp.divmod((self.size + 1) * row + column, 32)
        at = jnp.arange(len(own), dtype=jnp.int32) == word
        own = own | jnp.where(at, jnp.uint32(1) << bit.astype(jnp.uint32), 0)
        won = _has_line(own, self.size)
        mask = state.legal_action_mask & ~cell
        over = won | ~mask.any()
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        next_state = GomokuState(
            stones=jnp.stack([other, own]),
            current_player=1 - state.current_player,
            legal_action_mask=mask & ~over,
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0).astype(jnp.float32),
            terminated=over,
            truncated=state.truncated,
        )
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: GomokuState) -> jax.Array:
        """f32[N, N, 2]: the mover's stones, the opponent's stones; with `lines` f32[N, N, 18].

        The further planes are about the lines of five through the cell with 1, 2, 3 or 4 stones of the mover and
        none of the opponent, then the other way round: the share of the four directions with at least one such
        line, and with at least two. Where a direction has two lines with two stones, a stone makes an open three;
        with three stones, an open four.
        """
        stones = self._cells(state.stones).astype(jnp.float32)
        seen = jnp.moveaxis(stones, 0, -1)
        return jnp.concatenate([seen, self._open_lines(stones)], axis=-1) if self.lines else seen

    def _open_lines(self, stones: jax.Array) -> jax.Array:
        """f32[N, N, 16], see `observe`, of stones f32[2, N, N]."""
        sides, numbers = stones.reshape(2, -1), np.arange(1, LENGTH, dtype=np.float32)
        found = jnp.zeros((self.size**2, 2, 2, LENGTH - 1), jnp.float32)
        for cells in lines(self.size):
            on_line = np.zeros((len(cells), self.size**2), np.float32)
            np.put_along_axis(on_line, cells, 1, axis=1)
            counts = on_line @ sides.T  # [L, 2]
            held = (counts[..., None] == numbers) & (counts[:, ::-1, None] == 0)
            through = on_line.T @ held.reshape(len(cells), -1).astype(jnp.float32)
            through = through.reshape(-1, 2, 1, LENGTH - 1)
            found += jnp.concatenate([through >= 1, through >= 2], axis=2)
        return found.reshape(self.size, self.size, -1) / len(DIRECTIONS)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The seven rotations and reflections of the square, without the identity."""
        return square_symmetries(self.size, self.num_actions)

    def fingerprint(self, state: GomokuState) -> jax.Array:
        """u32[2]: a hash of the stones, the player to move and whether the game is over (Zobrist 1970)."""
        own, other = self._cells(state.stones).astype(jnp.int8).reshape(2, -1)
        flags = state.current_player.astype(jnp.uint32) | state.terminated.astype(jnp.uint32) << 1
        return hash_of_cells(own - other, flags)

    def outcome_features(self, state: GomokuState, player: jax.Array) -> jax.Array:
        """i8[N, N, 1]: the stones, 1 those of `player` (i32[]), -1 the other's, 0 an empty cell."""
        own, other = self._cells(state.stones).astype(jnp.int8)
        return jnp.where(state.current_player == player, own - other, other - own)[..., None]

    def text(self, state: GomokuState) -> str:
        """One (unbatched) state as text; X moves first."""
        rows = [
            f"{self.size - row:>2} " + " ".join(".XO"[stone] for stone in line)
            for row, line in enumerate(self._drawn(state))
        ]
        return "\n".join([*rows, f"   {' '.join(LETTERS[: self.size])}"])

    def action_name(self, state: GomokuState, action: int) -> str:
        """The cell, such as d4: a1 is at the bottom left."""
        del state
        return f"{LETTERS[action % self.size]}{self.size - action // self.size}"

    def areas(self, state: GomokuState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The cells of the picture."""
        del state
        return {a: ((20 * (a % self.size), 20 * (a // self.size), 20, 20),) for a in range(self.num_actions)}

    def svg(self, state: GomokuState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return _draw(self._drawn(state))

    def _cells(self, stones: jax.Array) -> jax.Array:
        """u32[..., N, N] of 0 and 1: the cells of stones u32[..., W]."""
        size = self.size
        rows = bits_of(stones).reshape(*stones.shape[:-1], -1)[..., : size * (size + 1)]
        return rows.reshape(*stones.shape[:-1], size, size + 1)[..., :size]

    def _drawn(self, state: GomokuState) -> np.ndarray:
        """i8[N, N]: 1 player 0's stones, -1 player 1's, 0 empty cells."""
        own, other = np.asarray(self._cells(jnp.asarray(state.stones))).astype(np.int8)
        return own - other if int(state.current_player) == 0 else other - own


@functools.cache
def lines(size: int) -> tuple[np.ndarray, ...]:
    """i64[L, 5] for each of the `DIRECTIONS`: the cells of its lines of five."""
    cells = np.arange(size**2).reshape(size, size)
    found = []
    for down, right in DIRECTIONS:
        seen = cells if right >= 0 else cells[:, ::-1]
        rows, columns = size - (LENGTH - 1) * down, size - (LENGTH - 1) * abs(right)
        shifted = [seen[down * i :, abs(right) * i :][:rows, :columns] for i in range(LENGTH)]
        found.append(np.stack(shifted, axis=-1).reshape(-1, LENGTH))
    return tuple(found)


def _has_line(stones: jax.Array, size: int) -> jax.Array:
    """bool[]: five in a row among one side's stones u32[W]."""
    won = jnp.zeros_like(stones)
    for down, right in DIRECTIONS:
        step = (size + 1) * down + right
        twos = stones & _shifted_down(stones, step)
        fours = twos & _shifted_down(twos, 2 * step)
        won |= fours & _shifted_down(stones, 4 * step)
    return (won != 0).any()


def _shifted_down(stones: jax.Array, places: int) -> jax.Array:
    """The bits u32[W], each shifted down by this number of places."""
    words, bits = divmod(places, 32)
    low = jnp.concatenate([stones[words:], jnp.zeros(min(words, len(stones)), jnp.uint32)])
    if bits == 0:
        return low
    high = jnp.append(low[1:], jnp.uint32(0))
    return low >> np.uint32(bits) | high << np.uint32(32 - bits)


def _draw(stones: np.ndarray) -> str:
    """SVG of i8[N, N]: player 0's stones are black, on the crossings of lines; a winning line has red dots."""
    size = len(stones)
    side = 20 * size
    lines = "".join(f"M10 {20 * i + 10}H{side - 10}M{20 * i + 10} 10V{side - 10}" for i in range(size))
    parts = [f'<path d="{lines}" stroke="#78350f"/>']
    winning = _line_cells(stones)
    for row, column in np.argwhere(stones).tolist():
        black = stones[row, column] > 0
        cell = f'cx="{20 * column + 10}" cy="{20 * row + 10}"'
        fill = "#0f172a" if black else "#f8fafc"
        parts.append(f'<circle {cell} r="9" fill="{fill}" stroke="#0f172a" stroke-width="0.5"/>')
        if (row, column) in winning:
            parts.append(f'<circle class="line" {cell} r="3" fill="#dc2626"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}">'
        f'<rect width="{side}" height="{side}" rx="4" fill="#fbbf24"/>{"".join(parts)}</svg>'
    )


def _line_cells(stones: np.ndarray) -> set[tuple[int, int]]:
    """The cells of i8[N, N] that belong to a line of five."""
    size, cells = len(stones), set()
    for row, column in np.argwhere(stones).tolist():
        for down, right in DIRECTIONS:
            line = [(row + down * i, column + right * i) for i in range(LENGTH)]
            inside = all(0 <= r < size and 0 <= c < size for r, c in line)
            if inside and len({int(stones[r, c]) for r, c in line}) == 1:
                cells.update(line)
    return cells
