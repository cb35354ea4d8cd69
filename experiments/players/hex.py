r"""A perfect opponent for Hex on boards of up to 5 x 5.

    python -m jzero match runs/alphazero/20261121-101500 experiments.players.hex:perfect

Run this from the repository's top folder.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jzero_envs.hex import Hex

from jzero.env import Env
from jzero.evaluate.turns import Player, Turn

from .hex_solver import HexSolver, Stones

LARGEST = 5
"""Rows and columns of the largest board that is solved in seconds."""


def perfect(env: Env) -> Player:
    """Plays a random winning move; if there is none, the move that leaves the fewest replies that may win.

    Raises:
        ValueError: the game is not Hex, or the board is too large.
    """
    if not isinstance(env, Hex) or env.size > LARGEST:
        raise ValueError(
            f"env is {env}; expected Hex on at most {LARGEST} x {LARGEST}: use hex?size={LARGEST}, or the player "
            "rollouts"
        )
    solver = HexSolver(env.size)
    drawn = jax.jit(jax.vmap(lambda state: env.outcome_features(state, jnp.int32(0)).ravel()))

    def play(turn: Turn) -> np.ndarray:
        boards, players = np.asarray(drawn(turn.states)), np.asarray(turn.states.current_player)
        legal = np.asarray(turn.states.legal_action_mask)
        order = np.asarray(jax.random.uniform(turn.key, legal.shape))
        actions = np.zeros(len(turn.rows), np.int32)
        for row in np.flatnonzero(turn.rows):
            stones, player = stones_of(boards[row]), int(players[row])
            tried = [action for action in order[row].argsort().tolist() if legal[row, action]]
            good = (action for action in tried if wins_with(env, solver, stones, player, action))
            hardest = action_on(env, player, solver.hardest_move(stones, player))
            actions[row] = next(good, hardest)
        return actions

    return play


def wins_with(env: Hex, solver: HexSolver, stones: Stones, player: int, action: int) -> bool:
    """Whether a legal action wins for `player`, who is to move, against any reply; nobody has won yet."""
    if action == env.size**2:
        taken = 1 << int(env.turn[stones[0].bit_length() - 1])
        return not solver.mover_wins((0, taken), 0)
    return solver.wins_with(stones, player, action_on(env, player, action))


def stones_of(drawn: np.ndarray) -> Stones:
    """The solver's sets for a board i8[N^2] as it is drawn: 1 is player 0's stone, -1 player 1's."""
    first, second = (sum(1 << cell for cell in np.flatnonzero(drawn == sign).tolist()) for sign in (1, -1))
    return first, second


def action_on(env: Hex, player: int, cell: int) -> int:
    """The player's action for a cell of the board as it is drawn; also the cell for an action."""
    return cell if player == 0 else int(env.turn[cell])
