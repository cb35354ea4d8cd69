"""Plays 2048 without a network and with a trained agent: mean scores and largest tiles of 100 games each.

    python experiments/game_2048_players.py                                      random, greedy, expectimax
    python experiments/game_2048_players.py --run-dir runs/game_2048/20261121-101500

Greedy takes the move that scores most now; expectimax weighs all new tiles and takes the move that scores most in
two moves. Both choose among equals at random. Prints a line a player and writes `match.json` to the run directory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from game_2048 import final_states, largest_tiles
from jzero_envs.game_2048 import Game2048

import jzero
from jzero.devices import set_up
from jzero.env import random_actions
from jzero.evaluate.expectimax import expectimax_action
from jzero.evaluate.measures import Strength
from jzero.evaluate.rating import mean_with_interval

PlayerName = Literal["random", "greedy", "expectimax", "agent"]


@dataclass(frozen=True)
class Config:
    """Who plays how many games."""

    run_dir: Path | None = None
    """The agent's run; None for the players without a network alone."""
    players: tuple[PlayerName, ...] = ("random", "greedy", "expectimax", "agent")
    """Who plays; the agent only if there is a run."""
    depth: int = 2
    """Moves that expectimax looks ahead."""
    simulations: int | None = None
    """Simulations a move of the agent; by default those of its run."""
    games: int = 100
    """Games each."""
    size: int = 4
    """Cells a side, where there is no run."""
    seed: int = 1
    """Seed of the games and of the players' choices."""


def look_ahead(env: Game2048, depth: int) -> Callable[[Any, jax.Array], jax.Array]:
    """The player that scores most within `depth` moves: states [B], key -> actions i32[B]."""

    def act(states: Any, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, states.terminated.shape[0])
        action = partial(expectimax_action, env, depth=depth, afterstate_value=lambda after: after.rewards[0])
        return jax.vmap(action)(states, keys)

    return jax.jit(act)


def main(config: Config) -> None:
    """Plays the games of every player."""
    set_up()
    agent = None if config.run_dir is None else jzero.load(config.run_dir)
    env = Game2048(config.size) if agent is None else agent.env
    if not isinstance(env, Game2048):
        raise SystemExit(f"error: run_dir: {config.run_dir} is a run of another game, not of 2048")
    acts: dict[PlayerName, Callable] = {
        "random": jax.jit(random_actions),
        "greedy": look_ahead(env, 1),
        "expectimax": look_ahead(env, config.depth),
    }
    if agent is not None:
        acts["agent"] = partial(agent.act, num_simulations=config.simulations)
    records = {}
    for name in config.players:
        if name not in acts:
            continue
        begin = time.perf_counter()
        states = final_states(env, acts[name], jax.random.key(config.seed), config.games)
        seconds = time.perf_counter() - begin
        scores = states.score.astype(np.float64)
        strength = Strength(f"{name}: mean score of {config.games} games", *mean_with_interval(scores))
        tiles = largest_tiles(states)
        print(f"{strength}; largest tiles {tiles}; {seconds:.0f} s", flush=True)
        records[name] = {
            "mean_score": strength.value,
            "interval": [strength.low, strength.high],
            "scores": [int(score) for score in sorted(scores)],
            "largest_tiles": tiles,
            "depth": config.depth if name == "expectimax" else None,
            "simulations": config.simulations if name == "agent" else None,
            "seconds": round(seconds, 1),
        }
    if config.run_dir is not None:
        (config.run_dir / "match.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
