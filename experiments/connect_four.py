"""Trains Connect Four from scratch and measures it against an exact solver's verdicts.

    python experiments/connect_four.py                 10 minutes
    python experiments/connect_four.py --minutes 25 --seed 1
    python experiments/connect_four.py --help          every option

The last line is the share of solved positions on which the trained agent, with 64 simulations, plays a move that
keeps the game's value. In each of these 1,000 positions some move loses it; a random player keeps it in 39 %.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jzero.agent import Agent
from jzero.config import NetworkConfig, SearchConfig, TrainConfig
from jzero.env import Env
from jzero.evaluate.positions import load_positions, score_positions
from jzero.run import Measure, RunConfig, Strength, main

DATA = Path(__file__).parent / "data"
SIMULATIONS = 64

PRESET = RunConfig(
    minutes=10,
    train=TrainConfig(
        env="connect_four",
        search=SearchConfig(policy="gumbel", num_simulations=32),
        network=NetworkConfig(kind="mlp", width=384, blocks=3),
    ),
)


def keeps_value(file: str) -> Callable[[Env], Measure]:
    """Makes the measurement on the solved positions of `file`."""

    def for_env(env: Env) -> Measure:
        positions = load_positions(DATA / file, env)

        def measure(agent: Agent) -> Strength:
            def act(states: Any) -> jax.Array:
                return agent.act(states, jax.random.key(0), num_simulations=SIMULATIONS)

            found = score_positions(env, act, positions)
            name = f"moves that keep the game's value ({SIMULATIONS} simulations, {found.count} solved positions)"
            return Strength(name, found.score, found.low, found.high)

        return measure

    return for_env


if __name__ == "__main__":
    main(
        "connect_four",
        PRESET,
        measure=keeps_value("connect_four_positions_dev.json"),
        final=keeps_value("connect_four_positions.json"),
    )
