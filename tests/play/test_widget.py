"""The widget without a notebook: what it is made of, and what it asks of Colab."""

import sys
import types

import pytest

pytest.importorskip("anywidget")

from tests.play.conftest import newcomer


@pytest.fixture
def colab(monkeypatch):
    """A stand-in for Colab's package; the calls it had."""
    calls, package, colab = [], types.ModuleType("google"), types.ModuleType("google.colab")
    output = types.ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: calls.append("enabled")
    package.colab, colab.output = colab, output
    for module in (package, colab, output):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_colab_is_asked_to_show_it(colab):
    """By anywidget itself."""
    board = newcomer("tic_tac_toe").play()
    assert colab == ["enabled"]
    assert "export default { render(" in board._esm
    assert ".jz-board" in board._css
