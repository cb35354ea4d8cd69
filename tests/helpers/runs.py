"""Run directories without training: a checkpoint of random weights that have opinions."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np

from jzero.program import abstract_state, make_mesh
from jzero.registry import make
from jzero.run.config import TrainConfig
from jzero.storage import checkpoint


def save_run(directory: Path, train: TrainConfig, seed: int = 0, iteration: int = 1) -> Path:
    """Writes what `jzero.load` reads of a run and no more; the seed decides the weights."""
    shapes = abstract_state(make(train.env), train, make_mesh(jax.devices()[:1])).averaged
    rng = np.random.default_rng(seed)
    averaged = jax.tree.map(lambda x: (0.5 * rng.normal(size=x.shape)).astype(x.dtype), shapes)
    checkpoint.save(directory / "checkpoints", iteration, {"state": {"averaged": averaged}})
    record = {"experiment": "test", "config": {"train": dataclasses.asdict(train)}}
    (directory / "config.json").write_text(json.dumps(record))
    return directory
