"""Craftax against Craftax itself. Its step takes long to compile: most of it is slow."""

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
CLASSIC, FULL = "Craftax-Classic-Symbolic-v1", "Craftax-Symbolic-v1"


@pytest.fixture
def craftax():
    return pytest.importorskip("craftax", exc_type=ImportError)


def in_parts(shape, seen):
    """The observation of the adapter that has the numbers of Craftax's vector."""
    places = seen[: np.prod(shape)]
    # Where one of them were no whole number, this would not be the vector's.
    return {"map": places.astype(jnp.uint8).reshape(shape), "player": seen[np.prod(shape) :]}


def compare_with(name, shape, options="", *, num_games, num_plies, limit):
    from craftax.craftax_env import make_craftax_env_from_name

    own = make_craftax_env_from_name(name, auto_reset=False)
    params = own.default_params.replace(max_timesteps=limit)

    def reset(key):
        seen, state = own.reset_env(key, params)
        return state, in_parts(shape, seen)

    def step(state, action, key):
        seen, after, reward, done, _ = own.step_env(key, state, action, params)
        dead = after.player_health <= 0
        return after, in_parts(shape, seen), reward, done & dead, done & ~dead

    env = make(f"craftax:{name}{options}")
    return compare(env, reset, step, num_games=num_games, num_plies=num_plies)


@pytest.mark.slow
def test_classic_is_craftaxs_own(craftax):
    compared = compare_with(CLASSIC, (7, 9, 21), "?max_timesteps=120", num_games=8, num_plies=125, limit=120)
    ended = compared.states.terminated[-1], compared.states.truncated[-1]
    assert (ended[0] | ended[1]).all()
    assert ended[1].any()
    assert compared.states.rewards.max() >= 1


@pytest.mark.slow
def test_craftax_is_craftaxs_own(craftax):
    compared = compare_with(FULL, (9, 11, 83), "?max_timesteps=100", num_games=2, num_plies=102, limit=100)
    assert compared.lives.sum() > 100
    assert compared.states.rewards.any()


@pytest.mark.parametrize(("name", "actions", "shape"), [(CLASSIC, 17, (7, 9, 21)), (FULL, 43, (9, 11, 83))])
def test_the_map_is_made_of_whole_numbers_and_a_state_has_one_structure(craftax, name, actions, shape):
    env = make(f"craftax:{name}")
    first = jax.eval_shape(env.init, KEY)
    after = jax.eval_shape(env.step, first, jnp.int32(0), KEY)
    kinds = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)  # noqa: E731
    assert kinds(first) == kinds(after)
    seen = jax.eval_shape(env.observe, first)
    assert (env.num_actions, seen["map"].shape, seen["map"].dtype) == (actions, shape, np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", [CLASSIC, FULL])
def test_the_parts_hold_the_whole_vector(craftax, name):
    env = make(f"craftax:{name}")
    from craftax.craftax_env import make_craftax_env_from_name

    own = make_craftax_env_from_name(name, auto_reset=False)
    state = jax.jit(env.init)(KEY)
    seen, vector = env.observe(state), own.get_obs(state.inner)
    np.testing.assert_array_equal(np.concatenate([seen["map"].ravel(), seen["player"]]), vector)
    assert len(np.unique(seen["map"])) == 2


@pytest.mark.slow
def test_check_env_finds_nothing(craftax):
    check_env(make(f"craftax:{CLASSIC}"), num_games=2, max_plies=10)


def test_alphazero_is_refused_since_the_view_is_partial(craftax):
    with pytest.raises(ValueError, match="hidden from the player to move"):
        check_hidden(describe(make(f"craftax:{CLASSIC}")))


@pytest.mark.slow
def test_muzero_learns_in_it(craftax):
    assert train_once(make(f"craftax:{CLASSIC}"))["loss"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Craftax-Symbolic-v2",
            "unknown Craftax game 'Craftax-Symbolic-v2': did you mean 'Craftax-Symbolic-v1'",
        ),
        (f"{CLASSIC}?max_steps=3", "unknown parameter of .* 'max_steps': did you mean 'max_timesteps'"),
    ],
)
def test_wrong_names_and_parameters_are_errors(craftax, name, message):
    with pytest.raises(ValueError, match=message):
        make(f"craftax:{name}")


def test_a_missing_package_is_named(monkeypatch):
    for module in ("craftax", "craftax.craftax_env"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install craftax"):
        make(f"craftax:{CLASSIC}")
