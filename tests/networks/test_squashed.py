"""The squashed Gaussian against NumPy: densities by the change of variables and as areas, entropies as integrals.

Axes: B policies, K actions, D dimensions.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jzero.networks import squashed

# Broad, narrow at an end, bimodal; what the network says: mean, width.
POLICIES = np.array([[0.0, 0.0], [2.5, -40.0], [-0.7, 0.4], [0.3, 40.0]], np.float32)


def gaussian(policy):
    """(mean, standard deviation) f64[D] before the squashing, by the formulas of the module's header."""
    mean, width = np.split(np.asarray(policy, np.float64), 2)
    return 5 * np.tanh(mean / 5), 0.1 + 1.8 / (1 + np.exp(-width))


def integral(policy, function=lambda density: density):
    """Of a function of the density over (-1, 1), on a grid that is fine at the ends; D = 1."""
    points = np.tanh(np.linspace(-7, 7, 200_001))
    log_density = squashed.log_density(jnp.asarray(policy), jnp.asarray(points, jnp.float32)[:, None])
    return np.trapezoid(function(np.exp(np.asarray(log_density, np.float64))), points)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_density_is_that_of_the_change_of_variables(policy):
    mean, std = gaussian(policy)
    before = np.linspace(mean - 2.5 * std, mean + 2.5 * std, 101)
    action = np.tanh(before)
    expected = stats.norm(mean, std).logpdf(before)[:, 0] - np.log(1 - action[:, 0] ** 2)
    found = squashed.log_density(jnp.asarray(policy), jnp.asarray(action, jnp.float32))
    # Float32 actions near an end have few digits left of their distance to it.
    near = np.abs(action[:, 0]) > 0.999
    np.testing.assert_allclose(found[~near], expected[~near], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found[near], expected[near], atol=0.2)


@pytest.mark.parametrize("policy", [POLICIES[0], POLICIES[2], np.array([1.0, -40.0], np.float32)])
def test_the_density_has_mass_one(policy):
    assert integral(policy) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("policy", [POLICIES[0], POLICIES[2], np.array([1.0, -40.0], np.float32)])
def test_the_entropy_is_its_integral(policy):
    expected = -integral(policy, lambda density: density * np.log(np.maximum(density, 1e-30)))
    assert float(squashed.entropy(jnp.asarray(policy))) == pytest.approx(expected, abs=5e-3)
    assert expected < np.log(2)


def test_dimensions_are_independent():
    policy = jnp.asarray([0.2, -0.5, 0.3, -1.0])  # two means, two widths
    parts = [policy[jnp.array([d, d + 2])] for d in (0, 1)]
    action = jnp.asarray([[0.1, -0.4], [0.7, 0.9]])
    split = sum(squashed.log_density(part, action[:, d : d + 1]) for d, part in enumerate(parts))
    np.testing.assert_allclose(squashed.log_density(policy, action), split, rtol=1e-5)
    np.testing.assert_allclose(squashed.entropy(policy), sum(map(squashed.entropy, parts)), rtol=1e-5)


def test_draws_have_the_policys_distribution():
    policies = POLICIES[[0, 2, 3]]
    drawn = np.asarray(squashed.draw(jnp.asarray(policies), jax.random.key(0), 4000), np.float64)
    assert drawn.shape == (3, 4000, 1)
    for policy, actions in zip(policies, drawn, strict=True):
        mean, std = gaussian(policy)
        inside = np.clip(actions[:, 0], -1 + 1e-7, 1 - 1e-7)
        assert stats.kstest(np.arctanh(inside), stats.norm(mean[0], std[0]).cdf).pvalue > 1e-3


def test_the_mode_is_the_squashed_mean():
    expected = [np.tanh(gaussian(policy)[0]) for policy in POLICIES]
    np.testing.assert_allclose(squashed.mode(jnp.asarray(POLICIES)), expected, rtol=1e-5)


@pytest.mark.parametrize("said", [[1e4, 1e4], [-1e4, -1e4], [0.0, 1e4]])
@pytest.mark.parametrize("action", [-1.0, 0.0, 1.0])
def test_density_and_gradient_are_finite_at_the_ends(said, action):
    found = jax.value_and_grad(lambda policy: squashed.log_density(policy, jnp.asarray([action])))
    value, gradient = found(jnp.asarray(said))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.isfinite(squashed.entropy(jnp.asarray(said)))
