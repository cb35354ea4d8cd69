"""How far a step is that takes long: who does it tells, who waits hears."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Hear = Callable[[str, int, int | None], None]
"""Gets what is counted, how many are done, and of how many; None: nobody knows."""

_hear: ContextVar[Hear | None] = ContextVar("hear", default=None)


def tell(what: str, done: int, total: int | None = None) -> None:
    """Says how far the step is, to the innermost `heard`; does nothing without one."""
    if hear := _hear.get():
        hear(what, done, total)


@contextmanager
def heard(hear: Hear) -> Iterator[None]:
    """Within it, `hear` gets what steps tell."""
    token = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(token)
