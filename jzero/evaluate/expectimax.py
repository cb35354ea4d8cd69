"""Expectimax of a few plies: averages over every outcome of chance, without a network.

Axes: A actions, C outcomes. For a single player and an environment with explicit chance (`jzero.env.ChanceEnv`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jzero.env import has_chance, is_finished
from jzero.pytrees import OneState, States


def expectimax_qvalues(
    env: Any, state: OneState, depth: int, afterstate_value: Callable[[OneState], jax.Array]
) -> jax.Array:
    """f32[A]: value of each action with a lookahead of `depth` actions; -inf if illegal.

    Costs (A * C) ** (depth - 1) * A calls of `decide`; the outcomes of the last action are not expanded.

    Args:
      env: the game.
      state: one state, unfinished.
      depth: actions of lookahead; 1 is greedy.
      afterstate_value: afterstate -> f32[], the value of the last action and all that follows, such as the reward
        if it is known before chance.

    Raises:
      ValueError: the environment has several players or no explicit chance, or `depth` is not positive.
    """
    if env.num_players != 1 or not has_chance(env):
        raise ValueError(
            f"{type(env).__name__} has {env.num_players} players and "
            f"{'' if has_chance(env) else 'no '}explicit chance; expectimax is for one player and explicit chance"
        )
    if depth < 1:
        raise ValueError(f"depth is {depth}; expected at least 1, the actions of lookahead")

    def after_chance(after: States) -> jax.Array:
        if depth == 1:
            return afterstate_value(after)
        outcomes = jnp.arange(env.num_outcomes, dtype=jnp.int32)
        chances = jnp.exp(env.chance_logits(after))
        states = jax.vmap(env.resolve, in_axes=(None, 0))(after, outcomes)
        best = jax.vmap(lambda state: expectimax_qvalues(env, state, depth - 1, afterstate_value).max())(
            states
        )
        worth = states.rewards[:, 0] + jnp.where(is_finished(states), 0.0, best)
        return jnp.sum(jnp.where(chances > 0, chances * worth, 0.0))

    actions = jnp.arange(env.num_actions, dtype=jnp.int32)
    qvalues = jax.vmap(lambda action: after_chance(env.decide(state, action)))(actions)
    return jnp.where(state.legal_action_mask, qvalues, -jnp.inf)


def expectimax_action(
    env: Any, state: OneState, key: jax.Array, depth: int, afterstate_value: Callable[[OneState], jax.Array]
) -> jax.Array:
    """i32[]: an action with the largest of `expectimax_qvalues`; ties are broken at random."""
    qvalues = expectimax_qvalues(env, state, depth, afterstate_value)
    logits = jnp.where(qvalues == qvalues.max(), 0.0, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)
