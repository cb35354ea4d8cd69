"""A process of several that ends unfinished leaves a line; one that ends well or is stopped leaves none."""

import subprocess
import sys

import pytest

from tests.helpers.tiny import REPOSITORY

PROGRAM = """if True:
    import os, sys
    from jzero.run.processes import watched
    with watched(1, int(sys.argv[2]), "go on"):
        exec(sys.argv[1])
"""


def end_by(what, processes=4):
    command = [sys.executable, "-c", PROGRAM, what, str(processes)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stderr.splitlines() if "ended before the run did" in line]


@pytest.mark.parametrize("what", ["os.abort()", "os.kill(os.getpid(), 9)", "1 / 0"])
def test_who_is_ended_leaves_a_line_with_its_number_and_the_command(what):
    (line,) = end_by(what)
    assert "process 1 of 0 to 3 on " in line
    assert line.endswith("with any number of processes: go on")


@pytest.mark.parametrize(("what", "processes"), [("pass", 4), ("sys.exit(3)", 4), ("os.abort()", 1)])
def test_who_ends_by_itself_or_is_alone_leaves_none(what, processes):
    assert end_by(what, processes) == []
