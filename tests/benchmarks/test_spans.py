"""How far searches tell moves apart."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.tiny import REPOSITORY


@pytest.fixture
def spans(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    return importlib.import_module("spans")


def analysis():
    """Four searches; the third tried one action only."""
    return SimpleNamespace(
        visits=np.array([[3, 1, 0], [1, 1, 2], [4, 0, 0], [2, 2, 0]], np.float32),
        qvalues=np.array([[0.5, 0.1, 0.0], [-0.2, -0.5, 0.3], [0.7, 0.0, 0.0], [0.1, 0.2, 0.0]], np.float32),
        prior=np.array([[0.2, 0.2, 0.6], [0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]], np.float32),
    )


def test_the_span_is_over_tried_actions_of_games_that_go_on(spans):
    span, prior, games = spans.told_apart(analysis(), np.array([False, False, False, True]))
    assert games == 2
    assert span == pytest.approx((0.4 + 0.8) / 2)
    assert prior == pytest.approx((0.6 + 0.5) / 2)


def test_over_no_game_there_is_no_number(spans):
    span, prior, games = spans.told_apart(analysis(), np.array([True, True, False, True]))
    assert games == 0
    assert np.isnan([span, prior]).all()
