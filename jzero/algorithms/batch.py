"""Batches for a learned model: draw positions, search some of them again (reanalyse), make their targets.

Source of reanalyse: MuZero Reanalyse (Schrittwieser et al. 2020, appendix H; 2021).
Axes: S samples, K unrolled steps, H states an observation looks back on, L successive plies, A actions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jzero.algorithms.augment import draw_images, image_of_action, image_of_observation, image_of_policy
from jzero.algorithms.muzero import Batch, Roots
from jzero.algorithms.targets import merge_axes, n_step_returns, unroll_targets
from jzero.config import MuZeroConfig, TrainConfig
from jzero.env import Env, observe_batch
from jzero.models.plan import plan_root
from jzero.models.simulator import LearnedModel, Model
from jzero.replay import Draw, Replay, draw
from jzero.self_play import Transition


def lookahead(config: MuZeroConfig) -> int | None:
    """How many later plies make a ply ready; None where a return goes to the game's end."""
    return config.unroll_steps + config.td_steps if config.td_steps else None


def reanalysed_samples(config: MuZeroConfig, num_samples: int) -> int:
    """How many of a batch's samples are searched again, each with its unrolled steps."""
    return max(1, round(config.reanalyse * num_samples)) if config.reanalyse else 0


def make_batch(
    env: Env,
    config: TrainConfig,
    model: Model,
    learned: LearnedModel,
    averaged: Any,
    replay: Replay,
    key: jax.Array,
    num_samples: int,
) -> tuple[Replay, Batch]:
    """Draws `num_samples` positions.

    Args:
      env: makes observations of what the replay holds.
      config: the settings.
      model: what the search plans with.
      learned: the same model, for values without a search.
      averaged: the averaged weights, the target network of reanalyse and of the bootstrap.
      replay: the ring.
      key: consumed.
      num_samples: S.

    Returns:
      the ring with the reanalysed policies and values written back; the batch.
    """
    muzero, steps = config.muzero, config.muzero.unroll_steps
    draw_key, search_key, action_key, image_key = jax.random.split(key, 4)
    history = getattr(env, "history", 1)
    drawn = draw(replay, draw_key, num_samples, correction=muzero.priority_correction, history=history)
    length = steps + muzero.td_steps + 1
    window = jnp.minimum(drawn.age[:, None] + jnp.arange(length), replay.held - 1)  # [S, L]
    if muzero.reanalyse:
        count = reanalysed_samples(muzero, num_samples)
        searched = window[:count, : steps + 1]
        replay = _reanalyse(
            env, config, model, learned, averaged, replay, searched, drawn.lane[:count], search_key
        )

    plies = _plies_at(replay, window, drawn.lane)
    value = _value_targets(env, config, learned, averaged, replay, plies, window, drawn)
    targets = unroll_targets(plies, value, action_key, steps)
    observation = observations(env, replay, window[:, :1], drawn.lane)
    later: Any = ()
    if muzero.consistency_weight or config.network.chance_codes:
        later = observations(env, replay, window[:, 1 : steps + 1], drawn.lane)
    symmetries = getattr(env, "symmetries", ())
    if config.augment and symmetries:
        image = draw_images(symmetries, image_key, num_samples)
        observation = _images(symmetries, image, observation)
        later = _images(symmetries, image, later)
        targets = targets._replace(
            action=image_of_action(symmetries, image, targets.action, env.num_actions),
            policy=image_of_policy(symmetries, image, targets.policy),
        )
    first = jax.tree.map(lambda x: x[:, 0], (observation, plies))
    return replay, Batch(first[0], later, targets, drawn, _roots(config, replay, first[1], drawn))


def observations(env: Env, replay: Replay, age: jax.Array, lane: jax.Array) -> Any:
    """Observations [S, L, ...] of the plies with ages i32[S, L] in the lanes i32[S].

    Where observations look back, the states before are read too, but none from before the start of the game.
    """
    history = getattr(env, "history", 1)
    flat, lanes = age.reshape(-1), jnp.repeat(lane, age.shape[1])
    if history == 1 and not hasattr(env, "recall"):
        found = observe_batch(env, _at(replay, flat, lanes, replay.plies.state))
    else:
        back = flat[:, None] - jnp.arange(history - 1, -1, -1)  # [S * L, H], the ply itself last
        ended = _at(replay, back, lanes[:, None], replay.plies.ended) | (back < 0)
        # How many of the plies just before it belong to the same game: up to the last end among them.
        inside = jnp.cumprod(~ended[:, :-1][:, ::-1], axis=1)
        back = jnp.maximum(back, (flat - jnp.sum(inside, axis=1))[:, None])
        records = _at(replay, back, lanes[:, None], replay.plies.state)
        found = jax.vmap(env.recall)(records)  # pyrefly: ignore
    return jax.tree.map(lambda x: x.reshape(*age.shape, *x.shape[1:]), found)


def _reanalyse(
    env: Env,
    config: TrainConfig,
    model: Model,
    learned: LearnedModel,
    averaged: Any,
    replay: Replay,
    age: jax.Array,
    lane: jax.Array,
    key: jax.Array,
) -> Replay:
    """Searches the plies with ages i32[S, L] again and writes their policies and values into the ring.

    With continuous actions a policy is over candidates drawn anew, which replace those on record.
    """
    flat, lanes = age.reshape(-1), jnp.repeat(lane, age.shape[1])
    legal = _at(replay, flat, lanes, replay.plies.state.legal_action_mask)
    observation = merge_axes(observations(env, replay, age, lane))
    found = plan_root(
        config.search,
        model,
        averaged,
        key,
        learned.root(averaged, observation, legal),
        ~legal,
        num_simulations=config.search.num_simulations,
        explore=True,
    )
    rows, plies = replay.rows(flat), replay.plies
    # A ply may have been drawn twice: all that is written of it must come from one search.
    same = (flat[:, None] == flat) & (lanes[:, None] == lanes)
    last = jnp.max(jnp.where(same, jnp.arange(flat.size), 0), axis=1)
    found = jax.tree.map(lambda x: x[last], found)
    return replay._replace(
        plies=plies._replace(
            policy=plies.policy.at[rows, lanes].set(found.policy),
            policy_weight=plies.policy_weight.at[rows, lanes].set(1.0),
            value=plies.value.at[rows, lanes].set(found.value),
            candidates=jax.tree.map(
                lambda ring, new: ring.at[rows, lanes].set(new), plies.candidates, found.candidates
            ),
        )
    )


def _value_targets(
    env: Env,
    config: TrainConfig,
    learned: LearnedModel,
    averaged: Any,
    replay: Replay,
    plies: Transition,
    window: jax.Array,
    drawn: Draw,
) -> jax.Array:
    """f32[S, K + 1]: the targets of the ring, or n-step returns made anew."""
    muzero, steps = config.muzero, config.muzero.unroll_steps
    if not muzero.td_steps:
        return _at(replay, window[:, : steps + 1], drawn.lane[:, None], replay.targets)
    value = plies.value
    if muzero.bootstrap == "network":
        # Where all returns have the same length, only the last K + 1 plies of a window are looked at.
        asked = window if muzero.td_age else window[:, muzero.td_steps :]
        seen = merge_axes(observations(env, replay, asked, drawn.lane))
        found = learned.evaluate(averaged, learned.represent(averaged, seen))[1].reshape(asked.shape)
        value = jnp.concatenate([value[:, : -asked.shape[1]], found], axis=1)
    # Lanes advance together, so a ply is as old, in positions, as what all lanes have played since.
    old = (replay.held - drawn.age) * config.games
    num_steps = jnp.full_like(drawn.age, muzero.td_steps)
    if muzero.td_age:
        num_steps = jnp.clip(muzero.td_steps - old // muzero.td_age, 1, muzero.td_steps)
    found = n_step_returns(plies, value, num_steps, unroll_steps=steps, max_steps=muzero.td_steps)
    if muzero.search_value_age:
        found = jnp.where((old > muzero.search_value_age)[:, None], plies.value[:, : steps + 1], found)
    return found


def _roots(config: TrainConfig, replay: Replay, plies: Transition, drawn: Draw) -> Roots | tuple:
    """Values and returns of the plies [S]; () where the ring's targets are mixed with values on the way.

    A random opening is not known: the targets of its plies end where they begin.
    """
    if config.td_lambda < 1 or (config.random_move_fraction and config.cut_at_random_moves):
        return ()
    outcome = _at(replay, drawn.age, drawn.lane, replay.targets)
    known = (drawn.age < replay.finished[drawn.lane]) & ~plies.explored
    return Roots(plies.value, outcome, known)


def _plies_at(replay: Replay, age: jax.Array, lane: jax.Array) -> Transition:
    """The plies [S, L] without their states."""
    return _at(replay, age, lane[:, None], replay.plies._replace(state=()))


def _at(replay: Replay, age: jax.Array, lane: jax.Array, part: Any) -> Any:
    rows = replay.rows(jnp.maximum(age, 0))
    return jax.tree.map(lambda x: x[rows, lane], part)


def _images(symmetries: tuple, image: jax.Array, observation: Any) -> Any:
    """The images of observations [S, L, ...]: each sample's are all by its symmetry."""
    leaves = jax.tree.leaves(observation)
    if not leaves:
        return observation
    length = leaves[0].shape[1]
    found = image_of_observation(symmetries, jnp.repeat(image, length), merge_axes(observation))
    return jax.tree.map(lambda x: x.reshape(-1, length, *x.shape[1:]), found)
