"""Searches for engines: their numbers, their time, what they find; lines of input while they run."""

import os
import time

import numpy as np
import pytest

from jzero.engine.game import Game
from jzero.engine.lines import Lines
from jzero.engine.thinker import GROWTH, Thinker, think
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.load import load
from tests.helpers.engines import FakeThinker
from tests.helpers.runs import save_run
from tests.helpers.tiny import tiny


@pytest.fixture(scope="module")
def game(quick_compilation):
    return Game(make("tic_tac_toe"))


@pytest.fixture(scope="module")
def thinker(game, tmp_path_factory):
    made = Thinker(
        load(save_run(tmp_path_factory.mktemp("run"), tiny(network=NetworkSettings(width=16, blocks=1)))), 60
    )
    made.warm_up(game.states)
    return made


def test_a_finding_is_the_agents_analysis(game, thinker):
    found = thinker.begin(game.states, 20).finding()
    wanted = thinker.agent.analyse(game.states, thinker._key, 20)
    assert found.simulations == 20
    assert found.action == int(wanted.action[0])
    np.testing.assert_array_equal(found.visits, np.asarray(wanted.visits[0]))
    np.testing.assert_allclose(found.qvalues, np.asarray(wanted.qvalues[0]), atol=1e-6)
    line = [int(a) for a in wanted.principal_variation[0] if a >= 0]
    assert found.lines[line[0]] == line
    assert found.ranked()[0] == found.action
    assert set(found.lines) == set(np.flatnonzero(found.visits).tolist())


def test_nothing_is_compiled_after_the_warm_up(game, thinker):
    before = thinker.agent._analyse_up_to._cache_size()
    for number in (1, 31, 32, 33, 60, 100):
        assert thinker.begin(game.states, number).finding().simulations == min(number, 60)
    assert thinker.agent._analyse_up_to._cache_size() == before


def test_a_search_without_simulations_is_refused(thinker):
    with pytest.raises(ValueError, match="most is 0; expected at least 1 simulation"):
        Thinker(thinker.agent, 0)


def test_searches_grow_to_the_last(game):
    fake = FakeThinker(most=500, speed=100.0)
    numbers = [found.simulations for found in think(fake, game.states, simulations=200)]
    assert numbers == [10, 10 * GROWTH, 10 * GROWTH**2, 200]


@pytest.mark.parametrize("speed", [20.0, 1000.0])
def test_searches_fit_into_the_time(game, speed):
    fake = FakeThinker(most=10**6, speed=speed)
    numbers = [found.simulations for found in think(fake, game.states, seconds=1.0)]
    assert numbers == sorted(numbers)
    assert 0.7 * speed <= numbers[-1] <= speed


def test_a_search_that_is_late_is_left(game):
    class Late(FakeThinker):
        def begin(self, states, simulations):
            pending = super().begin(states, simulations)
            pending._looks = 0 if len(self.asked) == 1 else 10**9
            self.pending = pending
            return pending

    late, begun = Late(speed=100.0), time.monotonic()
    assert len(list(think(late, game.states, seconds=0.3))) == 1
    assert len(late.asked) == 2
    assert late.pending.left
    assert 0.3 <= time.monotonic() - begun < 1


def test_a_search_that_is_left_makes_the_next_ones_shorter(game, thinker):
    before = thinker.number_for(0.02)
    pending = thinker.begin(game.states, 60)
    pending._replace(begun=pending.begun - 100).leave()
    thinker.begin(game.states, 1).finding()
    assert thinker._speeds[60] < 1
    assert thinker.number_for(0.02) <= min(before, 32)
    thinker.warm_up(game.states)


def test_there_is_a_finding_without_any_time(game):
    assert len(list(think(FakeThinker(looks=3), game.states, seconds=0.0))) == 1


def test_games_are_taken_back(game):
    game.begin()
    assert not game.undo()
    game.play(4)
    game.play(0, 8)
    assert game.positions[-1].actions == (0, 8)
    assert game.legal.tolist() == [False, True, True, True, False, True, True, True, False]
    assert game.undo()
    assert game.legal.sum() == 8
    assert not game.over


def test_lines_are_read_and_seen():
    out, into = os.pipe()
    lines = Lines(out)
    assert not lines.waiting(0.01)
    os.write(into, b"one\r\ntwo\n\xffthr")
    assert lines.waiting()
    assert [lines.next(), lines.next()] == ["one", "two"]
    assert not lines.waiting(0.01)
    os.write(into, b"ee\nend")
    assert lines.next() == "\ufffdthree"
    os.close(into)
    assert lines.waiting()
    assert [lines.next(), lines.next()] == ["end", None]
    os.close(out)


def test_lines_may_come_from_a_file(tmp_path):
    (tmp_path / "lines").write_text("one\ntwo")
    with (tmp_path / "lines").open("rb") as file:
        lines = Lines(file.fileno())
        assert lines.waiting()
        assert [lines.next(), lines.next(), lines.next()] == ["one", "two", None]
