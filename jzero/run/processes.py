"""Runs of several processes: they agree, and a child process that outlives one reports that it ended early.

When a peer is silent, JAX ends a process from another thread (a fatal log line, SIGABRT), and a killed process
prints nothing. `jax.distributed.initialize` takes no callback for this.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

Number = TypeVar("Number", bound=np.generic)

_WATCHER = """
import sys, time
if sys.stdin.read() != "over":
    print(time.strftime("%H:%M:%S"), sys.argv[1], file=sys.stderr, flush=True)
"""


@contextmanager
def watched(process: int, processes: int, go_on: str) -> Iterator[None]:
    """Surrounds the work of one of several processes: if the process ends within it, or an error leaves it, a line
    says so.

    An error is often the first sign that another process ended: this one waits for it in vain.

    Args:
      process: number of this process.
      processes: number of processes; with one there is nothing to watch.
      go_on: the command that resumes the run.
    """
    if processes == 1:
        yield
        return
    where = f"process {process} of 0 to {processes - 1} on {socket.gethostname()}"
    text = (
        f"{where} ended before the run did: killed, out of memory, by an error, or by JAX because another process "
        "ended. The process with the earliest such line ended first. Resume from the last checkpoint, with any "
        f"number of processes: {go_on}"
    )
    # A session of its own, so that Ctrl-C and what ends the group of this process leave it.
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-c", _WATCHER, text], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield
    except Exception:
        watcher.communicate("")
        raise
    except BaseException:  # Ctrl-C and the like
        watcher.communicate("over")
        raise
    watcher.communicate("over")


def of_first_process(value: Number) -> Number:
    """The first process's `value`."""
    return value if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(value)
