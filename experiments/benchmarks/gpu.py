"""How fast jzero is on a GPU, measured by one command in at most eight minutes.

    python experiments/benchmarks/gpu.py --out experiments/benchmarks/results/gpu_h100
    python experiments/benchmarks/gpu.py --steps tree play --out DIR     a few steps
    python experiments/benchmarks/gpu.py --tiny --out DIR                the same steps in sizes for a CPU
    python experiments/benchmarks/gpu.py --count h100                    kernels of each program; needs no GPU

Writes `gpu.json` and its tables `gpu.md`, again after each measurement. A failure is recorded with its error, and
the next measurement follows; one for which no time is left is recorded as skipped.
`--count` needs JAX's CUDA plugin and prints how to install it.
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
from jzero.storage.files import to_json, write_atomic

Name = Literal["versions", "micro", "tree", "network", "play", "games", "updates", "training"]


class Step(NamedTuple):
    """A part of the benchmark."""

    prepare: Callable[[Rig], list[Cell]]
    """Traces its programs and returns the measurements."""
    seconds: float
    """Its time limit."""
    side_by_side: bool = False
    """Its programs have no products and are compiled side by side, before the first measurement."""


STEPS: dict[Name, Step] = {
    "versions": Step(versions, 20),
    "micro": Step(micro, 20, side_by_side=True),
    "tree": Step(tree, 90, side_by_side=True),
    "play": Step(play, 130),
    "games": Step(games, 80),
    "training": Step(training, 200),
    "network": Step(network, 60),
    "updates": Step(updates, 60),
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
    """Time limit of all steps."""
    tiny: bool = False
    """Sizes for a CPU: a check of the benchmark, not a measurement."""
    count: Card | None = None
    """Compile for this card (no GPU needed) and print what it would run; measure nothing."""
    programs: tuple[str, ...] = ()
    """With --count: count only programs whose names contain one of these; all by default."""


class Record:
    """The result, written after each change."""

    def __init__(self, config: Config) -> None:
        self.out = config.out
        self.result: dict[str, Any] = {
            "benchmark": "gpu",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(["experiments/benchmarks/gpu.py", *sys.argv[1:]]),
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


def take(rig: Rig, record: Record, name: Name) -> None:
    """Takes the measurements of a step, one after another."""
    step = STEPS[name]
    rig.deadline = rig.end if rig.tiny else min(time.monotonic() + step.seconds, rig.end)
    rig.side_by_side = step.side_by_side or rig.tiny  # compiling for a CPU times nothing
    if rig.left() < 0:
        return record.add(name, {"skipped": "no time is left"})
    try:
        cells = step.prepare(rig)
    except Exception as error:
        return record.add(name, {"error": short(error)})
    rig.settle()
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
    return None


def main(config: Config) -> None:
    """Takes the steps."""
    if config.count is not None:
        raise SystemExit(gpu_count.start(config.count, config.programs))
    set_up(cpu_devices=1)
    if config.tiny:  # it takes longer to compile than to run
        jax.config.update("jax_disable_most_optimizations", True)
    rig, record = Rig(tiny=config.tiny, minutes=config.minutes), Record(config)
    for name in config.steps:
        take(rig, record, name)
    print("\n" + tables(record.result), flush=True)
    sys.stdout.flush()
    os._exit(0)  # a program that is still being compiled would hold the process


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
