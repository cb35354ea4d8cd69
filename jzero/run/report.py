"""Writes the report of a run anew: `report.html` in its directory.

python -m jzero report runs/connect_four/20261121-101500
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.settings import full_path
from jzero.show.report import write_report
from jzero.storage.run_dir import CONFIG


@dataclass(frozen=True)
class Config:
    """Whose report."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The directory that a run printed."""


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=argv, prog="python -m jzero report", description=__doc__)
    run_dir = full_path(config.run_dir)
    if not (run_dir / CONFIG).is_file():
        text = f"{run_dir} holds no run (no {CONFIG}); give the directory that a run printed"
        raise SystemExit(f"error: {text}")
    print(write_report(run_dir))
    return 0
