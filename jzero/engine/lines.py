"""The controller's lines: read one by one, or polled during a search."""

from __future__ import annotations

import os
import selectors
import time


class Lines:
    """Lines of text from a file descriptor, polled without a thread."""

    def __init__(self, descriptor: int) -> None:
        """Reads from `descriptor`, which the caller owns."""
        self._descriptor, self._unread, self._ended = descriptor, b"", False
        self._selector = selectors.DefaultSelector()
        try:
            self._selector.register(descriptor, selectors.EVENT_READ)
        except PermissionError:  # a plain file never makes its reader wait
            self._selector.close()
            self._selector = None

    def waiting(self, seconds: float = 0.0) -> bool:
        """Whether a line, or the end of the input, arrives within `seconds`."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread and not self._ended:
            left = max(0.0, deadline - time.monotonic())
            if self._selector is not None and not self._selector.select(left):
                return False
            self._read()
        return True

    def next(self) -> str | None:
        """Waits for the next line and returns it without its newline; None at the end of the input."""
        while b"\n" not in self._unread and not self._ended:
            self._read()
        if not self._unread:
            return None
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    def _read(self) -> None:
        read = os.read(self._descriptor, 1 << 16)
        self._unread, self._ended = self._unread + read, not read
