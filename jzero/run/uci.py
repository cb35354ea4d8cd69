"""Serves a chess run as a UCI engine (docs/engines.md): pgx's chess, and Gardner's 5 x 5.

    python -m jzero uci runs/chess/20261121-101500
    python -m jzero uci runs/chess/20261121-101500:200

The first start compiles for a minute or two; later ones read the programs from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import tyro

import jzero
from jzero.engine.game import Game
from jzero.engine.lines import Lines
from jzero.engine.uci import UciServer
from jzero.run.engines import Config, Engine, run_engine, say


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=list(argv), prog="python -m jzero uci", description=__doc__)
    return run_engine(config, serve)


def serve(engine: Engine, lines: Lines, write: Callable[[str], None]) -> None:
    """Answers UCI commands until the controller quits.

    Raises:
        ValueError: the run does not play one of pgx's chess games.
    """
    agent = engine.run.agent
    game = Game(agent.env)

    def warm_up() -> None:
        say("compiling; the next start is faster")
        engine.thinker.warm_up(game.states)
        game.after(0)
        if (from_fen := getattr(agent.env, "from_fen", None)) is not None:
            from_fen(cast(Any, agent.env).to_fen(game.state))
        say(f"ready: {agent.name}, up to {engine.thinker.most} simulations")

    name = f"jzero {jzero.__version__} {engine.run.path.name}"
    server = UciServer(
        game, engine.thinker, lines, write, simulations=engine.simulations, name=name, warm_up=warm_up
    )
    server.serve()
