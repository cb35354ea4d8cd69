"""Run directories without training: a checkpoint of random weights that have opinions."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from jzero.registry import make
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig
from jzero.storage import checkpoint


def save_run(
    directory: Path, train: TrainConfig, seed: int = 0, iteration: int = 1, seconds: float | None = None
) -> Path:
    """Writes what `jzero.load` reads of a run and no more; the seed decides the weights."""
    shapes = jax.eval_shape(build_algorithm(make(train.env), train).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    averaged = jax.tree.map(lambda x: (0.5 * rng.normal(size=x.shape)).astype(x.dtype), shapes)
    time = {} if seconds is None else {"seconds": np.float32(seconds)}
    checkpoint.save(directory / "checkpoints", iteration, {"state": {"averaged": averaged}, **time})
    record = {"experiment": "test", "config": {"train": dataclasses.asdict(train)}}
    (directory / "config.json").write_text(json.dumps(record))
    return directory
