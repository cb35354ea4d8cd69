"""Plays a trained agent against another player of its game of two, both seats, paired openings.

    python experiments/match.py --run-dir runs/connect_four/20261121-101500
    python experiments/match.py --run-dir runs/alphazero/20261121-101500 --opponent random
    python experiments/match.py --run-dir runs/alphazero/20261121-101500 --opponent rollouts

OpenSpiel's MCTS needs `pip install -e ".[test]"` and a game whose actions have OpenSpiel's numbers, as those of
Connect Four and tic-tac-toe have; the other two play any game. Prints the score with its 95 % interval and writes
it to `match.json` in the run directory.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro

import jzero
from jzero.config import SearchConfig
from jzero.devices import set_up
from jzero.env import Env
from jzero.evaluate.arena import play_match
from jzero.evaluate.engines import open_spiel_mcts, random_player
from jzero.evaluate.rollouts import rollout_player
from jzero.evaluate.turns import Player, Turn


@dataclass(frozen=True)
class Config:
    """Who plays how many games."""

    run_dir: Path
    """The agent's run."""
    opponent: Literal["open_spiel_mcts", "rollouts", "random"] = "open_spiel_mcts"
    """OpenSpiel's UCT with random rollouts, jzero's own (any game), or uniformly random moves."""
    opponent_simulations: int = 1000
    """Simulations a move of the opponent's search."""
    simulations: int = 64
    """Simulations a move of the agent; 0 plays its raw policy."""
    games: int = 200
    """Games; each opening is played twice with the seats swapped."""
    opening_plies: int = 2
    """Random plies before the players begin."""
    seed: int = 0
    """Seed of the openings and of the opponent."""


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
        "seconds": round(time.monotonic() - begun, 1),
    }


def make_opponent(env: Env, config: Config, name: str) -> tuple[Player, str]:
    """The opponent for the environment called `name`, and what it is in words."""
    if config.opponent == "random":
        return random_player(env), "a random player"
    simulations = config.opponent_simulations
    if config.opponent == "rollouts":
        search = SearchConfig(policy="puct", dirichlet_fraction=0.0)
        return rollout_player(env, search, simulations), f"tree search with {simulations} random rollouts"
    opponent = open_spiel_mcts(name, simulations, config.seed)
    return opponent, f"OpenSpiel's MCTS with {simulations} simulations"


def main(config: Config) -> None:
    """Plays the match."""
    set_up()
    agent = jzero.load(config.run_dir)
    opponent, against = make_opponent(agent.env, config, agent.config.env)
    record = play(
        agent,
        opponent,
        against,
        simulations=config.simulations,
        games=config.games,
        opening_plies=config.opening_plies,
        seed=config.seed,
    )
    (config.run_dir / "match.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"error: {error}") from error
