"""Where a number that is not finite first appeared: environment, weights, network, loss or gradients."""

import math

import jax
import jax.numpy as jnp
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.agent import Agent
from jzero.env import init_batch
from jzero.models.plan import SearchSettings
from jzero.run.finite import cause_in_play, cause_in_update, check_finite
from tests.helpers.tiny import simulator

pytestmark = pytest.mark.usefixtures("quick_compilation")

GAME = TicTacToe()
STATES = init_batch(GAME, jax.random.key(0), 3)


class Blind(TicTacToe):
    """Has seen something that is no number."""

    def observe(self, state):
        return super().observe(state) * jnp.nan


def agent(env=GAME, value=0.0, weight=1.0):
    """Of a network with one weight that gives all positions the same value."""

    def apply(params, observation):
        rows = jax.tree.leaves(observation)[0].shape[0]
        return jnp.zeros((rows, 9)), jnp.full(rows, 0 * params["w"] + value)

    return Agent(env, simulator(env, apply), {"w": jnp.float32(weight)}, SearchSettings(num_simulations=2))


def test_what_the_environment_gives_is_looked_at_first():
    said = cause_in_play(agent(Blind(), math.nan), STATES, learned=False)
    assert said.startswith("an observation of the environment is not finite")
    assert said == cause_in_update(agent(Blind()), STATES, {"loss": math.nan}, learned=True)
    states = STATES._replace(rewards=STATES.rewards.at[1].set(jnp.inf))
    assert "a reward of the environment is not finite" in cause_in_play(agent(), states, learned=True)


@pytest.mark.parametrize("learned", [False, True])
def test_a_network_of_ones_own_is_not_taken_for_the_environment(learned):
    said = cause_in_play(agent(value=math.nan), STATES, learned=learned)
    assert said.startswith("the network's output is not finite in 3 of 3 positions whose observations are")
    assert "environment" not in said
    assert ("learning-rate" in said) == learned


def test_weights_and_what_is_not_known():
    assert "initial weights are not finite" in cause_in_play(agent(weight=math.inf), STATES, learned=False)
    assert "--learning-rate" in cause_in_play(agent(weight=math.inf), STATES, learned=True)
    assert "the cause was in an earlier position" in cause_in_play(agent(), STATES, learned=False)


def test_gradients_are_told_from_the_loss():
    said = cause_in_update(agent(), STATES, {"loss": 1.0, "grad_norm": math.nan}, learned=False)
    assert said.startswith("the loss is finite, but its gradients are not")
    assert "learning-rate" not in said
    said = cause_in_update(agent(), STATES, {"loss": math.inf, "grad_norm": math.nan}, learned=True)
    assert said.endswith("the loss is not; lower --learning-rate or --max-grad-norm")


def test_the_cause_is_asked_for_only_where_there_is_one():
    check_finite({"loss": 1.0}, "update 1", lambda: 1 / 0, "")
    with pytest.raises(FloatingPointError, match=r"^loss is inf in update 1; .*: because, then go on$"):
        check_finite({"loss": math.inf}, "update 1", lambda: "because", "go on")
