"""Serves a Go run as a GTP engine for GoGui, Sabaki and other programs (docs/engines.md).

    python -m jzero gtp runs/go_9x9/20261121-101500
    python -m jzero gtp runs/go_9x9/20261121-101500:400

The first start compiles for a minute or two; later ones read the programs from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tyro

import jzero
from jzero.engine import go
from jzero.engine.game import Game
from jzero.engine.gtp import GtpServer
from jzero.engine.lines import Lines
from jzero.run.engines import Config, Engine, run_engine, say


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=list(argv), prog="python -m jzero gtp", description=__doc__)
    return run_engine(config, serve)


def serve(engine: Engine, lines: Lines, write: Callable[[str], None]) -> None:
    """Answers GTP commands until the controller quits.

    Raises:
        ValueError: the run does not play Go.
    """
    agent = engine.run.agent
    game = Game(agent.env)
    server = GtpServer(
        game,
        engine.thinker,
        lines,
        write,
        komi=go.rules_of(agent.env)[1],
        simulations=engine.simulations,
        version=f"{jzero.__version__} {engine.run.path.name}",
    )
    say("compiling; the next start is faster")
    engine.thinker.warm_up(game.states)
    game.after(server.game.passing)
    say(f"ready: {agent.name}, up to {engine.thinker.most} simulations")
    server.serve()
