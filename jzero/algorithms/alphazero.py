"""AlphaZero's loss (Silver et al. 2017), with symmetric augmentation.

Axes: S samples, A actions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jzero.algorithms.augment import draw_images, image_of_observation, image_of_policy
from jzero.env import Env, reveal_batch
from jzero.models.simulator import Apply, from_mover, mask_logits
from jzero.networks.supports import to_unit
from jzero.replay import Sample


def alphazero_loss(
    env: Env,
    apply: Apply,
    params: Any,
    batch: Sample,
    key: jax.Array,
    *,
    value_weight: float,
    augment: bool,
    value_limit: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross-entropy of the policy plus `value_weight` times the squared error of the value (the players' mean).

    Args:
      env: gives observations and symmetries.
      apply: the network.
      params: its parameters.
      batch: positions [S].
      key: draws the symmetries.
      value_weight: weight of the value loss.
      augment: replace each position by a random symmetric image (the identity included).
      value_limit: of the network; errors of values are those of `supports.to_unit`.

    Returns:
      the loss; its parts: `loss`, `policy_loss` (nats above the target's entropy: the KL divergence),
      `value_loss`.
    """
    observation = reveal_batch(env, batch.state)
    policy, legal = batch.policy, batch.state.legal_action_mask
    symmetries = getattr(env, "symmetries", ())
    if augment and symmetries:
        image = draw_images(symmetries, key, policy.shape[0])
        observation = image_of_observation(symmetries, image, observation)
        policy, legal = (image_of_policy(symmetries, image, x) for x in (policy, legal))
    logits, value = apply(params, observation)
    divergence = policy_divergence(policy, mask_logits(logits, legal))
    policy_loss = weighted_mean(divergence, batch.weight * batch.policy_weight)
    target = batch.value if value.ndim == 1 else from_mover(batch.value, batch.state.current_player)
    error = jnp.square(to_unit(value, value_limit) - to_unit(target, value_limit))
    value_loss = weighted_mean(jnp.mean(error.reshape(*batch.weight.shape, -1), axis=-1), batch.weight)
    loss = policy_loss + value_weight * value_loss
    return loss, {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss}


def policy_divergence(policy: jax.Array, logits: jax.Array) -> jax.Array:
    """KL divergence f32[...] in nats of the target `policy` [..., A] from the policy of the `logits` [..., A]."""
    log_target = jnp.log(jnp.maximum(policy, jnp.finfo(jnp.float32).tiny))
    # 0 * -inf would be NaN where an action is illegal.
    terms = jnp.where(policy > 0, policy * (log_target - jax.nn.log_softmax(logits, axis=-1)), 0.0)
    return jnp.sum(terms, axis=-1)


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean of `values` [S] under `weights` [S]; 0 if all weights are 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)
