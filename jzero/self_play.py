"""Self-play: search, act, step, record, start again; one `lax.scan`.

Axes: T plies, B games, A actions, P players. A finished game's lane starts a new game at once; what is
recorded is the state before each action, so the end of a game is never lost: its reward, its discount of 0 and
`ended` stand with the last action.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.config import TrainConfig
from jzero.env import Env, init_batch, is_finished, record_batch, restart_batch, step_batch
from jzero.models import Model, edge_discount, mover_reward
from jzero.planner import Plan, plan
from jzero.search.tree import vary_like


class Games(NamedTuple):
    """Games in progress."""

    states: Any
    """[B] unfinished environment states."""
    ply: jax.Array
    """i32[B] plies played in each game."""
    opening: jax.Array
    """i32[B] plies at the start of each game that are random."""
    earned: jax.Array
    """f32[B] what the first player has earned so far."""


class Transition(NamedTuple):
    """One ply of every game; the player is the one to move."""

    state: Any
    """[B] the environment's state before the action, or what its `record` keeps of it."""
    action: jax.Array
    """i32[B] the action taken."""
    policy: jax.Array
    """f32[B, A] the search's policy."""
    policy_weight: jax.Array
    """f32[B] 1 where the policy is a target, 0 after a fast search."""
    value: jax.Array
    """f32[B] the search's value of the state."""
    qvalue: jax.Array
    """f32[B] the search's value of the action it chose."""
    explored: jax.Array
    """bool[B] a random action was taken instead of the chosen one."""
    reward: jax.Array
    """f32[B] reward of the player who moved."""
    discount: jax.Array
    """f32[B] of the next state's value: negative where the mover changes, 0 at a terminal."""
    ended: jax.Array
    """bool[B] the game ended with this action."""
    truncated: jax.Array
    """bool[B] the game was cut short with this action."""


def start_games(env: Env, config: TrainConfig, key: jax.Array, batch_size: int) -> Games:
    """`batch_size` games at their first ply."""
    init_key, opening_key = jax.random.split(key)
    return _at_first_ply(config, opening_key, init_batch(env, init_key, batch_size))


def _restart_games(env: Env, config: TrainConfig, key: jax.Array, finished: Any) -> Games:
    """Games at their first ply in the lanes of the `finished` states [B]."""
    restart_key, opening_key = jax.random.split(key)
    return _at_first_ply(config, opening_key, restart_batch(env, finished, restart_key))


def _at_first_ply(config: TrainConfig, key: jax.Array, states: Any) -> Games:
    batch_size = states.terminated.shape[0]
    return Games(
        states=states,
        ply=jnp.zeros(batch_size, jnp.int32),
        opening=jax.random.randint(key, (batch_size,), 0, config.opening_plies + 1),
        earned=jnp.zeros(batch_size),
    )


def self_play(
    env: Env, model: Model, config: TrainConfig, params: Any, key: jax.Array, games: Games
) -> tuple[Games, Transition, dict[str, jax.Array]]:
    """Advances every game by `config.plies` plies.

    Returns:
      the games; the transitions [T, B]; metrics (scalars): shares, means and counts over these plies.
    """

    def one_ply(games: Games, key: jax.Array) -> tuple[Games, tuple[Transition, dict[str, jax.Array]]]:
        search_key, random_key, step_key, new_key = jax.random.split(key, 4)
        full, found = _search(model, config, params, search_key, games)
        explored, action = _maybe_random(config, random_key, games, found.action)
        after = step_batch(env, games.states, action, step_key)
        ended = is_finished(after)
        transition = Transition(
            state=record_batch(env, games.states),
            action=action,
            policy=found.policy,
            policy_weight=jnp.broadcast_to(full, ended.shape).astype(jnp.float32),
            value=found.value,
            qvalue=found.qvalue,
            explored=explored,
            reward=mover_reward(games.states, after),
            discount=edge_discount(games.states, after, config.discount),
            ended=ended,
            truncated=after.truncated & ~after.terminated,
        )
        next_games = Games(after, games.ply + 1, games.opening, games.earned + after.rewards[:, 0])
        metrics = _measure(transition, found, next_games)
        new = _restart_games(env, config, new_key, after)
        return _where(ended, new, next_games), (transition, metrics)

    games, (transitions, metrics) = jax.lax.scan(one_ply, games, jax.random.split(key, config.plies))
    return games, transitions, jax.tree.map(lambda x: jnp.sum(x, axis=0), metrics)


def _search(
    model: Model, config: TrainConfig, params: Any, key: jax.Array, games: Games
) -> tuple[jax.Array, Plan]:
    """(full bool[], plan): with playout-cap randomisation (KataGo) a ply is searched fully or fast."""
    temperature = (games.ply < config.temperature_plies).astype(jnp.float32)

    def search(num_simulations: int) -> Plan:
        return plan(
            config.search,
            model,
            params,
            key,
            games.states,
            num_simulations=num_simulations,
            explore=True,
            temperature=temperature,
        )

    if config.full_search_fraction == 1:
        return jnp.bool_(True), search(config.search.num_simulations)
    full = jax.random.bernoulli(jax.random.fold_in(key, 1), config.full_search_fraction)
    found = jax.lax.cond(
        full, lambda: search(config.search.num_simulations), lambda: search(config.fast_simulations)
    )
    return full, found


def _maybe_random(
    config: TrainConfig, key: jax.Array, games: Games, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(explored bool[B], action i32[B]): openings and some plies take a uniformly random legal action."""
    choice_key, action_key = jax.random.split(key)
    explored = games.ply < games.opening
    explored |= jax.random.bernoulli(choice_key, config.random_move_fraction, explored.shape)
    logits = jnp.where(games.states.legal_action_mask, 0.0, -jnp.inf)
    return explored, jnp.where(explored, jax.random.categorical(action_key, logits), action)


def _where(mask: jax.Array, new: Games, old: Games) -> Games:
    """Rows of `new` where `mask` [B], else of `old`."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (new.ndim - 1)), vary_like(new, old), old)

    return jax.tree.map(choose, new, old)


def _measure(transition: Transition, found: Plan, games: Games) -> dict[str, jax.Array]:
    """Sums over the batch, to be divided by counts at the end; `games` after the ply."""
    log_prior = jnp.log(jnp.maximum(found.prior, 1e-12))
    log_policy = jnp.log(jnp.maximum(found.policy, 1e-12))
    return {
        "games": jnp.sum(transition.ended, dtype=jnp.float32),
        "game_plies": jnp.sum(jnp.where(transition.ended, games.ply, 0), dtype=jnp.float32),
        "first_player_return": jnp.sum(jnp.where(transition.ended, games.earned, 0.0)),
        "policy_entropy": -jnp.sum(found.policy * log_policy),
        "policy_kl_to_prior": jnp.sum(found.policy * (log_policy - log_prior)),
        "full_searches": jnp.sum(transition.policy_weight),
    }
