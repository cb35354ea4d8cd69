"""Proven wins and losses in searches of Connect Four: their cost and their gain.

    python experiments/benchmarks/solve.py --run-dir runs/connect_four/20261121-101500 --out solve_cpu.json

Time: searches of games at all plies by the preset's network with random weights, with and without proofs in turn.
Moves: how often they keep the game's value on the tuning positions, with a run's weights and with random ones; the
difference with and without proofs is on the same positions, its interval a bootstrap over them. One CPU device.
Axes: B games, N positions.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from hardware import provenance, tell
from jzero_envs.connect_four import ConnectFour
from timing import timed

from jzero.devices import set_up
from jzero.env import init_batch, is_finished, random_actions, step_batch, where_rows
from jzero.evaluate.positions import PositionSet, load_positions, positions_states
from jzero.models.plan import SearchSettings, make_planner
from jzero.networks.make import NetworkSettings
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig
from jzero.run.load import load, read_config

ENV = ConnectFour()
POSITIONS = Path(__file__).parents[1] / "data" / "connect_four_positions_dev.json"
GUMBEL = SearchSettings(policy="gumbel", num_simulations=32, rescale_values=False, value_scale=0.2)
SETTINGS = {"gumbel": GUMBEL, "puct": replace(GUMBEL, policy="puct")}


@dataclass(frozen=True)
class Config:
    """What to measure."""

    run_dir: Path
    """A trained run of Connect Four."""
    parts: tuple[Literal["moves", "time"], ...] = ("moves", "time")
    """Parts to measure."""
    games: int = 1024
    """Games side by side (B), for the time."""
    rounds: int = 7
    """Timed searches with and without proofs."""
    simulations: tuple[int, ...] = (16, 32, 64, 256)
    """Simulations per move, for the moves."""
    random_networks: int = 1
    """Networks with random weights, for the moves."""
    bootstrap: int = 10_000
    """Resamples per interval."""
    seed: int = 0
    out: Path | None = None
    """Where to write the result as JSON."""


def searcher(train: TrainConfig, settings: SearchSettings, most: int) -> Callable:
    """(params, states [B], simulations up to `most`) -> (actions i32[B], values f32[B]), compiled."""
    model = build_algorithm(ENV, train).model
    planner = make_planner(settings, model)

    @jax.jit
    def search(params: Any, states: Any, num_simulations: jax.Array) -> tuple[jax.Array, jax.Array]:
        plan = planner.plan(
            params,
            jax.random.key(0),
            model.root(params, states),
            ~states.legal_action_mask,
            num_simulations=num_simulations,
            max_num_simulations=most,
        )
        return plan.action, plan.value

    return search


def games_at_all_plies(config: Config) -> Any:
    """Unfinished states [B] after 0 to 35 random plies."""
    key = jax.random.key(config.seed)
    states = init_batch(ENV, key, config.games)
    length = jax.random.randint(jax.random.fold_in(key, 0), (config.games,), 0, 36)
    for ply in range(36):
        after = step_batch(ENV, states, random_actions(states, jax.random.fold_in(key, ply)), key)
        states = where_rows((ply < length) & ~is_finished(after), after, states)
    return states


def measure_time(config: Config, train: TrainConfig, policy: str) -> dict[str, Any]:
    """CPU milliseconds per search of all games, with and without proofs in turn, and ratios of CPU and wall times.

    On a busy machine wall times say little.
    """
    params = build_algorithm(ENV, train).init(jax.random.key(config.seed))
    states, number = games_at_all_plies(config), jnp.int32(GUMBEL.num_simulations)
    searches = {
        name: searcher(train, replace(SETTINGS[policy], solve=name == "with"), GUMBEL.num_simulations)
        for name in ("without", "with")
    }
    wall: dict[str, list[float]] = {name: [] for name in searches}
    cpu: dict[str, list[float]] = {name: [] for name in searches}
    for turn in range(config.rounds + 1):
        for name, search in searches.items():
            seconds, cpu_seconds = timed(functools.partial(search, params, states, number))
            if turn:  # the first one compiles
                wall[name].append(seconds)
                cpu[name].append(cpu_seconds)

    def ratios(seconds: dict[str, list[float]]) -> list[float]:
        return [round(b / a, 3) for a, b in zip(seconds["without"], seconds["with"], strict=True)]

    return {
        "policy": policy,
        "games": config.games,
        "simulations": GUMBEL.num_simulations,
        **{f"{name}_cpu_ms": round(1e3 * statistics.median(times), 1) for name, times in cpu.items()},
        "cpu_ratio": statistics.median(ratios(cpu)),
        "cpu_ratios": ratios(cpu),
        "wall_ratios": ratios(wall),
    }


def measure_moves(
    config: Config, train: TrainConfig, params: Any, network: str, positions: PositionSet
) -> list[dict[str, Any]]:
    """The share of moves that keep the game's value, for each search."""
    states, found = positions_states(ENV, positions), []
    rng, rows = np.random.default_rng(config.seed), np.arange(len(positions.values))
    for policy, settings in SETTINGS.items():
        searches = {
            solve: searcher(train, replace(settings, solve=solve), max(config.simulations))
            for solve in (False, True)
        }
        for number in config.simulations:
            kept = {}
            for solve, search in searches.items():
                actions = np.asarray(search(params, states, jnp.int32(number))[0])
                kept[solve] = positions.keeps_value[rows, actions]
            difference = kept[True].astype(float) - kept[False]
            means = difference[rng.integers(len(rows), size=(config.bootstrap, len(rows)))].mean(axis=1)
            low, high = np.quantile(means, (0.025, 0.975))
            found.append(
                {
                    "network": network,
                    "policy": policy,
                    "simulations": number,
                    "without": round(float(kept[False].mean()), 4),
                    "with": round(float(kept[True].mean()), 4),
                    "difference": round(float(difference.mean()), 4),
                    "low": round(float(low), 4),
                    "high": round(float(high), 4),
                    "better": int((difference > 0).sum()),
                    "worse": int((difference < 0).sum()),
                }
            )
            print(found[-1], flush=True)
    return found


def main(config: Config) -> None:
    """Measures all and writes it."""
    set_up(cpu_devices=1, cache=None)
    agent = load(config.run_dir)
    preset = TrainConfig(env="connect_four", network=NetworkSettings(kind="mlp", width=384, blocks=3))
    trained = replace(read_config(config.run_dir)[0], search=GUMBEL)
    positions = load_positions(POSITIONS, ENV)
    result: dict[str, Any] = {
        "command": f"python experiments/benchmarks/solve.py --run-dir RUN --parts {' '.join(config.parts)}",
        "date": time.strftime("%Y-%m-%d"),
        "config": asdict(config) | {"run_dir": None, "out": None},
        **provenance(),
        "positions": len(positions.values),
    }
    if "moves" in config.parts:
        result["moves"] = measure_moves(config, trained, agent.params, "trained", positions)
        for seed in range(config.random_networks):
            params = build_algorithm(ENV, preset).init(jax.random.key(seed))
            result["moves"] += measure_moves(config, preset, params, f"random {seed}", positions)
    if "time" in config.parts:
        result["time"] = [measure_time(config, preset, policy) for policy in SETTINGS]
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
