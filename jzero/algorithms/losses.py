"""Losses and metrics that algorithms share. Axes: S samples, A actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def policy_divergence(policy: jax.Array, logits: jax.Array) -> jax.Array:
    """KL divergence f32[...] in nats of the target `policy` [..., A] from the policy of the `logits` [..., A]."""
    log_target = jnp.log(jnp.maximum(policy, jnp.finfo(jnp.float32).tiny))
    # 0 * -inf would be NaN where an action is illegal.
    terms = jnp.where(policy > 0, policy * (log_target - jax.nn.log_softmax(logits, axis=-1)), 0.0)
    return jnp.sum(terms, axis=-1)


def policy_std(outputs: jax.Array) -> jax.Array:
    """Spread f32[] of a network's policy outputs [S, A] over the samples; 0 if the policy is always the same.

    The sum over actions of the standard deviation of their softmax: finite also where a network masks actions with
    -inf, and of the same size however many actions there are.
    """
    return jnp.sum(jnp.std(jax.nn.softmax(outputs.astype(jnp.float32), axis=-1), axis=0))


def cross_entropy(target: jax.Array, logits: jax.Array) -> jax.Array:
    """f32[...] of distributions [..., atoms]."""
    return -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)
