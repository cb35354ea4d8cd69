"""Connect Four's experiment with settings changed, at equal CPU time on one core.

    taskset -c 0 python experiments/benchmarks/strength.py --name base --minutes 10
    taskset -c 0 python experiments/benchmarks/strength.py --name cooldown --minutes 10 --cooldown 0.3 --seed 1

Takes every option of the experiment. The clock is this process's CPU time, which other work on the machine slows
less; it still does, through caches and shared units of the cores, so compare the numbers of positions too. On the
tuning positions it measures how often the agent keeps the game's value, with 64 simulations and by its policy
alone, and the share of its policy that does. The run is added to the file of results; a run in it is not repeated.
`strength_table.py` compares runs of several seeds.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jzero.devices import set_up

set_up(cpu_devices=1)
sys.path.append(str(Path(__file__).parents[1]))  # the experiment

import jax  # noqa: E402
import numpy as np  # noqa: E402
import tyro  # noqa: E402
from connect_four import PRESET  # noqa: E402
from hardware import provenance  # noqa: E402

from jzero.agent import Agent  # noqa: E402
from jzero.env import Env  # noqa: E402
from jzero.evaluate.batches import in_batches  # noqa: E402
from jzero.evaluate.measures import Measure, Part, Strength  # noqa: E402
from jzero.evaluate.positions import (  # noqa: E402
    PositionScore,
    grade_actions,
    load_positions,
    positions_states,
)
from jzero.evaluate.rating import mean_with_interval  # noqa: E402
from jzero.registry import make  # noqa: E402
from jzero.run.cli import parse  # noqa: E402
from jzero.run.config import RunConfig  # noqa: E402
from jzero.run.loop import Run  # noqa: E402
from jzero.storage.files import read_json  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
FILES = ("connect_four_positions_dev.json", "connect_four_best_positions_dev.json")
NEVER = 1e9  # seconds between measurements and checkpoints


@dataclass(frozen=True)
class Config:
    """One run; other options are the experiment's."""

    name: str
    """The run's name in the results."""
    out: Path = Path(__file__).parent / "results" / "strength_cpu.json"
    """File of the results."""


def tuned(env: Env) -> Measure:
    """The three shares on each set of tuning positions."""
    sets = [load_positions(DATA / file, env) for file in FILES]

    def measure(agent: Agent) -> Strength:
        parts = []
        for positions in sets:
            states = jax.device_get(positions_states(env, positions))

            def kept(num_simulations: int, states: Any = states, positions: Any = positions) -> PositionScore:
                act = partial(agent.act, key=jax.random.key(0), num_simulations=num_simulations)
                return grade_actions(positions, in_batches(act, states, 250))

            for group, number in (("64 simulations", 64), ("policy alone", 0)):
                found = kept(number)
                parts.append(Part(positions.name, group, found.score, found.low, found.high))
            prior = np.asarray(agent.analyse(states, jax.random.key(0), 1).prior)
            shares = (prior * positions.keeps_value).sum(axis=1)
            parts.append(Part(positions.name, "share of the policy", *mean_with_interval(shares)))
        return Strength("moves that keep the game's value", *parts[0][2:], parts=tuple(parts))

    return measure


def trained(config: RunConfig) -> dict[str, Any]:
    """Trains; the fields of the run's result."""
    env = make(config.train.env)
    meanwhile = Strength("not measured", math.nan, math.nan, math.nan)
    with Run("strength", env, config, clock=time.process_time) as run:
        run.train(lambda agent: meanwhile, tuned(env))
    if (found := read_json(run.path / "result.json")) is None:
        raise SystemExit("the run was interrupted; nothing is added")
    return found


def main(config: Config, options: list[str]) -> None:
    """Trains and adds the run, unless the file has it."""

    def runs() -> list[dict[str, Any]]:
        return json.loads(config.out.read_text())["runs"] if config.out.exists() else []

    if any((run["name"], run["options"]) == (config.name, options) for run in runs()):
        return
    with tempfile.TemporaryDirectory() as folder:
        fixed = [
            "--run-dir",
            f"{folder}/run",
            "--evaluate-every",
            f"{NEVER}",
            "--checkpoint-every",
            f"{NEVER}",
        ]
        result = trained(parse("strength", PRESET, [*options, *fixed]))
    row = {"name": config.name, "options": options, "date": datetime.now(UTC).date().isoformat()}
    found = [*runs(), row | provenance() | result]  # read again: another run may have ended meanwhile
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps({"runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main(*tyro.cli(Config, return_unknown_args=True))
