"""Plays a trained agent against each Quoridor opponent, both seats, paired openings of 0 to 4 random plies.

    python experiments/quoridor_match.py --run-dir runs/quoridor/20261121-101500

The opponents: one that walks along the shortest way, minimax, OpenSpiel's MCTS. Needs `pip install -e ".[test]"`.
Prints the scores with their 95 % intervals and writes them to `match.json` in the run directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from jzero_envs.quoridor import Quoridor
from match import play_all
from quoridor_players import OPPONENTS, Opponent, opponent

import jzero
from jzero.devices import set_up


@dataclass(frozen=True)
class Config:
    """Who plays how many games."""

    run_dir: Path
    """The agent's run."""
    opponents: tuple[Opponent, ...] = OPPONENTS
    """Whom it plays against."""
    depth: int | None = None
    """Plies that minimax looks ahead: by default 4, or 2 on boards larger than 5 x 5."""
    opponent_simulations: int = 1000
    """Simulations a move of OpenSpiel's MCTS."""
    simulations: int = 64
    """Simulations a move of the agent; 0 plays its raw policy."""
    games: int = 200
    """Games against each; each opening is played twice with the seats swapped."""
    opening_plies: tuple[int, int] = (0, 4)
    """Fewest and most random plies before the players begin."""
    seed: int = 0
    """Seed of the openings and of the opponents."""


def main(config: Config) -> None:
    """Plays the matches."""
    set_up()
    agent = jzero.load(config.run_dir)
    if not isinstance(agent.env, Quoridor):
        raise SystemExit(f"error: run_dir: {config.run_dir} is a run of {agent.config.env}, not of quoridor")
    env, depth, simulations = agent.env, config.depth, config.opponent_simulations
    play_all(
        agent,
        ((name, *opponent(env, name, depth, simulations, config.seed)) for name in config.opponents),
        config.run_dir,
        simulations=config.simulations,
        games=config.games,
        opening_plies=config.opening_plies,
        seed=config.seed,
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
