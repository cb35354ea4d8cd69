"""Targets of the K + 1 unrolled steps against Python that looks at one ply at a time. Axes: S samples, L plies."""

import functools

import jax
import numpy as np
import pytest

from jzero.algorithms import targets as targets_lib
from tests.helpers import lanes
from tests.helpers.search_tables import quick_jit
from tests.oracles import muzero as oracle

unroll_targets = quick_jit(targets_lib.unroll_targets, static_argnums=3)
K, N, SAMPLES = 5, 4, 3000


@functools.cache
def windows():
    """(lanes of K + 1 + N plies, the same as a transition [S, L] of NumPy arrays)."""
    rng = np.random.default_rng(0)
    found = [lanes.random_lane(rng, K + 1 + N, mean_length=6) for _ in range(SAMPLES)]
    plies = jax.tree.map(lambda x: np.swapaxes(x, 0, 1), lanes.transitions(found))
    return found, plies


def test_every_step_of_thousands_of_windows_is_what_the_game_says():
    found, plies = windows()
    value = np.random.default_rng(1).normal(size=(SAMPLES, K + 1)).astype(np.float32)
    got = jax.tree.map(np.asarray, unroll_targets(plies, value, jax.random.key(0), K))
    kinds = set()
    for row, lane in enumerate(found):
        for step, at in enumerate(oracle.steps_from(lane, 0, K)):
            inside = not isinstance(at, str)
            kinds.add("inside" if inside else at)
            assert got.alive[row, step] == inside
            assert got.known[row, step] == (at != "unknown")
            assert got.value[row, step] == (value[row, step] if inside else 0)
            assert got.policy_weight[row, step] == (plies.policy_weight[row, step] if inside else 0)
            if inside:
                np.testing.assert_array_equal(got.policy[row, step], plies.policy[row, step])
            if step < K:
                assert got.reward[row, step] == (plies.reward[row, step] if inside else 0)
            if step < K and inside:
                assert got.action[row, step] == plies.action[row, step]
    assert kinds == {"inside", "nothing", "unknown"}


def test_actions_past_the_end_are_random():
    _, plies = windows()
    plies = plies._replace(action=np.full_like(plies.action, 1))
    value = np.zeros((SAMPLES, K + 1), np.float32)
    one, two = (unroll_targets(plies, value, jax.random.key(seed), K) for seed in (0, 1))
    past = ~np.asarray(one.alive)[:, :K]
    drawn = np.asarray(one.action)[past]  # the lanes' policies are of two actions
    np.testing.assert_allclose(drawn.mean(), 0.5, atol=4 * 0.5 / np.sqrt(drawn.size))
    assert 0.4 < (drawn == np.asarray(two.action)[past]).mean() < 0.6
    assert (np.asarray(one.action)[~past] == 1).all()


def test_n_step_returns_are_those_of_the_forward_view():
    found, plies = windows()
    rng = np.random.default_rng(2)
    steps = rng.integers(1, N + 1, size=SAMPLES)
    ends_with = rng.normal(size=(SAMPLES, K + 1 + N)).astype(np.float32)
    returns = quick_jit(functools.partial(targets_lib.n_step_returns, unroll_steps=K, max_steps=N))
    got = np.asarray(returns(plies, ends_with, steps))
    expected = np.array(
        [
            [oracle.n_step_value(lane, at, int(n), values.tolist()) for at in range(K + 1)]
            for lane, n, values in zip(found, steps, ends_with, strict=True)
        ]
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert len(set(steps.tolist())) == N


@pytest.mark.parametrize("horizon", [1, 2, 5, 7])
def test_prefixes_are_sums_since_the_last_reset(horizon):
    reward = np.random.default_rng(3).normal(size=(50, 11)).astype(np.float32)
    got = quick_jit(targets_lib.prefix_sums, static_argnums=1)(reward, horizon)
    expected = [oracle.prefix_sums(row.tolist(), horizon) for row in reward]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
