"""MuZero, with the parts of EfficientZero and Stochastic MuZero, each enabled by a setting.

Sources: MuZero (Schrittwieser et al. 2020), appendix G; EfficientZero (Ye et al. 2021), sections 4.1 and 4.2;
continuous actions: Sampled MuZero (Hubert et al. 2021); chance: `chance_codes.py`. `unrolled.py` makes the batches.
Axes: S samples, K unrolled steps, A actions (continuous: candidates), D dimensions of a continuous action, M chance
codes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jzero.algorithms import diagnostics
from jzero.algorithms.algorithm import Algorithm, nothing_to_remember
from jzero.algorithms.augment import is_picture, shift_and_dim
from jzero.algorithms.chance_codes import chance_losses, code_information, encode, straight_through
from jzero.algorithms.losses import cross_entropy, policy_divergence
from jzero.algorithms.returns import value_targets
from jzero.algorithms.targets import Targets, merge_axes
from jzero.algorithms.unrolled import (
    Batch,
    LearnedSettings,
    Unrolled,
    make_batch,
    recorder_of,
    searched_again,
)
from jzero.env_spec import EnvSpec
from jzero.metrics import Mean, Metrics, one
from jzero.models.learned import Latent, LearnedModel, learned_model
from jzero.models.plan import make_planner
from jzero.networks import LearnedNetwork, Support, squashed
from jzero.networks.check import check_kind
from jzero.pytrees import Observation, Params
from jzero.replay import Replay, update_priorities


def muzero(spec: EnvSpec, network: LearnedNetwork, settings: LearnedSettings) -> Algorithm:
    """MuZero: plans with a learned model.

    Raises:
      ValueError: the network is not a `LearnedNetwork`, a single value cannot represent the environment's players,
        the settings need the environment itself, or the network lacks a part that they need.
    """
    check_kind(network, LearnedNetwork, "muzero")
    _check(spec, settings)
    options = settings.muzero
    if options.consistency_weight and network.projection is None:
        raise ValueError(
            f"muzero.consistency_weight is {options.consistency_weight:g}, but the network has no projection: give "
            "LearnedNetwork a projection, or use 0"
        )
    learned = make_learned(spec, network, settings)
    model = learned_model(spec, learned)
    planner = make_planner(settings.search, model)

    def batch(
        averaged: Params, replay: Replay, key: jax.Array, num_samples: int, progress: float | jax.Array = 0.0
    ) -> tuple[Replay, Batch]:
        averaged = model.prepare(averaged)
        return make_batch(spec, settings, planner, learned, averaged, replay, key, num_samples, progress)

    def remember(replay: Replay, batch: Batch, priorities: jax.Array) -> Replay:
        return update_priorities(replay, batch.drawn, priorities, options.priority_exponent)

    return Algorithm(
        model=model,
        planner=planner,
        init=lambda key: network.init(key, spec.observed(key)),
        record=recorder_of(spec).pack,
        targets=partial(value_targets, td_lambda=settings.td_lambda),
        batch=batch,
        loss=partial(muzero_loss, learned, settings),
        update_priorities=remember if options.priority_exponent else nothing_to_remember,
        prioritised=options.priority_exponent > 0,
        lookahead=options.unroll_steps + options.td_steps if options.td_steps else None,
        unroll_steps=options.unroll_steps,
        searched_again=partial(searched_again, options),
    )


def make_learned(spec: EnvSpec, network: LearnedNetwork, settings: LearnedSettings) -> LearnedModel:
    """The learned model for the settings.

    Raises:
      ValueError: a single value cannot represent the environment's players.
    """
    instead = "use algorithm 'alphazero'"
    if not spec.searchable:
        instead = (
            f"give {spec.name!r} resample(state, key), since it has hidden information, and use algorithm "
            "'alphazero'"
        )
    if spec.values_by_seat:
        raise ValueError(
            "a learned model has one value, for one player or for two whose rewards sum to 0, but each of the "
            f"{spec.num_players} players of {spec.name!r} needs its own; {instead}"
        )
    if not spec.one_value_serves:
        raise ValueError(
            f"a learned model needs two players who alternate, but in {spec.name!r} one may move twice in a row; "
            f"{instead}"
        )
    options = settings.muzero
    return LearnedModel(
        network=network,
        value=Support(options.value_limit, options.atoms),
        reward=Support(options.reward_limit, options.atoms),
        prefix_horizon=options.prefix_horizon,
        discount=-settings.discount if spec.num_players == 2 else settings.discount,
        sampled_actions=settings.search.sampled_actions if spec.action_size else 0,
    )


def _check(spec: EnvSpec, settings: LearnedSettings) -> None:
    """Raises ValueError for settings that need the environment itself."""
    simulator_only = {
        "search.worlds": settings.search.worlds > 1,
        "search.reuse": settings.search.reuse,
        "resign_below": settings.resign_below > -1,
    }
    if needing := [name for name, is_set in simulator_only.items() if is_set]:
        raise ValueError(
            f"{' and '.join(needing)} is set, which needs the environment itself: use algorithm 'alphazero'"
        )
    if settings.td_lookahead:
        raise ValueError(
            f"td_lookahead is {settings.td_lookahead}; it is for AlphaZero: with a learned model use "
            "--muzero.td-steps, the number of steps of a return"
        )


def unroll(
    learned: LearnedModel, params: Params, observation: Observation, action: jax.Array, code: Any = ()
) -> Unrolled:
    """Represents observations [S, ...] and unrolls actions i32[S, K] or f32[S, K, D], and codes f32[S, K, M].

    The gradient that enters a latent state from the next step is halved; that of the state's own heads is not.
    """
    root = learned.represent(params, observation)

    def one_step(latent: Latent, taken: tuple) -> tuple[Latent, tuple]:
        action, code = taken
        latent, decided = latent._replace(state=_halve_gradient(latent.state)), ()
        if learned.network.afterstate is not None:
            latent = learned.decide(params, latent, action)
            action, decided = code, latent.state
        after, reward = learned.step(params, latent, action)
        return after, (after.state, decided, reward)

    def by_sample(x: jax.Array) -> jax.Array:
        return jnp.swapaxes(x.reshape(-1, num_samples, x.shape[-1]), 0, 1)

    num_samples, steps = action.shape[:2]
    taken = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (action, code))
    _, (states, decided, reward) = jax.lax.scan(one_step, root, taken, unroll=steps)
    latent = jnp.concatenate([root.state[None], states])
    # All steps are predicted in one call: small kernels cost as much as large ones.
    policy, value = learned.predict(params, Latent(merge_axes(latent)))
    chance = ()
    if learned.network.afterstate is not None:
        chance = tuple(map(by_sample, learned.chance(params, Latent(merge_axes(decided)))))
    return Unrolled(by_sample(policy), by_sample(value), jnp.swapaxes(reward, 0, 1), latent, *chance)


def muzero_loss(
    learned: LearnedModel, settings: LearnedSettings, params: Params, batch: Batch, key: jax.Array
) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
    """Cross-entropies of policy, value and reward over K + 1 steps, EfficientZero's consistency, chance.

    Each unrolled step has 1 / K of the root's weight. A sample's weight multiplies its loss before any mean.

    Args:
      learned: the model.
      settings: weights of the losses.
      params: parameters of the model's network.
      batch: the samples and their targets.
      key: for the augmentation of pictures.

    Returns:
      the loss; metrics (scalars); priorities of the samples f32[S], |value - target| of the root.
    """
    muzero, targets = settings.muzero, batch.targets
    observation, later = batch.observation, batch.later
    codes = None
    if learned.network.afterstate is not None:
        codes = encode(learned, params, observation, later, targets.alive)
    if settings.augment and is_picture(observation):
        key, root_key = jax.random.split(key)
        observation = shift_and_dim(root_key, observation)
    code = () if codes is None else straight_through(codes)
    found = unroll(learned, params, observation, targets.action, code)
    losses = step_losses(learned, found, targets)
    if codes is not None:
        losses |= chance_losses(learned, codes, found.chance, found.afterstate_value, targets)
    if muzero.consistency_weight:
        losses["consistency_loss"] = _consistency(
            learned, settings, params, found.latent, later, targets, key
        )

    weight, steps = batch.drawn.weight, targets.action.shape[1]
    metrics = {name: _mean_sample(loss, weight, steps) for name, loss in losses.items()}
    parts = {name: part.value for name, part in metrics.items()}
    total = parts["policy_loss"] + settings.value_weight * parts["value_loss"]
    total += muzero.reward_weight * parts["reward_loss"]
    total += muzero.consistency_weight * parts.get("consistency_loss", 0.0)
    total -= muzero.entropy_weight * parts.get("action_entropy", 0.0)
    total += parts.get("chance_loss", 0.0) + muzero.commitment_weight * parts.get("commitment_loss", 0.0)
    total += settings.value_weight * parts.get("afterstate_value_loss", 0.0)
    present = (weight > 0).astype(jnp.float32)
    if codes is not None:
        information = code_information(codes, targets.known[:, 1:].astype(jnp.float32) * present[:, None])
        total -= muzero.code_information_weight * information
        metrics["code_information"] = one(information)
        metrics |= diagnostics.of_chance(
            learned, codes, found.chance, found.afterstate_value, targets, present
        )
    metrics |= {"loss": one(total)} | diagnostics.of_steps(
        learned, found, targets, losses["policy_loss"], present
    )
    metrics |= diagnostics.of_roots(batch.roots, present)
    priority = jnp.abs(learned.value.decode(found.value[:, 0]) - targets.value[:, 0]) + 1e-6
    return total, (metrics, jax.lax.stop_gradient(priority))


def step_losses(learned: LearnedModel, found: Unrolled, targets: Targets) -> dict[str, jax.Array]:
    """Losses f32[S, K + 1] of each step, 0 at unknown steps; the policy loss is the divergence from the target.

    With continuous actions the policy loss is the cross-entropy - sum_k w_k log pi(a_k) of the candidates a_k and
    the search's weights w_k; it may be negative, since densities may exceed 1. `action_entropy` is then not a loss
    but the bonus of `entropy_weight`.
    """
    prefix = diagnostics.reward_targets(learned, targets)
    reward = cross_entropy(learned.reward.two_hot(prefix), found.reward)
    reward *= targets.known[:, :-1].astype(jnp.float32)
    if learned.sampled_actions:
        log_density = squashed.log_density(found.policy[:, :, None], targets.candidates)
        policy = {
            "policy_loss": -jnp.sum(targets.policy * log_density, axis=-1) * targets.policy_weight,
            "action_entropy": squashed.entropy(found.policy) * targets.policy_weight,
        }
    else:
        policy = {"policy_loss": policy_divergence(targets.policy, found.policy) * targets.policy_weight}
    return policy | {
        "value_loss": cross_entropy(learned.value.two_hot(targets.value), found.value)
        * targets.known.astype(jnp.float32),
        # The reward belongs to the step that it leads to.
        "reward_loss": jnp.concatenate([jnp.zeros_like(reward[:, :1]), reward], axis=1),
    }


def _consistency(
    learned: LearnedModel,
    settings: LearnedSettings,
    params: Params,
    latent: jax.Array,
    later: Observation,
    targets: Targets,
    key: jax.Array,
) -> jax.Array:
    """Negative cosine similarity f32[S, K + 1] of each unrolled state's predicted projection and the observed
    state's.

    No gradient flows through the observed branch (SimSiam, Chen and He 2021); 0 at the root and past the end.
    """
    projection = learned.network.projection
    assert projection is not None
    num_samples, steps = targets.action.shape[:2]
    flat = merge_axes(later)  # [S * K, ...]
    if settings.augment and is_picture(flat):
        flat = shift_and_dim(key, flat)
    observed = projection.project(params, learned.represent(params, flat).state)
    projected = projection.project(params, merge_axes(jnp.swapaxes(latent[1:], 0, 1)))
    predicted = projection.predict(params, projected)
    cosine = jnp.sum(_unit(predicted) * jax.lax.stop_gradient(_unit(observed)), axis=-1)
    loss = -cosine.reshape(num_samples, steps) * targets.alive[:, 1:].astype(jnp.float32)
    return jnp.concatenate([jnp.zeros_like(loss[:, :1]), loss], axis=1)


def _mean_sample(loss: jax.Array, weight: jax.Array, steps: int) -> Mean:
    """The mean over samples of losses f32[S, K + 1]: the root's plus the mean of the other steps."""
    scale = jnp.full(steps + 1, 1.0 / steps, jnp.float32).at[0].set(1.0)
    return Mean(jnp.sum(weight * (loss @ scale)), jnp.sum(weight > 0, dtype=jnp.float32))


def _halve_gradient(x: jax.Array) -> jax.Array:
    return 0.5 * x + 0.5 * jax.lax.stop_gradient(x)


def _unit(x: jax.Array) -> jax.Array:
    """Vectors of length 1."""
    return x / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-10))
