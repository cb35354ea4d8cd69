"""A model without a network: values are those of random games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.env import init_batch, step_batch
from jzero.env_spec import describe
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.rollouts import random_returns, rollout_model
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import Race

KEY = jax.random.key(0)


def expected_returns(env: Race, state, discount: float) -> np.ndarray:
    """Returns [P] of uniformly random play, by going through all games."""
    if state.terminated or state.truncated:
        return np.zeros(env.num_players)
    legal = np.flatnonzero(np.asarray(state.legal_action_mask))
    total = np.zeros(env.num_players)
    for action in legal:
        after = env.step(state, int(action), KEY)
        total += np.asarray(after.rewards) + discount * expected_returns(env, after, discount)
    return total / len(legal)


@pytest.mark.parametrize(("players", "discount"), [(2, 1.0), (3, 0.8)])
def test_values_are_unbiased(players, discount):
    env = Race(num_players=players, goal=2, limit=3)
    samples = 20_000
    states = init_batch(env, KEY, samples)
    found = quick_jit(lambda states: random_returns(env, states, KEY, discount))(states)
    expected = expected_returns(env, env.init(KEY), discount)
    deviation = np.asarray(found).std(axis=0) / np.sqrt(samples)
    assert (np.abs(found.mean(axis=0) - expected) < 5 * deviation + 1e-6).all()


def test_the_value_is_the_movers_with_two_players_and_everyones_with_more():
    two, three = Race(goal=1), Race(num_players=3, goal=1)
    for env, value in ((two, (4,)), (three, (4, 3))):
        model = rollout_model(describe(env))
        states = init_batch(env, KEY, 4)
        output, after = model.recurrent(None, KEY, jnp.zeros(4, jnp.int32), states)
        assert output.value.shape == value
        assert not np.asarray(output.value).any()  # the race is over
        assert after.terminated.all()
    almost = Race(goal=2, limit=100)
    model = rollout_model(describe(almost))
    states = init_batch(almost, KEY, 2000)
    output, after = model.recurrent(None, KEY, jnp.zeros(2000, jnp.int32), states)
    mover = after.current_player
    assert (mover == 1).all()
    # Standing still passes the turn, so the mover wins more than half of the games and pays 1/4 in half of those.
    assert np.asarray(output.value).mean() > 0.1


def test_search_by_rollouts_wins_at_once_and_blocks():
    env = TicTacToe()
    model = rollout_model(describe(env))
    games = [[0, 3, 1, 4], [0, 4, 1]]  # the mover wins at 2; must stop a win at 2
    states = []
    for game in games:
        state = init_batch(env, KEY, 1)
        for action in game:
            state = step_batch(env, state, jnp.array([action]), KEY)
        states.append(state)
    states = jax.tree.map(lambda *x: jnp.concatenate(x), *states)
    planner = make_planner(SearchSettings(policy="puct", dirichlet_fraction=0.0), model)
    found = quick_jit(
        lambda states: planner.plan(
            None, KEY, model.root(None, states), ~states.legal_action_mask, num_simulations=1000
        )
    )(states)
    np.testing.assert_array_equal(found.action, [2, 2])


@pytest.mark.slow
def test_hidden_cards_are_drawn_anew():
    env = Blob(players=3, cards=2)
    states = init_batch(env, KEY, 4)
    model = rollout_model(describe(env))
    planner = make_planner(SearchSettings(worlds=3), model)
    search = quick_jit(
        lambda states: planner.plan(
            None, KEY, model.root(None, states), ~states.legal_action_mask, num_simulations=4
        )
    )
    one = search(states)
    other = search(jax.vmap(env.resample)(states, jax.random.split(KEY, 4)))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
