"""Policies over continuous actions: a Gaussian with independent dimensions, squashed by tanh into (-1, 1).

A network outputs 2 D numbers per row, D for the means and D for the standard deviations. Its initial outputs of 0
mean a mean of 0 and a standard deviation of 1 before squashing: nearly uniform. Both are bounded (as in
EfficientZero V2, Wang et al. 2024), so that no policy is too narrow to sample different candidates. The density is
that of Soft Actor-Critic (Haarnoja et al. 2018, appendix C). Axes: D dimensions of an action, K actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

MEAN_LIMIT = 5.0
"""Largest absolute mean before squashing: tanh(5) is 0.9999."""
MIN_STD, MAX_STD = 0.1, 1.9
"""Bounds of the standard deviation before squashing."""
EDGE = 1 - 1e-6
"""Actions are clipped to +-EDGE: the density is undefined at 1."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def moments(policy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, standard deviation) f32[..., D] before squashing, from network outputs f32[..., 2 D]."""
    mean, width = jnp.split(policy, 2, axis=-1)
    std = MIN_STD + (MAX_STD - MIN_STD) * jax.nn.sigmoid(width)
    return MEAN_LIMIT * jnp.tanh(mean / MEAN_LIMIT), std


def mode(policy: jax.Array) -> jax.Array:
    """f32[..., D]: the squashed mean, the deterministic action."""
    return jnp.tanh(moments(policy)[0])


def draw(policy: jax.Array, key: jax.Array, count: int) -> jax.Array:
    """f32[B, K, D]: `count` independent actions per policy f32[B, 2 D]."""
    mean, std = moments(policy)
    noise = jax.random.normal(key, (mean.shape[0], count, mean.shape[1]), jnp.float32)
    return jnp.tanh(mean[:, None] + std[:, None] * noise)


def log_density(policy: jax.Array, action: jax.Array) -> jax.Array:
    """f32[...]: log-density of actions [..., D] in (-1, 1) under policies [..., 2 D]; the axes broadcast."""
    mean, std = moments(policy)
    before = jnp.arctanh(jnp.clip(action, -EDGE, EDGE))
    gaussian = -0.5 * jnp.square((before - mean) / std) - jnp.log(std) - 0.5 * np.log(2 * np.pi)
    return jnp.sum(gaussian - _log_slope(before), axis=-1)


def entropy(policy: jax.Array) -> jax.Array:
    """f32[...]: differential entropy in nats of policies [..., 2 D]; at most D log 2, that of the uniform one.

    It is the Gaussian's entropy plus the mean log slope of tanh, by Gauss-Hermite quadrature.
    """
    mean, std = moments(policy)
    before = mean[..., None] + std[..., None] * jnp.asarray(_NODES, jnp.float32)
    slope = jnp.sum(_log_slope(before) * jnp.asarray(_WEIGHTS, jnp.float32), axis=-1)
    return jnp.sum(jnp.log(std) + 0.5 * np.log(2 * np.pi * np.e) + slope, axis=-1)


def _log_slope(before: jax.Array) -> jax.Array:
    """log(1 - tanh(x)^2), accurate where 1 - tanh(x)^2 is small."""
    return 2 * (np.log(2) - before - jax.nn.softplus(-2 * before))
