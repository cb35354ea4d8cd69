"""Progress of long steps: the worker calls `tell`, the waiting code registers a listener with `heard`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Hear = Callable[[str, int, int | None], None]
"""(what is counted, number done, total or None if unknown)."""

_hear: ContextVar[Hear | None] = ContextVar("hear", default=None)


def tell(what: str, done: int, total: int | None = None) -> None:
    """Reports the progress of the step to the innermost `heard`; does nothing without one."""
    if hear := _hear.get():
        hear(what, done, total)


@contextmanager
def heard(hear: Hear) -> Iterator[None]:
    """Within this context, `hear` receives the progress of steps."""
    token = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(token)
