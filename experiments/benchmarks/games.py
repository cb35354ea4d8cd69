"""Speed of self-play in Quoridor and Blob, and the share of time outside the network.

    python experiments/benchmarks/games.py --out experiments/benchmarks/results/games_cpu.json
    python experiments/benchmarks/games.py --cells "blob 5x50" --games 4096      a GPU's size

Published numbers for comparison: a Quoridor engine in Rust with tokio and ONNX Runtime (9 x 9, 400 visits, residual
network of 5 blocks) makes 7,600 evaluations per second on a CPU and 38,000 on an RTX 5080. A Blob program with 4.9
million parameters plays 5.7 to 6.8 rounds per minute with 4 workers; at best, with 32 processes and an RTX 4060, it
plays 1,049, 741 and 310 with 2 x 20, 3 x 30 and 5 x 50 worlds x simulations.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro
from hardware import provenance
from timing import Ours, network_alone, timed

from jzero.devices import set_up
from jzero.env import Env
from jzero.env_spec import describe
from jzero.metrics import read
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.simulator import simulator_model
from jzero.networks import Network
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.config import TrainConfig

Cell = Literal["quoridor", "blob 2x20", "blob 3x30", "blob 5x50"]


@dataclass(frozen=True)
class Config:
    """What to measure."""

    cells: tuple[Cell, ...] = ("quoridor", "blob 2x20", "blob 3x30", "blob 5x50")
    """Measurements to make."""
    games: int | None = None
    """Games side by side; by default 256 in Quoridor and 64 in Blob."""
    rounds: int = 3
    """Timed repetitions; medians are reported."""
    out: Path | None = None
    """Where to write the result as JSON."""


QUORIDOR = TrainConfig(
    env="quoridor",
    search=SearchSettings(num_simulations=64),
    network=NetworkSettings(kind="resnet", width=64, blocks=5),
    games=256,
    plies=2,
    opening_plies=8,
    replay_plies=8,
    batch_size=16,
    updates=1,
    warmup_iterations=1000,
)
BLOB = replace(
    QUORIDOR,
    env="blob?players=4&cards=5",
    network=NetworkSettings(kind="mlp", width=368, blocks=8),
    games=64,
    plies=24,
    opening_plies=0,
    temperature_plies=24,
    replay_plies=48,
)


def train_config(cell: Cell, games: int | None) -> TrainConfig:
    """The settings of a cell."""
    if cell == "quoridor":
        return replace(QUORIDOR, games=games or QUORIDOR.games)
    worlds, simulations = map(int, cell.removeprefix("blob ").split("x"))
    search = SearchSettings(num_simulations=simulations, worlds=worlds, rescale_values=False, value_scale=0.2)
    return replace(BLOB, search=search, games=games or BLOB.games)


def measure(cell: Cell, games: int | None, rounds: int) -> dict[str, Any]:
    """Self-play of the cell, and its network alone, in turn."""
    train = train_config(cell, games)
    env = make(train.env)
    ours = Ours(env, train)
    play, evaluations, finished = [], 0.0, 0.0
    for _ in range(rounds):
        play.append(timed(ours.play)[0])
        metrics = read(ours.metrics)
        evaluations = metrics["evaluations_per_position"] * train.games * train.plies
        finished = metrics["games_finished_share"] * train.games * train.plies
    seconds = statistics.median(play)
    searched = evaluations / (train.games * train.plies)
    alone = (
        network_alone(env, train, rounds)
        * searched
        / (train.search.worlds * (1 + train.search.num_simulations))
    )
    size = sum(x.size for x in jax.tree.leaves(ours.state.params))
    rows, fraction = network_batch(env, train)
    return {
        "cell": cell,
        "env": train.env,
        "network": f"{train.network.kind} {train.network.blocks} x {train.network.width}, {size:,} parameters",
        "games": train.games,
        "worlds": train.search.worlds,
        "simulations": train.search.num_simulations,
        "seconds_an_iteration": round(seconds, 3),
        "evaluations_per_second": round(evaluations / seconds),
        "plies_per_minute": round(60 * train.games * train.plies / seconds),
        "games_per_minute": round(60 * finished / seconds, 1),
        "network_batch": rows,
        "network_batch_over_games_x_worlds": fraction,
        "share_of_self_play_outside_network": round(1 - alone / seconds, 3),
    }


def network_batch(env: Env, train: TrainConfig) -> tuple[int, float]:
    """Rows of the smallest network call in a search: their number, and the number divided by games x worlds.

    Calls are counted while the search is traced: a compiled program makes no others.
    """
    spec, seen = describe(env), list[int]()

    def apply(params: Any, observation: Any) -> tuple[jax.Array, jax.Array]:
        rows = jax.tree.leaves(observation)[0].shape[0]
        seen.append(rows)
        values = (rows, spec.num_values) if spec.values_by_seat else (rows,)
        return jnp.zeros((rows, env.num_actions)), jnp.zeros(values)

    def search(states: Any, key: jax.Array) -> Any:
        model = simulator_model(spec, Network(lambda key, observation: None, apply))
        planner = make_planner(train.search, model)
        root = model.root(None, states)
        if model.resample is not None:
            seen.clear()  # a program that searches worlds drops this call
        return planner.plan(None, key, root, ~states.legal_action_mask, explore=True, memory=())

    key = jax.random.key(0)
    states = jax.vmap(env.init)(jax.random.split(key, train.games))
    jax.eval_shape(search, states, key)
    return min(seen), min(seen) / (train.games * train.search.worlds)


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    set_up(cache=None)
    cells = []
    for cell in config.cells:
        cells.append(measure(cell, config.games, config.rounds))
        print(json.dumps(cells[-1], indent=2), flush=True)
    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    result = {"benchmark": "games", "config": settings, **provenance(), "cells": cells}
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
