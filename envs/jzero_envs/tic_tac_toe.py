"""Tic-tac-toe: the smallest complete environment, and the one to copy when you write your own.

Actions 0..8 are the cells, row-major from the top left.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished, square_symmetries

CELLS = np.arange(9).reshape(3, 3)
LINES = np.array([*CELLS, *CELLS.T, CELLS.diagonal(), CELLS[::-1].diagonal()])  # i64[8, 3]


class TicTacToeState(NamedTuple):
    """One position. Stones are seen by the player to move, so a move ends with `board = -board`."""

    board: jax.Array  # i8[9]: 1 the mover's stone, -1 the opponent's, 0 empty
    current_player: jax.Array  # i32[]: 0 (crosses, moves first) or 1
    legal_action_mask: jax.Array  # bool[9]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class TicTacToe:
    """Three in a row wins (+1 / -1), a full board is a draw (0); an illegal action loses at once."""

    name = "tic_tac_toe"
    num_actions = 9
    num_players = 2

    def init(self, key: jax.Array) -> TicTacToeState:
        """The empty board, crosses to move; the game has no chance, so `key` is not used."""
        del key
        return TicTacToeState(
            board=jnp.zeros(9, jnp.int8),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(9, bool),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: TicTacToeState, action: jax.Array, key: jax.Array) -> TicTacToeState:
        """The position after the mover takes the cell `action` (i32[]); `key` is not used."""
        del key
        cell = jnp.arange(9, dtype=jnp.int32) == action
        legal = (cell & state.legal_action_mask).any()
        board = jnp.where(cell, jnp.int8(1), state.board)
        won = (board[LINES] == 1).all(axis=1).any()
        over = won | (board != 0).all()
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        next_state = TicTacToeState(
            board=-board,
            current_player=1 - state.current_player,
            legal_action_mask=(board == 0) & ~over,
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0).astype(jnp.float32),
            terminated=over,
            truncated=state.truncated,
        )
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: TicTacToeState) -> jax.Array:
        """f32[3, 3, 2]: the mover's stones, the opponent's stones."""
        return jnp.stack([state.board == 1, state.board == -1], axis=-1).reshape(3, 3, 2).astype(jnp.float32)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The seven rotations and reflections of the square, without the identity."""
        return square_symmetries(3, self.num_actions)

    def fingerprint(self, state: TicTacToeState) -> jax.Array:
        """u32[2], different for any two positions: cells as digits to base 3, and whether it is over."""
        digits = (state.board + 1).astype(jnp.uint32)
        code = (digits * 3 ** np.arange(9, dtype=np.uint32)).sum(dtype=jnp.uint32)
        return jnp.stack([code, state.terminated.astype(jnp.uint32)])

    def text(self, state: TicTacToeState) -> str:
        """One (unbatched) state in letters."""
        crosses = np.asarray(state.board).reshape(3, 3) * (1 - 2 * int(state.current_player))
        rows = [f"{3 - row} " + " ".join(".XO"[mark] for mark in line) for row, line in enumerate(crosses)]
        return "\n".join([*rows, "  a b c"])

    def action_name(self, state: TicTacToeState, action: int) -> str:
        """The cell: a1 is at the bottom left."""
        del state
        return f"{'abc'[action % 3]}{3 - action // 3}"

    def areas(self, state: TicTacToeState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The cells of the picture."""
        del state
        return {cell: ((40 * (cell % 3), 40 * (cell // 3), 40, 40),) for cell in range(9)}

    def svg(self, state: TicTacToeState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return _draw(np.asarray(state.board) * (1 - 2 * int(state.current_player)))


def _draw(crosses: np.ndarray) -> str:
    """SVG of i8[9] cells: 1 a cross, -1 a nought; a finished line stands on a tinted ground."""
    won = {int(cell) for line in LINES if abs(crosses[line].sum()) == 3 for cell in line}
    shapes = []
    for cell, mark in enumerate(crosses):
        x, y = 40 * (cell % 3), 40 * (cell // 3)
        if cell in won:
            shapes.append(f'<rect x="{x}" y="{y}" width="40" height="40" fill="#fde68a"/>')
        if mark == 1:
            shapes.append(f'<path d="M{x + 11} {y + 11}l18 18m0 -18l-18 18" stroke="#1d4ed8"/>')
        elif mark == -1:
            shapes.append(f'<circle cx="{x + 20}" cy="{y + 20}" r="10" stroke="#dc2626"/>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 124 124" width="120" height="120" '
        'fill="none" stroke-width="5" stroke-linecap="round">'
        '<rect x="-2" y="-2" width="124" height="124" rx="6" fill="#fff"/>'
        f"{''.join(shapes)}"
        '<path d="M40 4v112M80 4v112M4 40h112M4 80h112" stroke="#64748b" stroke-width="2"/></svg>'
    )
