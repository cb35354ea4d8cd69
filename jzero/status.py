"""Status of a long operation: its code calls `set_status`, the code that waits listens with `on_status`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int | None], None]
"""(what is counted, number done, total or None if unknown)."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def set_status(what: str, done: int, total: int | None = None) -> None:
    """Passes the progress on to the innermost `on_status`; does nothing without one."""
    if listener := _listener.get():
        listener(what, done, total)


@contextmanager
def on_status(listener: Listener) -> Iterator[None]:
    """Within this context, `listener` receives the progress."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
