"""Diagnostics of a learned model: metrics in addition to its losses.

Axes: S samples, K unrolled steps, M chance codes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jzero.algorithms.chance_codes import Codes, afterstate_values, codes_in_use
from jzero.algorithms.losses import policy_std
from jzero.algorithms.targets import Targets, prefix_sums
from jzero.algorithms.unrolled import Roots, Unrolled
from jzero.metrics import Metrics, mean, one
from jzero.models.learned import LearnedModel


def reward_targets(learned: LearnedModel, targets: Targets) -> jax.Array:
    """f32[S, K]: rewards, or their sums if the model predicts value prefixes."""
    if learned.network.prefix is None:
        return targets.reward
    return prefix_sums(targets.reward, learned.prefix_horizon)


def of_steps(
    learned: LearnedModel, found: Unrolled, targets: Targets, policy_loss: jax.Array, present: jax.Array
) -> Metrics:
    """Prediction errors at every unrolled step, and the spread of the policies and of the latent states.

    Errors are mean absolute errors, on the scale of values and rewards.
    """
    value_error = jnp.abs(learned.value.decode(found.value) - targets.value)
    reward_error = jnp.abs(learned.reward.decode(found.reward) - reward_targets(learned, targets))
    known = targets.known.astype(jnp.float32) * present[:, None]
    metrics = {}
    for step in range(targets.value.shape[1]):
        metrics[f"value_error_{step}"] = mean(value_error[:, step], known[:, step])
        metrics[f"policy_kl_{step}"] = mean(policy_loss[:, step], targets.policy_weight[:, step] * present)
        if step:
            metrics[f"reward_error_{step}"] = mean(reward_error[:, step - 1], known[:, step - 1])
    flat = found.latent.reshape(*found.latent.shape[:2], -1)
    outside = learned.value.outside(targets.value), learned.reward.outside(reward_targets(learned, targets))
    return metrics | {
        # Over the samples, so that a policy or a representation that says the same of all shows as 0.
        "policy_std": one(policy_std(found.policy[:, 0])),
        "latent_std": one(jnp.mean(jnp.std(flat[0], axis=0))),
        "latent_std_unrolled": one(jnp.mean(jnp.std(flat[-1], axis=0))),
        "value_clipped_share": mean(outside[0].astype(jnp.float32), known),
        "reward_clipped_share": mean(outside[1].astype(jnp.float32), known[:, :-1]),
        "value_target": mean(targets.value[:, 0], known[:, 0]),
        "value_prediction": mean(learned.value.decode(found.value[:, 0]), known[:, 0]),
    }


def of_roots(roots: Roots | tuple[()], present: jax.Array) -> Metrics:
    """Root values and returns of the samples whose games have ended; empty if the replay has no returns."""
    if not isinstance(roots, Roots):
        return {}
    known = roots.known.astype(jnp.float32)
    return {
        "root_value": mean(roots.value, known * present),
        "root_return": mean(roots.outcome, known * present),
    }


def of_chance(
    learned: LearnedModel,
    codes: Codes,
    chance: jax.Array,
    afterstate_value: jax.Array,
    targets: Targets,
    present: jax.Array,
) -> Metrics:
    """Diagnostics of chance: effective number of codes, the model's uncertainty about the next one, Q-values."""
    known = targets.known[:, 1:].astype(jnp.float32) * present[:, None]
    log_chance = jax.nn.log_softmax(chance)
    error = jnp.abs(learned.value.decode(afterstate_value) - afterstate_values(learned, targets))
    return {
        "codes_in_use": one(codes_in_use(codes, known)),
        "chance_entropy": mean(-jnp.sum(jnp.exp(log_chance) * log_chance, axis=-1), known),
        "afterstate_value_error": mean(error, known),
    }
