"""Writes an agent's weights and settings into a folder of their own, to share: a run without replay and games.

    python -m jzero export --weights runs/connect_four/20261121-101500 --out my_agent

`jzero.load("my_agent")` reads it, on any machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.settings import full_path
from jzero.storage import checkpoint as checkpoints
from jzero.storage.run_dir import CHECKPOINTS, CONFIG


@dataclass(frozen=True)
class Config:
    """What to export, and where to."""

    weights: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """The directory of the run."""
    out: Path
    """The new folder."""
    checkpoint: int | None = None
    """Iteration of the checkpoint; the newest by default."""


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=argv, prog="python -m jzero export", description=__doc__)
    out = full_path(config.out)
    if out.exists():
        raise SystemExit(f"error: --out is {out}, which exists; expected a new folder")
    try:
        export(full_path(config.weights), out, config.checkpoint)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    print(out)
    return 0


def export(run_dir: Path, out: Path, checkpoint: int | None = None) -> None:
    """Copies the averaged weights of a run's checkpoint, and its settings, into the new folder `out`.

    Raises:
      FileNotFoundError: `run_dir` holds no run, or not this checkpoint.
    """
    if not (run_dir / CONFIG).is_file():
        raise FileNotFoundError(
            f"{run_dir} holds no run (no {CONFIG}); give the directory that a run printed"
        )
    iteration, params = checkpoints.restore_part(run_dir / CHECKPOINTS, ("state", "averaged"), checkpoint)
    out.mkdir(parents=True)
    shutil.copy(run_dir / CONFIG, out / CONFIG)
    checkpoints.save(out / CHECKPOINTS, iteration, {"state": {"averaged": params}})
