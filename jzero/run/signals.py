"""Ctrl-C and SIGTERM during a run: the first one saves and ends the run, a second one ends the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

WAITS = {signal.SIGINT: 1.0, signal.SIGTERM: 8.0}
"""Seconds for which a thread leaves a signal to Python; most clusters wait longer than that after SIGTERM."""
AGAIN = "(again to quit at once without saving)"


class Signals:
    """Handlers of a run for signals, from `take` until `give_back`."""

    def __init__(self) -> None:
        self.stop = False
        """A signal came."""
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Catches signals; Python allows this only in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)

    def give_back(self) -> None:
        """Restores the previous handlers."""
        while self._before:
            signal.signal(*self._before.popitem())

    @contextmanager
    def leave_at_once(self) -> Iterator[None]:
        """Here the first signal raises at once; elsewhere the iteration ends first."""
        self._at_once = True
        try:
            with self._heard():
                yield
        except _LeftError:
            pass
        finally:
            self._at_once = False

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Here a thread takes the signals that reach no handler of Python for long, as while XLA compiles.

        SIGTERM ends the process then. So does a second Ctrl-C, except in a notebook; the first one gets an answer.
        """
        if not self._before:
            yield
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        left = threading.Event()

        def watch() -> None:
            answered = False
            while (read := os.read(reading, 1)) and not left.is_set():
                number = read[0]
                if number not in WAITS or left.wait(WAITS[signal.Signals(number)]) or self.stop:
                    continue
                if number == signal.SIGTERM or (answered and not hasattr(sys, "ps1")):
                    os._exit(128 + number)
                print(f"\nstopping as soon as XLA has compiled {AGAIN}", file=sys.stderr, flush=True)
                answered = True
            os.close(reading)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            left.set()
            signal.set_wakeup_fd(before)
            with suppress(OSError):  # the thread may have read a signal and left
                os.write(writing, b"\0")
            os.close(writing)
            watching.join()

    @contextmanager
    def end_by_sigterm(self) -> Iterator[None]:
        """Here SIGTERM has its default effect.

        Python's handlers run only after XLA has compiled, which may take longer than a cluster waits after SIGTERM.
        """
        number = signal.SIGTERM
        if number not in self._before:
            yield
            return
        signal.signal(number, self._before[number])
        try:
            with self._heard():
                yield
        finally:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        """The first signal saves and ends the run after the iteration; a second one ends it at once, without
        saving.
        """
        del frame
        if self.stop:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.stop = True
        when = "" if self._at_once else " after this iteration"
        print(f"\nstopping{when} {AGAIN}", file=sys.stderr)
        if self._at_once:
            raise _LeftError


class _LeftError(KeyboardInterrupt):
    """A signal came where it takes effect at once."""
