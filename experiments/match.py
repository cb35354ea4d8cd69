"""Plays a trained agent against other players of its game of two, both seats, paired openings.

    python experiments/match.py --run-dir runs/connect_four/20261121-101500
    python experiments/match.py --run-dir DIR --opponents rollouts random           any game
    python experiments/match.py --run-dir DIR --opponent-simulations 100 1000       pgx:othello: two matches
    python experiments/match.py --run-dir DIR --opponents gnu_go --level 1          pgx:go_9x9

OpenSpiel plays Connect Four, tic-tac-toe and pgx's Othello and needs `pip install -e ".[test]"`; GNU Go plays pgx's
Go and needs `apt-get install gnugo` (or `brew install gnu-go`). Prints each score with its 95 % interval and writes
all of them to `match.json` in the run directory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from programs import Opponent, players

import jzero
from jzero.devices import set_up
from jzero.evaluate.arena import play_match
from jzero.evaluate.gtp import GtpError
from jzero.evaluate.turns import Player, Turn


@dataclass(frozen=True)
class Config:
    """Who plays how many games."""

    run_dir: Path
    """The agent's run."""
    opponents: tuple[Opponent, ...] = ("open_spiel_mcts",)
    """Whom it plays against: OpenSpiel's UCT with random rollouts, jzero's own (any game), GNU Go, random moves."""
    opponent_simulations: tuple[int, ...] = (1000,)
    """Simulations a move of the opponent's search; one match for each number."""
    level: int = 10
    """Level of GNU Go, 1 to 10."""
    simulations: int = 64
    """Simulations a move of the agent; 0 plays its raw policy."""
    games: int = 200
    """Games against each; each opening is played twice with the seats swapped."""
    opening_plies: int = 2
    """Random plies before the players begin."""
    seed: int = 0
    """Seed of the openings and of the opponents."""


def agent_player(agent: jzero.Agent, num_simulations: int) -> Player:
    """The agent as a player of matches."""

    def play(turn: Turn) -> np.ndarray:
        return np.asarray(agent.act(turn.states, turn.key, num_simulations=num_simulations))

    return play


def play(
    agent: jzero.Agent,
    opponent: Player,
    against: str,
    *,
    simulations: int,
    games: int,
    opening_plies: int | tuple[int, int],
    seed: int,
) -> dict[str, Any]:
    """Plays and prints a match of the agent `against` an opponent; returns its record."""
    begun = time.monotonic()
    result = play_match(
        agent.env,
        agent_player(agent, simulations),
        opponent,
        num_games=games,
        key=jax.random.key(seed),
        opening_plies=opening_plies,
    )
    low, high = result.interval
    print(
        f"{agent.config.env}, {simulations} simulations, against {against}: "
        f"{result.wins} won, {result.draws} drawn, {result.losses} lost of {games}; "
        f"score {result.score:.3f} [{low:.3f}, {high:.3f}]"
    )
    return {
        "env": agent.config.env,
        "opponent": against,
        "simulations": simulations,
        "games": games,
        "opening_plies": opening_plies,
        "seed": seed,
        "wins": result.wins,
        "draws": result.draws,
        "losses": result.losses,
        "score": result.score,
        "interval": list(result.interval),
        "distinct_games": result.distinct_games,
        "mean_plies": sum(map(len, result.histories)) / games,
        "seconds": round(time.monotonic() - begun, 1),
    }


def play_all(
    agent: jzero.Agent, opponents: Iterable[tuple[str, str, Player]], run_dir: Path, **settings: Any
) -> None:
    """Plays against each of (name, what it is in words, player); `match.json` has the records so far by name.

    Args:
      agent: the agent.
      opponents: whom it plays against.
      run_dir: where the file goes.
      settings: of `play`.
    """
    records = {}
    for name, against, player in opponents:
        records[name] = play(agent, player, against, **settings)
        (run_dir / "match.json").write_text(json.dumps(records, indent=2) + "\n")


def main(config: Config) -> None:
    """Plays the matches."""
    set_up()
    agent = jzero.load(config.run_dir)
    opponents = players(
        agent.env,
        agent.config.env,
        config.opponents,
        num_simulations=config.opponent_simulations,
        level=config.level,
        seed=config.seed,
    )
    play_all(
        agent,
        ((against, against, player) for against, player in opponents),
        config.run_dir,
        simulations=config.simulations,
        games=config.games,
        opening_plies=config.opening_plies,
        seed=config.seed,
    )


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (ValueError, OSError, ImportError, GtpError) as error:
        raise SystemExit(f"error: {error}") from error
