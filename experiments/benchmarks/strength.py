"""Connect Four's main job with a setting changed, at equal CPU time on one core.

    taskset -c 0 python experiments/benchmarks/strength.py --name base
    taskset -c 0 python experiments/benchmarks/strength.py --name cooldown --set cooldown=0.3

The clock is this process's CPU time, so that what else the machine does counts little; compiling and measuring
stop it. Measured is on the tuning positions: how often the agent keeps the game's value, with 64 simulations and by
its policy alone, and the share of its policy that does. A run is added to the file of results; one that is there is
not run again.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jzero.devices import set_up

set_up(cpu_devices=1)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import tyro  # noqa: E402
from connect_four import PRESET  # noqa: E402
from hardware import provenance  # noqa: E402

from jzero.agent import Agent  # noqa: E402
from jzero.evaluate.batches import in_batches  # noqa: E402
from jzero.evaluate.positions import (  # noqa: E402
    PositionSet,
    grade_actions,
    load_positions,
    positions_states,
)
from jzero.metrics import read  # noqa: E402
from jzero.registry import make  # noqa: E402
from jzero.run.build import build, build_agent  # noqa: E402
from jzero.run.config import TrainConfig  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
SETS = {"keeping": "connect_four_positions_dev.json", "best": "connect_four_best_positions_dev.json"}


@dataclass(frozen=True)
class Config:
    """One run."""

    name: str
    """What it is called in the results."""
    set: tuple[str, ...] = ()
    """Settings of the preset that are changed, such as search.cache=0."""
    seed: int = 0
    """Seed of the run."""
    minutes: tuple[float, ...] = (5.0, 10.0)
    """CPU minutes after which it is measured; the last ends it."""
    out: Path = Path(__file__).parent / "results" / "strength_cpu.json"
    """File of the results."""


def changed(config: Any, assignment: str) -> Any:
    """The settings with `path=value`, the value of the type it has."""
    path, _, text = assignment.partition("=")
    name, _, rest = path.partition(".")
    old = getattr(config, name)
    if rest:
        new = changed(old, f"{rest}={text}")
    else:
        new = json.loads(text) if not isinstance(old, str) else text
    return dataclasses.replace(config, **{name: new})


def graded(agent: Agent, positions: PositionSet) -> dict[str, float]:
    """The three shares on a set of positions."""
    states = jax.device_get(positions_states(agent.env, positions))

    def chosen(num_simulations: int) -> float:
        act = partial(agent.act, key=jax.random.key(0), num_simulations=num_simulations)
        return grade_actions(positions, in_batches(act, states, 250)).score

    prior = np.asarray(agent.analyse(states, jax.random.key(0), 1).prior)
    return {
        "simulations_64": chosen(64),
        "policy_alone": chosen(0),
        "policy_share": float((prior * positions.keeps_value).sum(axis=1).mean()),
    }


def train(config: Config, settings: TrainConfig) -> list[dict[str, Any]]:
    """Trains and measures; a row per measurement."""
    env = make(settings.env)
    sets = {name: load_positions(DATA / file, env) for name, file in SETS.items() if (DATA / file).exists()}
    algorithm, program = build(env, settings)
    state, spent, rows, losses = program.init(), 0.0, [], dict[str, float]()
    for minutes in config.minutes:
        while spent < 60 * minutes:
            iteration = int(state.iteration)
            begun, progress = time.process_time(), np.float32(spent / (60 * config.minutes[-1]))
            state, metrics = program.play(state, progress)
            read(metrics)
            if iteration >= settings.warmup_iterations:
                state, metrics = program.learn(state, progress)
                losses = read(metrics)
            if iteration > settings.warmup_iterations:  # all is compiled by then
                spent += time.process_time() - begun
        agent = build_agent(env, settings, state.averaged, algorithm=algorithm)
        rows.append(
            {
                "minutes": minutes,
                "positions": int(state.iteration) * settings.games * settings.plies,
                "updates": int(state.updates),
                "losses": {name: float(losses[name]) for name in ("policy_loss", "value_loss")},
                **{name: graded(agent, positions) for name, positions in sets.items()},
            }
        )
        print(config.name, config.seed, json.dumps(rows[-1]), flush=True)
    return rows


def main(config: Config) -> None:
    """Runs it, unless it is in the file."""
    key = {"name": config.name, "set": list(config.set), "seed": config.seed}
    runs = json.loads(config.out.read_text())["runs"] if config.out.exists() else []
    if any({name: run[name] for name in key} == key for run in runs):
        return
    settings = dataclasses.replace(PRESET.train, seed=config.seed)
    for assignment in config.set:
        settings = changed(settings, assignment)
    rows = train(config, settings)
    # Another run may have ended meanwhile.
    runs = json.loads(config.out.read_text())["runs"] if config.out.exists() else []
    runs.append(key | {"date": datetime.now(UTC).date().isoformat(), **provenance(), "measured": rows})
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps({"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
