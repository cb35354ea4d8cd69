"""Plays brax's reacher without learning and with a trained agent: mean returns of the same 100 episodes.

    python experiments/reacher_match.py                                random, still, a controller
    python experiments/reacher_match.py --run-dir runs/reacher/20261122-101500

Prints a line a player and writes `match.json` to the run directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import tyro
from reacher import TRAIN
from reacher_players import controller, randomly, still

import jzero
from jzero.devices import set_up
from jzero.evaluate.measures import Strength, play_episodes
from jzero.evaluate.rating import mean_with_interval
from jzero.registry import make


@dataclass(frozen=True)
class Config:
    """Who plays how many episodes."""

    run_dir: Path | None = None
    """The agent's run; None for the players that do not learn alone."""
    simulations: tuple[int, ...] = (16, 0)
    """Simulations a move of the agent; 0 plays the mean of its policy."""
    episodes: int = 100
    """Episodes each."""
    seed: int = 1
    """Seed of the episodes."""


def main(config: Config) -> None:
    """Plays the episodes of every player."""
    set_up()
    agent = None if config.run_dir is None else jzero.load(config.run_dir)
    env = make(TRAIN.env) if agent is None else agent.env
    if agent is not None and agent.config.env != TRAIN.env:
        raise SystemExit(
            f"error: run_dir: {config.run_dir} is a run of {agent.config.env!r}, not of {TRAIN.env!r}"
        )
    acts: dict[str, Callable] = {"random": randomly, "still": still, "controller": jax.jit(controller)}
    if agent is not None:
        for count in config.simulations:
            acts[f"agent, {count} simulations"] = partial(agent.act, num_simulations=count)
    records = {}
    for name, act in acts.items():
        returns = play_episodes(env, act, jax.random.key(config.seed), config.episodes).returns
        strength = Strength(
            f"{name}: mean return of {config.episodes} episodes", *mean_with_interval(returns)
        )
        print(strength, flush=True)
        records[name] = {"mean_return": strength.value, "interval": [strength.low, strength.high]}
    if config.run_dir is not None:
        (config.run_dir / "match.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
