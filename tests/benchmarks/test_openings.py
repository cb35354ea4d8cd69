"""Which losses of a match its openings decide."""

import importlib
from types import SimpleNamespace

import numpy as np

from tests.helpers.tiny import REPOSITORY


def result(outcomes):
    outcomes = np.array(outcomes, np.int8)
    wins, losses = (outcomes > 0).sum(), (outcomes < 0).sum()
    return SimpleNamespace(outcomes=outcomes, wins=wins, losses=losses, draws=len(outcomes) - wins - losses)


def test_a_seat_is_lost_if_it_loses_both_games_between_equals(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    openings = importlib.import_module("openings")
    # By pairs, between equals: seat 0 wins both games; seat 1 does; each player wins once; a draw and a win.
    equals = result([1, -1, -1, 1, 1, 1, 0, -1])
    match = result([1, -1, 1, 1, -1, 1, 0, -1])
    found = openings.decided(match, equals)
    assert found.won == (2, 0, 0)
    assert found.lost == (1, 0, 1)
    assert found.open == (1, 1, 2)
