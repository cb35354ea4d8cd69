"""navix's grid worlds against navix itself."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import check_env, make
from jzero.env_spec import describe
from jzero.models.simulator import check_hidden
from tests.helpers.originals import compare, train_once

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


@pytest.fixture
def navix():
    return pytest.importorskip("navix", exc_type=ImportError)


def compare_with(navix, name, options="", *, num_games=16, num_plies=120, **settings):
    own = navix.make(name, **settings)

    def reset(key):
        first = own.reset(key)
        return first, first.observation

    def step(now, action, key):
        after = own._step(now.replace(state=now.state.replace(key=key)), action)
        return after, after.observation, after.reward, after.step_type == 2, after.step_type == 1

    return compare(make(f"navix:{name}{options}"), reset, step, num_games=num_games, num_plies=num_plies)


def test_empty_is_navixs_own(navix):
    compared = compare_with(navix, "Navix-Empty-5x5-v0")
    assert (compared.seen.dtype, compared.seen.shape[2:]) == (np.uint8, (5, 5, 3))
    assert compared.states.rewards.sum() == compared.states.terminated[-1].sum() > 4
    assert compared.states.truncated[100:].any()
    assert not compared.states.truncated[:100].any()


def test_balls_move_by_the_key_alone(navix):
    compare_with(navix, "Navix-Dynamic-Obstacles-5x5-v0", num_games=8, num_plies=40)
    env = make("navix:Navix-Dynamic-Obstacles-5x5-v0")
    state = jax.jit(env.init)(KEY)
    after = jax.jit(jax.vmap(env.step, (None, None, 0)))(state, jnp.int32(6), jax.random.split(KEY, 32))
    assert len({np.asarray(seen).tobytes() for seen in jax.vmap(env.observe)(after)}) > 4


def test_max_steps_and_the_observation_may_stand_in_the_name(navix):
    compared = compare_with(
        navix,
        "Navix-DoorKey-5x5-v0",
        "?max_steps=7&observation='symbolic_first_person'",
        num_games=4,
        num_plies=9,
        max_steps=7,
        observation_fn=navix.observations.symbolic_first_person,
    )
    assert compared.states.truncated.argmax(axis=0).tolist() == [7] * 4


def test_pictures_are_drawn_without_their_tiles_in_the_state(navix):
    compared = compare_with(
        navix,
        "Navix-Empty-5x5-v0",
        "?observation='rgb'",
        num_games=2,
        num_plies=12,
        observation_fn=navix.observations.rgb,
    )
    assert (compared.seen.dtype, compared.seen.ndim) == (np.uint8, 5)
    bytes_of_a_state = sum(leaf[0, 0].nbytes for leaf in jax.tree.leaves(compared.states.inner))
    assert bytes_of_a_state < 400


@pytest.mark.parametrize("name", ["Empty-5x5-v0", "Dynamic-Obstacles-5x5-v0"])
def test_check_env_finds_nothing(navix, name):
    check_env(make(f"navix:Navix-{name}"), num_games=4, max_plies=20)


@pytest.mark.slow
def test_check_env_finds_nothing_in_any_game(navix):
    for name in navix.registry():
        check_env(make(f"navix:{name}"), num_games=2, max_plies=6)


def test_alphazero_is_refused_where_something_is_hidden(navix):
    check_hidden(describe(make("navix:Navix-Empty-5x5-v0")))
    for name in ("GoToDoor-5x5-v0", "Empty-5x5-v0?observation='symbolic_first_person'"):
        with pytest.raises(ValueError, match="hidden from the player to move"):
            check_hidden(describe(make(f"navix:Navix-{name}")))


def test_muzero_learns_in_it(navix):
    assert train_once(make("navix:Navix-Empty-5x5-v0"))["loss"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Navix-Emty-5x5-v0",
            "unknown navix environment 'Navix-Emty-5x5-v0': did you mean 'Navix-Empty-5x5-v0'",
        ),
        (
            "Navix-Empty-5x5-v0?observation='symbol'",
            "unknown observation of navix 'symbol': did you mean 'symbolic'",
        ),
        (
            "Navix-Empty-5x5-v0?size=3",
            r"does not take the options \{'size': 3\}: .*; it takes .*penality_coeff",
        ),
    ],
)
def test_wrong_names_and_options_are_errors(navix, name, message):
    with pytest.raises(ValueError, match=message):
        make(f"navix:{name}")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "navix", None)
    with pytest.raises(ImportError, match="pip install navix"):
        make("navix:Navix-Empty-5x5-v0")
