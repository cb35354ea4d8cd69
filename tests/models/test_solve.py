"""`SearchSettings.solve`: what a planner makes of proven values, and which models it is refused for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import describe, make
from jzero.env import init_batch, step_batch
from jzero.models.learned import learned_model
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.rollouts import rollout_model
from jzero.models.simulator import simulator_model
from jzero.networks.network import Network
from jzero.run.config import TrainConfig
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import learned_of, planned, simulator, uniform_apply
from tests.oracles import connect_four_solver as connect_four

KEY = jax.random.key(0)


def states_after(env, histories):
    """States [B] after histories of equal length."""
    states = init_batch(env, KEY, len(histories))
    step = quick_jit(functools.partial(step_batch, env))
    for actions in np.array(histories).T:
        states = step(states, jnp.asarray(actions, jnp.int32), KEY)
    return states


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_a_proven_win_is_the_move_the_target_and_the_value(policy):
    env = TicTacToe()
    # The mover wins at once by 2; must answer at 2, and loses in two plies; has two threats after 8 (a win in 3).
    states = states_after(env, [[0, 3, 1, 4], [0, 4, 8, 3], [0, 1, 3, 6]])
    settings = SearchSettings(policy=policy, num_simulations=60, solve=True)
    plan = quick_jit(
        lambda: planned(settings, simulator(env, uniform_apply), (), KEY, states, explore=True)
    )()
    assert int(plan.action[0]) == 2
    np.testing.assert_array_equal(plan.policy[0], np.eye(9)[2])
    assert int(plan.action[1]) == 5
    np.testing.assert_array_equal(plan.value[np.array([0, 2])], 1)
    np.testing.assert_array_equal(plan.qvalue[np.array([0, 2])], 1)
    assert int(plan.action[2]) == 4
    assert (jnp.sum(plan.visits, axis=-1) == 60).all()


def wins_in(board, column, plies):
    """Whether the mover's stone in the column wins within so many plies, by brute force."""
    after = connect_four.drop(board, column, sum(map(len, board)) % 2)
    if connect_four.wins(after, column):
        return True
    replies = connect_four.open_columns(after)
    if plies < 3 or not replies:
        return False
    for reply in replies:
        answered = connect_four.drop(after, reply, sum(map(len, after)) % 2)
        if connect_four.wins(answered, reply):
            return False
        if not any(wins_in(answered, move, plies - 2) for move in connect_four.open_columns(answered)):
            return False
    return True


def mates_in_two(count, plies=12):
    """Random unfinished games of so many moves in which the mover wins in three plies, not in one; the moves."""
    rng, found = np.random.default_rng(0), []
    while len(found) < count:
        board, moves = ((),) * 7, []
        while len(moves) < plies:
            column = int(rng.choice(connect_four.open_columns(board)))
            board = connect_four.drop(board, column, len(moves) % 2)
            if connect_four.wins(board, column):
                break
            moves.append(column)
        columns = connect_four.open_columns(board)
        if len(moves) < plies or any(wins_in(board, column, 1) for column in columns):
            continue
        winning = [wins_in(board, column, 3) for column in columns]
        if any(winning):
            found.append((moves, {c for c, wins in zip(columns, winning, strict=True) if wins}))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_mates_in_two_are_found_with_fewer_simulations(policy):
    env, mates = ConnectFour(), mates_in_two(200)
    states = states_after(env, [moves for moves, _ in mates])

    def ignorant(params, observation):
        batch = jax.tree.leaves(observation)[0].shape[0]
        return jnp.zeros((batch, 7)), jnp.zeros(batch)

    model, numbers = simulator(env, ignorant), (8, 16, 32, 64, 128, 256)
    found = {}
    for solve in (False, True):
        settings = SearchSettings(policy=policy, solve=solve)
        run = jax.jit(
            lambda number, settings=settings: (
                planned(
                    settings, model, (), KEY, states, num_simulations=number, max_num_simulations=256
                ).action
            )
        )
        found[solve] = [
            np.mean([int(a) in wins for a, (_, wins) in zip(run(jnp.int32(n)), mates, strict=True)])
            for n in numbers
        ]
    assert (np.array(found[True]) >= found[False]).all()
    assert np.mean(found[True]) > np.mean(found[False])


def test_models_that_cannot_prove_are_refused():
    env = TicTacToe()
    large = Network(None, uniform_apply, value_limit=5.0)
    refused = [
        learned_model(describe(env), learned_of(env, TrainConfig(env="tic_tac_toe", algorithm="muzero"))),
        simulator_model(describe(env), large),
        rollout_model(describe(make("blob"))),
        rollout_model(describe(make("2048"))),
    ]
    for model in refused:
        with pytest.raises(
            ValueError, match=r"search\.solve is True; it needs AlphaZero and a two-player game"
        ):
            make_planner(SearchSettings(solve=True), model)
    make_planner(SearchSettings(solve=True), rollout_model(describe(env)))
