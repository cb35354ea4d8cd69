"""Gamma variables without a loop have the distribution of JAX's, and no GPU waits for the host to draw them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.search import noise


@pytest.mark.parametrize("alpha", [0.03, 0.3, 1.0, 10.0])
def test_quantiles_equal_those_of_jax(alpha):
    count = 200_000
    ours = np.sort(noise.log_gamma(jax.random.key(0), alpha, (count,)))
    theirs = np.sort(jax.random.loggamma(jax.random.key(1), alpha, (count,)))
    # Kolmogorov and Smirnov's distance of two samples; 1.95 is the critical value at 0.1 %.
    both = np.concatenate([ours, theirs])
    distance = (
        np.abs(np.searchsorted(ours, both, "right") - np.searchsorted(theirs, both, "right")).max() / count
    )
    assert distance < 1.95 * np.sqrt(2 / count)


def test_a_gpu_draws_noise_without_a_loop():
    legal = jnp.ones((4, 7), bool)

    def draw(key):
        return noise.dirichlet_over_legal(key, legal, 0.3)

    def lowered_for(platform):
        return jax.jit(draw).trace(jax.random.key(0)).lower(lowering_platforms=(platform,)).as_text()

    assert "stablehlo.while" in lowered_for("cpu")
    assert "stablehlo.while" not in lowered_for("cuda")
