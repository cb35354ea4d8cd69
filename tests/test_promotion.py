"""Playing and learning promote neither ranks nor dtypes, so that they run in projects that forbid both."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

from jzero import program
from jzero.env import init_batch
from jzero.registry import make
from jzero.run.build import build_agent, build_program
from tests.helpers.tiny import TINY, tiny

SETTINGS = {"rank": (jax.numpy_rank_promotion, "raise"), "dtype": (jax.numpy_dtype_promotion, "strict")}
CONFIGS = {
    "alphazero": tiny(algorithm="alphazero"),
    "muzero": tiny(algorithm="muzero"),
    "efficientzero": tiny(algorithm="efficientzero"),
    "worlds": tiny(env="blob?players=3&cards=2", search=dataclasses.replace(TINY.search, worlds=2)),
    "chance codes": tiny(
        algorithm="muzero", env="2048?size=2", network=dataclasses.replace(TINY.network, chance_codes=4)
    ),
}


def forbidden(setting: str) -> contextlib.AbstractContextManager:
    forbid, value = SETTINGS[setting]
    return forbid(value)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CONFIGS)
def test_an_iteration_promotes_nothing(monkeypatch, name, setting):
    monkeypatch.setattr(program, "unless_chosen", lambda options: None)  # no options where nothing compiles
    config = CONFIGS[name]
    functions = build_program(make(config.env), config, program.make_mesh(jax.devices()[:1]))
    with forbidden(setting):
        state = jax.eval_shape(functions.init)
        for function in (functions.play, functions.learn):
            state, metrics = jax.eval_shape(function, state)
            assert metrics


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_agent_plays_where_nothing_is_promoted(setting):
    config, key = tiny(), jax.random.key(0)
    env = make(config.env)
    agent = build_agent(env, config, build_program(env, config).init().averaged)
    expected = agent.act(init_batch(env, key, 2), key)
    with forbidden(setting):
        np.testing.assert_array_equal(agent.act(init_batch(env, key, 2), key), expected)
        assert agent.analyse(init_batch(env, key, 2), key).visits.shape[0] == 2
