r"""Opponents for 2048 without a network: the move that scores most now, and expectimax.

    python -m jzero match runs/game_2048/20261121-101500 random experiments.players.game_2048:greedy \
        "experiments.players.game_2048:expectimax?depth=2"

Run this from the repository's top folder. Both players break ties at random.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jzero_envs.game_2048 import Game2048

from jzero.evaluate.expectimax import expectimax_action
from jzero.evaluate.turns import Player, as_player


def greedy(env: Game2048) -> Player:
    """Takes the move that scores most now."""
    return expectimax(env, depth=1)


def expectimax(env: Game2048, depth: int = 2) -> Player:
    """Takes the move with the highest expected score over `depth` moves and all new tiles."""

    def act(states: Any, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, states.terminated.shape[0])
        action = partial(expectimax_action, env, depth=depth, afterstate_value=lambda after: after.rewards[0])
        return jax.vmap(action)(states, keys)

    return as_player(act)
