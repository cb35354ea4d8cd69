"""Updates per second of a learned model: batches of 32, five unrolled steps, the tic-tac-toe experiment's network.

    python experiments/benchmarks/updates.py
    python experiments/benchmarks/updates.py --batch-size 512 --cpu-devices 1

An update samples positions from the replay, computes their targets, differentiates the loss through the unrolled
model and steps the optimiser. The result is the median of several rounds of the same compiled program.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import tyro

sys.path.insert(0, str(Path(__file__).parents[1]))

from hardware import provenance
from tic_tac_toe_muzero import GUMBEL_MUZERO

from jzero.devices import set_up
from jzero.registry import make
from jzero.run.build import build_program
from jzero.run.config import AlgorithmName
from jzero.run.presets import learned_presets


@dataclass(frozen=True)
class Config:
    """What to measure."""

    algorithm: AlgorithmName = "gumbel_muzero"
    """The preset of the tic-tac-toe experiment to use."""
    batch_size: int = 32
    """Positions per update."""
    updates: int = 200
    """Updates per round."""
    rounds: int = 9
    """Rounds; the median is reported."""
    cpu_devices: int = 1
    """CPU devices; splitting batches this small gains nothing."""
    out: Path | None = None
    """Where to write the result as JSON."""


def main(config: Config) -> None:
    """Measures, prints, and writes the file."""
    set_up(cpu_devices=config.cpu_devices)
    train = replace(
        learned_presets(GUMBEL_MUZERO)[config.algorithm].train,
        batch_size=config.batch_size,
        updates=config.updates,
    )
    program = build_program(make(train.env), train)
    state = program.init()
    for _ in range(3):
        state, _ = program.play(state)
    begun = time.monotonic()
    state, _ = jax.block_until_ready(program.learn(state))
    first = time.monotonic() - begun
    rates = []
    for _ in range(config.rounds):
        begun = time.monotonic()
        state, _ = jax.block_until_ready(program.learn(state))
        rates.append(config.updates / (time.monotonic() - begun))
    median = statistics.median(rates)
    print(
        f"{median:.0f} updates/s (batch {config.batch_size}, {train.muzero.unroll_steps} unrolled steps); ",
        end="",
    )
    print(f"rounds {min(rates):.0f} to {max(rates):.0f}; the first round with compilation took {first:.1f} s")
    if config.out is not None:
        result = {
            "updates_per_second": median,
            "rounds": rates,
            "batch_size": config.batch_size,
            "unroll_steps": train.muzero.unroll_steps,
            "cpu_devices": config.cpu_devices,
            "algorithm": config.algorithm,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        }
        config.out.write_text(json.dumps(provenance() | result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
