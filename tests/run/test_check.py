"""The checker's command line."""

import os
import re
import subprocess
import sys

import pytest

from jzero.run.check import Config, check
from tests.helpers.tiny import REPOSITORY

TWO_PILES = "tests.helpers.env_examples:TwoPiles"


def test_a_good_environment_is_ok_with_what_was_played(capsys):
    assert check(Config(TWO_PILES, games=8, plies=20)) == 0
    text = capsys.readouterr().out
    found = re.fullmatch(
        r"OK: tests.helpers.env_examples:TwoPiles: 8 random games, 8 to their end, (\d+) plies, \d+ s; "
        r"2 player\(s\), 4 actions\n",
        text,
    )
    assert 8 * 4 <= int(found[1]) <= 8 * 6  # six sticks: a game takes 4 to 6 plies


def test_games_that_do_not_end_are_said(capsys):
    assert check(Config(TWO_PILES, games=2, plies=3)) == 0
    ok, more = capsys.readouterr().out.splitlines()
    assert "2 random games, 0 to their end, 6 plies" in ok
    assert more.startswith(
        "No game ended within 3 plies, so its end is unchecked: use more --plies, or let games"
    )


def test_an_emulator_is_said_not_to_be_played(capsys):
    assert check(Config("tests.helpers.env_examples:Emulator", games=2, plies=3)) == 0
    ok, more = capsys.readouterr().out.splitlines()
    assert ok.startswith("OK: tests.helpers.env_examples:Emulator: 0 random games")
    assert more.startswith("Only shapes and dtypes were checked: an emulator cannot return")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.helpers.env_examples:TwoPile", "did you mean 'TwoPiles'?"),
        ("conect_four", "did you mean 'connect_four'?"),
        ("pxg:othello", "did you mean 'pgx:othello'?"),
    ],
)
def test_a_wrong_name_is_one_line(capsys, name, message):
    assert check(Config(name)) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert message in line


@pytest.mark.parametrize("wrong", [{"games": 0}, {"plies": -1}])
def test_counts_are_at_least_one(capsys, wrong):
    ((name, value),) = wrong.items()
    assert check(Config(TWO_PILES, **wrong)) == 1
    assert capsys.readouterr().out == f"--{name} is {value}; expected at least 1\n"


@pytest.mark.slow
def test_problems_are_printed_and_are_the_exit_code(tmp_path):
    (tmp_path / "bad_game.py").write_text(
        "from tests.helpers.env_examples import TwoPiles\n"
        "class Bad(TwoPiles):\n"
        "    def step(self, state, action, key):\n"
        "        return super().step(state, action, key)._replace(rewards=state.rewards + 1)\n"
    )
    command = [
        sys.executable,
        "-m",
        "jzero",
        "check",
        "bad_game:Bad",
        "--games",
        "4",
        "--plies",
        "9",
        "--seed",
        "3",
    ]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / name) for name in ("", "envs"))}
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    title, *problems = done.stdout.splitlines()
    assert title == "Bad violates the environment protocol (jzero.env.Env):"
    assert any("the two players' rewards do not sum to zero" in problem for problem in problems)
