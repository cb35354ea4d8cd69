"""An action is a number of Python, of NumPy or of JAX, in every game and adapter."""

import itertools
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.adapters.brax import BraxEnv

from jzero import make
from jzero.env import has_chance
from tests.envs.test_brax import Point

KEY = jax.random.key(0)
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
TARGETS = PROJECT["entry-points"]["jzero.envs"]
GAMES = [name for name, target in TARGETS.items() if ".adapters." not in target]
OPTIONS = {"quoridor": "?size=5&walls=2"}
ADAPTED = {
    "pgx": ["pgx:tic_tac_toe", "pgx:kuhn_poker", "pgx:2048", "pgx:minatar-breakout"],
    "gymnax": ["gymnax:CartPole-v1", "gymnax:Breakout-MinAtar?sticky_actions=0.1"],
    "jumanji": ["jumanji:Game2048-v1", "jumanji:Minesweeper-v0"],
    "ale_py": ["ale:pong"],
    "brax": ["brax:inverted_pendulum?bins=3"],
}


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


def shapes(function, *arguments):
    result = jax.eval_shape(function, *arguments)
    return jax.tree.map(lambda x: (x.shape, str(x.dtype), x.weak_type), result)


def assert_takes_any_number(env):
    """Whatever kind of number 1 is, a step gives the same structure, and Python's 1 the same state."""
    state = jax.eval_shape(env.init, KEY)
    expected = shapes(env.step, state, jnp.int32(1), KEY)
    for kind in (int, np.int32, np.int64, np.uint8, jnp.int32, np.asarray, jnp.asarray):
        action = kind(1)
        assert shapes(lambda state, key, action=action: env.step(state, action, key), state, KEY) == expected
        if has_chance(env):
            decided = shapes(lambda state, action=action: env.decide(state, action), state)
            assert decided == shapes(env.decide, state, jnp.int32(1))
    if getattr(env, "external", False):  # every trace of it starts emulators
        return
    both = jax.jit(lambda state, action, key: (env.step(state, 1, key), env.step(state, action, key)))
    one, other = both(jax.jit(env.init)(KEY), jnp.int32(1), KEY)
    jax.tree.map(np.testing.assert_array_equal, *map(jax.tree.leaves, (one, other)))


@pytest.mark.parametrize("name", GAMES)
def test_an_action_is_any_kind_of_number(name):
    if name == "backgammon":
        pytest.importorskip("pgx", exc_type=ImportError)
    assert_takes_any_number(make(name + OPTIONS.get(name, "")))


@pytest.mark.parametrize("name", list(itertools.chain(*ADAPTED.values())))
def test_an_action_of_an_adapted_game_is_any_kind_of_number(name):
    package = next(package for package, names in ADAPTED.items() if name in names)
    pytest.importorskip(package, exc_type=ImportError)
    assert_takes_any_number(make(name))


def test_an_action_in_bins_is_any_kind_of_number():
    assert_takes_any_number(BraxEnv(Point(), name="point", bins=3))


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_a_continuous_action_is_any_kind_of_vector(kind):
    env = BraxEnv(Point(), name="point")
    state = env.init(KEY)
    after, expected = (env.step(state, action, KEY) for action in (kind([0.5, -0.5]), jnp.array([0.5, -0.5])))
    assert after.inner.data.tolist() == expected.inner.data.tolist()
