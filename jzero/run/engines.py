"""Shared by the engine commands (gtp, uci): the run, its searches, the standard streams."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import tyro

from jzero.devices import set_up
from jzero.engine.lines import Lines
from jzero.engine.thinker import Thinker
from jzero.run.commands import exit_code
from jzero.run.entrants import Run, named_runs

MOST = 512
"""Simulations of the largest search by default."""
UNNAMED = -1
"""Stands for simulations that the command line does not give."""


@dataclass(frozen=True)
class Config:
    """Which agent, and how much it searches."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The directory of a run, or RUN:N for at most N simulations per move."""
    max_simulations: int | None = None
    """Simulations of the largest search, which decides the memory; by default 512, or those of RUN:N."""
    seed: int = 0
    """Seed of the searches."""


@dataclass(frozen=True)
class Engine:
    """A run that is ready to search."""

    run: Run
    thinker: Thinker
    simulations: int | None
    """Simulations per move at most; None if the command line gives no number."""


def run_engine(config: Config, serve: Callable[[Engine, Lines, Callable[[str], None]], None]) -> int:
    """Loads the run and serves the controller on the standard streams; returns the exit code."""
    with protocol_streams() as (lines, write):
        set_up(cpu_devices=1)

        def serve_until_gone() -> None:
            with contextlib.suppress(BrokenPipeError):  # the controller is gone
                serve(open_engine(config), lines, write)

        return exit_code(serve_until_gone)


def open_engine(config: Config) -> Engine:
    """The run with its searches, which are not compiled yet.

    Raises:
        ValueError: it is not a run, or a number is out of range.
        FileNotFoundError: the directory holds no run.
    """
    runs = named_runs(config.run, UNNAMED, most=1)
    if not runs:
        raise ValueError(f"RUN is {config.run!r}, an opponent; give the directory that a run printed")
    run = runs[-1]
    asked = None if run.simulations == UNNAMED else run.simulations
    if asked is not None and asked < 1:
        raise ValueError(f"RUN is {config.run!r}; an engine needs at least 1 simulation")
    most = config.max_simulations
    if most is None:
        most = MOST if asked is None else asked
    if most < (asked or 1):
        raise ValueError(
            f"--max-simulations is {most}; expected at least {asked or 1}, the simulations per move"
        )
    return Engine(run, Thinker(run.agent, most, config.seed), asked)


@contextlib.contextmanager
def protocol_streams() -> Iterator[tuple[Lines, Callable[[str], None]]]:
    """Yields the controller's lines and a function that writes to it; other output to stdout goes to stderr."""
    sys.stdout.flush()
    protocol = os.dup(1)
    os.dup2(2, 1)

    def write(text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(protocol, data) :]

    try:
        yield Lines(0), write
    finally:
        sys.stdout.flush()
        os.dup2(protocol, 1)
        os.close(protocol)


def say(text: str) -> None:
    """Prints a line for the user, outside the protocol."""
    print(text, file=sys.stderr, flush=True)
