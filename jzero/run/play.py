"""Plays against an agent: on a page in the browser, or in the terminal.

    python -m jzero play runs/connect_four/20261121-101500
    python -m jzero play RUN RUN2            # two agents, which may also play each other
    python -m jzero play RUN --text

The page is served to this machine only. Games are kept in the folder `play` of the first run; a reloaded page or a
restarted server continues them; in the terminal `game ID` does, ID being the name of its file.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.devices import set_up
from jzero.play.desk import Desk
from jzero.play.store import FOLDER
from jzero.run.commands import exit_code
from jzero.run.load import load
from jzero.settings import check, full_path


@dataclass(frozen=True)
class Config:
    """Opponents, and where to play."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN2]")]
    """The directories that one or two runs printed."""
    port: int = 8642
    """Port of the page; any free one if it is taken or 0."""
    browser: bool = True
    """Open the page in the browser."""
    text: bool = False
    """Play in the terminal."""


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=list(argv), prog="python -m jzero play", description=__doc__)
    set_up(cpu_devices=1)
    text = "\nthe games are kept: after the same command the open page continues, and in the terminal game ID does"
    return exit_code(lambda: _play(config), interrupted=text)


def _play(config: Config) -> None:
    if not 1 <= len(config.runs) <= 2:
        raise ValueError(f"{len(config.runs)} runs are given; expected one or two")
    check("port", config.port, low=0, high=65535)
    if not config.text:
        _need_server()
    paths = [full_path(run) for run in config.runs]
    agents = [load(path) for path in paths]
    if len({agent.name for agent in agents}) > 1:
        raise ValueError(f"the runs play {agents[0].name} and {agents[1].name}; give runs of one game")
    desk = Desk(agents, _names(paths), paths[0] / FOLDER)
    if config.text:
        from jzero.play.text import play_in_terminal

        play_in_terminal(desk)
    else:
        _serve(desk, config)


def _need_server() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(f'the page needs a server ({error}): pip install "jzero[play]"') from error


def _names(paths: list[Path]) -> list[str]:
    """Names of the agents on the page: the last folders of their paths."""
    names = ["/".join(path.parts[-2:]) for path in paths]
    return names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, 1)]


def _serve(desk: Desk, config: Config) -> None:
    import uvicorn

    from jzero.play.server import LOOPBACK, application, listen

    try:
        listener = listen(config.port)
    except OSError:
        listener = listen(0)
        print(f"port {config.port} is taken; using {listener.getsockname()[1]}", file=sys.stderr)
    port = listener.getsockname()[1]
    url = f"http://{LOOPBACK}:{port}/"
    options = uvicorn.Config(
        application(desk, port), log_level=logging.WARNING, timeout_graceful_shutdown=1, server_header=False
    )
    print(f"play {desk.rules.spec.name} at {url}  (Ctrl-C ends)", flush=True)
    if config.browser:
        threading.Timer(0.3, webbrowser.open, [url]).start()
    asyncio.run(uvicorn.Server(options).serve(sockets=[listener]))
