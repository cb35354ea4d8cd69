"""What `experiments/alphazero.py` and the others say of an agent, and their errors."""

import importlib
import re
import subprocess
import sys

import pytest

from tests.evaluate.test_measures import Walk, always
from tests.tiny import REPOSITORY, child_environment

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_single_players_return_stands_beside_that_of_random_play(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))
    opponents = importlib.import_module("opponents")
    strength = opponents.measure(Walk())(always(0))
    found = re.fullmatch(
        r"mean return of 50 episodes, 7 simulations \(random play earns ([\d.]+)\)", strength.name
    )
    # Walks of 1 to 5 steps; step t pays t with probability 1/2, always when it is asked for.
    sums = [sum(range(1, length + 1)) for length in range(1, 6)]
    assert float(found[1]) == pytest.approx(sum(sums) / 5 / 2, abs=1.7)  # four standard errors
    assert strength.value == pytest.approx(sum(sums) / 5, abs=3)
    assert float(found[1]) != strength.value


@pytest.mark.slow
def test_a_match_of_nothing_is_one_line(tmp_path):
    command = [sys.executable, "experiments/match.py", "--run-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=child_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: {tmp_path} holds no run (no config.json); give the directory that a run printed\n"
    )
