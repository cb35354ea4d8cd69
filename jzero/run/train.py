"""`jzero.train`: trains an agent with one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import optax

from jzero.agent import Agent
from jzero.algorithms.muzero import muzero
from jzero.check import check_shapes
from jzero.devices import set_up
from jzero.env import Env
from jzero.env_spec import EnvSpec, describe
from jzero.evaluate import strength
from jzero.evaluate.measures import Measure
from jzero.networks import LearnedNetwork, Network
from jzero.optimizer import check_optimizer
from jzero.registry import made_as, make
from jzero.run.accelerators import on_this_device
from jzero.run.build import AnyNetwork, MakeAlgorithm, Parts
from jzero.run.config import AlgorithmName, RunConfig, TrainConfig
from jzero.run.load import read_run_config
from jzero.run.loop import Run
from jzero.run.presets import preset, seen
from jzero.run.progress import say
from jzero.settings import check_parts
from jzero.storage.run_dir import RunDir

COMMAND = "python -m jzero train"
"""Resumes a run whose parts all have names."""
NAMES = get_args(AlgorithmName)


def train(
    env: Env | str,
    *,
    algorithm: str | MakeAlgorithm | None = None,
    network: AnyNetwork | Callable[[EnvSpec], AnyNetwork] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    like: str | None = None,
    minutes: float | None = None,
    run_dir: str | Path | None = None,
    measure: Measure | None = None,
    **settings: Any,
) -> Agent:
    """Trains an agent. Works in a script, a notebook or a thread.

    Settings that are not given follow from the environment, as on the command line: random games measure the length
    of a game and its rewards (`jzero.run.presets`). With `resume=True` they are those of the run in `run_dir`.

    Args:
      env: the environment, or its name for `jzero.make`.
      algorithm: a name, by default "alphazero", or a function (spec, network, settings) -> `Algorithm` such as
        `jzero.alphazero`, or a variant of it.
      network: a `Network` for AlphaZero, a `LearnedNetwork` for the others, or a function of `EnvSpec` that returns
        one.
      optimizer: any optax transformation.
      like: if `algorithm` is a function, the name of the algorithm whose preset and kind of network it uses; by
        default "gumbel_muzero" with a `LearnedNetwork` or for `jzero.muzero` itself, else "alphazero".
      minutes: training time summed over resumes, without compilation, by default 10; the final measurement is
        extra.
      run_dir: directory of the run; by default a new one under runs/.
      measure: agent -> strength, called during training and at the end; by default the one that
        `jzero.evaluate.strength` chooses for the environment.
      **settings: fields of `RunConfig` (iterations, resume, evaluate_every, ...) and of `TrainConfig` (games,
        batch_size, seed, search=SearchSettings(...), ...).

    Returns:
      The agent at the end of training. Ctrl-C saves the run and returns the agent too.

    Raises:
      ValueError: an argument is of another kind; a setting does not exist, is out of range or does not fit the
        environment; or the network does not fit it.
      FloatingPointError: a metric is not finite.
    """
    named = algorithm if isinstance(algorithm, str) else None
    for argument, value in (("algorithm", named), ("like", like)):
        if value is not None and value not in NAMES:
            also = ", or a function that makes one" if argument == "algorithm" else ""
            raise ValueError(f"{argument} is {value!r}; expected {', '.join(NAMES)}{also}")
    _check_objects(env, algorithm, optimizer)
    run_settings, train_settings = _sorted(settings)
    run_settings |= {} if minutes is None else {"minutes": minutes}
    path = None if run_dir is None else Path(run_dir)
    goes_on = run_settings.get("resume", False)
    begun = read_run_config(path or RunDir.find("train"))[0] if goes_on else RunConfig(run_dir=path)
    run_config = dataclasses.replace(begun, **run_settings)
    set_up(cpu_devices=run_config.cpu_devices)
    say(f"{env if isinstance(env, str) else type(env).__name__}: loading the environment")
    env, name = (make(env), env) if isinstance(env, str) else (env, "")
    check_shapes(env)
    train_settings["env"] = name or name_of(env)
    kind: Any = named or like
    if goes_on:
        default = dataclasses.replace(begun.train, algorithm=kind or begun.train.algorithm)
    else:
        kind = kind or ("alphazero" if algorithm is None else _kind_of(algorithm, network, env))
        default = on_this_device(preset(train_settings["env"], seen(train_settings["env"], env), kind))
    config = dataclasses.replace(run_config, train=dataclasses.replace(default, **train_settings))
    parts = Parts(network, algorithm if callable(algorithm) else None, optimizer)
    taken = measure or strength.measure(env)
    with Run("train", env, config, COMMAND, parts) as run:
        run.train(taken, measure or strength.final(env))
        return run.agent()


def name_of(env: Env) -> str:
    """The name for which `jzero.make` returns this environment, or else what it calls itself."""
    return made_as(env) or describe(env).name


def _kind_of(algorithm: MakeAlgorithm | str, network: Any, env: Env) -> AlgorithmName:
    """The algorithm whose preset a function that makes an algorithm uses."""
    if network is None and algorithm is muzero:
        return "gumbel_muzero"
    if callable(network) and not isinstance(network, (Network, LearnedNetwork)):
        network = network(describe(env))
    return "gumbel_muzero" if isinstance(network, LearnedNetwork) else "alphazero"


def _check_objects(env: object, algorithm: object, optimizer: object) -> None:
    """Raises ValueError for arguments that are something else than what their names say."""
    if isinstance(env, type):
        raise ValueError(
            f"env is the class {env.__name__}; expected an environment or its name: make one, {env.__name__}(...)"
        )
    if algorithm is not None and not callable(algorithm) and not isinstance(algorithm, str):
        raise ValueError(
            f"algorithm is {type(algorithm).__name__}; expected {', '.join(NAMES)}, or a function (spec, network, "
            "settings) -> jzero.Algorithm such as jzero.alphazero"
        )
    if optimizer is not None:
        check_optimizer(optimizer)


def _sorted(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings of `RunConfig`, settings of `TrainConfig`)."""
    of_run = {field.name for field in dataclasses.fields(RunConfig)} - {"train", "minutes", "run_dir"}
    of_train = {field.name for field in dataclasses.fields(TrainConfig)} - {"env", "algorithm"}
    if unknown := sorted(settings.keys() - of_run - of_train):
        raise ValueError(
            f"jzero.train has no setting {', '.join(unknown)}; see the fields of jzero.run.config.RunConfig and "
            "TrainConfig"
        )
    check_parts(TrainConfig, settings)
    return (
        {name: value for name, value in settings.items() if name in of_run},
        {name: value for name, value in settings.items() if name in of_train},
    )
