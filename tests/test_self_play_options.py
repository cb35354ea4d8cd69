"""Self-play's switches: trees that go on with the game, and resigning. Axes: T plies, B games."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import search
from jzero.algorithms.returns import value_targets
from jzero.models.plan import Memory, SearchSettings, make_planner
from jzero.self_play import start_games
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import play_on, simulator, tiny, uniform_apply

KEY = jax.random.key(0)
GAMES, PLIES, SIMULATIONS = 64, 12, 16


class CutShort(TicTacToe):
    """Tic-tac-toe whose games are cut short after five plies: ends that a search does not know."""

    def step(self, state, action, key):
        after = super().step(state, action, key)
        cut = ~after.terminated & (jnp.sum(after.board != 0) >= 5)
        return after._replace(truncated=cut, legal_action_mask=after.legal_action_mask & ~cut)


@functools.cache
def played(apply, game=TicTacToe, **changes):
    """(first games, transitions [T, B], metrics) of one iteration."""
    env = game()
    config = tiny(games=GAMES, plies=PLIES, opening_plies=0, **changes)
    model = simulator(env, apply)

    @quick_jit
    def run(key):
        games = start_games(env, config, key, GAMES)
        return games, *play_on(env, model, config, None, key, games)[1:]

    return jax.tree.map(np.asarray, run(KEY))


def test_a_reused_tree_is_the_one_that_the_search_itself_goes_on_with():
    config = SearchSettings(policy="puct", num_simulations=SIMULATIONS, dirichlet_fraction=0.0, reuse=True)
    _, transitions, _ = played(uniform_apply, CutShort, search=config)
    env = CutShort()
    model = simulator(env, uniform_apply)
    planner = make_planner(config, model)

    def search_from(states, memory):
        return planner.plan(
            None, KEY, model.root(None, states), ~states.legal_action_mask, explore=False, memory=memory
        )

    @quick_jit
    def first(states):
        return search_from(states, Memory(None, None))

    @quick_jit
    def next_one(states, tree, action):
        return search_from(states, Memory(search.subtree(tree, action), None))

    at = [jax.tree.map(lambda x, t=t: x[t], transitions) for t in range(PLIES)]
    found = first(at[0].position)
    for t in range(PLIES):
        np.testing.assert_allclose(found.policy, at[t].policy, atol=1e-6)
        np.testing.assert_allclose(found.value, at[t].value, atol=1e-5)
        if t + 1 < PLIES:
            kept = np.where(at[t].ended, -1, at[t].action)
            found = next_one(at[t + 1].position, found.tree, kept)
    # What was kept shows: policies are shares of visits, here of more of them than one search makes.
    later = transitions.policy[1:][~transitions.ended[:-1]]
    assert (np.abs(later * SIMULATIONS - np.round(later * SIMULATIONS)) > 1e-3).any()


def test_without_reuse_every_search_starts_alone():
    config = SearchSettings(policy="puct", num_simulations=SIMULATIONS, dirichlet_fraction=0.0)
    _, transitions, _ = played(uniform_apply, search=config)
    visits = transitions.policy * SIMULATIONS
    np.testing.assert_allclose(visits, np.round(visits), atol=1e-3)


@pytest.mark.slow
def test_playout_caps_and_reuse_go_together():
    config = SearchSettings(num_simulations=8, reuse=True)
    _, transitions, metrics = played(
        uniform_apply, search=config, full_search_fraction=0.5, fast_simulations=2
    )
    full = transitions.policy_weight == 1
    assert 0 < full.mean() < 1
    assert metrics["evaluations_per_position"].total == np.where(full, 1 + 8, 1 + 2).sum()
    # Without reuse the same keys give the same first ply, and other games after it.
    _, alone, _ = played(
        uniform_apply,
        search=dataclasses.replace(config, reuse=False),
        full_search_fraction=0.5,
        fast_simulations=2,
    )
    np.testing.assert_allclose(transitions.policy[0], alone.policy[0], atol=1e-6)
    assert not np.allclose(transitions.policy, alone.policy, atol=1e-3)


def gloomy_apply(params, observation):
    """A network that finds every position with five stones or more lost for its mover."""
    batch = observation.shape[0]
    stones = jnp.sum(observation.reshape(batch, -1), axis=-1)
    return jnp.zeros((batch, 9)), jnp.where(stones >= 5, -1.0, 0.0)


RESIGNING = {
    "search": SearchSettings(policy="puct", num_simulations=1, dirichlet_fraction=0.0),
    "random_move_fraction": 1.0,
    "resign_below": -0.5,
    "resign_holdout": 0.25,
}


def optimist(params, observation):
    """`gloomy_apply` turned round: after one simulation the mover of the position before it is gloomy."""
    logits, value = gloomy_apply(params, observation)
    return logits, -value


def finished_games(transitions):
    """(lane, plies of the game) of every game that ended; a lane's first game begins with the first ply."""
    for lane in range(GAMES):
        start = 0
        for end in np.flatnonzero(transitions.ended[:, lane]):
            yield lane, np.arange(start, end + 1)
            start = end + 1


def test_who_resigns_loses_and_the_hold_out_plays_on():
    games, transitions, metrics = played(optimist, **RESIGNING)
    stubborn = games.never_resigns
    assert 4 < stubborn.sum() < 32  # binomial(64, 1/4)
    hopeless = transitions.value < RESIGNING["resign_below"]
    mover, reward = transitions.position.current_player, transitions.reward
    resigns, errors, checks = 0, 0, 0
    for lane, plies in finished_games(transitions):
        last = plies[-1]
        gave_up = plies[hopeless[plies, lane]]
        resigned = reward[last, lane] == -1  # a move in tic-tac-toe cannot lose
        if plies[0] == 0:
            assert resigned == (len(gave_up) > 0 and not stubborn[lane])
        if resigned:
            resigns += 1
            assert gave_up.tolist() == [last]
            assert transitions.discount[last, lane] == 0
            assert not transitions.truncated[last, lane]
        else:
            board = transitions.position.board[last, lane].copy()
            board[transitions.action[last, lane]] = 1
            assert (board != 0).all() or reward[last, lane] == 1  # full, or won
            if len(gave_up):
                checks += 1
                sign = 1 if mover[gave_up[0], lane] == mover[last, lane] else -1
                errors += sign * reward[last, lane] >= 0
    assert metrics["resigned_share"].total == resigns > 10
    assert metrics["resign_error_share"].weight == checks > 2
    assert metrics["resign_error_share"].total == errors > 0
    assert errors < checks
    played_well = transitions._replace(explored=np.zeros_like(transitions.explored))
    targets, known = value_targets(jax.tree.map(jnp.asarray, played_well), 1.0)
    lost = transitions.ended & (transitions.reward == -1)
    assert lost.any()
    assert (np.asarray(targets)[lost] == -1).all()
    assert np.asarray(known)[lost].all()


def test_a_value_of_minus_one_never_resigns_while_it_is_off():
    _, transitions, metrics = played(optimist, **(RESIGNING | {"resign_below": -1.0}))
    assert (transitions.value < -0.5).any()
    assert (transitions.reward >= 0).all()
    assert "resigned_share" not in metrics


def test_random_moves_cut_targets_unless_they_are_part_of_the_play():
    changes = {"random_move_fraction": 0.5, "search": SearchSettings(num_simulations=4)}
    _, cut, _ = played(uniform_apply, **changes)
    _, whole, _ = played(uniform_apply, **changes, cut_at_random_moves=False)
    assert 0.4 < cut.explored.mean() < 0.6
    assert not whole.explored.any()
    np.testing.assert_array_equal(cut.action, whole.action)
    targets, known = (np.asarray(x) for x in value_targets(jax.tree.map(jnp.asarray, whole), 1.0))
    winner = whole.ended & (whole.reward == 1)
    for lane, plies in finished_games(whole):
        signs = np.where((plies[-1] - plies) % 2, -1, 1)
        np.testing.assert_allclose(targets[plies, lane], signs * winner[plies[-1], lane], atol=1e-6)
    assert known.any()
