"""The players of a match from their names on the command line: runs and opponents."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.encounters import Record
from jzero.evaluate.players import DEFAULTS, agent_player, is_opponent, open_opponent
from jzero.evaluate.schedule import Rung
from jzero.evaluate.turns import Player
from jzero.pytrees import Params
from jzero.registry import make, unknown_name
from jzero.run.load import Checkpoint, checkpoint_times, load_history
from jzero.settings import full_path
from jzero.show.words import duration

MOST = 10
"""Checkpoints of "RUN@all", at most."""


class Entrant(NamedTuple):
    """A player of the match."""

    name: str
    """Its full name with its simulations, as on the command line."""
    player: Player
    about: Record
    """Its entry in match.json."""
    rung: Rung | None = None
    """Its place on the ladder of its run; None for an opponent."""


class Run(NamedTuple):
    """A checkpoint of a run that was named as a player."""

    path: Path
    simulations: int
    agent: Agent
    iteration: int
    seconds: float | None
    """Training time; None if the checkpoint does not record it."""
    newest: bool = False
    """Whether it is the newest checkpoint because the text named none."""

    @property
    def name(self) -> str:
        """Its name on the command line, with its simulations."""
        return f"{self.path}{'' if self.newest else f'@{self.iteration}'}:{self.simulations}"


def named_runs(text: str, simulations: int | None, most: int = MOST) -> list[Run]:
    """The checkpoints that a player's text names, oldest first; none if it is an opponent.

    Args:
        text: "RUN", "RUN@120" (of that iteration) or "RUN@all", each with or without ":simulations".
        simulations: per move, if the text has none; None for those of the training.
        most: checkpoints of "RUN@all", evenly spread in training time, including the first and the last.

    Raises:
        ValueError: it is neither a run nor an opponent.
        FileNotFoundError: the directory holds no run, or lacks this checkpoint.
    """
    if is_opponent(text):
        return []
    path, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal():
        path, number = text, ""
    directory, which = full_path(path), ""
    if not directory.is_dir():
        path, _, which = path.rpartition("@")
        directory = full_path(path)
    if not path or not directory.is_dir():
        raise ValueError(
            f"player {text!r}: there is no such run, and {unknown_name('opponent', text, list(DEFAULTS))}; or give "
            "module:function, or gtp:COMMAND"
        )
    history = load_history(directory, _chosen(text, directory, which, most))
    return [_run(directory, number, simulations, found, newest=not which) for found in history]


def _run(path: Path, number: str, simulations: int | None, found: Checkpoint, *, newest: bool) -> Run:
    """The player of a checkpoint, with simulations from the text, else the option, else the training."""
    iteration, seconds, agent = found
    default = agent.search.num_simulations if simulations is None else simulations
    return Run(path, int(number) if number else default, agent, iteration, seconds, newest)


def _chosen(text: str, directory: Path, which: str, most: int) -> list[int] | None:
    """The iterations of the named checkpoints; None for the newest one that can be read."""
    if not which:
        return None
    if which == "all":
        return spread(checkpoint_times(directory), most)
    if not which.isdecimal():
        raise ValueError(
            f"player {text!r}: {which!r} is not a checkpoint; give an iteration as in {directory}@120, or "
            f"{directory}@all"
        )
    return [int(which)]


def spread(times: Mapping[int, float], most: int) -> list[int]:
    """At most `most` of the iterations, evenly spread in their times, including the first and the last.

    Args:
        times: iteration -> time, both increasing.
        most: at least 1; with 1, the last.
    """
    iterations, there = list(times), np.array(list(times.values()))
    if len(iterations) <= most:
        return iterations
    wanted = np.linspace(there[-1] if most == 1 else there[0], there[-1], most)
    chosen: list[int] = []
    for place, time in enumerate(wanted):
        first, last = (chosen[-1] + 1 if chosen else 0), len(iterations) - (most - place)
        chosen.append(first + int(np.abs(there[first : last + 1] - time).argmin()))
    return [iterations[place] for place in chosen]


def game_of(name: str | None, runs: Mapping[str, Sequence[Run]]) -> tuple[Env, str]:
    """The environment and its name, from the option --env or from the runs.

    Raises:
        ValueError: neither names one, or they differ.
    """
    if not runs:
        if name is None:
            raise ValueError(
                "--env is missing, and no player is a run whose game it could be; give for example --env "
                "connect_four"
            )
        return make(name), name
    first, (run, *_) = next(iter(runs.items()))
    env, expected, who = run.agent.env, run.agent.name, f"player {first!r}"
    if name is not None and name != expected and make(name) != env:
        raise ValueError(f"--env is {name!r}, but {who} plays {expected!r}; omit --env, or give another run")
    for text, (other, *_) in runs.items():
        if other.agent.name != expected and other.agent.env != env:
            raise ValueError(
                f"player {text!r} plays {other.agent.name!r}, but {who} plays {expected!r}; give runs of one game"
            )
    return env, expected


def entrants_of(
    names: Sequence[str],
    runs: Mapping[str, Sequence[Run]],
    env: Env,
    env_name: str,
    programs: ExitStack,
    *,
    seed: int,
) -> list[Entrant]:
    """The players in the order of `names`.

    Args:
        names: as on the command line.
        runs: those that are runs, by these names, each a number of checkpoints.
        env: the game.
        env_name: what `jzero.make` calls it.
        programs: ends the programs that opponents start.
        seed: seed of the opponents.

    Raises:
        ValueError: an opponent does not play this game, or a player is given twice.
    """
    entrants: list[Entrant] = []
    for text in names:
        if text in runs:
            found = [_of_run(run) for run in runs[text]]
        else:
            opponent = open_opponent(env, env_name, text, seed=seed)
            programs.callback(opponent.close)
            found = [Entrant(opponent.name, opponent.player, {"words": opponent.words, "weights": None})]
        for entrant in found:
            _check_new(text, entrant, entrants)
            entrants.append(entrant)
    return entrants


def _check_new(text: str, entrant: Entrant, entrants: Sequence[Entrant]) -> None:
    """Raises ValueError if the player is already in the match, under this name or another."""
    for other in entrants:
        if other.name == entrant.name or (entrant.rung is not None and other.rung == entrant.rung):
            raise ValueError(
                f"player {text!r}: {entrant.name} is given twice; give it once, or with other simulations"
            )


def _of_run(run: Run) -> Entrant:
    many = f"{run.simulations} simulations per move" if run.simulations else "the policy without search"
    trained = f" after {duration(run.seconds)} of training" if run.seconds is not None else ""
    about = {
        "words": f"a run, iteration {run.iteration}{trained}, {many}",
        "weights": _checksum(run.agent.params),
        "run": str(run.path),
        "simulations": run.simulations,
        "iteration": run.iteration,
        "seconds": run.seconds,
    }
    rung = Rung((run.path, run.simulations), run.iteration)
    return Entrant(run.name, agent_player(run.agent, run.simulations), about, rung)


def _checksum(params: Params) -> str:
    """A checksum that differs between weights."""
    found = 0
    for leaf in jax.tree.leaves(params):
        found = zlib.crc32(np.asarray(leaf).tobytes(), found)
    return f"{found:08x}"
