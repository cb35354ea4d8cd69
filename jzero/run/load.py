"""The agent of a run on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jzero.agent import Agent
from jzero.env import Env
from jzero.pytrees import Json, Params
from jzero.registry import make
from jzero.run.build import Parts, build_agent, build_algorithm
from jzero.run.config import RunConfig, TrainConfig
from jzero.settings import from_dict, full_path
from jzero.storage import checkpoint as checkpoints
from jzero.storage.files import read_json
from jzero.storage.run_dir import CHECKPOINTS, CONFIG, iterations


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
      env: the environment, if the run was trained with an object without an importable name.
      network: the network, if it was passed in to the run.
      algorithm: the algorithm, if it was passed in to the run.

    Raises:
      FileNotFoundError: `run_dir` holds no run or no checkpoint that can be read.
      ValueError: the run was trained with an environment, network or algorithm object that is not given.
    """
    return _load(full_path(run_dir), checkpoint, env, network, algorithm)[1]


class Checkpoint(NamedTuple):
    """A checkpoint of a run and its agent."""

    iteration: int
    seconds: float | None
    """Training time; None if the checkpoint does not record it."""
    agent: Agent


def load_history(run_dir: str | Path, chosen: Sequence[int] | None = None) -> list[Checkpoint]:
    """The agents of several checkpoints, in the given order; they share compiled functions.

    Args:
      run_dir: the directory that the run printed.
      chosen: iterations of the checkpoints; None for the newest one only.

    Raises:
      FileNotFoundError: `run_dir` holds no run, or lacks one of the checkpoints.
      ValueError: the run was trained with objects that no file holds: see `load`.
    """
    run_dir = full_path(run_dir)
    number, agent = _load(run_dir, None if chosen is None else chosen[0])
    found = [(number, agent)]
    for iteration in (chosen or ())[1:]:
        number, params = _weights(run_dir, agent.params, iteration)
        found.append((number, agent.with_params(params)))
    return [Checkpoint(number, checkpoint_seconds(run_dir, number), agent) for number, agent in found]


def checkpoint_times(run_dir: str | Path) -> dict[int, float]:
    """Training time of each checkpoint in seconds, oldest first; iterations instead if one does not record it.

    Raises:
      FileNotFoundError: there is no checkpoint.
    """
    directory = full_path(run_dir) / CHECKPOINTS
    if not (there := iterations(directory)):
        raise FileNotFoundError(f"{directory} holds no checkpoint that can be read")
    seconds = {iteration: checkpoint_seconds(run_dir, iteration) for iteration in there}
    known = {iteration: value for iteration, value in seconds.items() if value is not None}
    return known if len(known) == len(there) else {iteration: float(iteration) for iteration in there}


def checkpoint_seconds(run_dir: str | Path, iteration: int) -> float | None:
    """Training time until a checkpoint in seconds; None if it does not record it."""
    try:
        return float(checkpoints.restore_part(full_path(run_dir) / CHECKPOINTS, ("seconds",), iteration)[1])
    except KeyError:
        return None


def _load(
    run_dir: Path,
    checkpoint: int | None = None,
    env: Env | None = None,
    network: Any = None,
    algorithm: Any = None,
) -> tuple[int, Agent]:
    """The iteration of a checkpoint and its agent; see `load`."""
    config, handed = read_config(run_dir)
    given = {"env": env, "network": network, "algorithm": algorithm}
    if missing := [name for name in handed if name in given and given[name] is None]:
        raise ValueError(
            f"{run_dir} was trained with objects that no file holds: pass "
            f"{', '.join(f'{name}=' for name in missing)} to jzero.load. Commands read runs whose parts "
            "have names: --env module:Class, --network.kind module:function"
        )
    parts = Parts(network, algorithm)
    env = make(config.env) if env is None else env
    algorithm = build_algorithm(env, config, parts)
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0))
    number, params = _weights(run_dir, shapes, checkpoint)
    return number, build_agent(env, config, params, parts, algorithm)


def _weights(run_dir: Path, like: Params, checkpoint: int | None) -> tuple[int, Params]:
    """The iteration and the weights of a checkpoint; the weights have the shapes of `like`."""
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    averaged = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), like)
    saved = checkpoints.shapes(run_dir / CHECKPOINTS, checkpoint)
    if saved and (difference := checkpoints.first_difference(saved["state"]["averaged"], like)):
        raise ValueError(
            f"the weights in {run_dir} do not fit the network: {difference}; give the network= and env= that the "
            "run was trained with"
        )
    number, found = checkpoints.restore(
        run_dir / CHECKPOINTS, {"state": {"averaged": averaged}}, partial=True, iteration=checkpoint
    )
    return number, found["state"]["averaged"]


def read_config(run_dir: Path) -> tuple[TrainConfig, list[str]]:
    """The settings of a run, and which of its parts were passed in as objects.

    Raises:
      FileNotFoundError: `run_dir` holds no run.
    """
    values = _read(run_dir)
    return from_dict(TrainConfig, values["train"]), values.get("handed_in", [])


def read_run_config(run_dir: Path) -> tuple[RunConfig, list[str]]:
    """All settings of the run in `run_dir`, to resume it, and which of its parts were passed in as objects.

    Raises:
      FileNotFoundError: `run_dir` holds no run.
    """
    values = _read(run_dir)
    handed = values.pop("handed_in", [])
    saved = from_dict(RunConfig, values | {"run_dir": None, "resume": True})
    return dataclasses.replace(saved, run_dir=run_dir), handed


def _read(run_dir: Path) -> Json:
    """The settings in config.json."""
    run_dir = full_path(run_dir)
    record = read_json(run_dir / CONFIG)
    if record is None:
        raise FileNotFoundError(
            f"{run_dir} holds no run (no {CONFIG}); give the directory that a run printed"
        )
    return record["config"]
