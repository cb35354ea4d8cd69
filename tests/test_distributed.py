"""Two processes that JAX joins into one mesh compute what one process with two devices computes."""

import socket

import pytest

from tests.tiny import start_python, worker_report


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def reports(cache):
    """(both processes, one process with two devices): what `mesh_worker` says of four iterations."""
    worker = ("-m", "tests.mesh_worker")
    address = f"127.0.0.1:{free_port()}"
    pair = [
        start_python(
            *(*worker, 1, 4),
            cache=cache,
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
        )
        for number in range(2)
    ]
    try:
        pair = [worker_report(child) for child in pair]
    finally:
        for child in pair:
            if not isinstance(child, dict):
                child.kill()
    return pair, worker_report(start_python(*worker, 2, 4, cache=cache))


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
