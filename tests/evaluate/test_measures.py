"""Measurements of an agent against what is known of it. Axes: B episodes."""

import copy
import math
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.env import keep_finished
from jzero.evaluate import measures
from jzero.evaluate.measures import (
    Strength,
    TimedMeasure,
    beside,
    mean_return,
    play_episodes,
    score_against,
    share_not_lost,
    take,
)
from jzero.status import on_status
from tests.oracles import games as rules

pytestmark = pytest.mark.usefixtures("quick_compilation")


class WalkState(NamedTuple):
    length: jax.Array  # i32[] steps this walk takes
    ply: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Walk:
    """A walk of 1 to 5 steps, drawn at its start; step t pays t + 1 for action 0 and nothing for action 1."""

    num_actions, num_players = 2, 1

    def init(self, key):
        length = jax.random.randint(key, (), 1, 6)
        no = jnp.bool_(False)
        return WalkState(length, jnp.int32(0), jnp.int32(0), jnp.ones(2, bool), jnp.zeros(1), no, no)

    def step(self, state, action, key):
        ply = state.ply + 1
        reward = jnp.where(action == 0, ply, 0).astype(jnp.float32)[None]
        ends = ply >= state.length
        after = state._replace(
            ply=ply, rewards=reward, terminated=ends & (ply < 5), truncated=ends & (ply == 5)
        )
        return keep_finished(state, after)

    def observe(self, state):
        return state.ply[None].astype(jnp.float32)


def agent(choose):
    """An agent of one rule, `choose(states, num_simulations)`, that says it searches 7 times."""
    return SimpleNamespace(
        act=lambda states, key, *, num_simulations=None, break_ties=False: choose(states, num_simulations),
        search=SimpleNamespace(num_simulations=7),
    )


def always(action):
    return agent(lambda states, _: jnp.full(states.terminated.shape, action, jnp.int32))


def test_returns_are_the_sums_of_whole_episodes():
    returns, cut, _ = play_episodes(Walk(), always(0).act, jax.random.key(3), 200)
    sums = {sum(range(1, length + 1)): length for length in range(1, 6)}
    assert set(returns.tolist()) == set(sums)
    assert cut == 0
    assert not play_episodes(Walk(), always(1).act, jax.random.key(3), 50).returns.any()


def test_episodes_are_cut_short_where_one_says_and_it_is_said():
    lengths = np.asarray(
        jax.vmap(Walk().init)(jax.random.split(jax.random.fold_in(jax.random.key(3), 0), 200)).length
    )
    returns, cut, _ = play_episodes(Walk(), always(0).act, jax.random.key(3), 200, max_plies=3)
    assert returns.tolist() == [sum(range(1, min(length, 3) + 1)) for length in lengths.tolist()]
    assert cut == (lengths > 3).sum() > 0
    found = mean_return(Walk(), episodes=200, seed=3, max_plies=3)(always(0))
    assert found.name.endswith(f"7 simulations, {cut} of the episodes cut short after 3 plies")
    assert found.value == pytest.approx(returns.mean())


def test_the_mean_return_has_the_normal_interval_of_its_episodes():
    found = mean_return(Walk(), episodes=200, seed=3)(always(0))
    returns = play_episodes(Walk(), always(0).act, jax.random.key(3), 200).returns
    assert found.value == pytest.approx(returns.mean())
    half = 1.959964 * returns.std(ddof=1) / np.sqrt(200)
    assert (found.low, found.high) == pytest.approx((returns.mean() - half, returns.mean() + half))
    assert found.name == "mean return of 200 episodes, 7 simulations"
    # The same seed gives the same episodes, another one others.
    assert mean_return(Walk(), episodes=200, seed=3)(always(0)) == found
    assert mean_return(Walk(), episodes=200, seed=4)(always(0)).value != found.value


@pytest.mark.parametrize("simulations", [0, 2])
def test_the_simulations_asked_for_reach_the_agent(simulations):
    asked = []

    def choose(states, num_simulations):
        asked.append(num_simulations)
        return jnp.zeros(states.terminated.shape, jnp.int32)

    found = mean_return(Walk(), episodes=3, num_simulations=simulations)(agent(choose))
    assert found.name.endswith(f", {simulations} simulations")
    assert set(asked) == {simulations}


def test_one_episode_has_no_interval():
    found = mean_return(Walk(), episodes=1)(always(0))
    assert (found.low, found.high) == (-np.inf, np.inf)


def first_legal(states, _):
    return jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32)


def outcomes_of_first_legal(position, seat):
    """[draws, wins, losses] of all games against the player of `seat` that always takes the first empty cell."""
    if position.is_terminal():
        result = position.returns()[seat]
        return np.array([result == 0, result > 0, result < 0], int)
    actions = position.legal_actions()
    if position.current_player() == seat:
        actions = actions[:1]
    found = np.zeros(3, int)
    for action in actions:
        after = copy.deepcopy(position)
        after.apply_action(action)
        found += outcomes_of_first_legal(after, seat)
    return found


def test_the_share_not_lost_is_that_of_all_games_by_the_plain_rules():
    expected = sum(outcomes_of_first_legal(rules.TicTacToe(), seat) for seat in range(2))
    found = share_not_lost(TicTacToe())(agent(first_legal))
    losses, games = expected[2], expected.sum()
    assert found.value == found.low == found.high == 1 - losses / games
    assert f"({losses} of {games} lost)" in found.name
    assert 0 < losses < games


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (
            lambda agent: 0.5,
            r"measure returned 0.5 for an agent; expected a jzero.evaluate.measures.Strength$",
        ),
        (lambda env: lambda agent: None, "call it with the environment first"),
    ],
)
def test_what_is_no_measure_is_said(measure, words):
    with pytest.raises(ValueError, match=words):
        take(measure, SimpleNamespace(), 1.0)


def test_a_score_is_that_of_the_match():
    """Against itself an agent wins what it loses; the opponent sees the openings that were asked for."""
    asked = []

    def opponent(turn):
        asked.append(np.asarray((turn.states.board != 0).sum(axis=-1))[turn.rows])
        return np.argmax(np.asarray(turn.states.legal_action_mask), axis=1).astype(np.int32)

    def act(states, key, *, num_simulations, break_ties):
        assert (num_simulations, break_ties) == (3, True)
        return jnp.argmax(states.legal_action_mask, axis=1)

    agent = SimpleNamespace(env=TicTacToe(), act=act)
    taken = score_against(opponent, "the lowest", games=6, at_once=4, num_simulations=3, opening_plies=(2, 2))
    told = []
    with on_status(lambda *said: told.append(said)):
        found = taken(agent)
    assert told == [("games against the lowest", 0, 6), ("games against the lowest", 4, 6)]
    assert found.name == "score in 6 games against the lowest, 3 simulations"
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    assert min(stones.min() for stones in asked if stones.size) == 2


def test_measurements_beside_another_share_the_time_and_are_its_parts(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(measures, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    given = []

    def lasting(seconds, value):
        def take(agent, limit):
            given.append(limit)
            clock[0] += seconds
            return Strength(f"of {seconds}", value, value - 0.1, value + 0.1)

        return TimedMeasure(take)

    measure = beside(lasting(1, 0.5), lasting(2, 0.25), lasting(5, math.nan))
    found = take(measure, SimpleNamespace(), 12.0)
    assert given == [4.0, 5.5, 9.0]  # what one leaves goes to those after it
    assert found[:4] == ("of 1", 0.5, 0.4, 0.6)
    assert [(part.kind, part.group, part.value) for part in found.parts] == [
        ("of 1", "all", 0.5),
        ("of 2", "all", 0.25),
    ]
    assert str(found) == "of 1: 0.500 [0.400, 0.600]; of 2 0.250 [0.150, 0.350]"
    assert measure.share == 0.5
