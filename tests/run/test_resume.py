"""A run that is interrupted: what is left after signals and crashes, and that resuming is exact."""

import dataclasses
import math
import os
import shlex
import shutil
import signal
import time

import pytest

from jzero.run import cli
from jzero.run.config import RunConfig
from jzero.storage import checkpoint
from jzero.storage.run_dir import RunDir, read_metrics, resume_command
from tests.helpers.tiny import CHILD, finish, same_bits, start_python, tiny, wait_for
from tests.helpers.training import (
    lines,
    nothing,
    saved,
    settings,
    train,
)

pytestmark = pytest.mark.usefixtures("quick_compilation", "quick_runs")


def test_a_killed_run_goes_on_to_the_same_bits(reference, tmp_path, cache):
    """3 iterations, kill -9 in the 4th, 3 more: what 6 iterations without a break give."""
    run_dir = tmp_path / "run"
    options = ["--run-dir", run_dir, "--checkpoint-every", 1e-9]
    child = start_python("-c", CHILD, "iteration 4", *options, cache=cache)
    wait_for(lambda: (run_dir / "checkpoints" / "3").exists(), child)
    said = next(line for line in child.stdout if not line.startswith("["))
    assert said.startswith("tiny: alphazero in tic_tac_toe, 8 games")
    while child.stdout.readline() != "hangs\n":
        pass
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    # A line of an iteration that was not saved, and half a line.
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 4, "loss": 1e9}\n{"iterat')

    state = train(settings(run_dir, 6, resume=True))
    path, expected = reference(6)
    assert same_bits(state, expected)
    assert saved(run_dir)[0] == 6
    assert same_bits(saved(run_dir)[1]["state"], saved(path)[1]["state"])
    assert lines(run_dir) == lines(path)


@pytest.mark.slow
def test_a_run_killed_while_it_saves_goes_on_to_the_same_bits(reference, tmp_path, cache):
    run_dir = tmp_path / "run"
    child = start_python("-c", CHILD, "never", "--run-dir", run_dir, "--checkpoint-every", 1e-9, cache=cache)
    wait_for(lambda: (run_dir / "checkpoints" / "2").exists(), child)
    wait_for(lambda: any((run_dir / "checkpoints").glob("*tmp*")), child)
    child.kill()
    child.communicate()
    done = checkpoint.iterations(run_dir / "checkpoints")[-1]
    total = max(done + 1, 6)
    state = train(settings(run_dir, total, resume=True))
    path, expected = reference(total)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)
    assert not list((run_dir / "checkpoints").glob("*tmp*"))


def test_signals_save_and_exit_and_say_how_to_resume(reference, tmp_path, cache):
    run_dir = tmp_path / "run"
    options, seconds = ["--run-dir", run_dir], 0.0
    for number in (signal.SIGINT, signal.SIGTERM):
        before = len(read_metrics(run_dir))
        child = start_python("-c", CHILD, "never", *options, cache=cache)
        wait_for(lambda before=before: len(read_metrics(run_dir)) >= before + 2, child)
        child.send_signal(number)
        out, err = finish(child)
        assert child.returncode == 0, err
        last = len(read_metrics(run_dir))
        resume = f"jzero.train('tic_tac_toe', run_dir='{run_dir}', resume=True)"  # it has no script
        assert out.splitlines()[-2:] == [f"stopped and saved; resume with: {resume}", "the end"]
        assert "Traceback" not in err
        assert "pos/s" not in err  # no bar where there is no terminal
        assert checkpoint.iterations(run_dir / "checkpoints")[-1] == last
        assert not (run_dir / "result.json").exists()
        assert "Stopped after" in (run_dir / "report.html").read_text()
        total = float(saved(run_dir)[1]["seconds"])
        assert total > seconds
        options, seconds = ["--run-dir", run_dir, "--resume"], total

    state = train(settings(run_dir, last + 1, resume=True))
    path, expected = reference(last + 1)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)
    clock = [line["seconds"] for line in read_metrics(run_dir)]
    assert clock == sorted(clock)


def test_a_second_signal_ends_the_process_at_once(tmp_path, cache):
    run_dir = tmp_path / "run"
    child = start_python("-c", CHILD, "iteration 1", "--run-dir", run_dir, cache=cache)
    while child.stdout.readline() != "hangs\n":
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    text = ""
    while "again to quit at once without saving" not in text:
        text += child.stderr.read(1)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 128 + signal.SIGINT  # it would hang for ten minutes
    child.communicate()
    assert checkpoint.iterations(run_dir / "checkpoints") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["while it trains", "at its end"])
def test_a_measurement_is_left_at_once(tmp_path, capfd, number, when):
    def interrupted(agent):
        os.kill(os.getpid(), number)
        time.sleep(60)
        pytest.fail("the measurement goes on")

    def never(agent):
        pytest.fail("a run that was stopped measures again")

    measures = (interrupted, never) if when == "while it trains" else (nothing, interrupted)
    before = signal.getsignal(number)
    begun = time.monotonic()
    state = train(settings(tmp_path / "run", 2), *measures)
    assert time.monotonic() - begun < 50
    assert signal.getsignal(number) == before
    assert checkpoint.iterations(tmp_path / "run" / "checkpoints")[-1] == int(state.iteration)
    assert "stopped and saved; resume with: " in capfd.readouterr().out
    assert not (tmp_path / "run" / "result.json").exists()


DEAF = """
import hashlib
from jzero.run import signals
signals.WAITS = dict.fromkeys(signals.WAITS, 0.3)
taken = signals.Signals()
taken.take()
with taken.leave_at_once():
    print("measures", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # as while XLA compiles, no handler of Python runs
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_measurement_that_python_cannot_leave_ends_with_the_process(cache, number):
    child = start_python("-c", DEAF, cache=cache)
    assert child.stdout.readline() == "measures\n"
    time.sleep(2)  # until it is deaf
    begun = time.monotonic()
    child.send_signal(number)
    if number == signal.SIGINT:
        assert child.stderr.readline() == "\n"
        assert child.stderr.readline() == (
            "stopping as soon as XLA has compiled (again to quit at once without saving)\n"
        )
        assert child.poll() is None
        child.send_signal(number)
    assert child.wait(60) == 128 + number
    child.communicate()
    assert time.monotonic() - begun < 30


def test_a_notebook_outlives_two_interrupts_that_python_cannot_hear(cache):
    script = DEAF.replace("10**9", "10**7") + "print('goes on', flush=True)\n"
    child = start_python("-c", f"import sys\nsys.ps1 = ''\n{script}", cache=cache)
    assert child.stdout.readline() == "measures\n"
    time.sleep(1)
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert child.communicate(timeout=60)[0] == "goes on\n"
    assert child.returncode == 0


def test_the_second_interrupt_is_one_of_python(tmp_path):
    def impatient(run):
        play = run.program.play

        def interrupted(state, progress):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            return play(state, progress)

        run.program = run.program._replace(play=interrupted)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", 2), prepare=impatient)
    assert signal.getsignal(signal.SIGINT) == before
    RunDir.create(tmp_path / "run", "tiny", {}, resume=True).close()  # nobody holds its lock


def test_sigterm_ends_the_process_while_a_program_compiles_and_saves_later(tmp_path):
    found, before = [], signal.getsignal(signal.SIGTERM)

    def watch(run):
        def watched(name):
            function = getattr(run.program, name)
            return lambda state, progress: (
                found.append((name, signal.getsignal(signal.SIGTERM) == before)) or function(state, progress)
            )

        run.program = run.program._replace(play=watched("play"), learn=watched("learn"))

    train(settings(tmp_path / "run", 3), prepare=watch)
    assert found == [
        *[("play", True), ("play", False), ("learn", True), ("play", False), ("learn", False)],
    ]


def test_resuming_a_finished_run_changes_nothing(reference, tmp_path):
    path, state = reference(6)
    shutil.copytree(path, tmp_path / "run")
    assert same_bits(train(settings(tmp_path / "run", 6, resume=True)), state)
    assert lines(tmp_path / "run") == lines(path)


def test_a_resumed_run_takes_its_own_settings_and_the_options_given(reference, tmp_path):
    path, _ = reference(6)
    shutil.copytree(path, tmp_path / "run")
    preset = RunConfig(train=tiny(games=64, seed=9))
    options = ["--run-dir", str(tmp_path / "run"), "--resume", "--learning-rate", "0.5", "--minutes", "7"]
    config = cli.parse("tiny", preset, options)
    assert config.train == tiny(learning_rate=0.5)
    assert config.minutes == 7
    assert cli.parse("tiny", preset, options[:2]).train == preset.train


OTHER_SETTINGS = RunConfig(
    minutes=60,
    iterations=5000,
    target=0.9,
    resume=True,
    evaluate_every=math.inf,  # JSON has no infinity
    checkpoint_every=30,
    keep_newest=3,
    keep_every=5,
    keep_best=True,
    save_replay=False,
    tensorboard=True,
    wandb=True,
    cpu_devices=1,
    train=tiny(games=64, max_grad_norm=math.inf),
)


def test_the_pasted_line_restores_every_setting_of_a_run(tmp_path):
    path = tmp_path / "it's my run"
    begun = dataclasses.replace(OTHER_SETTINGS, run_dir=path, resume=False)
    RunDir.create(path, "demo", begun, command="python 'my demo.py'").close()
    program, script, *options = shlex.split(resume_command("demo", path))
    assert (program, script) == ("python", "my demo.py")
    default = RunConfig(train=tiny(plies=3))
    for field in dataclasses.fields(RunConfig):
        assert getattr(OTHER_SETTINGS, field.name) != getattr(default, field.name) or field.name == "run_dir"
    expected = dataclasses.replace(OTHER_SETTINGS, run_dir=path)
    assert cli.parse("demo", default, options) == expected
    assert cli.parse("demo", lambda name, env: default, options) == expected
    given = ["--minutes", "70", "--target", "None", "--no-tensorboard", "--cpu-devices", "None"]
    changes = {"minutes": 70, "target": None, "tensorboard": False, "cpu_devices": None}
    assert cli.parse("demo", default, options + given) == dataclasses.replace(expected, **changes)


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_a_damaged_newest_checkpoint_costs_only_what_came_after_the_one_before(reference, tmp_path, damage):
    run_dir = tmp_path / "run"
    train(settings(run_dir, 5, checkpoint_every=1e-9))
    assert checkpoint.iterations(run_dir / "checkpoints") == [4, 5]
    data = run_dir / "checkpoints" / "5" / "ocdbt.process_0" / "d"
    if damage == "truncated":
        for file in data.iterdir():  # which of them holds what differs from run to run
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    else:
        shutil.rmtree(data)
    with pytest.warns(UserWarning, match="checkpoints/5 cannot be read .*; trying the one before"):
        state = train(settings(run_dir, 6, resume=True))
    path, expected = reference(6)
    assert same_bits(state, expected)
    assert lines(run_dir) == lines(path)
