"""Progress messages of a run: one line per step, with the seconds since the process started."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from tqdm import tqdm

from jzero.show.words import duration
from jzero.status import on_status

BEGUN = time.monotonic()
EVERY = 15.0
"""Seconds between two lines of a long step."""


def print_anything() -> None:
    """Prints characters that the terminal's encoding lacks (in a path, for example) as escapes; else they raise."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # notebooks have another, which takes all
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Prints a line, on the first process only."""
    if jax.process_index() == 0:
        tqdm.write(f"[{duration(time.monotonic() - BEGUN)}] {text}")  # which leaves a bar whole
        sys.stdout.flush()


@contextmanager
def working(text: str, every: float = EVERY) -> Iterator[Callable[[str], None]]:
    """Prints the current step, and its progress for as long as it runs: a bar on a terminal, else lines.

    Yields a function that names the next step.
    """
    now, far, over = [text], [""], threading.Event()
    hidden = None if jax.process_index() == 0 else True  # None: unless there is a terminal
    bar = tqdm(desc=text, leave=False, disable=hidden, bar_format=_WAITING)

    def step(text: str) -> None:
        now[0], far[0] = text, ""
        say(text)
        bar.set_description_str(text)

    def show(what: str, done: int, total: int | None) -> None:
        of = "" if total is None else f" of {total:,}"
        far[0] = f": {done:,}{of} {what}"
        bar.bar_format = _WAITING if total is None else _COUNTING
        bar.n, bar.total = done, total
        bar.set_description_str(now[0] + far[0])

    def remind() -> None:
        begun = time.monotonic()
        while not over.wait(every if bar.disable else 1.0):
            if bar.disable:
                say(f"{now[0]}{far[0]} ({duration(time.monotonic() - begun)} so far)")
            else:
                bar.refresh()

    say(text)
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        with on_status(show):
            yield step
    finally:
        over.set()
        reminder.join()
        bar.close()


_WAITING = "{desc} ({elapsed})"
_COUNTING = "{desc} |{bar}| {elapsed}, {remaining} left"
