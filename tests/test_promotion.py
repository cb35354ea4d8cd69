"""Playing and learning promote neither ranks nor dtypes, so that they run in projects that forbid both."""

import dataclasses

import jax
import numpy as np
import pytest

from jzero import program
from jzero.env import init_batch
from jzero.registry import make
from jzero.run.build import build_agent, build_program
from tests.helpers.strict import no_promotion
from tests.helpers.tiny import TINY, tiny

CONFIGS = {
    "alphazero": tiny(algorithm="alphazero"),
    "muzero": tiny(algorithm="muzero"),
    "efficientzero": tiny(algorithm="efficientzero"),
    "worlds": tiny(env="blob?players=3&cards=2", search=dataclasses.replace(TINY.search, worlds=2)),
    "chance codes": tiny(
        algorithm="muzero", env="2048?size=2", network=dataclasses.replace(TINY.network, chance_codes=4)
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_iteration_promotes_nothing(monkeypatch, name):
    monkeypatch.setattr(program, "unless_chosen", lambda options: None)  # no options where nothing compiles
    config = CONFIGS[name]
    functions = build_program(make(config.env), config, program.make_mesh(jax.devices()[:1]))
    with no_promotion():
        state = jax.eval_shape(functions.init)
        for function in (functions.play, functions.learn):
            state, metrics = jax.eval_shape(function, state)
            assert metrics


def test_an_agent_plays_where_nothing_is_promoted():
    config, key = tiny(), jax.random.key(0)
    env = make(config.env)
    agent = build_agent(env, config, build_program(env, config).init().averaged)
    expected = agent.act(init_batch(env, key, 2), key)
    with no_promotion():
        np.testing.assert_array_equal(agent.act(init_batch(env, key, 2), key), expected)
        assert agent.analyse(init_batch(env, key, 2), key).visits.shape[0] == 2
