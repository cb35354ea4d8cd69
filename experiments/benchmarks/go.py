"""Steps of Go per second: this repository's game by both sets of rules against pgx's, in turn.

    python experiments/benchmarks/go.py --out experiments/benchmarks/results/go_cpu.json

A step is one ply of all games: a random legal action is drawn from the mask, then played, mask and result included.
Games begin at random plies, and a finished one begins anew, so that all stages of a game and its end are measured.
CPU seconds of all threads tell most on a machine that does other things too. Needs pgx:
`pip install -e ".[envs]"`.
"""

from __future__ import annotations

import importlib
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import tyro
from hardware import provenance, tell
from jzero_envs.adapters.pgx import PgxEnv
from jzero_envs.go import Go
from timing import timed

from jzero.devices import set_up
from jzero.env import Env, init_batch, is_finished, random_actions, step_batch, where_rows


@dataclass(frozen=True)
class Config:
    """What to measure."""

    size: int = 9
    """Rows of the board (N)."""
    games: int = 1024
    """Games side by side (B)."""
    plies: int = 10
    """Plies of one measurement."""
    before: int = 160
    """Plies played before the first measurement."""
    rounds: int = 9
    """Measurements of each game; medians are reported."""
    cpu_devices: int | None = None
    """CPU devices; one a core by default."""
    out: Path | None = None
    """Where to write the result as JSON."""


def contestants(size: int) -> dict[str, Env]:
    """The games to measure."""
    inner = importlib.import_module("pgx.go").Go(size=size)
    return {
        "pgx": PgxEnv(f"go_{size}x{size}", size**2 + 1, 2, inner),
        "tromp_taylor": Go(size=size),
        "pgx_rules": Go(size=size, rules="pgx"),
    }


def player(env: Env, config: Config) -> Callable[[], Any]:
    """A function that plays on by `config.plies`; the games have been played for `config.before` plies."""
    first = init_batch(env, jax.random.key(0), config.games)

    def ply(states: Any, key: jax.Array) -> tuple[Any, None]:
        action_key, step_key = jax.random.split(key)
        states = step_batch(env, states, random_actions(states, action_key), step_key)
        return where_rows(is_finished(states), first, states), None

    @jax.jit
    def run(states: Any, key: jax.Array) -> Any:
        return jax.lax.scan(ply, states, jax.random.split(key, config.plies))[0]

    keys = iter(jax.random.split(jax.random.key(1), config.before // config.plies + config.rounds))
    now = [first]

    def play() -> Any:
        now[0] = run(now[0], next(keys))
        return now[0]

    for _ in range(config.before // config.plies):
        play()
    return play


def measure(config: Config) -> dict[str, Any]:
    """Seconds of each game's measurements, in turn, and how many times pgx's steps per second they make."""
    programs = {name: player(env, config) for name, env in contestants(config.size).items()}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(config.rounds):
        for name, program in programs.items():
            took[name].append(timed(program))
    result: dict[str, Any] = {}
    for index, clock in enumerate(("wall_seconds", "cpu_seconds")):
        rows = {name: [round(pair[index], 5) for pair in pairs] for name, pairs in took.items()}
        steps = config.games * config.plies
        result[clock] = {
            name: {
                "steps_per_second": round(steps / statistics.median(times)),
                "times_pgx": round(
                    statistics.median(a / b for a, b in zip(rows["pgx"], times, strict=True)), 2
                ),
                "times_pgx_of_the_lowest": round(min(rows["pgx"]) / min(times), 2),
                "seconds": times,
            }
            for name, times in rows.items()
        }
    return result


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    set_up(cpu_devices=config.cpu_devices, cache=None)
    result = {
        "benchmark": "go",
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "config": {name: value for name, value in asdict(config).items() if name != "out"},
        **provenance(),
        **measure(config),
    }
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
