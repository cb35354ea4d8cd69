"""What goes wrong in a run: directories in use, numbers that are not finite, full disks."""

import dataclasses
import errno
import math
import re

import orbax.checkpoint as ocp
import pytest

from jzero.metrics import Mean
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run import loop as run_lib
from jzero.run.loop import Run
from jzero.storage.files import RunDirError
from jzero.storage.run_dir import read_metrics
from tests.helpers.tiny import TINY, same_bits, tiny
from tests.helpers.training import (
    lines,
    not_a_number_in_update,
    settings,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_compilation", "quick_runs")


def test_a_run_that_exists_is_not_overwritten(reference):
    path, _ = reference(6)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != "lock"}
    with pytest.raises(RunDirError, match=re.escape(f"python experiments/tiny.py --run-dir {path} --resume")):
        train(settings(path))
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.name != "lock"} == before


def test_a_run_in_use_is_refused(tmp_path):
    config = settings(tmp_path / "run")
    with Run("tiny", make(TINY.env), config):
        for resume in (True, False):
            with pytest.raises(RunDirError, match="in use by process"):
                Run("tiny", make(TINY.env), dataclasses.replace(config, resume=resume))
    # Left, it is free again.
    with Run("tiny", make(TINY.env), dataclasses.replace(config, resume=True)) as run:
        assert run.iteration == 0


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_ended_before_its_first_checkpoint_starts_anew(tmp_path, reference, resume):
    def fail(agent):
        raise ZeroDivisionError("of the user's measure")

    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        train(settings(path, 6, keep_best=True), fail)
    assert "ZeroDivisionError: of the user's measure" in (path / "traceback.txt").read_text()
    (path / "metrics.jsonl").write_text('{"iteration": 4, "games": 99}\n')
    (path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)
    assert same_bits(train(settings(path, 6, resume=resume)), reference(6)[1])
    assert lines(path) == lines(reference(6)[0])
    assert not (path / "traceback.txt").exists()


def test_a_run_that_fails_while_it_begins_gives_its_directory_back(tmp_path, monkeypatch):
    config = settings(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(run_lib, "build_agent", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Run("tiny", make(TINY.env), config)
    with Run("tiny", make(TINY.env), config):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": NetworkSettings(width=32, blocks=1)}, "network.width was 16 and is now 32"),
        (
            {"network": NetworkSettings(width=16, blocks=1, norm="none")},
            "network.norm was 'layer' and is now 'none'",
        ),
        ({"env": "connect_four"}, "env was 'tic_tac_toe' and is now 'connect_four'"),
        ({"games": 16, "plies": 9}, "games was 8 and is now 16; plies was 6 and is now 9"),
    ],
)
def test_another_network_or_game_does_not_fit_and_the_field_is_named(reference, changes, message):
    path, _ = reference(6)
    with pytest.raises(ValueError, match="does not fit") as error:
        train(settings(path, resume=True, train=tiny(**changes)))
    assert message in str(error.value)
    assert "omit these options to resume" in str(error.value)
    # The directory is not left locked.
    train(settings(path, 6, resume=True))


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named_with_its_step(tmp_path, reference):
    run_dir = tmp_path / "run"
    with pytest.raises(FloatingPointError) as error:
        train(settings(run_dir, 6, checkpoint_every=1e-9), prepare=not_a_number_in_update(4))
    assert "policy_loss is nan" in str(error.value)
    assert "in iteration 4 (update 5)" in str(error.value)
    assert "lower --learning-rate" in str(error.value)
    assert "of the environment" not in str(error.value)
    assert f"--run-dir {run_dir} --resume" in str(error.value)
    assert "\n" not in str(error.value)
    # The last good iteration is there to go on with.
    assert [line["iteration"] for line in read_metrics(run_dir)] == [1, 2, 3]
    assert same_bits(train(settings(run_dir, 6, resume=True)), reference(6)[1])


def test_only_what_was_not_finite_first_is_named_with_its_update(tmp_path):
    """In the second of two updates all metrics are spoiled, in the first only what depends on value targets."""

    def spoil_targets(run):
        learn = run.program.learn

        def spoiled(state, progress):
            return learn(
                state._replace(replay=state.replay._replace(targets=state.replay.targets * math.nan)),
                progress,
            )

        run.program = run.program._replace(learn=spoiled)

    with pytest.raises(FloatingPointError) as error:
        train(settings(tmp_path / "run", 6), prepare=spoil_targets)
    named = "grad_norm is nan, loss is nan, value_loss is nan in iteration 2 (update 1); the run stopped"
    assert str(error.value).startswith(named)
    assert "the loss is not before the first update" in str(error.value)


def test_self_play_that_is_not_finite_is_named_before_its_updates(tmp_path):
    def spoil_play(run):
        play = run.program.play

        def spoiled(state, progress):
            state, metrics = play(state, progress)
            return state, metrics | {"policy_entropy": Mean(math.nan, 1.0)}

        run.program = run.program._replace(play=spoiled)

    with pytest.raises(
        FloatingPointError, match=r"^policy_entropy is nan in iteration 1 \(self-play\)"
    ) as error:
        train(settings(tmp_path / "run", 6), prepare=spoil_play)
    # No weight has changed, and no checkpoint is there.
    assert "the network's output in the current positions" in str(error.value)
    assert str(error.value).endswith("`python -m jzero check tic_tac_toe` searches for one")


def test_an_absurd_learning_rate_stops_the_run(tmp_path):
    absurd = tiny(learning_rate=1e38, max_grad_norm=1e38)
    with pytest.raises(
        FloatingPointError, match=r"(loss|grad_norm|policy_\w+) is (nan|inf) in iteration [23]"
    ):
        train(settings(tmp_path / "run", 20, train=absurd))


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(tmp_path, reference, monkeypatch):
    run_dir, write = tmp_path / "run", ocp.StandardCheckpointer.save

    def full_in_iteration_3(checkpointer, path, *args, **kwargs):
        if path.name == "3":
            (path.parent / "3.orbax-checkpoint-tmp").mkdir()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(checkpointer, path, *args, **kwargs)

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", full_in_iteration_3)
    with pytest.raises(OSError, match=r"checkpoint of iteration 3 .*No space left .*earlier .* are intact"):
        train(settings(run_dir, 6, checkpoint_every=1e-9))
    monkeypatch.undo()
    assert {entry.name for entry in (run_dir / "checkpoints").iterdir()} == {
        "1",
        "2",
        "replay",
        "optimizer.json",
    }
    assert same_bits(train(settings(run_dir, 6, resume=True)), reference(6)[1])
    assert lines(run_dir) == lines(reference(6)[0])
