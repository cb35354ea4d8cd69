"""AlphaZero's loss (Silver et al. 2017), with symmetric augmentation.

Axes: S samples, A actions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, observe_batch
from jzero.models import Apply, mask_logits
from jzero.replay import Sample


def alphazero_loss(
    env: Env, apply: Apply, params: Any, batch: Sample, key: jax.Array, *, value_weight: float, augment: bool
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross-entropy of the policy plus `value_weight` times the squared error of the value.

    Args:
      env: gives observations and symmetries.
      apply: the network.
      params: its parameters.
      batch: positions [S].
      key: draws the symmetries.
      value_weight: weight of the value loss.
      augment: replace each position by a random symmetric image (the identity included).

    Returns:
      the loss; its parts: `loss`, `policy_loss` (nats above the target's entropy: the KL divergence),
      `value_loss`.
    """
    observation = observe_batch(env, batch.state)
    policy, legal = batch.policy, batch.state.legal_action_mask
    symmetries = getattr(env, "symmetries", ())
    if augment and symmetries:
        observation, policy, legal = random_image(symmetries, key, observation, policy, legal)
    logits, value = apply(params, observation)
    log_prior = jax.nn.log_softmax(mask_logits(logits, legal), axis=-1)
    log_target = jnp.log(jnp.maximum(policy, jnp.finfo(jnp.float32).tiny))
    # 0 * -inf would be NaN where an action is illegal.
    divergence = jnp.sum(jnp.where(policy > 0, policy * (log_target - log_prior), 0.0), axis=-1)

    policy_loss = weighted_mean(divergence, batch.weight * batch.policy_weight)
    value_loss = weighted_mean(jnp.square(value - batch.value), batch.weight)
    loss = policy_loss + value_weight * value_loss
    return loss, {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss}


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean of `values` [S] under `weights` [S]; 0 if all weights are 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)


def random_image(
    symmetries: tuple, key: jax.Array, observation: Any, policy: jax.Array, legal: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """A random symmetric image of each position: observation, policy [S, A] and legal actions [S, A]."""
    num_samples, num_actions = policy.shape
    choice = jax.random.randint(key, (num_samples,), 0, len(symmetries) + 1)
    image = observation
    for index, symmetry in enumerate(symmetries, start=1):
        candidate = jax.vmap(symmetry.observation)(observation)
        image = jax.tree.map(
            lambda new, old, i=index: jnp.where(_column(choice == i, new.ndim), new, old), candidate, image
        )
    # policy'[action[a]] = policy[a], so gather with the inverse permutations.
    inverse = np.stack([np.arange(num_actions), *(np.argsort(np.asarray(s.action)) for s in symmetries)])
    gather = jnp.asarray(inverse)[choice]
    return image, jnp.take_along_axis(policy, gather, 1), jnp.take_along_axis(legal, gather, 1)


def _column(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(mask.shape + (1,) * (ndim - 1))
