"""Rewrites the report of a run, `report.html`; for several runs writes a comparison, `comparison.html`.

    python -m jzero report runs/connect_four/20261121-101500
    python -m jzero report RUN RUN2 RUN3
    python -m jzero report RUN RUN2 --out pages

A comparison has the strengths over time and over positions, the final ones, and the settings that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.settings import full_path
from jzero.show.comparison import write_comparison
from jzero.show.report import write_report
from jzero.storage.files import RunDirError
from jzero.storage.run_dir import CONFIG, in_use


@dataclass(frozen=True)
class Config:
    """Whose report, and where it is written."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN2 ...]")]
    """The directories that runs printed; several are compared."""
    out: Path | None = None
    """Folder of report.html or comparison.html; by default the first run's directory."""


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=argv, prog="python -m jzero report", description=__doc__)
    # By their places: the same directory given twice is one run.
    runs = list({run.resolve(): run for run in map(full_path, config.runs)}.values())
    if not runs:
        raise SystemExit("error: no run is given; give the directory that a run printed")
    for run in runs:
        if not (run / CONFIG).is_file():
            text = f"{run} holds no run (no {CONFIG}); give the directory that a run printed"
            raise SystemExit(f"error: {text}")
    folder = runs[0] if config.out is None else full_path(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if len(runs) == 1:
            path = write_report(runs[0], folder=folder, stopped=not in_use(runs[0]))
        else:
            path = write_comparison(runs, folder)
    except (OSError, RunDirError) as error:
        raise SystemExit(f"error: {error}") from error
    print(path)
    return 0
