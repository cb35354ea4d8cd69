"""Time per simulation in a single game, as in analysis and play: tree and rules, without a network.

    python experiments/benchmarks/one_game.py --out one_game.json

Reports the least CPU time of several searches, which other work on the machine changes little.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from hardware import provenance, tell

import jzero
from jzero.agent import Agent
from jzero.models.plan import SearchSettings
from jzero.models.simulator import simulator_model
from jzero.networks import Network


@dataclass(frozen=True)
class Config:
    """What to search."""

    envs: tuple[str, ...] = ("connect_four", "pgx:go_9x9", "pgx:chess")
    """Environments."""
    simulations: tuple[int, ...] = (64, 256, 1024)
    """Simulations per search."""
    searches: int = 5
    """Timed searches; the least time is reported."""
    out: Path | None = None
    """Where to write the result as JSON."""


def ignorant(name: str) -> Agent:
    """An agent with equal priors and the value 0."""
    env = jzero.make(name)

    def apply(params: jax.Array, observation: Any) -> tuple[jax.Array, jax.Array]:
        batch = jax.tree.leaves(observation)[0].shape[0]
        return jnp.zeros((batch, env.num_actions)), jnp.zeros(batch) + params

    network = Network(lambda key, observation: jnp.float32(0), apply)
    return Agent(
        env, simulator_model(jzero.describe(env), network), jnp.float32(0), SearchSettings(), name=name
    )


def milliseconds(agent: Agent, simulations: int, searches: int) -> float:
    """CPU time per simulation."""
    states = jzero.init_batch(agent.env, jax.random.key(0), 1)
    taken = []
    for _ in range(searches + 1):  # the first one compiles
        begun = time.process_time()
        jax.block_until_ready(agent.analyse(states, jax.random.key(0), simulations).visits)
        taken.append(time.process_time() - begun)
    return 1000 * min(taken[1:]) / simulations


def main(config: Config) -> None:
    """Measures and prints JSON."""
    rows = []
    for name in config.envs:
        agent = ignorant(name)
        for number in config.simulations:
            took = milliseconds(agent, number, config.searches)
            rows.append({"env": name, "simulations": number, "milliseconds_per_simulation": round(took, 4)})
    command = "python experiments/benchmarks/one_game.py " + " ".join(sys.argv[1:])
    date = datetime.now(UTC).date().isoformat()
    result = {"benchmark": "one_game", "command": command.strip(), "date": date, **provenance()}
    tell(result | {"cpu_time": rows}, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
