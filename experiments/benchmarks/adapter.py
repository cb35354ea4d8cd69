"""What an adapter costs: self-play of Connect Four with pgx's rules against this repository's own.

    python experiments/benchmarks/adapter.py --out experiments/benchmarks/results/adapter_cpu.json

Both use the same network, simulations and number of games, and take turns. Reports wall seconds and CPU seconds of
all threads; on a shared machine the lowest round says most. Also times 100 steps of all games without a search, by
pgx, the adapter and the native game. Needs pgx: `pip install -e ".[envs]"`.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from hardware import provenance, tell
from timing import Ours, timed

from jzero.devices import set_up
from jzero.env import init_batch, step_batch
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.config import TrainConfig

NAMES = {"native": "connect_four", "adapter": "pgx:connect_four"}
NETWORKS = {
    "mlp 3 x 384": NetworkSettings(kind="mlp", width=384, blocks=3),
    "resnet 3 x 32": NetworkSettings(kind="resnet", width=32, blocks=3),
}


@dataclass(frozen=True)
class Config:
    """What to measure."""

    games: int = 256
    """Games side by side (B)."""
    simulations: int = 32
    """Simulations per move (N)."""
    plies: int = 4
    """Plies per iteration (T)."""
    rounds: int = 9
    """Timed repetitions; medians are reported."""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks to measure."""
    cpu_devices: int | None = None
    """CPU devices; one per core by default."""
    out: Path | None = None
    """Where to write the result as JSON."""


def self_play(config: Config, network: str) -> dict[str, Any]:
    """Seconds of one iteration's self-play, and the share that the adapter adds."""
    train = TrainConfig(
        search=SearchSettings(num_simulations=config.simulations),
        network=NETWORKS[network],
        games=config.games,
        plies=config.plies,
        replay_plies=64,
        batch_size=64,
        updates=1,
    )
    contestants: dict[str, Ours] = {
        who: Ours(make(name), replace(train, env=name)) for who, name in NAMES.items()
    }
    programs = {who: ours.play for who, ours in contestants.items()}
    return {"network": network, **interleaved(programs, config.rounds)}


def step_alone(config: Config) -> dict[str, Any]:
    """Seconds of 100 steps of all games without a search, in one compiled loop."""
    pgx_env = make(NAMES["adapter"])
    key = jax.random.key(0)

    def repeated(step: Callable, states: Any) -> Callable[[], Any]:
        def ply(number: jax.Array, states: Any) -> Any:
            return step(states, (number + jnp.arange(config.games)) % 7)

        run = jax.jit(lambda states: jax.lax.fori_loop(0, 100, ply, states))
        return lambda: run(states)

    own: Any = getattr(pgx_env, "inner")  # noqa: B009, not part of the protocol
    programs = {"pgx": repeated(jax.vmap(own.step), jax.vmap(own.init)(jax.random.split(key, config.games)))}
    for who, name in NAMES.items():
        env = make(name)
        step = functools.partial(step_batch, env, key=key)
        programs[who] = repeated(step, init_batch(env, key, config.games))
    return {"steps": 100, **interleaved(programs, config.rounds)}


def interleaved(programs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Seconds of each program in each round; the programs take turns, and the first round is not counted."""
    took: dict[str, list[tuple[float, float]]] = {who: [] for who in programs}
    for counts in (False, *[True] * rounds):
        for who, program in programs.items():
            seconds = timed(program)
            if counts:
                took[who].append(seconds)
    result: dict[str, Any] = {}
    for index, clock in enumerate(("wall_seconds", "cpu_seconds")):
        rows = {who: [round(pair[index], 5) for pair in many] for who, many in took.items()}
        ratios = [a / n for a, n in zip(rows["adapter"], rows["native"], strict=True)]
        result[clock] = {
            "adapter_over_native": round(statistics.median(ratios), 3),
            "adapter_over_native_of_the_lowest": round(min(rows["adapter"]) / min(rows["native"]), 3),
            **rows,
        }
    return result


def main(config: Config) -> None:
    """Prints and, with --out, writes the result."""
    set_up(cpu_devices=config.cpu_devices, cache=None)
    result = {
        "benchmark": "adapter",
        "config": {name: value for name, value in asdict(config).items() if name != "out"},
        **provenance(),
        "self_play": [self_play(config, network) for network in config.networks],
        "step_alone": step_alone(config),
    }
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
