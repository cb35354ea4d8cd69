"""The optimiser that settings describe, against its formula."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jzero.optimizer import OptimizerSettings, make_optimizer


def steps(settings, count):
    """How far a weight moves in each of `count` updates with a gradient of 1: Adam's step size."""
    optimizer, weight, moved = make_optimizer(settings), jnp.float32(0), []
    state = optimizer.init(weight)
    for _ in range(count):
        update, state = optimizer.update(jnp.float32(1), state, weight)
        moved.append(-float(update))
    return np.array(moved)


def test_constant_cosine_and_warm_up():
    plain = OptimizerSettings(learning_rate=0.1, weight_decay=0.0)
    np.testing.assert_allclose(steps(plain, 5), 0.1, rtol=1e-4)
    warm = OptimizerSettings(learning_rate=0.1, weight_decay=0.0, warmup_updates=4)
    np.testing.assert_allclose(steps(warm, 6), [0, 0.025, 0.05, 0.075, 0.1, 0.1], rtol=1e-4, atol=1e-7)
    cosine = OptimizerSettings(learning_rate=0.1, weight_decay=0.0, schedule="cosine", schedule_updates=8)
    wanted = 0.05 * (1 + np.cos(np.pi * np.minimum(np.arange(10), 8) / 8))
    np.testing.assert_allclose(steps(cosine, 10), wanted, rtol=1e-4, atol=1e-7)


def test_gradients_are_clipped_and_weights_decay():
    clipped = OptimizerSettings(learning_rate=1.0, weight_decay=0.5, max_grad_norm=0.1)
    optimizer, weight = make_optimizer(clipped), jnp.array([3.0, 4.0])
    update, _ = optimizer.update(jnp.array([30.0, 40.0]), optimizer.init(weight), weight)
    adam = optax.adam(1.0)
    bare, _ = adam.update(jnp.array([0.06, 0.08]), adam.init(weight), weight)
    np.testing.assert_allclose(update, bare - 0.5 * weight, rtol=1e-4)


def test_a_cosine_needs_its_length():
    with pytest.raises(ValueError, match=r"schedule_updates .* is 0; it must be at least 1"):
        OptimizerSettings(schedule="cosine")
