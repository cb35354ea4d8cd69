"""What a run says while it prepares: one line a step, with the seconds since it began."""

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

BEGUN = time.monotonic()
EVERY = 15.0
"""Seconds between two lines of a step that takes long."""


def print_anything() -> None:
    """Prints letters that the terminal's encoding lacks as escapes, in a path say, instead of ending the run."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # notebooks have another, which takes all
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Prints a line, on the first process alone."""
    if jax.process_index() == 0:
        tqdm.write(f"[{duration(time.monotonic() - BEGUN)}] {text}")  # which leaves a bar whole
        sys.stdout.flush()


@contextmanager
def working(text: str, every: float = EVERY) -> Iterator[Callable[[str], None]]:
    """Says what is being done, and again for as long as it takes; what it gives says another step."""
    now, over = [text], threading.Event()

    def step(text: str) -> None:
        now[0] = text
        say(text)

    def remind() -> None:
        begun = time.monotonic()
        while not over.wait(every):
            say(f"{now[0]} ({duration(time.monotonic() - begun)} so far)")

    say(text)
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield step
    finally:
        over.set()
        reminder.join()
