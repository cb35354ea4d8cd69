"""How commands report errors that a user can cause: one line that says what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from jzero.evaluate.gtp import GtpError

EXPECTED = (ValueError, OSError, ImportError, GtpError)
"""Errors whose messages are written for the user."""


def exit_code(do: Callable[[], object], *, interrupted: str = "") -> int:
    """Runs a command; returns 0, after an error 1, after Ctrl-C 130.

    `JZERO_TRACEBACK=1` raises the error itself.

    Args:
      do: the command.
      interrupted: the text that Ctrl-C prints.
    """
    try:
        do()
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        return 130
    except EXPECTED as error:
        if os.environ.get("JZERO_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
