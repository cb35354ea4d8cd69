"""Plays a trained Blob agent at tables of other players, every deal from each seat.

    python experiments/blob_match.py --run-dir runs/blob/20261121-101500

The others are random players, rule-based ones, or the agent's search without its network: in the same number of
worlds, a new node being worth one random game. Prints points a round and bids hit and writes them to `match.json`
in the run directory.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jax
import tyro
from blob import describe
from blob_players import rule_based
from jzero_envs.blob import Blob
from match import agent_player

import jzero
from jzero.devices import set_up
from jzero.env import random_actions
from jzero.evaluate.rollouts import rollout_player
from jzero.evaluate.table import play_tables
from jzero.evaluate.turns import Player, as_player

Opponent = Literal["random", "rules", "rollouts"]


@dataclass(frozen=True)
class Config:
    """Who plays how many rounds."""

    run_dir: Path
    """The agent's run."""
    opponents: tuple[Opponent, ...] = ("random", "rules", "rollouts")
    """Who sits in the other seats."""
    deals: int = 500
    """Deals, each played once from every seat."""
    simulations: int | None = None
    """Simulations of every world; those of the run by default."""
    worlds: int | None = None
    """Worlds of a move; those of the run by default."""
    seed: int = 1
    """Seed of the deals."""


def main(config: Config) -> None:
    """Plays the matches."""
    set_up()
    agent = jzero.load(config.run_dir)
    env = agent.env
    if not isinstance(env, Blob) or env.rounds is not None:
        raise SystemExit(
            f"error: run_dir: {config.run_dir} is a run of {agent.config.env}, not of single rounds of blob"
        )
    search = replace(agent.config.search, worlds=config.worlds or agent.config.search.worlds)
    agent = jzero.Agent(env, replace(agent.config, search=search), agent.params)
    simulations = config.simulations or search.num_simulations
    others: dict[Opponent, Player] = {
        "random": as_player(random_actions),
        "rules": as_player(rule_based(env)),
        "rollouts": rollout_player(env, search, simulations),
    }
    records = {}
    for name in config.opponents:
        begun = time.monotonic()
        result = play_tables(
            env,
            agent_player(agent, simulations),
            others[name],
            num_deals=config.deals,
            key=jax.random.key(config.seed),
        )
        strength = describe(env, result, agent, f"{name} players", simulations)
        print(strength)
        records[name] = strength._asdict() | {
            "rounds": result.own.size,
            "seconds": round(time.monotonic() - begun, 1),
        }
    (config.run_dir / "match.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
