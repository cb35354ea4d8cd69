"""A run from the command line."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import jax
import pytest

from jzero.devices import set_up
from jzero.run import cli
from jzero.run import loop as run_lib
from jzero.run.cli import main
from jzero.run.config import RunConfig
from jzero.run.loop import Run
from jzero.storage.run_dir import read_metrics
from tests.helpers.tiny import TINY, tiny
from tests.helpers.training import (
    NEVER,
    not_a_number_in_update,
    nothing,
)

pytestmark = pytest.mark.usefixtures("quick_compilation", "quick_runs")


@pytest.fixture
def command_line(monkeypatch, capsys):
    """`command_line(*options)`: what an experiment's `main` with `TINY` as its preset ends with, and says."""
    monkeypatch.setattr(cli, "set_up", lambda **_: None)  # this process has its devices
    monkeypatch.delenv("JZERO_TRACEBACK", raising=False)

    def call(*options):
        preset = RunConfig(minutes=60, iterations=2, evaluate_every=NEVER, train=TINY)
        with pytest.raises(SystemExit) as exit_:
            main("tiny", preset, lambda env: nothing, argv=[str(option) for option in options])
        # A text is printed by Python itself; tyro prints its own in a frame and exits with a number.
        said = str(exit_.value.code) if isinstance(exit_.value.code, str) else capsys.readouterr().err
        assert exit_.value.code
        return re.sub(r"[\s│]+", " ", said) if not isinstance(exit_.value.code, str) else said

    return call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env", "tic_tac_to"], "error: unknown env 'tic_tac_to': did you mean 'tic_tac_toe'?"),
        (["--env", "no_module:Game"], "error: env 'no_module:Game': cannot import the module 'no_module'"),
        (["--games", "0"], "games is 0; it must be at least 1"),
        (["--minutes", "-1"], "minutes is -1.0; it must be greater than 0"),
        (["--search.num-simulations", "0"], "search.num_simulations is 0; it must be at least 1"),
        (["--network.width", "0"], "network.width is 0; it must be at least 1"),
        (["--number-of-games", "3"], "Unrecognized options: --number-of-games"),
        (["--plies", "4"], "error: replay_plies is 18; it must be a multiple of plies, 4"),
        (["--resume", "--run-dir", "{tmp}/missing"], "{tmp}/missing holds no run (no config.json)"),
        (["--run-dir", "{tmp}/file/run"], "error: cannot write {tmp}/file/run: Not a directory"),
        (["--run-dir", "{tmp}"], "error: run directory {tmp} is not empty"),
    ],
)
def test_a_mistake_is_told_without_a_traceback_and_leaves_nothing(tmp_path, command_line, options, message):
    (tmp_path / "file").write_text("x")
    options = [option.format(tmp=tmp_path) for option in options]
    if "--run-dir" not in options:
        options += ["--run-dir", str(tmp_path / "run")]
    found = command_line(*options)
    assert message.format(tmp=tmp_path) in found
    assert "\n" not in found
    assert "Traceback" not in found
    assert {entry.name for entry in tmp_path.iterdir()} <= {"file", "lock"}


def test_a_loss_that_is_not_finite_is_one_line_too(tmp_path, command_line, monkeypatch):
    enter = Run.__enter__

    def spoil_and_enter(run):
        not_a_number_in_update(2)(run)
        return enter(run)

    monkeypatch.setattr(Run, "__enter__", spoil_and_enter)
    found = command_line("--run-dir", tmp_path / "run", "--iterations", 3)
    assert found.startswith("error: ")
    assert "loss is nan" in found


USERS_GAME = """
from jzero_envs.tic_tac_toe import TicTacToe

class Game(TicTacToe):
    def {function}(self, *arguments):
        return 1 / 0  # a mistake
"""


@pytest.mark.parametrize("function", ["init", "step", "observe", "__init__"])
def test_an_error_of_the_users_code_is_one_line_that_names_theirs(
    tmp_path, command_line, monkeypatch, function
):
    module = f"users_game_{function.strip('_')}"
    (tmp_path / f"{module}.py").write_text(USERS_GAME.format(function=function))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = command_line("--env", f"{module}:Game", "--run-dir", tmp_path / "run")
    assert f"({module}.py, line 6: `return 1 / 0  # a mistake`)" in found
    assert len(found.splitlines()) <= 2  # of check_env's errors each has a line


def test_an_error_of_the_users_measure_has_its_traceback_in_the_run_directory(tmp_path, monkeypatch):
    def broken(agent):
        return {}["strength"]

    monkeypatch.setattr(cli, "set_up", lambda **_: None)
    monkeypatch.delenv("JZERO_TRACEBACK", raising=False)
    preset = RunConfig(iterations=2, train=TINY)
    options = ["--run-dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as error:
        main("tiny", preset, lambda env: broken, argv=options)
    line = f"KeyError: 'strength' ({Path(__file__).name}, line "
    assert str(error.value).startswith(f"error: {line}")
    assert str(error.value).endswith(f"the whole traceback is in {tmp_path / 'run' / 'traceback.txt'}")
    assert 'return {}["strength"]' in (tmp_path / "run" / "traceback.txt").read_text()
    monkeypatch.setenv("JZERO_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main("tiny", preset, lambda env: broken, argv=options)
    # A defect of jzero is shown as it is.
    monkeypatch.delenv("JZERO_TRACEBACK")
    monkeypatch.setattr(run_lib, "speeds", None)
    with pytest.raises(TypeError):
        main("tiny", preset, lambda env: broken, argv=options)


def test_main_trains_and_returns_the_strength(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "set_up", lambda **_: None)
    monkeypatch.chdir(tmp_path)
    preset = RunConfig(minutes=60, iterations=2, evaluate_every=NEVER, train=TINY)
    assert main("tiny", preset, lambda env: nothing, argv=["--iterations", "1"]) == nothing(None)
    (run_dir,) = (tmp_path / "runs" / "tiny").iterdir()
    assert len(read_metrics(run_dir)) == 1
    text = capsys.readouterr()
    assert f"run directory: runs/tiny/{run_dir.name}" in text.out
    *_, untrained, last = text.out.splitlines()
    assert untrained == (
        "NOTHING WAS LEARNED: no update ran; updates start at iteration 2. Raise --minutes or lower "
        "--warmup-iterations"
    )
    assert last == "nothing: 0.500 [0.250, 0.750]"
    # And on with the newest run, without naming it.
    main("tiny", preset, lambda env: nothing, argv=["--resume", "--iterations", "2"])
    assert len(read_metrics(run_dir)) == 2
    record = json.loads((run_dir / "config.json").read_text())
    assert record["experiment"] == "tiny"


@pytest.fixture
def started(monkeypatch):
    """A function: the settings that `main` starts a run with, where JAX finds this backend."""

    def start(backend, options, presets, **more):
        seen = []

        def stop(experiment, env, config, command):
            seen.append(config)
            raise ValueError("enough")

        monkeypatch.setattr(cli, "set_up", lambda **_: None)
        monkeypatch.setattr(cli, "Run", stop)
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        with pytest.raises(SystemExit, match="enough"):
            main("tiny", presets, lambda env: nothing, argv=[str(option) for option in options], **more)
        return seen[0]

    return start


SIMPLE = RunConfig(train=TINY)
LARGE = RunConfig(train=tiny(games=64))


@pytest.mark.parametrize(
    ("presets", "more", "games"),
    [
        (SIMPLE, {}, 16 * 8),
        (SIMPLE, {"accelerated": LARGE}, 64),
        ({"alphazero": SIMPLE, "muzero": LARGE}, {}, 16 * 8),
        ({"alphazero": SIMPLE}, {"accelerated": {"alphazero": LARGE}}, 64),
        (lambda name, env: LARGE, {}, 16 * 64),
        ({"alphazero": lambda name, env: LARGE}, {"accelerated": {"alphazero": lambda name, env: LARGE}}, 64),
    ],
)
def test_networks_compute_in_bfloat16_on_an_accelerator_unless_one_says_otherwise(
    started, presets, more, games
):
    env = ["--env", "tic_tac_toe"]
    found = started("gpu", env, presets, **more).train
    assert (found.network.bf16, found.games) == (True, games)
    assert not started("gpu", [*env, "--network.no-bf16"], presets, **more).train.network.bf16
    other = started("tpu", [*env, "--network.width", 24], presets, **more).train.network
    assert (other.bf16, other.width) == (True, 24)
    assert not started("cpu", env, presets, **more).train.network.bf16
    assert started("cpu", [*env, "--network.bf16"], presets, **more).train.network.bf16


@pytest.mark.parametrize("presets", [SIMPLE, {"alphazero": lambda name, env: LARGE}])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_resumed_run_computes_as_it_began_wherever_it_goes_on(started, tmp_path, presets, bf16):
    network = dataclasses.replace(TINY.network, bf16=bf16)
    config = {"train": dataclasses.asdict(tiny(network=network, games=16))}
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    for backend in ("gpu", "cpu"):
        found = started(backend, ["--resume", "--run-dir", tmp_path], presets, accelerated=LARGE).train
        assert (found.network.bf16, found.games) == (bf16, 16)


def test_the_algorithm_chooses_the_preset(tmp_path):
    presets = {
        name: RunConfig(minutes=minutes, train=tiny(algorithm=name))
        for minutes, name in enumerate(("gumbel_muzero", "muzero"), start=1)
    }
    assert cli.parse("tiny", presets, []) == presets["gumbel_muzero"]
    assert cli.parse("tiny", presets, ["--algorithm", "muzero"]) == presets["muzero"]
    assert cli.parse("tiny", presets, ["--algorithm=muzero", "--seed", "4"]).train.seed == 4
    with pytest.raises(
        ValueError, match=r"algorithm is 'alphazero'; this experiment has .* gumbel_muzero, muzero"
    ):
        cli.parse("tiny", presets, ["--algorithm", "alphazero"])


def test_devices_stay_as_they_are_once_jax_is_in_use():
    before = jax.devices()
    set_up(cache=None)
    set_up(cpu_devices=len(before), cache=None)
    with pytest.raises(
        ValueError, match=r"cpu_devices is 64, but JAX is already in use with \d+: set it before"
    ):
        set_up(cpu_devices=64, cache=None)
    assert jax.devices() == before
