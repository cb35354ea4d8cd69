"""A desk with agents that know nothing."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

import jzero
from jzero.agent import Agent
from jzero.models.plan import SearchSettings
from jzero.play.desk import Desk
from tests.helpers.tiny import simulator


def newcomer(name: str) -> Agent:
    """An agent of the environment with equal priors and the value 0."""
    env = jzero.make(name)

    def apply(params, observation):
        batch = jax.tree.leaves(observation)[0].shape[0]
        values = (batch, env.num_players) if env.num_players > 2 else (batch,)
        return jnp.zeros((batch, env.num_actions)), jnp.zeros(values) + params

    return Agent(env, simulator(env, apply), jnp.float32(0), SearchSettings(num_simulations=16), name=name)


@pytest.fixture
def desk_of(tmp_path) -> Callable[..., Desk]:
    """`desk_of(name)`: a desk of one game; again: a server that was started anew."""
    return lambda name, count=1: Desk(
        [newcomer(name)] * count, ["newcomer", "other"][:count], tmp_path / "play"
    )
