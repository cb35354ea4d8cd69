"""The clock of a run. It stands still while programs compile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jzero.run.progress import working


class Stopwatch:
    """Seconds of training, summed over resumes."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """The stopwatch shows 0 when `clock` does, until it is set.

        Args:
          clock: returns seconds, as `time.monotonic` does, which is the default.
        """
        self.clock = clock or time.monotonic
        self._begun = 0.0  # by the clock, when the stopwatch showed 0
        self._ran = set[str]()

    def set(self, seconds: float) -> None:
        """Shows `seconds` now."""
        self._begun = self.clock() - seconds

    @property
    def seconds(self) -> float:
        """What it shows."""
        return self.clock() - self._begun

    def ran(self, name: str) -> bool:
        """Whether the step `name` has run, and is compiled."""
        return name in self._ran

    @contextmanager
    def compiling(self, name: str) -> Iterator[None]:
        """Surrounds the step `name`. Its first run, which compiles, is announced and takes no time."""
        if name in self._ran:
            yield
            return
        self._ran.add(name)
        stopped, at = self.clock(), self._begun
        with working(f"first run of {name}, which compiles"):
            yield
        self._begun = at + self.clock() - stopped  # also where it stood still within
