"""The players of a match from their names on the command line: runs, and opponents of their game."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.players import DEFAULTS, agent_player, is_opponent, open_opponent
from jzero.evaluate.turns import Player
from jzero.pytrees import Params
from jzero.registry import make, unknown_name
from jzero.run.load import load
from jzero.settings import full_path


class Entrant(NamedTuple):
    """A player of the match."""

    name: str
    """Its full name, with its simulations: also a name to type."""
    words: str
    """What it is, in words."""
    player: Player
    weights: str | None = None
    """A checksum of a run's weights; None for an opponent."""


class Run(NamedTuple):
    """A run that was named as a player."""

    path: Path
    simulations: int
    agent: Agent


def named_run(text: str, simulations: int | None) -> Run | None:
    """The run that a player's text means, "path" or "path:simulations"; None where it is an opponent.

    Args:
        text: as on the command line.
        simulations: per move, where the text has none; None for those of the training.

    Raises:
        ValueError: it is neither.
        FileNotFoundError: the directory holds no run.
    """
    if is_opponent(text):
        return None
    path, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal():
        path, number = text, ""
    directory = full_path(path)
    if not directory.is_dir():
        raise ValueError(
            f"player {text!r}: no run is there, and {unknown_name('opponent', text, list(DEFAULTS))}; or give "
            "module:function"
        )
    agent = load(directory)
    if not number:
        return Run(directory, agent.search.num_simulations if simulations is None else simulations, agent)
    return Run(directory, int(number), agent)


def game_of(name: str | None, runs: dict[str, Run]) -> tuple[Env, str]:
    """The environment and its name, of the option --env or of the runs.

    Raises:
        ValueError: neither says it, or they differ.
    """
    if not runs:
        if name is None:
            raise ValueError(
                "--env is missing: no player is a run, which would say it; give --env connect_four"
            )
        return make(name), name
    first, run = next(iter(runs.items()))
    env, expected, who = run.agent.env, run.agent.name, f"player {first!r}"
    if name is not None and name != expected and make(name) != env:
        raise ValueError(
            f"--env is {name!r}, but {who} plays {expected!r}; leave out --env, or give another run"
        )
    for text, other in runs.items():
        if other.agent.name != expected and other.agent.env != env:
            raise ValueError(
                f"player {text!r} plays {other.agent.name!r}, but {who} plays {expected!r}; give runs of one game"
            )
    return env, expected


def entrants_of(
    names: Sequence[str], runs: dict[str, Run], env: Env, env_name: str, programs: ExitStack, *, seed: int
) -> list[Entrant]:
    """The players in the order of `names`.

    Args:
        names: as on the command line.
        runs: those that are runs, by these names.
        env: the game.
        env_name: what `jzero.make` calls it.
        programs: ends what the opponents have started.
        seed: of the opponents.

    Raises:
        ValueError: an opponent does not play this game, or a player is given twice.
    """
    entrants: list[Entrant] = []
    for text in names:
        if text in runs:
            entrant = _of_run(runs[text])
        else:
            opponent = open_opponent(env, env_name, text, seed=seed)
            programs.callback(opponent.close)
            entrant = Entrant(opponent.name, opponent.words, opponent.player)
        if entrant.name in [other.name for other in entrants]:
            raise ValueError(
                f"player {text!r}: {entrant.name} is given twice; give it once, or with other simulations"
            )
        entrants.append(entrant)
    return entrants


def _of_run(run: Run) -> Entrant:
    many = f"{run.simulations} simulations per move" if run.simulations else "the policy without search"
    player = agent_player(run.agent, run.simulations)
    return Entrant(f"{run.path}:{run.simulations}", f"a run, {many}", player, _checksum(run.agent.params))


def _checksum(params: Params) -> str:
    """Tells weights from others."""
    found = 0
    for leaf in jax.tree.leaves(params):
        found = zlib.crc32(np.asarray(leaf).tobytes(), found)
    return f"{found:08x}"
