"""Self-play: search, act, step, record, start again; one `lax.scan`.

Axes: T plies, B games, A actions, P players, N nodes. A finished game's lane starts a new game at once; what is
recorded is the state before each action, so the end of a game is never lost: its reward, its discount of 0 and
`ended` stand with the last action. Where every player has a value of its own,
values and rewards are [B, P], by seat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.config import TrainConfig
from jzero.env import (
    Env,
    forfeit,
    init_batch,
    is_finished,
    random_actions_in,
    record_batch,
    restart_batch,
    step_batch,
    where_rows,
)
from jzero.models.plan import Plan, plan, plan_tree
from jzero.models.simulator import Model, edge
from jzero.search import subtree
from jzero.search.tree import Tree


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
    never_resigns: jax.Array
    """bool[B] the game is played to its end, whatever its players think of it."""
    gave_up: jax.Array
    """i32[B] the first player who found its game lost enough to resign; -1 where none has."""


class Transition(NamedTuple):
    """One ply of every game; the player is the one to move."""

    state: Any
    """[B] the environment's state before the action, or what its `record` keeps of it."""
    action: jax.Array
    """i32[B], or f32[B, D] where actions are continuous: the action taken."""
    policy: jax.Array
    """f32[B, A] the search's policy; with continuous actions over the candidates."""
    policy_weight: jax.Array
    """f32[B] 1 where the policy is a target, 0 after a fast search."""
    value: jax.Array
    """f32[B] the search's value of the state."""
    qvalue: jax.Array
    """f32[B] the search's value of the action it chose."""
    explored: jax.Array
    """bool[B] a random action was taken instead of the chosen one, and the value target is to be cut here."""
    reward: jax.Array
    """f32[B] reward of the player who moved, or f32[B, P]."""
    discount: jax.Array
    """f32[B] of the next state's value: 0 at a terminal; negative where the mover changes, but not with values by
    seat."""
    ended: jax.Array
    """bool[B] the game ended with this action."""
    truncated: jax.Array
    """bool[B] the game was cut short with this action."""
    candidates: Any = ()
    """f32[B, A, D] the actions that the search chose among, where they are continuous; else ()."""


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
    opening_key, resign_key = jax.random.split(key)
    return Games(
        states=states,
        ply=jnp.zeros(batch_size, jnp.int32),
        opening=jax.random.randint(opening_key, (batch_size,), 0, config.opening_plies + 1),
        earned=jnp.zeros(batch_size),
        never_resigns=jax.random.bernoulli(resign_key, config.resign_holdout, (batch_size,)),
        gave_up=jnp.full(batch_size, -1, jnp.int32),
    )


def self_play(
    env: Env, model: Model, config: TrainConfig, params: Any, key: jax.Array, games: Games
) -> tuple[Games, Transition, dict[str, jax.Array]]:
    """Advances every game by `config.plies` plies.

    Returns:
      the games; the transitions [T, B]; metrics (scalars): shares, means and counts over these plies.
    """
    params = model.prepare(params)

    def one_ply(carry: tuple[Games, Tree | None], key: jax.Array) -> tuple[Any, Any]:
        games, kept = carry
        search_key, random_key, step_key, new_key = jax.random.split(key, 4)
        full, found, tree = _search(model, config, params, search_key, games, kept)
        explored, action = _maybe_random(env, config, random_key, games, found.action)
        after = step_batch(env, games.states, action, step_key)
        if config.resign_below > -1:
            games, after = _maybe_resign(config, games, found.value, after)
        ended = is_finished(after)
        reward, discount = edge(env, games.states, after, config.discount)
        transition = Transition(
            state=record_batch(env, games.states),
            action=action,
            policy=found.policy,
            policy_weight=jnp.broadcast_to(full, ended.shape).astype(jnp.float32),
            value=found.value,
            qvalue=found.qvalue,
            explored=explored & config.cut_at_random_moves,
            reward=reward,
            discount=discount,
            ended=ended,
            truncated=after.truncated & ~after.terminated,
            candidates=found.candidates,
        )
        next_games = games._replace(
            states=after, ply=games.ply + 1, earned=games.earned + after.rewards[:, 0]
        )
        metrics = _measure(config, transition, found, next_games)
        new = _restart_games(env, config, new_key, after)
        kept = None if tree is None else subtree(tree, jnp.where(ended, -1, action))
        return (where_rows(ended, new, next_games), kept), (transition, metrics)

    kept = _no_tree(model, config, params, games) if config.search.reuse else None
    keys = jax.random.split(key, config.plies)
    (games, _), (transitions, metrics) = jax.lax.scan(one_ply, (games, kept), keys)
    return games, transitions, jax.tree.map(lambda x: jnp.sum(x, axis=0), metrics)


def _search(
    model: Model, config: TrainConfig, params: Any, key: jax.Array, games: Games, kept: Tree | None
) -> tuple[jax.Array, Plan, Tree | None]:
    """(full bool[], plan, its tree if trees are reused).

    With playout-cap randomisation (KataGo) a ply is searched fully or fast.
    """
    temperature = (games.ply < config.temperature_plies).astype(jnp.float32)
    full_key, key = jax.random.split(key)

    def search(num_simulations: int) -> tuple[Plan, Tree | None]:
        options = {"num_simulations": num_simulations, "explore": True, "temperature": temperature}
        if kept is None:
            return plan(config.search, model, params, key, games.states, **options), None
        return _go_on(model, config, params, key, games, kept, **options)

    if config.full_search_fraction == 1:
        return jnp.bool_(True), *search(config.search.num_simulations)
    full = jax.random.bernoulli(full_key, config.full_search_fraction)
    found, tree = jax.lax.cond(
        full, lambda: search(config.search.num_simulations), lambda: search(config.fast_simulations)
    )
    return full, found, tree


def _go_on(
    model: Model,
    config: TrainConfig,
    params: Any,
    key: jax.Array,
    games: Games,
    kept: Tree | None,
    **options: Any,
) -> tuple[Plan, Tree]:
    """A search that begins with the tree `kept`, which has room for twice the simulations of a full search."""
    return plan_tree(
        config.search,
        model,
        params,
        key,
        model.root(params, games.states),
        ~games.states.legal_action_mask,
        tree=kept,
        num_nodes=2 * config.search.num_simulations + 1,
        **options,
    )


def _no_tree(model: Model, config: TrainConfig, params: Any, games: Games) -> Tree:
    """Empty trees [B, N, ...]: weights have changed since the last search of these games."""
    options = {"num_simulations": config.search.num_simulations, "explore": True}
    shapes = jax.eval_shape(
        lambda: _go_on(model, config, params, jax.random.key(0), games, None, **options)[1]
    )
    tree = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return subtree(tree, jnp.full_like(games.ply, -1))


def _maybe_resign(config: TrainConfig, games: Games, value: jax.Array, after: Any) -> tuple[Games, Any]:
    """The games with who `gave_up`, and the states after the ply: lost by a mover who resigns instead.

    A share of the games is played on, to see how often the player who gave up would not have lost (AlphaGo Zero,
    Silver et al. 2017, methods).
    """
    hopeless = value < config.resign_below
    first = hopeless & (games.gave_up < 0)
    games = games._replace(gave_up=jnp.where(first, games.states.current_player, games.gave_up))
    resigned = hopeless & ~games.never_resigns
    return games, jax.vmap(forfeit)(games.states, resigned, after)


def _maybe_random(
    env: Env, config: TrainConfig, key: jax.Array, games: Games, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(explored bool[B], action [B, ...]): openings and some plies take a uniformly random legal action."""
    choice_key, action_key = jax.random.split(key)
    explored = games.ply < games.opening
    explored |= jax.random.bernoulli(choice_key, config.random_move_fraction, explored.shape)
    return explored, where_rows(explored, random_actions_in(env, games.states, action_key), action)


def _measure(config: TrainConfig, transition: Transition, found: Plan, games: Games) -> dict[str, jax.Array]:
    """Sums over the batch, to be divided by counts at the end; `games` after the ply."""
    log_prior = jnp.log(jnp.maximum(found.prior, 1e-12))
    log_policy = jnp.log(jnp.maximum(found.policy, 1e-12))
    sums = {
        "games": transition.ended,
        "game_plies": jnp.where(transition.ended, games.ply, 0),
        "first_player_return": jnp.where(transition.ended, games.earned, 0.0),
        "policy_entropy": -found.policy * log_policy,
        "policy_kl_to_prior": found.policy * (log_policy - log_prior),
        "evaluations": found.evaluations,
    }
    if config.resign_below > -1:
        own_return = jnp.where(games.gave_up == 0, games.earned, -games.earned)
        checked = transition.ended & ~transition.truncated & games.never_resigns & (games.gave_up >= 0)
        sums |= {
            "resigned": transition.ended & ~games.never_resigns & (games.gave_up >= 0),
            "resign_checks": checked,
            "resign_errors": checked & (own_return >= 0),
        }
    return jax.tree.map(lambda x: jnp.sum(x, dtype=jnp.float32), sums)
