"""What jzero does on a GPU, answered by one command in at most eight minutes.

    python experiments/benchmarks/gpu.py --out experiments/benchmarks/results/gpu_h100
    python experiments/benchmarks/gpu.py --steps tree play --out DIR     a few steps
    python experiments/benchmarks/gpu.py --tiny --out DIR                the same steps in sizes for a CPU
    python experiments/benchmarks/gpu.py --count h100                    kernels of each program; needs no GPU

Writes `gpu.json`, anew after each measurement, and `gpu.md`, its tables. What fails is recorded with its error, and
the next measurement goes on; what no longer fits the time is recorded as skipped.
`--count` needs JAX's CUDA plugin and says how to install that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gpu_count
import jax
import tyro
from gpu_parts import micro, network, tree, versions
from gpu_programs import games, play, training, updates
from gpu_rig import Cell, Rig, short
from gpu_tables import tables
from hardware import provenance
from without_gpu import Card

from jzero.devices import set_up
from jzero.run_dir import to_json, write_atomic

Name = Literal["versions", "micro", "tree", "network", "play", "games", "updates", "training"]


class Step(NamedTuple):
    """A part of the benchmark."""

    prepare: Callable[[Rig], list[Cell]]
    """Traces its programs, gives them to the pool and returns the measurements."""
    seconds: float
    """What its measurements may take."""


STEPS: dict[Name, Step] = {
    "versions": Step(versions, 20),
    "micro": Step(micro, 20),
    "tree": Step(tree, 90),
    "network": Step(network, 75),
    "play": Step(play, 110),
    "games": Step(games, 75),
    "updates": Step(updates, 60),
    "training": Step(training, 160),
}
"""In order of importance."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    out: Path | None = None
    """Folder of the results."""
    steps: tuple[Name, ...] = tuple(STEPS)
    """Steps to take, in this order."""
    minutes: float = 7.5
    """What all of it may take."""
    tiny: bool = False
    """Sizes for a CPU: a check of the benchmark, not a measurement."""
    count: Card | None = None
    """Compile for this card, which need not be there, and print what it would run; measure nothing."""
    programs: tuple[str, ...] = ()
    """With --count: parts of the names of the programs to count; all by default."""


class Record:
    """The result, written after each change."""

    def __init__(self, config: Config) -> None:
        self.out = config.out
        self.result: dict[str, Any] = {
            "benchmark": "gpu",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(sys.argv),
            "config": asdict(config) | {"out": None},
            **provenance(),
            "steps": {},
        }

    def add(self, step: Name, found: dict[str, Any]) -> None:
        """Appends a measurement of `step`, prints it, and writes the files."""
        self.result["steps"].setdefault(step, []).append(found)
        print(f"{step}: {json.dumps(to_json(found))}", flush=True)
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            write_atomic(self.out / "gpu.json", json.dumps(to_json(self.result), indent=1) + "\n")
            write_atomic(self.out / "gpu.md", tables(self.result))


def prepare(rig: Rig, record: Record, name: Name) -> list[Cell]:
    """The step's measurements; none, with the reason on record, where it cannot be prepared."""
    if time.monotonic() > rig.end:
        record.add(name, {"skipped": "no time is left"})
        return []
    try:
        return STEPS[name].prepare(rig)
    except Exception as error:
        record.add(name, {"error": short(error)})
        return []


def take(rig: Rig, record: Record, name: Name, cells: list[Cell], reserved: float) -> None:
    """Takes the step's measurements, one after another, leaving `reserved` seconds to later steps."""
    seconds = float("inf") if rig.tiny else STEPS[name].seconds
    rig.deadline = min(time.monotonic() + seconds, rig.end - reserved)
    for labels, measure in cells:
        begun = time.monotonic()
        if rig.left() < 0:
            found: dict[str, Any] = {"skipped": "the time of the step is used up"}
        else:
            try:
                found = measure()
            except Exception as error:
                found = {"error": short(error)}
        done = time.monotonic()
        record.add(name, labels | found | {"took": round(done - begun, 1), "at": round(done - rig.begun, 1)})


def main(config: Config) -> None:
    """Takes the steps. Each is prepared before the one ahead of it is measured, so that both overlap."""
    if config.count is not None:
        raise SystemExit(gpu_count.start(config.count, config.programs))
    set_up(cpu_devices=1)
    if config.tiny:  # it takes longer to compile than to run
        jax.config.update("jax_disable_most_optimizations", True)
    rig, record = Rig(tiny=config.tiny, minutes=config.minutes), Record(config)
    names = list(config.steps)
    cells = prepare(rig, record, names[0]) if names else []
    for number, name in enumerate(names):
        rest = names[number + 1 :]
        later = prepare(rig, record, rest[0]) if rest else []
        reserved = STEPS["training"].seconds if "training" in rest and not config.tiny else 0.0
        take(rig, record, name, cells, reserved)
        cells = later
    print("\n" + tables(record.result), flush=True)
    sys.stdout.flush()
    os._exit(0)  # a program that is still being compiled would hold the process


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
