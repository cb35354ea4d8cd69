"""Dirichlet noise for a root's prior.

Axes: B games, A actions, R rounds.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jzero.search.scores import TINY

ROUNDS = 8
"""Tries per gamma variable on a GPU. One fails with probability below 5 %, all with probability below 4e-11."""


def dirichlet_over_legal(rng_key: jax.Array, legal: jax.Array, alpha: float | jax.Array) -> jax.Array:
    """Dirichlet(alpha) noise over the legal actions of each row of `legal` bool[B, A]; 0 elsewhere.

    It is the softmax of log-gamma variables, which do not underflow for small `alpha`. JAX samples these in a loop
    until all are accepted, and the host must check each round; on a GPU each gets `ROUNDS` tries instead.
    """

    def until_accepted(key: jax.Array) -> jax.Array:
        return jax.random.loggamma(key, alpha, legal.shape, jnp.float32)

    def in_rounds(key: jax.Array) -> jax.Array:
        return log_gamma(key, alpha, legal.shape)

    log_gammas = jax.lax.platform_dependent(rng_key, cuda=in_rounds, default=until_accepted)
    return jax.nn.softmax(jnp.where(legal, log_gammas, -jnp.inf), axis=-1)


def log_gamma(rng_key: jax.Array, alpha: float | jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Logarithms f32[shape] of gamma(alpha) samples, without a loop.

    Rejection from a cubed normal variable for `alpha + 1`, and a power of a uniform one to return to `alpha`
    (Marsaglia and Tsang 2000, "A simple method for generating gamma variables", sections 3 and 6). If no try is
    accepted, which is rare, the value is the mode.
    """
    normal_key, accept_key, power_key = jax.random.split(rng_key, 3)
    d = jnp.asarray(alpha, jnp.float32) + 1 - 1 / 3
    normal = jax.random.normal(normal_key, (ROUNDS, *shape), jnp.float32)
    cube = (1 + normal / jnp.sqrt(9 * d)) ** 3
    log_cube = jnp.log(jnp.maximum(cube, TINY))
    chance = jax.random.uniform(accept_key, (ROUNDS, *shape), jnp.float32, TINY)
    accepted = (cube > 0) & (jnp.log(chance) < 0.5 * normal**2 + d - d * cube + d * log_cube)
    found = jnp.zeros(shape, jnp.float32)
    for tried, good in zip(log_cube[::-1], accepted[::-1], strict=True):
        found = jnp.where(good, tried, found)
    power = jax.random.uniform(power_key, shape, jnp.float32, TINY)
    return jnp.log(d) + found + jnp.log(power) / alpha
