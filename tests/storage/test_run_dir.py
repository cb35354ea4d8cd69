"""Run directories: who may write, and what is left after a crash or on a full disk."""

import dataclasses
import errno
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jzero.storage import run_dir
from jzero.storage.files import RunDirError, read_json, to_json, write_atomic
from jzero.storage.run_dir import RunDir, read_metrics, resume_command

REPOSITORY = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Config:
    learning_rate: float = 1e-3
    blocks: tuple[int, ...] = (64, 64)
    target: float = math.inf


def start_child(code, *arguments):
    """A second Python process that runs `code` and has said "ready"."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def file_size_limit():
    """Makes the kernel refuse what would let a file grow past so many bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_new_runs_are_named_by_time_and_never_share_a_directory(tmp_path):
    runs = [RunDir.create(None, "pgx:go_9x9", {}, root=tmp_path) for _ in range(3)]
    assert len({run.path for run in runs}) == 3
    for run in runs:
        assert run.path.parent == tmp_path / "pgx-go_9x9"
        assert re.fullmatch(r"\d{8}-\d{6}(-\d)?", run.path.name)


def test_config_holds_what_was_chosen_and_the_versions(tmp_path):
    RunDir.create(tmp_path / "run", "connect_four", Config(), device="TPU v9")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["experiment"] == "connect_four"
    assert config["config"] == {"learning_rate": 1e-3, "blocks": [64, 64], "target": None}
    assert config["versions"]["device"] == "TPU v9"
    assert config["versions"]["numpy"] == np.__version__
    assert set(config["versions"]) > {"jzero", "jax", "jaxlib", "flax", "optax", "python", "platform"}


def test_an_existing_run_is_not_overwritten_without_resume(tmp_path):
    RunDir.create(tmp_path, "connect_four", {"seed": 1}).close()
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(RunDirError, match=re.escape(f"--run-dir {tmp_path} --resume")) as error:
        RunDir.create(tmp_path, "connect_four", {"seed": 2})
    assert "\n" not in str(error.value)
    assert read_json(tmp_path / "config.json")["config"] == {"seed": 1}
    with RunDir.create(tmp_path, "connect_four", {"seed": 2}, resume=True):
        assert read_json(tmp_path / "config.json")["config"] == {"seed": 2}


@pytest.mark.parametrize("other", ["checkpoints/3", "result.json", "thesis.tex"])
def test_only_what_ended_before_its_first_checkpoint_is_removed(tmp_path, other):
    with RunDir.create(tmp_path, "connect_four", {"seed": 1}) as run:
        run.append_metrics({"iteration": 1})
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "comparison.html").write_text("of runs")
    with RunDir.create(tmp_path, "connect_four", {"seed": 2}) as run:
        assert {entry.name for entry in tmp_path.iterdir()} == {"lock", "config.json"}
        run.append_metrics({"iteration": 1})
    (tmp_path / other).mkdir(parents=True)
    with pytest.raises(RunDirError, match="is not empty"):
        RunDir.create(tmp_path, "connect_four", {"seed": 3})
    assert len(read_metrics(tmp_path)) == 1


@pytest.mark.parametrize("written", ["config.json", "metrics.jsonl"])
def test_what_a_process_killed_in_its_first_write_leaves_is_removed(tmp_path, written):
    code = f"""if True:
        import os, signal, sys
        from jzero.storage.files import write_atomic
        from jzero.storage.run_dir import RunDir
        def die(old, new):
            if os.path.basename(new) == {written!r}:
                os.kill(os.getpid(), signal.SIGKILL)
            os.rename(old, new)
        os.replace = die
        print("ready", flush=True)
        with RunDir.create(sys.argv[1], "connect_four", {{}}) as run:
            write_atomic(run.path / "metrics.jsonl", "")
    """
    assert start_child(code, tmp_path).wait() == -signal.SIGKILL
    assert [f.name for f in tmp_path.iterdir() if f.suffix == ".tmp"]
    if written == "config.json":  # nothing can be resumed; the message says to begin anew, which works
        with pytest.raises(RunDirError, match=r"no run to resume .*omit --resume"):
            RunDir.create(tmp_path, "connect_four", {}, resume=True)
    with RunDir.create(tmp_path, "connect_four", {}, resume=written != "config.json"):
        assert {entry.name for entry in tmp_path.iterdir()} <= {"lock", "config.json", "metrics.jsonl"}
    RunDir.create(tmp_path, "connect_four", {}).close()


@pytest.mark.parametrize("name", [".thesis.tex.12.tmp", ".config.json.tmp", "config.json.12.tmp"])
def test_other_peoples_temporary_files_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(RunDirError, match="not empty"):
        RunDir.create(tmp_path, "connect_four", {})
    assert (tmp_path / name).exists()


def test_somebody_elses_directory_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunDirError, match=r"not empty .*thesis.tex"):
        RunDir.create(tmp_path, "connect_four", {})
    with pytest.raises(RunDirError, match="no run to resume"):
        RunDir.create(tmp_path, "connect_four", {}, resume=True)


def test_resume_without_a_directory_takes_the_newest_run(tmp_path):
    with pytest.raises(RunDirError, match="no run to resume"):
        RunDir.create(None, "connect_four", {}, resume=True, root=tmp_path)
    with pytest.raises(RunDirError, match="does not exist"):
        RunDir.create(tmp_path / "typo", "connect_four", {}, resume=True)
    for name in ("20260102-000000", "20260301-000000", "20260103-000000"):
        RunDir.create(tmp_path / "connect_four" / name, "connect_four", {}).close()
    (tmp_path / "connect_four" / "20270101-000000").mkdir()  # no run: nothing was written
    run = RunDir.create(None, "connect_four", {}, resume=True, root=tmp_path)
    assert run.path.name == "20260301-000000"


def test_the_newest_of_runs_begun_in_the_same_second_is_resumed(tmp_path):
    runs = [RunDir.create(None, "game", {}, root=tmp_path) for _ in range(12)]
    for run in runs:
        run.close()
    assert RunDir.create(None, "game", {}, resume=True, root=tmp_path).path == runs[-1].path


def test_a_directory_in_use_is_refused_until_its_process_dies(tmp_path):
    code = """if True:
        import sys, time
        from jzero.storage.run_dir import RunDir
        run = RunDir.create(sys.argv[1], "connect_four", {})
        print("ready", flush=True)
        time.sleep(60)
    """
    child = start_child(code, tmp_path)
    try:
        for resume in (False, True):
            with pytest.raises(RunDirError, match=f"in use by process {child.pid} on "):
                RunDir.create(tmp_path, "connect_four", {}, resume=resume)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    RunDir.create(tmp_path, "connect_four", {}, resume=True)


def test_a_directory_in_use_by_this_process_is_refused_until_closed(tmp_path):
    with RunDir.create(tmp_path, "connect_four", {}), pytest.raises(RunDirError, match="in use"):
        RunDir.create(tmp_path, "connect_four", {}, resume=True)
    RunDir.create(tmp_path, "connect_four", {}, resume=True)


def test_a_refused_directory_is_not_left_locked(tmp_path):
    (tmp_path / "other").write_text("x")
    with pytest.raises(RunDirError, match="not empty"):
        RunDir.create(tmp_path, "connect_four", {})
    (tmp_path / "other").unlink()
    RunDir.create(tmp_path, "connect_four", {})


def test_a_file_system_without_locks_is_warned_of_and_used(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(run_dir.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked"):
        RunDir.create(tmp_path, "connect_four", {})


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirError, match=r"cannot write .*file/run: Not a directory") as error:
        RunDir.create(tmp_path / "file" / "run", "connect_four", {})
    assert "\n" not in str(error.value)
    if os.geteuid():  # root may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(RunDirError, match="Permission denied"):
            RunDir.create(tmp_path / "run", "connect_four", {})
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = RunDir.create(tmp_path, "connect_four", {})
    run.write_json("result.json", {"strength": 1})
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(os, call, full)
    with pytest.raises(RunDirError, match="No space left on device: free some space"):
        run.write_json("result.json", {"strength": 2})
    assert read_json(tmp_path / "result.json") == {"strength": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_the_kernel_refuses_half_way_leaves_no_trace(tmp_path, file_size_limit):
    run = RunDir.create(tmp_path, "connect_four", {})
    run.write_json("result.json", {"strength": 1})
    run.append_metrics({"iteration": 0})
    file_size_limit(4096)
    with pytest.raises(RunDirError, match=r"cannot write .*result.json"):
        run.write_json("result.json", {"padding": "x" * 10_000})
    with pytest.raises(RunDirError, match=r"cannot write .*metrics.jsonl"):
        run.append_metrics({"iteration": 1, "padding": "x" * 10_000})
    assert read_json(tmp_path / "result.json") == {"strength": 1}
    assert (tmp_path / "metrics.jsonl").read_text() == '{"iteration": 0}\n'
    run.append_metrics({"iteration": 1})
    assert [line["iteration"] for line in read_metrics(tmp_path)] == [0, 1]


def test_a_process_killed_while_writing_leaves_whole_files(tmp_path):
    code = """if True:
        import sys
        from jzero.storage.run_dir import RunDir
        run = RunDir.create(sys.argv[1], "connect_four", {})
        print("ready", flush=True)
        for i in range(10**9):
            run.write_json("result.json", {"i": i, "padding": "x" * 300_000, "end": i})
            run.append_metrics({"iteration": i, "padding": "x" * 300_000})
            if i == 20: print("busy", flush=True)
    """
    child = start_child(code, tmp_path)
    assert child.stdout.readline() == "busy\n"
    child.kill()
    child.wait()
    result = read_json(tmp_path / "result.json")
    assert result["i"] == result["end"] >= 20
    RunDir.create(tmp_path, "connect_four", {}, resume=True)
    iterations = [
        json.loads(line)["iteration"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert iterations == list(range(len(iterations)))
    assert len(iterations) >= result["i"]


def test_metrics_are_one_json_line_each_without_nan(tmp_path):
    run = RunDir.create(tmp_path, "connect_four", {})
    run.append_metrics({"iteration": 0, "loss": math.nan, "value_loss": -math.inf, "norm": np.float32(0.5)})
    run.append_metrics(
        {"iteration": 1, "loss": ml_dtypes.bfloat16(1.5), "visits": np.arange(2), "games": np.int32(3)}
    )
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == [
        '{"iteration": 0, "loss": null, "value_loss": null, "norm": 0.5}',
        '{"iteration": 1, "loss": 1.5, "visits": [0, 1], "games": 3}',
    ]


def test_resuming_repairs_a_half_written_line(tmp_path):
    with RunDir.create(tmp_path, "connect_four", {}) as run:
        run.append_metrics({"iteration": 0})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 1, "lo')
    with RunDir.create(tmp_path, "connect_four", {}, resume=True) as run:
        run.append_metrics({"iteration": 1})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"iteration": 0}\n{"iteration": 1}\n'


def test_rewinding_drops_what_the_checkpoint_does_not_know(tmp_path):
    run = RunDir.create(tmp_path, "connect_four", {})
    run.rewind_metrics(3)  # no file yet
    for iteration in range(10):
        run.append_metrics({"iteration": iteration, "loss": iteration / 3})
    run.rewind_metrics(6)
    run.append_metrics({"iteration": 7, "loss": 0.0})
    metrics = read_metrics(tmp_path)
    assert [line["iteration"] for line in metrics] == list(range(8))
    assert [line["loss"] for line in metrics] == [*(i / 3 for i in range(7)), 0.0]


def test_broken_files_read_as_missing(tmp_path):
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_bytes(b'{"a": 1}\n\xff\xfe\n[1]\n{"b": \n{"c": 2}')
    assert read_metrics(tmp_path) == [{"a": 1}, {"c": 2}]
    for content in (b"", b'{"a": ', b"[1]", b"\xff"):
        (tmp_path / "result.json").write_bytes(content)
        assert read_json(tmp_path / "result.json") is None


def test_to_json_takes_what_configs_and_metrics_hold():
    value = {
        "path": Path("a/b"),
        3: np.array([[1.0, np.nan]]),
        "flag": np.bool_(True),
        "none": None,
        "set": {1},
    }
    assert to_json(value) == {"path": "a/b", "3": [[1.0, None]], "flag": True, "none": None, "set": [1]}


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "report.html", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_resumed_by_the_script_that_began_it(tmp_path):
    with RunDir.create(tmp_path / "a", "game", {}, command="python my/own.py"):
        pass
    assert resume_command("game", tmp_path / "a") == f"python my/own.py --run-dir {tmp_path / 'a'} --resume"
    with RunDir.create(tmp_path / "b", "game", {}):
        pass
    begun = f"python experiments/game.py --run-dir {tmp_path / 'b'} --resume"
    assert resume_command("game", tmp_path / "b") == begun


@pytest.mark.parametrize(
    ("handed", "command", "resume"),
    [
        ([], "python own.py", "python own.py --run-dir {0} --resume --minutes 5"),
        ([], "", "jzero.train('go?size=5', run_dir='{0}', resume=True, minutes=5)"),  # in a notebook
        (
            ["network", "optimizer"],
            "python -m jzero train",
            "jzero.train('go?size=5', run_dir='{0}', resume=True, network=network, optimizer=optimizer, minutes=5)",
        ),
        (["env"], "python -m jzero train", "jzero.train(env, run_dir='{0}', resume=True, minutes=5)"),
    ],
)
def test_a_run_that_no_command_can_resume_is_resumed_in_python(handed, command, resume, tmp_path):
    config = {"train": {"env": "go?size=5"}, "handed_in": handed}
    with RunDir.create(tmp_path / "run", "game", config, command=command):
        pass
    assert resume_command("game", tmp_path / "run", 5) == resume.format(tmp_path / "run")
