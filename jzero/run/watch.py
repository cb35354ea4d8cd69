"""Says that a process of several ended unfinished, by a child process that outlives it.

JAX ends the processes whose peer is silent from a thread of its own (a fatal log line, SIGABRT), and what is killed
says nothing. `jax.distributed.initialize` takes no function to call then.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_WATCHER = """
import sys, time
if sys.stdin.read() != "over":
    print(time.strftime("%H:%M:%S"), sys.argv[1], file=sys.stderr, flush=True)
"""


@contextmanager
def watched(process: int, processes: int, go_on: str) -> Iterator[None]:
    """Around what one of several processes does: where it ends within, or by an error, a line says so.

    An error is often the first thing that a process sees of another one's end: it waits for it in vain.

    Args:
      process: the number of this one.
      processes: their number; with one there is nothing to watch.
      go_on: the command that resumes the run.
    """
    if processes == 1:
        yield
        return
    where = f"process {process} of 0 to {processes - 1} on {socket.gethostname()}"
    text = (
        f"{where} ended before the run was over: killed, out of memory, by an error, or by JAX because another one "
        "did. Who has the earliest such line was the first. Go on from the last checkpoint, with as many processes "
        f"as there are now: {go_on}"
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
