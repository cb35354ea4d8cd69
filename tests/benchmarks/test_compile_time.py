"""What is compiled in turns, ours and mctx's, is the same search."""

import importlib

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from tests.helpers.tiny import REPOSITORY


@pytest.fixture
def compile_time(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    return importlib.import_module("compile_time")


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy", "stochastic_muzero_policy"])
def test_both_programs_find_the_same_weights(compile_time, policy):
    tables, states = compile_time.make_tables(9), jnp.arange(4)
    found = [
        jax.jit(compile_time.make(module, policy, 8))(tables, jax.random.key(3), states)
        for module in (search, mctx)
    ]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_ratio_is_the_median_of_rounds_without_the_first(compile_time, monkeypatch):
    ours, theirs = iter([50.0, 2.0, 3.0, 8.0]), iter([1.0, 1.0, 2.0, 2.0])
    monkeypatch.setattr(
        compile_time, "seconds", lambda module, policy, shape: next(ours if module is search else theirs)
    )
    found = compile_time.measure("muzero_policy", (9, 8, 4), rounds=3)
    assert found["ratio"] == 2.0
    assert found["quartiles"] == [1.75, 3.0]
    assert (found["ours_s"], found["mctx_s"]) == (3.0, 2.0)
