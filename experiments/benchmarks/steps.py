"""Steps per second of this repository's board games against pgx's, in turn.

    python experiments/benchmarks/steps.py --out experiments/benchmarks/results/steps_cpu.json
    python experiments/benchmarks/steps.py --games go --size 19

A step is one ply of all games: it draws a random legal action from the mask and plays it, which computes the next
mask and the result. "observed" adds the next player's observation, which every step of pgx's own interface
computes. Games begin at random plies, and a new game follows a finished one, so all stages of a game are measured.
On a shared machine CPU seconds of all threads say most. Needs pgx: `pip install -e ".[envs]"`.
"""

from __future__ import annotations

import importlib
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro
from hardware import provenance, tell
from jzero_envs.adapters.pgx import PgxEnv
from jzero_envs.go import Go
from jzero_envs.gomoku import Gomoku
from jzero_envs.hex import Hex
from timing import timed

from jzero.devices import set_up
from jzero.env import (
    Env,
    init_batch,
    is_finished,
    observe_batch,
    random_actions,
    step_batch,
    where_rows,
)

GameName = Literal["go", "hex", "gomoku"]
SIZES = {"go": 9, "hex": 11, "gomoku": 15}


@dataclass(frozen=True)
class Config:
    """What to measure."""

    games: tuple[GameName, ...] = ("go", "hex", "gomoku")
    """Games to measure."""
    size: int | None = None
    """Rows of the board (N); by default 9 in Go, 11 in Hex, 15 in Gomoku. pgx has Hex on 11 x 11 only."""
    batch: int = 1024
    """Games side by side (B)."""
    plies: int = 10
    """Plies per measurement."""
    before: int = 160
    """Plies played before the first measurement."""
    rounds: int = 9
    """Measurements of each environment; medians are reported."""
    cpu_devices: int | None = None
    """CPU devices; one per core by default."""
    out: Path | None = None
    """Where to write the result as JSON."""


def contestants(game: GameName, size: int) -> dict[str, Env]:
    """The environments to measure, pgx's first if it has the game."""
    if game == "gomoku":
        return {"gomoku": Gomoku(size=size)}
    if game == "hex":
        pgx = {"pgx": PgxEnv("hex", 122, 2, importlib.import_module("pgx.hex").Hex())} if size == 11 else {}
        return {**pgx, "hex with swap": Hex(size=size, swap=True), "hex": Hex(size=size)}
    inner = importlib.import_module("pgx.go").Go(size=size)
    pgx = {"pgx": PgxEnv(f"go_{size}x{size}", size**2 + 1, 2, inner)}
    return {**pgx, "tromp_taylor": Go(size=size), "pgx_rules": Go(size=size, rules="pgx")}


def player(env: Env, config: Config, observed: bool) -> Callable[[], Any]:
    """A function that plays `config.plies` more plies of games that are `config.before` plies old."""
    first = init_batch(env, jax.random.key(0), config.batch)

    def ply(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        states, seen = carry
        action_key, step_key = jax.random.split(key)
        states = step_batch(env, states, random_actions(states, action_key), step_key)
        if observed:
            seen += observe_batch(env, states)
        return (where_rows(is_finished(states), first, states), seen), None

    @jax.jit
    def run(carry: tuple[Any, Any], key: jax.Array) -> Any:
        return jax.lax.scan(ply, carry, jax.random.split(key, config.plies))[0]

    keys = iter(jax.random.split(jax.random.key(1), config.before // config.plies + config.rounds))
    now = [(first, jnp.zeros_like(observe_batch(env, first), jnp.float32) if observed else ())]

    def play() -> Any:
        now[0] = run(now[0], next(keys))
        return now[0]

    for _ in range(config.before // config.plies):
        jax.block_until_ready(play())
    return play


def measure(game: GameName, config: Config) -> dict[str, Any]:
    """Seconds of each environment, in turn, and its steps per second, also relative to pgx's."""
    size = config.size or SIZES[game]
    programs = {
        name + ", observed" * observed: player(env, config, observed)
        for observed in (False, True)
        for name, env in contestants(game, size).items()
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(config.rounds):
        for name, program in programs.items():
            took[name].append(timed(program))
    result: dict[str, Any] = {"game": game, "size": size}
    for index, clock in enumerate(("wall_seconds", "cpu_seconds")):
        rows = {name: [round(pair[index], 5) for pair in pairs] for name, pairs in took.items()}
        result[clock] = {name: _speed(name, rows, config.batch * config.plies) for name in rows}
    return result


def _speed(name: str, rows: dict[str, list[float]], steps: int) -> dict[str, Any]:
    """The speed of environment `name`, from the seconds of all."""
    found: dict[str, Any] = {"steps_per_second": round(steps / statistics.median(rows[name]))}
    pgx = rows.get("pgx, observed" if "observed" in name else "pgx")
    if pgx is not None:
        ratios = [theirs / ours for theirs, ours in zip(pgx, rows[name], strict=True)]
        found |= {
            "times_pgx": round(statistics.median(ratios), 2),
            "times_pgx_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return found | {"seconds": rows[name]}


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    set_up(cpu_devices=config.cpu_devices, cache=None)
    result = {
        "benchmark": "steps",
        "command": " ".join(["python experiments/benchmarks/steps.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "config": {name: value for name, value in asdict(config).items() if name != "out"},
        **provenance(),
        "measured": [measure(game, config) for game in config.games],
    }
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
