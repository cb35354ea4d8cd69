"""What the adapters of one player's games share, on a game of a few lines that keeps keys in its state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.adapters.one_player import (
    KeyPlace,
    OnePlayerEnv,
    Outcome,
    in_unit_range,
    with_keys,
    without_keys,
)

from jzero import EnvError, check_env
from jzero.env_spec import describe
from jzero.models.simulator import check_hidden
from tests.helpers.originals import compare, train_once

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


class Walk(NamedTuple):
    place: jax.Array
    steps: int
    key: jax.Array


def start(key):
    return Walk(jnp.int32(0), 0, key)


def walk(walk, action):
    """One to the right by action 1, or by chance; done at 4, or cut short after 6 steps."""
    key, chance_key = jax.random.split(walk.key)
    place = walk.place + action + jax.random.bernoulli(chance_key)
    return Walk(place, walk.steps + 1, key)


def advance(state, action, key):
    after = walk(state, action)
    return Outcome(after, action - 0.5, after.place >= 4, after.steps >= 6)


def look(state):
    return jnp.stack([state.place, state.steps])


ENV = OnePlayerEnv("walk", 2, start, advance, look)


def test_numbers_are_scaled_by_a_range_beyond_one():
    numbers = np.array([-1, 4, 9], np.int32)
    for low, high in ((-1, 9), (-np.ones(3), np.full(3, 9.0))):
        scaled = in_unit_range(numbers, low, high)
        assert scaled.dtype == jnp.float32
        np.testing.assert_allclose(scaled, [0, 0.5, 1])
    each = in_unit_range(numbers, np.array([-np.inf, 0, -1]), np.array([np.inf, 8, 1]))
    np.testing.assert_allclose(each, [-1, 0.5, 9])  # ranges that are endless or within [-1, 1] change nothing


@pytest.mark.parametrize("bounds", [(-1, 1), (0, 1), (-np.inf, np.inf), (0, np.inf), (5, 5), (False, True)])
def test_other_ranges_leave_numbers_and_their_dtype(bounds):
    for numbers in (np.arange(3, dtype=np.int32), np.array([True, False])):
        same = in_unit_range(numbers, *bounds)
        assert same.dtype == numbers.dtype
        assert (same == numbers).all()


def test_check_env_finds_nothing():
    assert check_env(ENV, num_games=8, max_plies=8).finished == 8


def test_a_step_is_the_games_own_and_the_end_counts_before_the_limit():
    def step(state, action, key):
        after = walk(state._replace(key=key), action)
        return after, look(after), action - 0.5, after.place >= 4, after.steps >= 6

    compared = compare(ENV, lambda key: (start(key), look(start(key))), step, num_games=64, num_plies=8)
    ends = compared.states.terminated[-1], compared.states.truncated[-1]
    both = (compared.seen[-1, :, 0] >= 4) & (compared.seen[-1, :, 1] >= 6)
    assert both.any()
    assert ends[1].any()
    assert (ends[0] ^ ends[1]).all()
    assert ends[0][both].all()


def test_a_state_holds_no_key_and_looks_the_same_for_every_key():
    states = [ENV.init(key) for key in jax.random.split(KEY, 2)]
    assert all(state.inner.key == KeyPlace(()) for state in states)
    jax.tree.map(np.testing.assert_array_equal, *states)
    steps = jax.vmap(ENV.step, in_axes=(None, None, 0))(states[0], jnp.int32(0), jax.random.split(KEY, 32))
    assert set(steps.inner.place.tolist()) == {0, 1}


def test_several_places_get_several_keys():
    tree = {"a": KEY, "b": (jnp.ones(2), jax.random.split(KEY, 3))}
    bare = without_keys(tree)
    assert [leaf.shape for leaf in jax.tree.leaves(bare)] == [(2,)]
    filled = with_keys(bare, KEY)
    assert jax.tree.structure(filled) == jax.tree.structure(tree)
    keys = [*jax.random.key_data(filled["b"][1]).tolist(), jax.random.key_data(filled["a"]).tolist()]
    assert len(set(map(tuple, keys))) == 4


def test_a_key_of_another_type_is_found_by_check_env():
    """Numbers that a game takes for a key are not seen to be one; `check_env` finds what they decide."""

    def advance_raw(state, action, key):
        after = walk(state._replace(key=jax.random.wrap_key_data(state.key)), action)
        return Outcome(after._replace(key=jax.random.key_data(after.key)), 0.0, False, after.steps >= 6)

    raw = OnePlayerEnv(
        "raw", 2, lambda key: start(key)._replace(key=jax.random.key_data(key)), advance_raw, look
    )
    with pytest.raises(EnvError, match="a search sees the dice"):
        check_env(raw, num_games=4, max_plies=8)


def test_muzero_learns_in_it():
    assert train_once(ENV)["loss"] > 0


def test_hidden_information_is_refused_where_a_search_would_see_it():
    check_hidden(describe(ENV))
    with pytest.raises(ValueError, match="hidden from the player to move"):
        check_hidden(describe(OnePlayerEnv("walk", 2, start, advance, look, hidden_information=True)))
