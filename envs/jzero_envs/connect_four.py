"""Connect Four on the standard board of 6 rows and 7 columns; actions 0..6 are the columns from the left.

A side's stones are 48 bits in two uint32 words: bit `8 * row + column`, row 0 at the bottom, rows 0-3 in the
low word and rows 4-5 in the high one. The eighth bit of a row is never set, so a line shifted by one column
cannot run on into the next row. A whole state is 37 bytes, which is what a search tree stores per node.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished

ROWS, COLUMNS = 6, 7
COLUMN = np.array([0x01010101, 0x0101], np.uint32)  # the six cells of column 0
# Cell (i, j) of a picture whose row 0 is the top row: which of the two words, which bit of it.
CELL_WORD = (np.arange(ROWS)[::-1, None] // 4).repeat(COLUMNS, axis=1)
CELL_BIT = ((8 * np.arange(ROWS)[::-1, None] + np.arange(COLUMNS)) % 32).astype(np.uint32)


class ConnectFourState(NamedTuple):
    """One position. Stones are seen by the player to move, so a move ends by swapping the two sides."""

    stones: jax.Array  # u32[2, 2]: (mover, opponent) x (rows 0-3, rows 4-5)
    current_player: jax.Array  # i32[]: 0 (moves first) or 1
    legal_action_mask: jax.Array  # bool[7]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class ConnectFour:
    """Four in a row wins (+1 / -1), a full board is a draw (0); an illegal action loses at once."""

    name = "connect_four"
    num_actions = COLUMNS
    num_players = 2

    def init(self, key: jax.Array) -> ConnectFourState:
        """The empty board; the game has no chance, so `key` is not used."""
        del key
        return ConnectFourState(
            stones=jnp.zeros((2, 2), jnp.uint32),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(COLUMNS, bool),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: ConnectFourState, action: jax.Array, key: jax.Array) -> ConnectFourState:
        """The position after the mover drops a stone into column `action` (i32[]); `key` is not used."""
        del key
        own, other = state.stones
        in_range = (action >= 0) & (action < COLUMNS)
        column = COLUMN << jnp.where(in_range, action, 0).astype(jnp.uint32)
        landing = _landing_cells(own | other) & column
        own = own | landing
        open_columns = (~(own | other)[1] >> (8 + np.arange(COLUMNS, dtype=np.uint32))) & 1 == 1
        won = _has_line(own)
        over = won | ~open_columns.any()
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        next_state = ConnectFourState(
            stones=jnp.stack([other, own]),
            current_player=1 - state.current_player,
            legal_action_mask=open_columns & ~over,
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0).astype(jnp.float32),
            terminated=over,
            truncated=state.truncated,
        )
        legal = in_range & (landing != 0).any()
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: ConnectFourState) -> jax.Array:
        """f32[6, 7, 2]: the mover's stones, the opponent's stones; row 0 is the top row."""
        bits = (state.stones[:, CELL_WORD] >> CELL_BIT[None]) & 1
        return jnp.moveaxis(bits, 0, -1).astype(jnp.float32)

    def outcome_features(self, state: ConnectFourState, player: jax.Array) -> jax.Array:
        """i8[6, 7, 1]: 1 where `player` (i32[]) has a stone, -1 where the opponent has; laid out as `observe`."""
        bits = ((state.stones[:, CELL_WORD] >> CELL_BIT[None]) & 1).astype(jnp.int8)
        movers = bits[0] - bits[1]
        return jnp.where(player == state.current_player, movers, -movers)[..., None]

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The reflection that exchanges left and right."""
        columns = np.arange(COLUMNS, dtype=np.int32)
        return (Symmetry(observation=lambda board: board[:, ::-1], action=columns[::-1]),)

    def fingerprint(self, state: ConnectFourState) -> jax.Array:
        """u32[2], different for any two positions.

        The mover's stones and, above every column's top stone, a marker: read from the top, the first bit of
        a column tells its height and the bits below whose stones they are. The last bit: the game is over.
        """
        own, other = state.stones
        over = jnp.stack([jnp.uint32(0), state.terminated.astype(jnp.uint32) << 31])
        return own | _landing_cells(own | other) | over

    def text(self, state: ConnectFourState) -> str:
        """One (unbatched) state in letters, X moves first."""
        first, second = self._cells(state)
        marks = np.where(first, "X", np.where(second, "O", "."))
        return "\n".join([" ".join(row) for row in marks] + [" ".join(map(str, range(1, COLUMNS + 1)))])

    def action_name(self, state: ConnectFourState, action: int) -> str:
        """The column, from 1 on."""
        del state
        return str(action + 1)

    def areas(self, state: ConnectFourState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The columns of the picture."""
        del state
        return {column: ((20 * column, 0, 20, 20 * ROWS),) for column in range(COLUMNS)}

    def svg(self, state: ConnectFourState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return _draw(self._cells(state))

    def _cells(self, state: ConnectFourState) -> list[np.ndarray]:
        """bool[6, 7] each: the stones of player 0 and of player 1."""
        stones = np.asarray(state.stones)[:: 1 if int(state.current_player) == 0 else -1]
        return [(words[CELL_WORD] >> CELL_BIT) & 1 == 1 for words in stones]


def _landing_cells(occupied: jax.Array) -> jax.Array:
    """u32[2], the lowest empty cell of every column, given u32[2], all stones; row 6 above a full column."""
    low, high = occupied
    one_up = jnp.stack([(low << 8) | 0x7F, (high << 8) | (low >> 24)])
    return one_up & ~occupied


def _has_line(stones: jax.Array) -> jax.Array:
    """bool[]: four in a row among one side's stones u32[2].

    A line spans at most four rows, and four rows are one 32-bit word: three such windows hold every line.
    """
    low, high = stones
    won = jnp.uint32(0)
    for rows in (low, (low >> 8) | (high << 24), (low >> 16) | (high << 16)):
        for step in (1, 7, 8, 9):  # right, up-left, up, up-right
            won |= rows & (rows >> step) & (rows >> 2 * step) & (rows >> 3 * step)
    return won != 0


def _draw(players: list[np.ndarray]) -> str:
    """SVG of bool[6, 7] per player: a blue board, player 0 red and player 1 yellow, a winning line ringed."""

    def disc(cell: tuple[int, int], style: str) -> str:
        row, column = cell
        return f'<circle cx="{20 * column + 10}" cy="{20 * row + 10}" {style}/>'

    discs = []
    for cell in np.ndindex(ROWS, COLUMNS):
        colour = "#dc2626" if players[0][cell] else "#facc15" if players[1][cell] else "#eff6ff"
        discs.append(disc(cell, f'r="8" fill="{colour}"'))
    for stones in players:
        discs += [
            disc(cell, 'r="4" fill="none" stroke="#0f172a" stroke-width="2.5"')
            for cell in _line_cells(stones)
        ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-3 -3 146 126" width="140" height="121">'
        f'<rect x="-3" y="-3" width="146" height="126" rx="8" fill="#1d4ed8"/>{"".join(discs)}</svg>'
    )


def _line_cells(stones: np.ndarray) -> list[tuple[int, int]]:
    """The cells of bool[6, 7] that belong to a line of four."""
    cells = set()
    for row, column in np.argwhere(stones):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            line = [(row + down * i, column + right * i) for i in range(4)]
            if all(0 <= r < ROWS and 0 <= c < COLUMNS and stones[r, c] for r, c in line):
                cells.update(line)
    return sorted(cells)
