"""Checks whether an environment follows the protocol, and explains each problem.

    python -m jzero check my_game:MyGame
    python -m jzero check pgx:othello --games 4 --plies 100
    python -m jzero check "quoridor?size=5&walls=3"

Plays random games (`jzero.check_env`) and prints OK with the number of games, or the problems, one per line. The
exit code is 0 or 1.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import tyro

from jzero.check import check_env
from jzero.env import Env, action_size
from jzero.registry import make


@dataclass(frozen=True)
class Config:
    """What to check, and how long."""

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
    """Any name that `jzero.make` takes: "connect_four", "pgx:othello", "my_module:MyGame"."""
    games: int = 16
    """Random games side by side."""
    plies: int = 400
    """Plies per game, at most."""
    seed: int = 0
    """Seed of the games' chance and of the random moves."""


def check(config: Config) -> int:
    """Prints the verdict; returns the exit code."""
    start = time.perf_counter()
    for name, value in (("games", config.games), ("plies", config.plies)):
        if value < 1:
            print(f"--{name} is {value}; expected at least 1")
            return 1
    try:
        env = make(config.env)
        played = check_env(env, seed=config.seed, num_games=config.games, max_plies=config.plies)
    except (ValueError, ImportError) as error:
        print(error)
        return 1
    print(
        f"OK: {config.env}: {played.games} random games, {played.finished} to their end, {played.plies:,} plies, "
        f"{time.perf_counter() - start:.0f} s; {env.num_players} player(s), {_actions(env)}"
    )
    if not played.games:
        print("Only shapes and dtypes were checked: an emulator cannot return to a state.")
    elif not played.finished:
        print(
            f"No game ended within {config.plies} plies, so its end is unchecked: use more --plies, or let games "
            "end (count plies in the state and set `truncated` at a limit)."
        )
    return 0


def _actions(env: Env) -> str:
    size = action_size(env)
    return f"continuous actions of {size} number(s)" if size else f"{env.num_actions} actions"


def main(argv: list[str]) -> int:
    """The command with these options; returns the exit code."""
    return check(tyro.cli(Config, args=argv, prog="python -m jzero check", description=__doc__))
