"""Self-play: search, act, step, record, reset; one `lax.scan`.

Axes: T plies, B games, A actions, P players, N nodes. The lane of a finished game starts a new one at once. Records
hold the state before each action, and the last action has the final reward, the discount of 0 and `ended`, so the
end of a game is never lost. If every player has a value, values and rewards are [B, P], by seat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import (
    Env,
    forfeit,
    init_batch,
    is_finished,
    random_actions_in,
    restart_batch,
    step_batch,
    where_rows,
)
from jzero.metrics import Mean, Metrics
from jzero.models.model import Model
from jzero.models.plan import Plan, Planner
from jzero.pytrees import Params, PyTree, States
from jzero.record import pack_policy
from jzero.settings import check


@dataclass(frozen=True)
class SelfPlaySettings:
    """Settings of self-play."""

    games: int = 1024
    """Games played side by side, summed over all devices."""
    plies: int = 16
    """Plies that each game advances per iteration."""
    opening_plies: int = 0
    """A new game begins with 0 to this number of random plies, for diverse positions."""
    random_move_fraction: float = 0.0
    """Probability per ply of a uniformly random legal action instead of the search's."""
    cut_at_random_moves: bool = True
    """End value targets at random moves with the search's value. Off: targets continue through random moves, so
    that actions which the search neglects get values too."""
    temperature_plies: int = 0
    """PUCT or worlds: number of first plies with actions sampled from the search's policy; later ones are
    greedy."""
    fast_simulations: int = 0
    """Simulations of a fast search (playout-cap randomisation); 0 is off."""
    full_search_fraction: float = 1.0
    """Share of plies searched with all simulations; only these train the policy."""
    first_simulations: int = 0
    """Simulations of a full search at the start of a run; they grow to `search.num_simulations` over its first
    half. 0 uses all from the start."""
    resign_below: float = -1.0
    """Two players: the mover resigns when the search's value is below this; -1 is off."""
    resign_holdout: float = 0.1
    """Share of games without resignation, which measure how often a resignation would be wrong."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("games", "plies"):
            check(name, getattr(self, name), low=1)
        for name in ("opening_plies", "temperature_plies", "fast_simulations", "first_simulations"):
            check(name, getattr(self, name), low=0)
        for name in ("random_move_fraction", "resign_holdout"):
            check(name, getattr(self, name), low=0, high=1)
        check("resign_below", self.resign_below, low=-1, below=0)
        check("full_search_fraction", self.full_search_fraction, above=0, high=1)
        if self.full_search_fraction < 1:
            check("fast_simulations (with full_search_fraction below 1)", self.fast_simulations, low=1)


class Games(NamedTuple):
    """Games in progress."""

    states: Any
    """[B] unfinished environment states."""
    ply: jax.Array
    """i32[B] plies played in each game."""
    opening: jax.Array
    """i32[B] plies at the start of each game that are random."""
    earned: jax.Array
    """f32[B] return of the first player so far."""
    never_resigns: jax.Array
    """bool[B] whether the game is played to its end without resignation."""
    gave_up: jax.Array
    """i32[B] the first player whose value fell below `resign_below`; -1 if none."""


class Transition(NamedTuple):
    """One ply of every game; the player is the one to move."""

    position: Any
    """[B] output of `record` for the state before the action."""
    action: jax.Array
    """i32[B], or f32[B, D] if continuous: the action taken."""
    policy: Any
    """f32[B, A] the search's policy, packed by `record.pack_policy`; over the candidates if actions are
    continuous."""
    policy_weight: jax.Array
    """f32[B] 1 if the policy is a target, 0 after a fast search."""
    value: jax.Array
    """f32[B] the search's value of the state."""
    qvalue: jax.Array
    """f32[B] the search's Q-value of its chosen action; once searched again, of the action taken."""
    explored: jax.Array
    """bool[B] whether a random action replaced the chosen one and the value target ends here."""
    reward: jax.Array
    """f32[B] reward of the player who moved, or f32[B, P]."""
    discount: jax.Array
    """f32[B] discount of the next state's value: 0 at a terminal state; negative if the mover changes, except with
    values by seat."""
    ended: jax.Array
    """bool[B] whether the game ended with this action."""
    truncated: jax.Array
    """bool[B] whether the game was truncated with this action."""
    candidates: Any = ()
    """f32[B, A, D] the search's candidates if actions are continuous; else ()."""
    surprise: Any = ()
    """f32[B] divergence in nats of the search's policy from the network's, 0 after a fast search; () in a
    replay."""
    outcome: Any = ()
    """[B, ...] features of the state after the action, read if a game ended; () if unused."""


def start_games(env: Env, settings: SelfPlaySettings, key: jax.Array, batch_size: int) -> Games:
    """`batch_size` games at their first ply."""
    init_key, opening_key = jax.random.split(key)
    return _at_first_ply(settings, opening_key, init_batch(env, init_key, batch_size))


def _restart_games(env: Env, settings: SelfPlaySettings, key: jax.Array, finished: States) -> Games:
    """Games at their first ply in the lanes of the `finished` states [B]."""
    restart_key, opening_key = jax.random.split(key)
    return _at_first_ply(settings, opening_key, restart_batch(env, finished, restart_key))


def _at_first_ply(settings: SelfPlaySettings, key: jax.Array, states: States) -> Games:
    batch_size = states.terminated.shape[0]
    opening_key, resign_key = jax.random.split(key)
    return Games(
        states=states,
        ply=jnp.zeros(batch_size, jnp.int32),
        opening=jax.random.randint(opening_key, (batch_size,), 0, settings.opening_plies + 1, jnp.int32),
        earned=jnp.zeros(batch_size, jnp.float32),
        never_resigns=jax.random.bernoulli(resign_key, settings.resign_holdout, (batch_size,)),
        gave_up=jnp.full(batch_size, -1, jnp.int32),
    )


def self_play(
    env: Env,
    model: Model,
    planner: Planner,
    settings: SelfPlaySettings,
    params: Params,
    key: jax.Array,
    games: Games,
    *,
    record: Callable[[States], PyTree],
    outcome: Callable[[States], PyTree] = lambda states: (),
    progress: float | jax.Array = 0.0,
) -> tuple[Games, Transition, Metrics]:
    """Advances every game by `settings.plies` plies.

    With playout-cap randomisation (KataGo) a ply gets a full or a fast search. Kept trees and caches are discarded
    at the end, since the weights change.

    Args:
      env: the game.
      model: the model that the search plans with.
      planner: the search.
      settings: settings of self-play.
      params: the network's weights.
      key: consumed.
      games: the games in progress.
      record: states [B] -> their record, such as an algorithm's `record`.
      outcome: states [B] after an action -> features of the end of a game, such as an algorithm's `outcome`.
      progress: completed share of the run, f32[] in [0, 1].

    Returns:
      the games; the transitions [T, B]; metrics over these plies.
    """
    params = model.prepare(params)
    simulations = _simulations(settings, planner, progress)

    def one_ply(carry: tuple[Games, Any], key: jax.Array) -> tuple[States, States]:
        games, memory = carry
        search_key, random_key, step_key, new_key = jax.random.split(key, 4)
        full_key, search_key = jax.random.split(search_key)
        search = partial(
            planner.plan,
            params,
            search_key,
            model.root(params, games.states),
            ~games.states.legal_action_mask,
            explore=True,
            temperature=(games.ply < settings.temperature_plies).astype(jnp.float32),
            memory=memory,
        )
        if settings.full_search_fraction == 1:
            full, found = jnp.bool_(True), search(**simulations)
        else:
            full = jax.random.bernoulli(full_key, settings.full_search_fraction)
            fast = partial(search, num_simulations=settings.fast_simulations)
            found = jax.lax.cond(full, partial(search, **simulations), fast)
        explored, action = _maybe_random(env, settings, random_key, games, found.action)
        after = step_batch(env, games.states, action, step_key)
        if settings.resign_below > -1:
            games, after = _maybe_resign(settings, games, found.value, after)
        ended = is_finished(after)
        reward, discount = model.edge(games.states, after)
        transition = Transition(
            position=record(games.states),
            action=action,
            policy=pack_policy(found.policy),
            policy_weight=jnp.broadcast_to(full, ended.shape).astype(jnp.float32),
            value=found.value,
            qvalue=found.qvalue,
            explored=explored & settings.cut_at_random_moves,
            reward=reward,
            discount=discount,
            ended=ended,
            truncated=after.truncated & ~after.terminated,
            candidates=found.candidates,
            outcome=outcome(after),
            surprise=jnp.where(full, jnp.sum(_divergence(found), axis=-1), 0.0),
        )
        next_games = games._replace(
            states=after, ply=games.ply + 1, earned=games.earned + after.rewards[:, 0]
        )
        metrics = _measure(settings, transition, found, next_games)
        if env.num_players == 1:
            metrics["reward_per_ply"] = _mean(reward, jnp.ones_like(ended))
        new = _restart_games(env, settings, new_key, after)
        memory = planner.keep(found, action, ended)
        return (where_rows(ended, new, next_games), memory), (transition, metrics)

    root = jax.eval_shape(model.root, params, games.states)
    memory = planner.begin(params, root, ~games.states.legal_action_mask)
    keys = jax.random.split(key, settings.plies)
    (games, _), (transitions, metrics) = jax.lax.scan(one_ply, (games, memory), keys)
    return games, transitions, jax.tree.map(lambda x: jnp.sum(x, axis=0), metrics)


def _simulations(
    settings: SelfPlaySettings, planner: Planner, progress: float | jax.Array
) -> dict[str, int | jax.Array]:
    """Options for the number of simulations of a full search."""
    last = planner.settings.num_simulations
    if not settings.first_simulations:
        return {}
    share = jnp.minimum(2 * jnp.float32(progress), 1.0)
    grown = settings.first_simulations + share * (last - settings.first_simulations)
    return {"num_simulations": jnp.int32(jnp.round(grown)), "max_num_simulations": last}


def _maybe_resign(
    settings: SelfPlaySettings, games: Games, value: jax.Array, after: States
) -> tuple[Games, States]:
    """Updates `gave_up` of the games, and makes the states after the ply lost for a mover who resigns.

    A share of the games continues, to measure how often the player who gave up would not have lost (AlphaGo Zero,
    Silver et al. 2017, methods).
    """
    hopeless = value < settings.resign_below
    first = hopeless & (games.gave_up < 0)
    games = games._replace(gave_up=jnp.where(first, games.states.current_player, games.gave_up))
    resigned = hopeless & ~games.never_resigns
    return games, jax.vmap(forfeit)(games.states, resigned, after)


def _maybe_random(
    env: Env, settings: SelfPlaySettings, key: jax.Array, games: Games, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(explored bool[B], action [B, ...]): openings and some plies take a uniformly random legal action."""
    choice_key, action_key = jax.random.split(key)
    explored = games.ply < games.opening
    explored |= jax.random.bernoulli(choice_key, settings.random_move_fraction, explored.shape)
    return explored, where_rows(explored, random_actions_in(env, games.states, action_key), action)


def _measure(settings: SelfPlaySettings, transition: Transition, found: Plan, games: Games) -> Metrics:
    """Metrics of one ply; `games` are those after it."""
    ended, each = transition.ended, jnp.ones_like(transition.ended)
    parts = {
        "games_finished_share": (ended, each),
        "game_length": (jnp.where(ended, games.ply, 0), ended),
        "first_player_return": (jnp.where(ended, games.earned, 0.0), ended),
        "policy_entropy": (-found.policy * _log(found.policy), each),
        "policy_kl_to_prior": (_divergence(found), each),
        "evaluations_per_position": (found.evaluations, each),
    }
    if settings.resign_below > -1:
        own_return = jnp.where(games.gave_up == 0, games.earned, -games.earned)
        checked = ended & ~transition.truncated & games.never_resigns & (games.gave_up >= 0)
        parts |= {
            "resigned_share": (ended & ~games.never_resigns & (games.gave_up >= 0), ended),
            "resign_error_share": (checked & (own_return >= 0), checked),
        }
    return {name: _mean(*part) for name, part in parts.items()}


def _mean(total: jax.Array, weight: jax.Array) -> Mean:
    return Mean(*(jnp.sum(x, dtype=jnp.float32) for x in (total, weight)))


def _divergence(found: Plan) -> jax.Array:
    """f32[B, A]: terms whose sum over actions is the divergence of the search's policy from the network's."""
    return found.policy * (_log(found.policy) - _log(found.prior))


def _log(share: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(share, 1e-12))
