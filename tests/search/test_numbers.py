"""Hyper-parameters may be numbers of NumPy and of JAX, as in mctx, also in 64-bit mode."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from jzero.search.root import as_float32
from tests.helpers import search_tables as tables_lib

Number = Callable[[float], Any]


class Case(NamedTuple):
    """A policy, its transform, and the numbers that both take."""

    policy: str
    transform: str
    options: dict[str, float]
    of_transform: dict[str, float]


CASES = {
    "puct": Case(
        "muzero_policy",
        "qtransform_by_parent_and_siblings",
        {"pb_c_init": 1.25, "pb_c_base": 100.0, "temperature": 0.5, "dirichlet_fraction": 0.0},
        {"epsilon": 1e-8},
    ),
    "range": Case(
        "muzero_policy",
        "qtransform_by_min_max",
        {"dirichlet_fraction": 0.0},
        {"min_value": -2.0, "max_value": 2.0},
    ),
    "gumbel": Case(
        "gumbel_muzero_policy",
        "qtransform_completed_by_mix_value",
        {"gumbel_scale": 0.5},
        {"value_scale": 0.1, "maxvisit_init": 40.0, "epsilon": 0.01},
    ),
}
NUMBERS: dict[str, Number] = {"numpy": np.float64, "jax": lambda x: jnp.asarray(x, jnp.zeros(()).dtype)}


def outcome(module: ModuleType, case: Case, number: Number) -> tuple[np.ndarray, np.ndarray]:
    """The actions and the weights of three games, with all numbers as `number` makes them."""
    tables = tables_lib.random_tables(0, 4)
    roots = tables_lib.random_roots(0, tables, 3)
    tables = jax.tree.map(jnp.asarray, tables)
    numbers = {name: number(value) for name, value in case.of_transform.items()}
    policy = functools.partial(
        getattr(module, case.policy),
        qtransform=functools.partial(getattr(module, case.transform), **numbers),
        **{name: number(value) for name, value in case.options.items()},
    )

    def play(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = policy(tables, key, tables_lib.jax_root(tables, roots), tables_lib.recurrent_fn, 12)
        return found.action, found.action_weights

    action, weights = tables_lib.quick_jit(play)(jax.random.key(1))
    return np.asarray(action), np.asarray(weights)


@pytest.mark.parametrize(("number", "wide"), [("numpy", False), ("numpy", True), ("jax", True)])
@pytest.mark.parametrize("name", CASES)
def test_numbers_of_numpy_and_jax_are_taken_as_by_mctx(name, number, wide):
    with jax.enable_x64(wide):
        action, weights = outcome(search, CASES[name], NUMBERS[number])
        expected_action, expected_weights = outcome(mctx, CASES[name], NUMBERS[number])
    np.testing.assert_array_equal(action, expected_action)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)
    assert weights.dtype == np.float32


@pytest.mark.parametrize("number", [np.float64, np.asarray])
def test_noise_takes_numbers_of_numpy_in_64_bit_mode(number):
    case = CASES["puct"]
    case = case._replace(options=case.options | {"dirichlet_fraction": 0.25, "dirichlet_alpha": 0.3})
    expected = outcome(search, case, float)
    with jax.enable_x64(True):
        found = outcome(search, case, number)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_number_becomes_32_bits_or_adapts():
    for number in (0.3, np.float64(0.3), np.float32(0.25), np.int64(3)):
        assert type(as_float32(number)) in (float, int)
    with jax.enable_x64(True):
        for array in (np.asarray(0.3), np.ones(2), jnp.ones(2, jnp.float64), jnp.float32(1)):
            assert as_float32(array).dtype == np.float32
    assert as_float32("mean") == "mean"
    assert as_float32(None) is None
