"""A desk with agents that know nothing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

import jzero
from jzero.agent import Agent
from jzero.env import observe_batch
from jzero.env_spec import describe
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.play.desk import Desk
from jzero.run.build import build_agent, build_network
from tests.helpers.tiny import simulator, tiny


def newcomer(name: str) -> Agent:
    """An agent of the environment with equal priors and the value 0."""
    env = jzero.make(name)

    def apply(params, observation):
        batch = jax.tree.leaves(observation)[0].shape[0]
        values = (batch, env.num_players) if env.num_players > 2 else (batch,)
        return jnp.zeros((batch, env.num_actions)), jnp.zeros(values) + params

    return Agent(env, simulator(env, apply), jnp.float32(0), SearchSettings(num_simulations=16), name=name)


def coder(name: str) -> Agent:
    """An untrained agent with a learned model of chance, by 4 codes."""
    network = NetworkSettings(kind="mlp", width=8, blocks=1, head_width=8, chance_codes=4)
    search = SearchSettings(policy="puct", num_simulations=16)
    config = tiny(env=name, algorithm="muzero", network=network, search=search, opening_plies=0)
    env = jzero.make(name)
    key = jax.random.key(0)
    seen = observe_batch(env, jzero.init_batch(env, key, 1))
    return build_agent(env, config, build_network(describe(env), config).init(key, seen))


@pytest.fixture
def desk_of(tmp_path) -> Callable[..., Desk]:
    """`desk_of(name)`: a desk of one game; again: a server that was started anew."""
    return lambda name, count=1, agent=newcomer: Desk(
        [agent(name)] * count, ["newcomer", "other"][:count], tmp_path / "play"
    )
