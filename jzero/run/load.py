"""The agent of a run on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax

from jzero.agent import Agent
from jzero.env import Env
from jzero.registry import make
from jzero.run.build import Parts, build_agent, build_algorithm
from jzero.run.config import RunConfig, TrainConfig
from jzero.settings import from_dict, full_path
from jzero.storage import checkpoint as checkpoints
from jzero.storage.run_dir import CHECKPOINTS, CONFIG, read_json


def load(
    run_dir: str | Path,
    *,
    checkpoint: int | None = None,
    env: Env | None = None,
    network: Any = None,
    algorithm: Any = None,
) -> Agent:
    """The agent of a run's checkpoint.

    Args:
      run_dir: the directory that the run printed.
      checkpoint: the iteration of the checkpoint; the newest by default.
      env: the environment, where the run's was an object without an importable name.
      network: the network, where the run's was handed in.
      algorithm: the algorithm, where the run's was handed in.

    Raises:
      FileNotFoundError: `run_dir` holds no run or no checkpoint that can be read.
      ValueError: the run's own environment or network is needed and not given.
    """
    run_dir = full_path(run_dir)
    config, handed = read_config(run_dir)
    given = {"env": env, "network": network, "algorithm": algorithm}
    if missing := [name for name in handed if name in given and given[name] is None]:
        raise ValueError(
            f"{run_dir} was trained with its own {' and '.join(missing)}, which no file holds: give "
            f"{', '.join(f'{name}=' for name in missing)} to jzero.load"
        )
    parts = Parts(network, algorithm)
    env = make(config.env) if env is None else env
    algorithm = build_algorithm(env, config, parts)
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0))
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    averaged = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes)
    _, saved = checkpoints.restore(
        run_dir / CHECKPOINTS, {"state": {"averaged": averaged}}, partial=True, iteration=checkpoint
    )
    return build_agent(env, config, saved["state"]["averaged"], parts, algorithm)


def read_config(run_dir: Path) -> tuple[TrainConfig, list[str]]:
    """The settings of a run, and which of its parts were handed in.

    Raises:
      FileNotFoundError: `run_dir` holds no run.
    """
    values = _read(run_dir)
    return from_dict(TrainConfig, values["train"]), values.get("handed_in", [])


def read_run_config(run_dir: Path) -> tuple[RunConfig, list[str]]:
    """All settings of the run in `run_dir`, to go on with it, and which of its parts were handed in.

    Raises:
      FileNotFoundError: `run_dir` holds no run.
    """
    values = _read(run_dir)
    handed = values.pop("handed_in", [])
    saved = from_dict(RunConfig, values | {"run_dir": None, "resume": True})
    return dataclasses.replace(saved, run_dir=run_dir), handed


def _read(run_dir: Path) -> dict[str, Any]:
    """What config.json says was chosen."""
    run_dir = full_path(run_dir)
    record = read_json(run_dir / CONFIG)
    if record is None:
        raise FileNotFoundError(
            f"{run_dir} holds no run (no {CONFIG}); give the directory that a run printed"
        )
    return record["config"]
