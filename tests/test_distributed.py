"""Two processes that JAX joins into one mesh compute what one process with two devices computes."""

import os
import shutil
import signal
import socket
import time

import numpy as np
import pytest

from jzero.program import make_mesh
from jzero.registry import make
from jzero.run.build import build_program
from jzero.run.config import RunConfig
from jzero.run.save import Saver
from jzero.storage.run_dir import read_metrics
from tests.helpers.tiny import CHILD, TINY, finish, numbers, same_bits, start_python, wait_for, worker_report
from tests.helpers.training import lines, saved

pytestmark = pytest.mark.usefixtures("quick_compilation")


def start_pair(*arguments, cache):
    """Two processes with these arguments that find each other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        start_python(
            *arguments,
            cache=cache,
            JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
        )
        for number in range(2)
    ]


def end(children):
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def reports(cache):
    """What `mesh_worker` says in each of two processes with one device, after three iterations."""
    pair = start_pair("-m", "tests.helpers.mesh_worker", 1, 3, cache=cache)
    try:
        return [worker_report(child) for child in pair]
    finally:
        end(pair)


@pytest.mark.slow
def test_two_processes_are_one_mesh_with_equal_weights(reports):
    assert [(report["processes"], report["devices"]) for report in reports] == [(2, 2)] * 2
    assert reports[0]["weights"] == reports[1]["weights"]
    assert reports[0]["log"] == reports[1]["log"]
    assert reports[0]["learned"]
    assert reports[0]["lanes"] != reports[1]["lanes"]


@pytest.mark.slow
def test_they_compute_the_bits_of_one_process_with_two_devices(reports, four_devices):
    single = four_devices["two devices"]
    assert single["weights"] == reports[0]["weights"] + reports[1]["weights"]
    assert single["lanes"] == reports[0]["lanes"] + reports[1]["lanes"]
    assert single["log"] == reports[0]["log"]


def restored(run_dir):
    """(iteration, state) of a run's newest checkpoint on the one device of this process."""
    program = build_program(make(TINY.env), TINY, make_mesh())
    saved, _ = Saver(run_dir / "checkpoints", RunConfig()).restore(program.abstract)
    assert all(np.isfinite(leaf).all() for leaf in numbers(saved.params))
    iteration = int(saved.iteration)
    assert int(program.play(saved)[0].iteration) == iteration + 1  # one process can go on with it
    return iteration


@pytest.mark.slow
def test_two_processes_share_a_run_that_the_first_one_writes(tmp_path, cache):
    run_dir = tmp_path / "run"
    # The second measurement is the one at the end.
    pair = start_pair("-c", CHILD, "measurement 2", "--run-dir", run_dir, "--iterations", 3, cache=cache)
    try:
        while pair[0].stdout.readline() != "hangs\n":
            assert pair[0].poll() is None
        time.sleep(3)
        # The second process waits: by ending it would end the first.
        os.set_blocking(pair[1].stdout.fileno(), False)
        assert b"the end" not in os.read(pair[1].stdout.fileno(), 10_000)
    finally:
        end(pair)
    assert [line["iteration"] for line in read_metrics(run_dir)] == [1, 2, 3]
    assert restored(run_dir) == 3


@pytest.mark.slow
def test_a_signal_to_both_processes_saves_their_run(tmp_path, cache):
    run_dir = tmp_path / "run"
    pair = start_pair("-c", CHILD, "never", "--run-dir", run_dir, cache=cache)
    try:
        wait_for(lambda: len(read_metrics(run_dir)) >= 3, pair[0])
        for child in pair:
            child.send_signal(signal.SIGTERM)
        said = [finish(child) for child in pair]
    finally:
        end(pair)
    assert [child.returncode for child in pair] == [0, 0], said
    assert "stopped and saved; resume with: " in said[0][0]
    assert said[1][0].endswith("the end\n")
    assert "stopped and saved" not in said[1][0]
    assert restored(run_dir) == len(read_metrics(run_dir))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_and_one_process_can_go_on(tmp_path, cache, victim):
    run_dir = tmp_path / "run"
    options = ["--run-dir", run_dir, "--cpu-devices", 2, "--checkpoint-every", 1e-9]
    pair = start_pair("-c", CHILD, "never", *options, cache=cache)
    try:
        wait_for(lambda: len(read_metrics(run_dir)) >= 3, pair[0])
        pair[victim].kill()
        _, said = finish(pair[1 - victim], seconds=60)
        _, last_words = finish(pair[victim], seconds=60)
    finally:
        end(pair)
    assert pair[1 - victim].returncode != 0
    for number, words in ((victim, last_words), (1 - victim, said)):
        (line,) = [line for line in words.splitlines() if "ended before the run did" in line]
        assert f"process {number} of 0 to 1 on " in line
        assert f"--run-dir {run_dir} --resume" in line
    if victim == 1:  # who coordinates knows which one is silent
        assert "Task 1 heartbeat timeout" in said
    assert len(read_metrics(run_dir)) - restored(run_dir) <= 1


def run_to_its_end(run_dir, *options, processes, cache):
    """Trains in one process with two devices, or in two with one each."""
    arguments = ["-c", CHILD, "never", "--run-dir", run_dir, "--cpu-devices", 2 // processes, *options]
    children = (
        start_pair(*arguments, cache=cache) if processes == 2 else [start_python(*arguments, cache=cache)]
    )
    try:
        said = [finish(child) for child in children]
    finally:
        end(children)
    assert [child.returncode for child in children] == [0] * processes, said


@pytest.mark.slow
def test_one_or_two_processes_go_on_with_a_run_of_two_to_the_same_bits(tmp_path, cache):
    whole, pair, single = tmp_path / "whole", tmp_path / "pair", tmp_path / "single"
    run_to_its_end(whole, "--iterations", 6, processes=1, cache=cache)
    run_to_its_end(pair, "--iterations", 3, processes=2, cache=cache)
    shutil.copytree(pair, single)
    for run_dir, processes in ((pair, 2), (single, 1)):
        run_to_its_end(run_dir, "--resume", "--iterations", 6, processes=processes, cache=cache)
        assert saved(run_dir)[0] == 6
        assert same_bits(saved(run_dir)[1]["state"], saved(whole)[1]["state"])
        assert lines(run_dir) == lines(whole)
