"""All settings of a run; each field is a command-line option."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jzero.algorithms.alphazero import AlphaZeroSettings
from jzero.algorithms.unrolled import LearnedSettings
from jzero.networks.make import NetworkSettings
from jzero.optimizer import OptimizerSettings
from jzero.program import ProgramSettings
from jzero.settings import check, check_parts, full_path

AlgorithmName = Literal["alphazero", "muzero", "gumbel_muzero", "efficientzero", "efficientzero_v2"]
"""AlphaZero plans with the environment itself, the others with a learned model; those differ in their presets."""


@dataclass(frozen=True)
class TrainConfig(AlphaZeroSettings, LearnedSettings, ProgramSettings, OptimizerSettings):
    """The settings of all parts of a run. The same settings and devices give the same bits."""

    env: str = "connect_four"
    """Environment: a registered name or module:Class."""
    algorithm: AlgorithmName = "alphazero"
    """Chooses the preset. alphazero plans with the environment itself, the others with a learned model."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    warmup_iterations: int = 2
    """Iterations of self-play before the first update."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check_parts(TrainConfig, vars(self))
        AlphaZeroSettings.__post_init__(self)
        ProgramSettings.__post_init__(self)
        LearnedSettings.__post_init__(self)
        OptimizerSettings.__post_init__(self)
        check("warmup_iterations", self.warmup_iterations, low=0)
        if self.network.kind == "atari" and self.algorithm == "alphazero":
            raise ValueError("network.kind is 'atari', which is for learned models only: use mlp or resnet")
        if self.network.kind == "transformer" and self.algorithm != "alphazero":
            raise ValueError("network.kind is 'transformer', which is for AlphaZero only: use mlp or resnet")
        if self.network.policy_head == "cells" and self.algorithm != "alphazero":
            raise ValueError("network.policy_head is 'cells', which is for AlphaZero only: use dense")
        if self.algorithm != "alphazero":
            _refuse_alphazeros(self)
        if self.network.chance_codes and self.algorithm == "alphazero":
            raise ValueError(
                f"network.chance_codes is {self.network.chance_codes}; AlphaZero reads the chance outcomes from "
                "the environment (docs/chance.md) and learns no model of them: use 0, or --algorithm muzero, "
                "gumbel_muzero or efficientzero"
            )


def _refuse_alphazeros(train: TrainConfig) -> None:
    """Raises ValueError for options that a learned model does not read."""
    if train.reanalyse:
        raise ValueError(
            f"reanalyse is {train.reanalyse:g}, which is for AlphaZero: use --muzero.reanalyse with a learned model"
        )
    for name in ("reply", "outcome", "short_values"):
        if weight := getattr(train.auxiliary, name):
            raise ValueError(
                f"auxiliary.{name} is {weight:g}, which is for AlphaZero: a learned model has no such head, use 0"
            )


@dataclass(frozen=True)
class RunConfig:
    """One run: its duration, directory, intervals and training settings."""

    minutes: float = 10.0
    """Minutes of training, summed over resumes. Compiling does not count, nor does the first run of a compiled
    program. The final measurement is extra: it may take a tenth to a fifth of this time,
    in experiments with several opponents half of it."""
    iterations: int | None = None
    """Stop after this number of iterations even if time is left."""
    target: float | None = None
    """Stop as soon as a measurement of strength reaches this."""
    run_dir: Path | None = None
    """Directory of the run; a new one under runs/ by default."""
    resume: bool = False
    """Continue the run in --run-dir (by default the newest); its settings become the defaults."""
    evaluate_every: float = 60.0
    """Seconds between measurements of strength; at least nine times the duration of the last one and its report, if
    that took more than a second."""
    checkpoint_every: float = 120.0
    """Seconds between checkpoints."""
    keep_newest: int = 2
    """Number of newest checkpoints to keep. With two, one is left if the newest is damaged."""
    keep_every: float | None = None
    """Minutes of training between checkpoints that are saved and kept for good. None keeps only the newest."""
    keep_best: bool = False
    """Also save and keep a checkpoint after each measurement that is the best so far."""
    save_replay: bool = True
    """Save the replay and the games in progress, which a resumed run continues. Without them checkpoints are small,
    and a resumed run starts new games."""
    tensorboard: bool = False
    """Also log to TensorBoard (pip install "jzero[log]")."""
    wandb: bool = False
    """Also log to Weights & Biases (pip install "jzero[log]")."""
    cpu_devices: int | None = None
    """CPU devices of this process. None: one per core."""
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check_parts(RunConfig, vars(self))
        if self.run_dir is not None:
            object.__setattr__(self, "run_dir", full_path(self.run_dir))
        check("minutes", self.minutes, above=0)
        check("evaluate_every", self.evaluate_every, above=0)
        check("checkpoint_every", self.checkpoint_every, above=0)
        check("keep_newest", self.keep_newest, low=1)
        if self.keep_every is not None:
            check("keep_every", self.keep_every, above=0)
        if self.iterations is not None:
            check("iterations", self.iterations, low=1)
        if self.cpu_devices is not None:
            check("cpu_devices", self.cpu_devices, low=1)
