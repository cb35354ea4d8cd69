"""MuZero's loss, with EfficientZero's and Stochastic MuZero's parts.

Sources: MuZero (Schrittwieser et al. 2020), appendix G; EfficientZero (Ye et al. 2021), sections 4.1 and 4.2;
continuous actions: Sampled MuZero (Hubert et al. 2021); chance: `chance_codes.py`.
Axes: S samples, K unrolled steps, A actions (continuous: candidates), D dimensions of a continuous action, M chance
codes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.algorithms.alphazero import policy_divergence, weighted_mean
from jzero.algorithms.augment import is_picture, shift_and_dim
from jzero.algorithms.chance_codes import (
    Codes,
    afterstate_values,
    chance_losses,
    code_information,
    codes_in_use,
    encode,
    straight_through,
)
from jzero.algorithms.targets import Targets, merge_axes, prefix_sums
from jzero.config import TrainConfig
from jzero.models.simulator import Latent, LearnedModel
from jzero.networks import squashed
from jzero.replay import Draw


class Roots(NamedTuple):
    """What the search said of the sampled positions, and what their games then paid."""

    value: jax.Array
    """f32[S] the search's value on record."""
    outcome: jax.Array
    """f32[S] discounted return to the end of the game."""
    known: jax.Array
    """bool[S] the game has ended."""


class Batch(NamedTuple):
    """What one update learns from."""

    observation: Any
    """[S, ...] of the sampled positions."""
    later: Any
    """[S, K, ...] observations of the K next steps; () without consistency and chance codes."""
    targets: Targets
    drawn: Draw
    """Where the samples came from, and their weights."""
    roots: Roots | tuple = ()
    """For the metrics alone; () where the replay does not know returns."""


class Unrolled(NamedTuple):
    """What the model says along the actions that were taken."""

    policy: jax.Array
    """f32[S, K + 1, A] logits, or f32[S, K + 1, 2 D] where actions are continuous."""
    value: jax.Array
    """f32[S, K + 1, atoms] logits."""
    reward: jax.Array
    """f32[S, K, atoms] logits of rewards or value prefixes."""
    latent: jax.Array
    """f32[K + 1, S, ...] latent states."""
    chance: Any = ()
    """f32[S, K, M] logits of the codes that follow each action; () without chance codes."""
    afterstate_value: Any = ()
    """f32[S, K, atoms] logits of the actions' Q-values; () without chance codes."""


def unroll(
    learned: LearnedModel, params: Any, observation: Any, action: jax.Array, code: Any = ()
) -> Unrolled:
    """Represents observations [S, ...] and follows actions i32[S, K] or f32[S, K, D], and codes f32[S, K, M].

    The gradient that enters a latent state from the next step is halved; that of the state's own heads is not.
    """
    root = learned.represent(params, observation)

    def one_step(latent: Latent, taken: tuple) -> tuple[Latent, tuple]:
        action, code = taken
        latent, decided = latent._replace(state=_halve_gradient(latent.state)), ()
        if learned.network.chance_codes:
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
    if learned.network.chance_codes:
        chance = tuple(map(by_sample, learned.chance(params, Latent(merge_axes(decided)))))
    return Unrolled(by_sample(policy), by_sample(value), jnp.swapaxes(reward, 0, 1), latent, *chance)


def muzero_loss(
    learned: LearnedModel, config: TrainConfig, params: Any, batch: Batch, key: jax.Array
) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array]]:
    """Cross-entropies of policy, value and reward over K + 1 steps, EfficientZero's consistency, chance.

    Each unrolled step weighs 1 / K of the root. The weights of the samples multiply each sample's loss, before any
    mean.

    Args:
      learned: the model.
      config: the weights of the losses.
      params: of the model's network.
      batch: what to learn from.
      key: draws the pictures' augmentation.

    Returns:
      the loss; metrics (scalars) and the samples' priorities f32[S], |value - target| of the root.
    """
    muzero, targets = config.muzero, batch.targets
    observation, later = batch.observation, batch.later
    codes = None
    if learned.network.chance_codes:
        codes = encode(learned, params, observation, later, targets.alive)
    if config.augment and is_picture(observation):
        key, root_key = jax.random.split(key)
        observation = shift_and_dim(root_key, observation)
    code = () if codes is None else straight_through(codes)
    found = unroll(learned, params, observation, targets.action, code)
    losses = step_losses(learned, found, targets)
    if codes is not None:
        losses |= chance_losses(learned, codes, found.chance, found.afterstate_value, targets)
    if muzero.consistency_weight:
        losses["consistency_loss"] = _consistency(learned, config, params, found.latent, later, targets, key)

    weight, steps = batch.drawn.weight, targets.action.shape[1]
    parts = {name: _mean_sample(loss, weight, steps) for name, loss in losses.items()}
    total = parts["policy_loss"] + config.value_weight * parts["value_loss"]
    total += muzero.reward_weight * parts["reward_loss"]
    total += muzero.consistency_weight * parts.get("consistency_loss", 0.0)
    total -= muzero.entropy_weight * parts.get("action_entropy", 0.0)
    total += parts.get("chance_loss", 0.0) + muzero.commitment_weight * parts.get("commitment_loss", 0.0)
    total += config.value_weight * parts.get("afterstate_value_loss", 0.0)
    priority = jnp.abs(learned.value.decode(found.value[:, 0]) - targets.value[:, 0]) + 1e-6
    present = (weight > 0).astype(jnp.float32)
    if codes is not None:
        information = code_information(codes, targets.known[:, 1:] * present[:, None])
        total -= muzero.code_information_weight * information
        parts["code_information"] = information
    metrics = {"loss": total} | parts | _diagnostics(learned, found, targets, losses["policy_loss"], present)
    if isinstance(batch.roots, Roots):
        metrics |= _root_sums(batch.roots, present)
    if codes is not None:
        metrics |= _chance_diagnostics(learned, found, codes, targets, present)
    return total, (metrics, jax.lax.stop_gradient(priority))


def step_losses(learned: LearnedModel, found: Unrolled, targets: Targets) -> dict[str, jax.Array]:
    """Losses f32[S, K + 1] of each step, 0 where nothing is known; a policy's is its divergence from the target.

    With continuous actions it is the cross-entropy - sum_k w_k log pi(a_k) of the candidates a_k and the search's
    weights w_k, which may be negative, as densities may be above 1; `action_entropy` is then no loss but what
    `entropy_weight` rewards.
    """
    prefix = _reward_targets(learned, targets)
    reward = _cross_entropy(learned.reward.two_hot(prefix), found.reward) * targets.known[:, :-1]
    if learned.sampled_actions:
        log_density = squashed.log_density(found.policy[:, :, None], targets.candidates)
        policy = {
            "policy_loss": -jnp.sum(targets.policy * log_density, axis=-1) * targets.policy_weight,
            "action_entropy": squashed.entropy(found.policy) * targets.policy_weight,
        }
    else:
        policy = {"policy_loss": policy_divergence(targets.policy, found.policy) * targets.policy_weight}
    return policy | {
        "value_loss": _cross_entropy(learned.value.two_hot(targets.value), found.value) * targets.known,
        # The reward belongs to the step that it leads to.
        "reward_loss": jnp.concatenate([jnp.zeros_like(reward[:, :1]), reward], axis=1),
    }


def _reward_targets(learned: LearnedModel, targets: Targets) -> jax.Array:
    """f32[S, K]: rewards, or sums of them where the model predicts value prefixes."""
    if not learned.network.prefix_width:
        return targets.reward
    return prefix_sums(targets.reward, learned.prefix_horizon)


def _consistency(
    learned: LearnedModel,
    config: TrainConfig,
    params: Any,
    latent: jax.Array,
    later: Any,
    targets: Targets,
    key: jax.Array,
) -> jax.Array:
    """-cos f32[S, K + 1] of the angle between each unrolled state's predicted projection and the observed state's.

    No gradient flows through the observed branch (SimSiam, Chen and He 2021); 0 at the root and past the end.
    """
    num_samples, steps = targets.action.shape[:2]
    flat = merge_axes(later)  # [S * K, ...]
    if config.augment and is_picture(flat):
        flat = shift_and_dim(key, flat)
    observed = learned.call(params, learned.represent(params, flat).state, method="project")
    projected = learned.call(params, merge_axes(jnp.swapaxes(latent[1:], 0, 1)), method="project")
    predicted = learned.call(params, projected, method="predict_projection")
    cosine = jnp.sum(_unit(predicted) * jax.lax.stop_gradient(_unit(observed)), axis=-1)
    loss = -cosine.reshape(num_samples, steps) * targets.alive[:, 1:]
    return jnp.concatenate([jnp.zeros_like(loss[:, :1]), loss], axis=1)


def _mean_sample(loss: jax.Array, weight: jax.Array, steps: int) -> jax.Array:
    """The mean sample's loss, from losses f32[S, K + 1] of the steps: the root's and the mean of the others."""
    scale = jnp.full(steps + 1, 1.0 / steps).at[0].set(1.0)
    present = jnp.maximum(jnp.sum(weight > 0), 1)
    return jnp.sum(weight * (loss @ scale)) / present


def _diagnostics(
    learned: LearnedModel, found: Unrolled, targets: Targets, policy_loss: jax.Array, present: jax.Array
) -> dict[str, jax.Array]:
    """Whether the model learns: prediction against target at every unrolled step, spread of the latent states.

    The errors are mean absolute ones, on the scale of values and rewards.
    """
    value_error = jnp.abs(learned.value.decode(found.value) - targets.value)
    reward_error = jnp.abs(learned.reward.decode(found.reward) - _reward_targets(learned, targets))
    known = targets.known * present[:, None]
    metrics = {}
    for step in range(targets.value.shape[1]):
        metrics[f"value_error_{step}"] = weighted_mean(value_error[:, step], known[:, step])
        metrics[f"policy_kl_{step}"] = weighted_mean(
            policy_loss[:, step], targets.policy_weight[:, step] * present
        )
        if step:
            metrics[f"reward_error_{step}"] = weighted_mean(reward_error[:, step - 1], known[:, step - 1])
    flat = found.latent.reshape(*found.latent.shape[:2], -1)
    outside = learned.value.outside(targets.value), learned.reward.outside(_reward_targets(learned, targets))
    return metrics | {
        # Over the samples, so that a representation that says the same of all shows as 0.
        "latent_std": jnp.mean(jnp.std(flat[0], axis=0)),
        "latent_std_unrolled": jnp.mean(jnp.std(flat[-1], axis=0)),
        "value_clipped_share": weighted_mean(outside[0].astype(jnp.float32), known),
        "reward_clipped_share": weighted_mean(outside[1].astype(jnp.float32), known[:, :-1]),
        "value_target": weighted_mean(targets.value[:, 0], known[:, 0]),
        "value_prediction": weighted_mean(learned.value.decode(found.value[:, 0]), known[:, 0]),
    }


def _root_sums(roots: Roots, present: jax.Array) -> dict[str, jax.Array]:
    """The share of samples whose games have ended, and means that count the others as 0."""
    known = roots.known.astype(jnp.float32)
    return {
        "root_known_share": weighted_mean(known, present),
        "root_value": weighted_mean(roots.value * known, present),
        "root_return": weighted_mean(roots.outcome * known, present),
    }


def known_roots(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics (means over updates and devices) with `root_value` and `root_return` of the known positions alone."""
    if "root_known_share" not in metrics:
        return metrics
    share = metrics["root_known_share"]
    roots = {name: metrics[name] / share for name in ("root_value", "root_return") if share}
    return {name: value for name, value in metrics.items() if not name.startswith("root_")} | roots


def _chance_diagnostics(
    learned: LearnedModel, found: Unrolled, codes: Codes, targets: Targets, present: jax.Array
) -> dict[str, jax.Array]:
    """Whether chance is learned: how many codes there are, how unsure the model is of the next, Q-values."""
    known = targets.known[:, 1:] * present[:, None]
    log_chance = jax.nn.log_softmax(found.chance)
    error = jnp.abs(learned.value.decode(found.afterstate_value) - afterstate_values(learned, targets))
    return {
        "codes_in_use": codes_in_use(codes, known),
        "chance_entropy": weighted_mean(-jnp.sum(jnp.exp(log_chance) * log_chance, axis=-1), known),
        "afterstate_value_error": weighted_mean(error, known),
    }


def _cross_entropy(target: jax.Array, logits: jax.Array) -> jax.Array:
    """f32[...] of distributions [..., atoms]."""
    return -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)


def _halve_gradient(x: jax.Array) -> jax.Array:
    return 0.5 * x + 0.5 * jax.lax.stop_gradient(x)


def _unit(x: jax.Array) -> jax.Array:
    """Vectors of length 1."""
    return x / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-10))
