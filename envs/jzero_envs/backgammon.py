"""Backgammon with the rules of pgx, and its dice as explicit chance. Needs `pip install "jzero[envs]"`.

Actions are pgx's: `6 * source + die`, one checker per ply; a source is 0 for none (the turn passes), 1 for the bar,
or 2 + point. The player to move sees its own checkers as positive and moves upwards. Single games count 1, gammons
2 and backgammons 3: set `network.value_limit=3`, or the game's `score_scale=3`.

Chance is explicit (`jzero.env.ChanceEnv`): outcomes 0 .. 20 are the throws of two dice regardless of order, after
the end of a turn. A ply within a turn involves no chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import certainty, forfeit, is_finished, keep_finished, step_by_chance

try:
    from pgx import backgammon as rules
except ImportError as error:
    raise ImportError('backgammon needs pgx: pip install "jzero[envs]"') from error

THROWS = np.array([(high, low) for high in range(6) for low in range(high + 1)])  # i64[21, 2]: pips less 1
CHANCES = np.where(THROWS[:, 0] == THROWS[:, 1], 1 / 36, 2 / 36)
NUM_ACTIONS = 6 * 26


class BackgammonState(NamedTuple):
    """One position, seen by the player to move, or the position between a turn and the next throw."""

    board: jax.Array  # i32[28]: 24 points, the bars, checkers borne off; the mover's are positive
    dice: jax.Array  # i32[2]: the throw, pips less 1
    playable: jax.Array  # i32[4]: dice still to play, -1 for none
    played: jax.Array  # i32[]: number of dice played
    current_player: jax.Array  # i32[]
    legal_action_mask: jax.Array  # bool[156]
    rewards: jax.Array  # f32[2]
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class Backgammon:
    """The first player to bear off all checkers wins 1, 2 or 3 points; an illegal action loses one at once.

    Raises:
      ValueError: `score_scale` is not positive.
    """

    score_scale: float = 1.0
    """Rewards are points divided by this."""
    name = "backgammon"
    num_actions = NUM_ACTIONS
    num_players = 2
    alternates = False  # a throw is played checker by checker
    num_outcomes = len(THROWS)

    def __post_init__(self) -> None:
        """Checks the argument."""
        if not self.score_scale > 0:
            raise ValueError(f"score_scale is {self.score_scale!r}; it must be positive")

    def init(self, key: jax.Array) -> BackgammonState:
        """The first position, after the first throw, which is no double; player 0 has won it."""
        board = _by_pgx(rules._make_init_board)
        dice = _by_pgx(rules._roll_init_dice, key)
        playable = _by_pgx(rules._set_playable_dice, dice)
        return BackgammonState(
            board=board,
            dice=dice,
            playable=playable,
            played=jnp.int32(0),
            current_player=jnp.int32(0),
            legal_action_mask=_by_pgx(rules._legal_action_mask, board, playable),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: BackgammonState, action: jax.Array, key: jax.Array) -> BackgammonState:
        """The position after one checker's move, and after a throw if the move ends the turn."""
        return step_by_chance(self, state, action, key)

    def decide(self, state: BackgammonState, action: jax.Array) -> BackgammonState:
        """The position after one checker's move, before the next throw."""
        passes = action // 6 == 0
        board = jnp.where(passes, state.board, _by_pgx(rules._move, state.board, action))
        playable = _by_pgx(rules._update_playable_dice, state.playable, state.played, state.dice, action)
        playable = jnp.where(passes, -1, playable).astype(jnp.int32)
        won = jnp.asarray(_by_pgx(rules._is_all_off, board))
        points = jnp.where(won, _by_pgx(rules._calc_win_score, board), 0) / self.score_scale
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        after = state._replace(
            board=board,
            playable=playable,
            played=state.played + 1,
            legal_action_mask=_by_pgx(rules._legal_action_mask, board, playable),
            rewards=jnp.where(mover, points, -points).astype(jnp.float32),
            terminated=won,
        )
        legal = (jnp.arange(NUM_ACTIONS, dtype=jnp.int32) == action) & state.legal_action_mask
        return keep_finished(state, forfeit(state, ~legal.any(), after))

    def chance_logits(self, afterstate: BackgammonState) -> jax.Array:
        """f32[21]: the throws if the turn is over, else a certain outcome."""
        return jnp.where(_throws(afterstate), jnp.log(CHANCES).astype(jnp.float32), certainty(len(THROWS)))

    def resolve(self, afterstate: BackgammonState, outcome: jax.Array) -> BackgammonState:
        """The next player's position after the throw; within a turn, the same position."""
        board, dice = _by_pgx(rules._flip_board, afterstate.board), jnp.asarray(THROWS, jnp.int32)[outcome]
        playable = _by_pgx(rules._set_playable_dice, dice)
        thrown = afterstate._replace(
            board=board,
            dice=dice,
            playable=playable,
            played=jnp.int32(0),
            current_player=1 - afterstate.current_player,
            legal_action_mask=_by_pgx(rules._legal_action_mask, board, playable),
        )
        throws = _throws(afterstate)
        return jax.tree.map(lambda new, old: jnp.where(throws, new, old), thrown, afterstate)

    def observe(self, state: BackgammonState) -> jax.Array:
        """f32[34]: checkers at each place / 15, and how often each die may be played / 4."""
        counts = (state.playable[:, None] == jnp.arange(6, dtype=jnp.int32)[None]).sum(
            axis=0, dtype=jnp.int32
        )
        return jnp.concatenate([state.board / 15, counts / 4]).astype(jnp.float32)

    def outcome_name(self, afterstate: BackgammonState, outcome: int) -> str:
        """The throw; within a turn, "the turn goes on"."""
        high, low = THROWS[outcome] + 1
        return f"{high}-{low}" if bool(_throws(afterstate)) else "the turn goes on"


def _by_pgx(function: Callable, *arguments: Any) -> Any:
    """What pgx's `function` returns. It promotes ranks and dtypes, also for a caller who forbids both."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        return function(*arguments)


def _throws(afterstate: BackgammonState) -> jax.Array:
    """bool[]: whether the turn is over and the game is not."""
    return (afterstate.playable == -1).all() & ~is_finished(afterstate)
