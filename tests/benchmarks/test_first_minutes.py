"""What the benchmark of a first run notices, in runs of a stand-in for the library."""

import importlib

import pytest

from tests.helpers.tiny import REPOSITORY

STAND_IN = """
import json, pathlib, sys, time
print(json.dumps(sys.argv[1:]), flush=True)
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
run.mkdir()
for line in {lines}:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\\n")
    time.sleep({pause})
{end}
"""
LINES = [{"seconds": 0.0, "updates": 0, "strength": 0.25}, {"seconds": 3.5, "updates": 4}]
RESULT = """
result = {"updates": 4, "strength": {"name": "score", "value": 0.5, "low": 0.4, "high": 0.6}}
(run / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    return importlib.import_module("first_minutes")


def row(benchmark, tmp_path, end, pause=0.0):
    package = tmp_path / "code" / "jzero"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN.format(lines=LINES, end=end, pause=pause))
    (tmp_path / "home").mkdir()
    config = benchmark.Config(minutes=0.5, code=tmp_path / "code")
    return benchmark.try_one(config, "gymnax:CartPole-v1", tmp_path / "home")


def test_it_notes_when_what_came(benchmark, tmp_path, capsys):
    found = row(benchmark, tmp_path, RESULT, pause=0.6)
    assert found["exit_code"] == 0
    assert "gumbel_muzero" in found["said"][0]
    assert found["first_strength"] + 0.3 < found["first_update"] < found["end"]
    assert found["clock_at_first_update"] == 3.5
    assert found["measured"] == [[0.0, 0.25]]
    benchmark.show([found])
    assert "0.5 [0.4, 0.6], score" in capsys.readouterr().out.splitlines()[-1]


def test_the_file_of_the_game_of_a_team_lies_in_the_directory(benchmark, tmp_path):
    row(benchmark, tmp_path, "")
    assert "class Meet" in (tmp_path / "home" / "meet.py").read_text()


def test_a_run_that_fails_is_shown_with_its_code(benchmark, tmp_path, capsys):
    found = row(benchmark, tmp_path, "sys.exit('no such game')")
    assert found["error"] == ["no such game"]
    benchmark.show([found])
    assert "exit code 1" in capsys.readouterr().out
