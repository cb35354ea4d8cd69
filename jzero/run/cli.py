"""The command line of a training run: options override a preset, then the run starts."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro

from jzero.check.errors import place
from jzero.devices import set_up
from jzero.env import Env
from jzero.evaluate.measures import Measure, Strength
from jzero.registry import make
from jzero.run.accelerators import in_bfloat16, on_this_cpu, widened
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.load import read_run_config
from jzero.run.loop import Run
from jzero.run.progress import print_anything, say
from jzero.storage.run_dir import TRACEBACK, RunDir, resume_command

Preset = RunConfig | Callable[[str, Env], RunConfig]
"""Settings, or a function (name of the environment, environment) -> settings."""
Presets = Preset | Mapping[Any, Preset]
"""An experiment's preset, or one for each value of --algorithm; the first is the default."""


def main(
    experiment: str,
    default: Presets,
    measure: Callable[[Env], Measure],
    final: Callable[[Env], Measure] | None = None,
    accelerated: Presets | None = None,
    argv: Sequence[str] | None = None,
    command: str | None = None,
) -> Strength | None:
    """The command line of an experiment: parses the options, trains, prints the strength.

    Args:
      experiment: its name, and the folder under runs/.
      default: its preset, or one for each algorithm.
      measure: makes the measurement that runs every `evaluate_every` seconds.
      final: makes the one at the end, if it differs.
      accelerated: the preset for a GPU or TPU; by default `default`, `widened`. Either computes in bfloat16 there
        unless the options say otherwise, as do matrix products on some CPUs: see `jzero.run.accelerators`.
      argv: the options; by default the process's.
      command: the command that starts it, for the message on how to resume; by default the script.

    Returns:
      The final strength; None if the run was interrupted.
    """
    print_anything()
    argv = sys.argv[1:] if argv is None else list(argv)
    whole = "JZERO_TRACEBACK=1 shows the whole traceback"
    try:
        config = parse(experiment, default, argv)
        set_up(cpu_devices=config.cpu_devices)
        if jax.default_backend() == "cpu":
            default = _each(default, on_this_cpu)
        else:
            default = _each(default, widened) if accelerated is None else accelerated
            default = _each(default, in_bfloat16)
        config = parse(experiment, default, argv)
        say(f"{config.train.env}: loading the environment")
        env = make(config.train.env)
        preset = _preset(default, argv)
        if callable(preset) and not config.resume:
            config = parse(experiment, preset(config.train.env, env), argv)
        with Run(experiment, env, config, _command() if command is None else command) as run:
            whole = f"the whole traceback is in {run.path / TRACEBACK}"
            measured = measure(env)
            return run.train(measured, final(env) if final is not None else measured)
    except KeyboardInterrupt:
        print("interrupted; nothing was saved after the last checkpoint", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get("JZERO_TRACEBACK") or not (said := _in_short(error, whole)):
            raise
        raise SystemExit(f"error: {said}") from error


def _in_short(error: Exception, whole: str) -> str:
    """One line: what is wrong, or what failed at which line of the user's own code; "" for a defect of jzero."""
    if where := place(error):
        reason = next(iter(str(error).strip().splitlines()), "")
        return f"{type(error).__name__}: {reason} {where}; {whole}"
    return str(error) if isinstance(error, ValueError | OSError | ImportError | FloatingPointError) else ""


def _each(presets: Presets, change: Callable[[TrainConfig], TrainConfig]) -> Presets:
    """`presets` with `change` applied to their settings."""

    def changed(preset: Preset) -> Preset:
        if callable(preset):
            return lambda name, env: changed_run(preset(name, env))
        return changed_run(preset)

    def changed_run(run: RunConfig) -> RunConfig:
        return dataclasses.replace(run, train=change(run.train))

    if isinstance(presets, Mapping):
        return {name: changed(preset) for name, preset in presets.items()}
    return changed(presets)


@dataclass(frozen=True)
class _First:
    """The options that the others depend on: the environment, the devices and the run to resume."""

    env: str = TrainConfig.env
    cpu_devices: int | None = None
    run_dir: Path | None = None
    resume: bool = False


def parse(experiment: str, presets: Presets, argv: Sequence[str]) -> RunConfig:
    """The options `argv` over the preset or, with --resume, over the settings of the resumed run.

    With a preset that follows from the environment only `_First` is read: other options may be valid for that
    preset alone.
    """
    preset = _preset(presets, argv)
    default = RunConfig() if callable(preset) else preset
    if not {"-h", "--help"} & set(argv):
        first, _ = tyro.cli(_First, args=argv, return_unknown_args=True)
        if first.resume:
            default = _begun(first.run_dir or RunDir.find(experiment))
        elif callable(preset):
            return RunConfig(cpu_devices=first.cpu_devices, train=TrainConfig(env=first.env))
    description = f"Trains and measures {experiment}. --resume continues a finished or interrupted run."
    return tyro.cli(RunConfig, args=argv, default=default, description=description)


def _begun(path: Path) -> RunConfig:
    """The settings of the run in `path`."""
    saved, handed = read_run_config(path)
    if "env" in handed:
        raise ValueError(
            f"the run in {path} was trained with an env object, which no file holds; resume it in Python with "
            f"{resume_command('train', path)}"
        )
    return saved


def _preset(presets: Presets, argv: Sequence[str]) -> Preset:
    """The preset for the algorithm named in the options."""
    if not isinstance(presets, Mapping):
        return presets
    options = " ".join(argv).replace("--algorithm=", "--algorithm ").split()
    chosen = next(iter(presets))
    if "--algorithm" in options[:-1]:
        chosen = options[options.index("--algorithm") + 1]
    if chosen not in presets and not {"-h", "--help"} & set(options):
        raise ValueError(f"algorithm is {chosen!r}; this experiment has presets for {', '.join(presets)}")
    return presets.get(chosen, next(iter(presets.values())))


def _command() -> str:
    """The command that runs this process's script; "" if there is none (a notebook)."""
    script = Path(sys.argv[0])
    if script.suffix != ".py" or not script.is_file() or "ipykernel" in script.name:
        return ""
    here = Path.cwd()
    script = script.resolve()
    return shlex.join(["python", str(script.relative_to(here) if script.is_relative_to(here) else script)])
