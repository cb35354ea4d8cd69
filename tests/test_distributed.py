"""Two processes that JAX joins into one mesh compute what one process with two devices computes."""

import os
import signal
import socket
import time

import numpy as np
import pytest

from jzero import checkpoint
from jzero.env import make
from jzero.run_dir import read_metrics
from jzero.train import make_mesh, make_program
from tests.tiny import CHILD, TINY, finish, numbers, start_python, wait_for, worker_report

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
    """(both processes, one process with two devices): what `mesh_worker` says of four iterations."""
    worker = ("-m", "tests.mesh_worker")
    pair = start_pair(*worker, 1, 4, cache=cache)
    try:
        found = [worker_report(child) for child in pair]
    finally:
        end(pair)
    return found, worker_report(start_python(*worker, 2, 4, cache=cache))


def test_two_processes_are_one_mesh_with_equal_weights(reports):
    pair, _ = reports
    assert [(report["processes"], report["devices"]) for report in pair] == [(2, 2)] * 2
    assert pair[0]["weights"] == pair[1]["weights"]
    assert pair[0]["log"] == pair[1]["log"]
    assert pair[0]["learned"]
    assert pair[0]["lanes"] != pair[1]["lanes"]


def test_they_compute_the_bits_of_one_process_with_two_devices(reports):
    pair, single = reports
    assert (single["processes"], single["devices"]) == (1, 2)
    assert single["weights"] == [report["weights"][0] for report in pair]
    assert single["lanes"] == [report["lanes"][0] for report in pair]
    assert single["log"] == pair[0]["log"]


def test_two_processes_share_a_run_that_the_first_one_writes(tmp_path, cache):
    run_dir = tmp_path / "run"
    pair = start_pair("-c", CHILD, 0, "--run-dir", run_dir, cache=cache)
    try:
        wait_for(lambda: len(read_metrics(run_dir)) >= 3, pair[0])
        for child in pair:
            child.send_signal(signal.SIGTERM)
        said = [finish(child) for child in pair]
    finally:
        end(pair)
    assert [child.returncode for child in pair] == [0, 0], said
    assert "stopped and saved; go on with: " in said[0][0]
    assert said[1][0].endswith("the end\n")
    assert "stopped and saved" not in said[1][0]
    metrics = read_metrics(run_dir)
    assert [line["iteration"] for line in metrics] == list(range(1, len(metrics) + 1))
    # One process with one device can go on with it.
    program = make_program(make(TINY.env), TINY, make_mesh())
    template = {"state": program.abstract, "seconds": np.float32(0)}
    iteration, saved = checkpoint.restore(run_dir / "checkpoints", template)
    assert iteration == int(saved["state"].iteration) == len(metrics)
    assert all(np.isfinite(leaf).all() for leaf in numbers(saved["state"].params))
    assert int(program.play(saved["state"])[0].iteration) == len(metrics) + 1
    # So can both, and the second does not end while the first still measures the result.
    pair = start_pair(
        "-c", CHILD, 2, "--run-dir", run_dir, "--resume", "--iterations", iteration + 1, cache=cache
    )
    try:
        while pair[0].stdout.readline() != "hangs\n":
            assert pair[0].poll() is None
        time.sleep(3)
        os.set_blocking(pair[1].stdout.fileno(), False)
        assert b"the end" not in os.read(pair[1].stdout.fileno(), 10_000)
        assert checkpoint.iterations(run_dir / "checkpoints")[-1] == iteration + 1
    finally:
        end(pair)
