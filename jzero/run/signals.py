"""Ctrl-C and SIGTERM during a run: the first one saves and ends it, a second one ends the process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Signals:
    """What a run does about signals, once `take` is called and until `give_back`."""

    def __init__(self) -> None:
        self.stop = False
        """A signal came."""
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Catches signals; Python lets the main thread alone do so."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)

    def give_back(self) -> None:
        """Puts the handlers back that were there before."""
        while self._before:
            signal.signal(*self._before.popitem())

    @contextmanager
    def leave_at_once(self) -> Iterator[None]:
        """The first signal leaves what runs here, between two programs; elsewhere an iteration ends first."""
        self._at_once = True
        try:
            yield
        except _LeftError:
            pass
        finally:
            self._at_once = False

    @contextmanager
    def end_by_sigterm(self) -> Iterator[None]:
        """SIGTERM does here what it would without a run.

        Python's handlers wait until XLA has compiled, which may take longer than a cluster waits after SIGTERM.
        """
        number = signal.SIGTERM
        if number not in self._before:
            yield
            return
        signal.signal(number, self._before[number])
        try:
            yield
        finally:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        """The first signal saves and ends the run, after the iteration; a second one ends it at once, unsaved."""
        del frame
        if self.stop:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.stop = True
        when = "" if self._at_once else " after this iteration"
        print(f"\nstopping{when} (again to quit at once without saving)", file=sys.stderr)
        if self._at_once:
            raise _LeftError


class _LeftError(KeyboardInterrupt):
    """A signal came where it is obeyed at once."""
