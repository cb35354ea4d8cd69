"""Means as sums and weights."""

import jax.numpy as jnp
import numpy as np

from jzero.metrics import Mean, finite_sum, mean, one, read


def test_parts_of_any_size_add_up_to_the_mean_of_all():
    values, weights = np.random.default_rng(0).random((2, 12)).astype(np.float32)
    parts = [mean(values[at], weights[at]) for at in (slice(0, 1), slice(1, 5), slice(5, 12))]
    total = Mean(*(sum(part) for part in zip(*parts, strict=True)))
    np.testing.assert_allclose(read({"x": total})["x"], np.average(values, weights=weights), rtol=1e-6)


def test_the_mean_of_nothing_is_left_out():
    nothing = mean(jnp.ones(3), jnp.zeros(3))
    assert read({"nothing": nothing, "something": one(jnp.float32(2))}) == {"something": 2.0}
    assert float(nothing.value) == 0.0


def test_after_the_first_update_that_is_not_finite_none_counts():
    total = jnp.array([1.0, 2.0, jnp.nan, 4.0])
    sums = finite_sum({"loss": Mean(total, jnp.ones(4)), "other": Mean(jnp.arange(4.0), jnp.ones(4))})
    found = read(sums)
    assert np.isnan(found["loss"])
    assert found["other"] == 1.0
    assert found["updates_averaged"] == 3.0
    assert read(finite_sum({"loss": Mean(jnp.arange(4.0), 2 * jnp.ones(4))}))["loss"] == 0.75
