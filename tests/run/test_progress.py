"""What a run says while it prepares."""

import io
import sys
import time

import pytest

from jzero.look import look
from jzero.run.presets import seen
from jzero.run.progress import working
from jzero.status import set_status
from tests.helpers.env_examples import TwoPiles


def test_a_step_that_takes_long_is_said_again(capsys):
    with working("compiling", every=0.05) as step:
        time.sleep(0.12)
        step("playing")
        time.sleep(0.12)
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "compiling"
    assert "compiling (0 s so far)" in lines
    assert "playing" in lines
    assert "playing (0 s so far)" in lines
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_a_step_says_how_far_it_is(capsys):
    set_status("games", 1, 4)  # nobody waits
    with working("measuring", every=0.05) as step:
        set_status("games against random play", 1000, 2000)
        time.sleep(0.12)
        set_status("positions", 3)
        time.sleep(0.12)
        step("drawing")
        time.sleep(0.12)
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert "measuring: 1,000 of 2,000 games against random play (0 s so far)" in lines
    assert "measuring: 3 positions (0 s so far)" in lines
    assert "drawing (0 s so far)" in lines


def test_a_step_is_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with working("measuring"):
        set_status("games", 1, 2)
        time.sleep(1.2)
    assert "measuring: 1 of 2 games |" in terminal.getvalue()


def test_a_step_that_fails_is_not_said_again(capsys):
    with pytest.raises(ValueError, match="no"), working("failing", every=0.05):
        raise ValueError("no")
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_the_first_look_at_an_environment_is_said_before_it_is_taken(capsys, monkeypatch):
    said = []

    def looked(env, say):
        said.append(capsys.readouterr().out)
        return look(env, say=say)

    monkeypatch.setattr("jzero.run.presets.look", looked)
    assert seen("piles", TwoPiles()).num_players == 2
    assert said[0].endswith("] piles: measuring random games\n")
