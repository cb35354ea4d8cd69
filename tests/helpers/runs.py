"""Run directories without training: a checkpoint of random weights that have opinions."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jzero.program import make_mesh
from jzero.registry import make
from jzero.run.build import build_program
from jzero.run.config import TrainConfig
from jzero.storage import checkpoint


def save_run(directory: Path, train: TrainConfig, seed: int = 0, iteration: int = 1) -> Path:
    """Writes what `jzero.load` reads; the seed decides the weights."""
    state = build_program(make(train.env), train, make_mesh(jax.devices()[:1])).init()
    rng = np.random.default_rng(seed)
    averaged = jax.tree.map(
        lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape), jnp.float32), state.averaged
    )
    state = state._replace(averaged=averaged)
    checkpoint.save(directory / "checkpoints", iteration, {"state": state, "seconds": np.float32(9)})
    record = {"experiment": "test", "config": {"train": dataclasses.asdict(train)}}
    (directory / "config.json").write_text(json.dumps(record))
    return directory
