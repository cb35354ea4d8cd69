"""Scalars as distributions, against double precision by the book. Axes: N values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.networks.supports import Support, from_unit, scale, to_unit, unscale
from tests.helpers.search_tables import quick_jit
from tests.oracles import muzero as oracle

SUPPORTS = [Support(1.0, 21), Support(10.0, 21), Support(300.0, 601), Support(1e4, 601), Support(2.5, 3)]


def ends_integers_and_between(limit):
    rng = np.random.default_rng(0)
    whole = np.arange(-min(limit, 400), min(limit, 400) + 1)
    powers = np.geomspace(1e-6, limit, 200)
    return np.concatenate(
        [whole, powers, -powers, limit * rng.uniform(-1, 1, 500), [0.0, limit, -limit]]
    ).astype(np.float32)


def test_h_and_its_inverse_are_those_of_the_paper():
    x = ends_integers_and_between(1e4)
    expected = np.array([oracle.scale(float(value)) for value in x])
    np.testing.assert_allclose(quick_jit(scale)(x), expected, rtol=1e-5, atol=1e-6)
    back = np.asarray(quick_jit(unscale)(expected.astype(np.float32)))
    assert (np.abs(back - x) <= 1e-3 * (1 + np.abs(x))).all()
    np.testing.assert_allclose(quick_jit(scale)(-x), -quick_jit(scale)(x))
    assert (np.diff(np.asarray(scale(np.sort(np.unique(x))))) > 0).all()


def test_h_and_its_inverse_have_the_gradients_of_the_paper_at_zero_too():
    x = np.array([-50, -1, -1e-3, 0, 1e-3, 1, 50, 2000], np.float32)
    expected = np.sqrt(np.abs(x) + 1) ** -1 / 2 + 0.001
    np.testing.assert_allclose(quick_jit(jax.vmap(jax.grad(scale)))(x), expected, rtol=1e-4)
    found = quick_jit(jax.vmap(jax.grad(unscale)))(quick_jit(scale)(x))
    np.testing.assert_allclose(found, 1 / expected, rtol=1e-3)


def test_a_network_that_begins_at_zero_can_learn_values_of_any_size():
    # Its last layer is zero at first: the gradient of the error must pass through the two scales there.
    slope = jax.grad(lambda x: jnp.square(to_unit(from_unit(x, 1e4), 1e4) - 0.5))(0.0)
    np.testing.assert_allclose(slope, -1, rtol=1e-4)


@pytest.mark.parametrize("support", SUPPORTS)
def test_two_hot_is_the_oracles_and_its_mass_is_one(support):
    x = ends_integers_and_between(support.limit)
    found = np.asarray(quick_jit(support.two_hot)(x))
    expected = np.stack([oracle.two_hot(float(value), *support) for value in x])
    np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)
    assert (found >= 0).all()
    assert ((found > 0).sum(-1) <= 2).all()


@pytest.mark.parametrize("support", SUPPORTS)
def test_a_value_comes_back_from_its_distribution(support):
    x = ends_integers_and_between(support.limit)
    found = np.asarray(quick_jit(lambda x: support.decode(jnp.log(support.two_hot(x))))(x))
    assert (np.abs(found - x) <= 1e-3 * (1 + np.abs(x))).all()


@pytest.mark.parametrize("support", SUPPORTS)
def test_a_value_on_an_atom_has_all_its_mass_there(support):
    atoms = unscale(support.positions())
    np.testing.assert_allclose(support.two_hot(atoms), np.eye(support.atoms), atol=2e-3)
    assert np.argmax(support.two_hot(jnp.float32(0.0))) == support.atoms // 2
    np.testing.assert_allclose(support.two_hot(jnp.float32(0.0)).max(), 1, atol=1e-6)


def test_values_beyond_the_limit_are_clamped_and_counted():
    support = Support(2.5, 11)
    x = jnp.array([-1e9, -2.6, -2.5, 0.0, 2.5, 2.6, 1e9])
    found = support.two_hot(x)
    np.testing.assert_allclose(found[0], np.eye(11)[0], atol=2e-6)
    np.testing.assert_allclose(found[-1], np.eye(11)[-1], atol=2e-6)
    np.testing.assert_array_equal(found[1], found[2])
    assert support.outside(x).tolist() == [True, True, False, False, False, True, True]
    np.testing.assert_allclose(support.decode(jnp.log(found[-1])), 2.5, rtol=1e-4)


def test_equal_logits_are_zero_and_any_logits_decode_as_the_oracle_says():
    support = Support(10.0, 21)
    assert abs(float(support.decode(jnp.zeros(21)))) < 1e-5
    logits = np.random.default_rng(1).normal(size=(50, 21)).astype(np.float32) * 3
    expected = [oracle.decode(row, support.limit) for row in logits]
    np.testing.assert_allclose(quick_jit(support.decode)(logits), expected, rtol=1e-3, atol=1e-4)


def test_a_distribution_is_learned_by_its_cross_entropy():
    """The gradient vanishes where softmax(logits) is the two-hot target."""
    support = Support(1.0, 5)
    target = support.two_hot(jnp.float32(0.3))

    def loss(logits):
        return -jnp.sum(target * jax.nn.log_softmax(logits))

    at_target = jnp.log(jnp.maximum(target, 1e-9))
    np.testing.assert_allclose(jax.grad(loss)(at_target), 0, atol=1e-6)
    assert np.abs(jax.grad(loss)(jnp.zeros(5))).max() > 0.1


@pytest.mark.parametrize("limit", [3.0, 20_000.0])
def test_the_unit_scale_is_h_over_that_of_the_limit(limit):
    x = ends_integers_and_between(limit)
    expected = np.array([oracle.scale(float(value)) for value in x]) / oracle.scale(limit)
    np.testing.assert_allclose(to_unit(x, limit), expected, atol=1e-6)
    assert np.abs(to_unit(x, limit)).max() == pytest.approx(1)
    np.testing.assert_allclose(from_unit(to_unit(x, limit), limit), x, rtol=1e-4, atol=1e-4 * limit**0.5)


def test_with_a_limit_of_one_nothing_is_scaled():
    x = np.linspace(-1, 1, 11, dtype=np.float32)
    assert to_unit(x, 1.0) is x
    assert from_unit(x, 1.0) is x
