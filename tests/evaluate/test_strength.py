"""What a run says of an agent by default."""

import itertools
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.agent import Agent
from jzero.env import init_batch, keep_finished, random_actions_in
from jzero.evaluate import measures, strength, turns
from jzero.evaluate.measures import take
from jzero.evaluate.players import Opponent, agent_player
from jzero.evaluate.turns import Turn, as_player
from jzero.look import look
from jzero.models.plan import SearchSettings
from jzero.registry import make
from tests.evaluate.test_measures import Walk, always
from tests.helpers.env_examples import TwoPiles
from tests.helpers.tiny import simulator


class Together(TwoPiles):
    """Two players in turn choose 0 or 1, four times in all, and each 1 pays both of them 1."""

    num_actions, zero_sum, symmetries = 2, False, ()

    def init(self, key):
        start = super().init(key)
        return start._replace(legal_action_mask=start.legal_action_mask[:2])

    def step(self, state, action, key):
        piles = state.piles.at[0].add(-1)
        after = state._replace(
            piles=piles,
            current_player=1 - state.current_player,
            rewards=jnp.full(2, action == 1, jnp.float32),
            terminated=piles[0] < 0,
        )
        return keep_finished(state, after)


pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_single_players_return_stands_beside_that_of_random_play():
    measured = strength.measure(Walk())(always(0))
    found = re.fullmatch(
        r"mean return of 20 episodes, 7 simulations \(random play earns ([\d.]+)\)", measured.name
    )
    # Walks of 1 to 5 steps; step t pays t with probability 1/2, always when it is asked for.
    sums = [sum(range(1, length + 1)) for length in range(1, 6)]
    assert float(found[1]) == pytest.approx(sum(sums) / 5 / 2, abs=1.7)  # four standard errors
    assert measured.value == pytest.approx(sum(sums) / 5, abs=4.7)
    assert float(found[1]) != measured.value


def test_players_who_earn_the_same_are_measured_by_what_they_earn():
    measured = strength.measure(Together())(always(1))
    assert re.fullmatch(
        r"mean return of 20 episodes, 7 simulations \(random play earns [\d.]+\)", measured.name
    )
    assert (measured.value, strength.measure(Together())(always(0)).value) == (4, 0)
    assert look(Together()).shared
    assert not look(make("tic_tac_toe")).shared
    assert not look(Walk()).shared


@pytest.mark.parametrize(
    ("name", "said", "openings"),
    [("tic_tac_toe", "score in 40 games against", [(0, 2)] * 4), ("pgx:kuhn_poker", "return above", [])],
)
def test_poker_is_measured_by_what_it_earns_and_openings_leave_most_of_a_game(
    monkeypatch, name, said, openings
):
    pytest.importorskip("pgx", exc_type=ImportError)
    matches = []

    def play_match(*_, opening_plies, **__):
        matches.append(opening_plies)
        return SimpleNamespace(outcomes=np.zeros(10))

    table = SimpleNamespace(own=np.zeros((8, 2)), others=np.zeros((8, 2)))
    monkeypatch.setattr(measures, "play_match", play_match)
    monkeypatch.setattr(strength, "play_tables", lambda *_, **__: table)
    env, agent = make(name), always(0)
    agent.env = env
    assert strength.measure(env)(agent).name.startswith(said)
    assert matches == openings


class Row(TwoPiles):
    """Two take cells of a row in turn, at most twice each; who has two neighbouring cells wins."""

    num_actions, symmetries = 6, ()

    def init(self, key):
        return super().init(key)._replace(piles=jnp.zeros(6, jnp.int32), legal_action_mask=jnp.ones(6, bool))

    def step(self, state, action, key):
        cells = state.piles.at[action].set(1 + state.current_player)
        won = ((cells[1:] == cells[:-1]) & (cells[1:] == 1 + state.current_player)).any()
        mover = jnp.arange(2) == state.current_player
        after = state._replace(
            piles=cells,
            current_player=1 - state.current_player,
            legal_action_mask=cells == 0,
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0),
            terminated=won | ((cells > 0).sum() == 4),
        )
        return keep_finished(state, after)


def untrained(env):
    """An agent whose network finds all moves equal."""

    def apply(params, observation):
        rows = observation.shape[0]
        return jnp.zeros((rows, env.num_actions)), jnp.zeros(rows)

    return Agent(env, simulator(env, apply), (jnp.zeros(1),), SearchSettings(num_simulations=2))


@pytest.mark.parametrize("simulations", [0, 2])
def test_an_untrained_agent_takes_any_move_where_it_is_measured(simulations):
    env = Row()
    agent, states = untrained(env), init_batch(env, jax.random.key(0), 64)

    def turn(seed):
        return Turn(states, [[]] * 64, np.ones(64, bool), jax.random.key(seed))

    player = agent_player(agent, simulations)
    assert set(player(turn(0)).tolist()) == set(range(6))
    assert (player(turn(0)) == player(turn(0))).all()
    assert (player(turn(0)) != player(turn(1))).any()
    # The search itself keeps to the lowest of equal moves.
    assert not agent.act(states, jax.random.key(0), num_simulations=simulations).any()


def test_ties_alone_are_broken():
    env = Row()

    def apply(params, observation):
        rows = observation.shape[0]
        return jnp.broadcast_to(0.01 * jnp.arange(6.0), (rows, 6)), jnp.zeros(rows)

    agent = Agent(env, simulator(env, apply), (jnp.zeros(1),), SearchSettings(num_simulations=2))
    states = init_batch(env, jax.random.key(0), 64)
    assert set(agent.act(states, jax.random.key(0), num_simulations=0, break_ties=True).tolist()) == {5}


class Clock:
    """A clock on which every look takes a second."""

    def __init__(self):
        self.seconds = 0

    def monotonic(self):
        self.seconds += 1
        return self.seconds


@pytest.fixture
def games_of_nine_seconds(monkeypatch):
    """Tic-tac-toe with an opponent that takes 10 seconds for a move, a search that takes 2 and a policy that takes
    none: agent and measurement. A ply takes one second more.
    """
    env, clock = make("tic_tac_toe"), Clock()
    monkeypatch.setattr(turns, "time", clock)
    play = as_player(lambda states, key: random_actions_in(env, states, key))

    def player(seconds):
        def after(turn):
            clock.seconds += seconds
            return play(turn)

        return after

    monkeypatch.setattr(measures, "agent_player", lambda agent, simulations: player(2 if simulations else 0))
    monkeypatch.setattr(strength, "rollouts", lambda *_: Opponent("rollouts", "strong play", player(10)))
    monkeypatch.setattr(strength, "random_player", lambda *_: player(0))
    agent = always(0)
    agent.env = env
    return agent, strength.final(env)


ROUND, BY_SEARCH, BY_POLICY = 9 * (1 + 10 + 2), 9 * (1 + 2), 9
"""Seconds of a round: in each ply both players move in some of its games."""


def test_a_measurement_takes_as_many_games_as_there_is_time_for(games_of_nine_seconds):
    agent, measure = games_of_nine_seconds
    found = take(measure, agent, 2 * ROUND)
    assert found.name == "score in 20 games against strong play, 7 simulations"
    assert 0 < found.low < found.value < found.high < 1
    assert measure(agent).name.startswith("score in 100 games")
    missed = take(measure, agent, 3)
    assert np.isnan(missed.value)
    assert str(missed).startswith("not measured: it takes longer than the 3 s")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2 * ROUND, "20 games against strong play, 7 simulations"),
        (2 * ROUND - 60, "30 games against a random player, 7 simulations"),
        (4 * BY_SEARCH, "20 games against a random player, 7 simulations"),
        (4 * BY_SEARCH - 40, "4 games against a random player, 0 simulations"),
        (4 * BY_POLICY, "2 games against a random player, 0 simulations"),
    ],
)
def test_with_little_time_the_opponent_is_weaker_and_then_nothing_is_searched(
    games_of_nine_seconds, seconds, said
):
    agent, measure = games_of_nine_seconds
    assert take(measure, agent, seconds).name == f"score in {said}"
    # A run's later measurements are of the same kind.
    assert take(measure, agent, 2 * ROUND).name.endswith(said.partition(" games ")[2])


def test_episodes_are_cut_short_by_the_time(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    found = take(strength.measure(Walk()), always(0), 1)
    assert "cut short after 3 plies" in found.name
