"""Runs side by side on one page: strengths over time and positions, final ones, and the settings that differ."""

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path

from jzero.show.curves import STRENGTH, column, time_axis
from jzero.show.ladder import labels
from jzero.show.page import page
from jzero.show.plots import Line, figure, interval_series, key, line_chart
from jzero.show.run_files import RunFiles, read_run
from jzero.show.tables import table
from jzero.show.words import duration, flat, number, short_number, spaced, whole_number
from jzero.storage.files import write_atomic

COMPARISON = "comparison.html"
APART = ("run_dir", "resume")
"""Settings about the place of a run, which are not compared."""


def write_comparison(run_dirs: Sequence[str | Path], folder: Path) -> Path:
    """Writes `comparison.html` into a folder and returns its path; the file is replaced as a whole.

    Raises:
      RunDirError: the file cannot be written.
    """
    path = folder / COMPARISON
    write_atomic(path, comparison_page([read_run(run_dir) for run_dir in run_dirs]))
    return path


def comparison_page(runs: Sequence[RunFiles]) -> str:
    """The HTML of the page; it needs nothing else. The runs are in different directories."""
    paths = [str(run.path.resolve()) for run in runs]
    short = labels(paths)
    names = [short[path] for path in paths]
    said = "; ".join(dict.fromkeys(filter(None, (run.trained for run in runs))))
    where = ", ".join(f"<code>{escape(str(run.path))}</code>" for run in runs)
    body = (
        f"<header><p>{where}</p><h1>Comparison</h1><p>{escape(said)}</p></header>",
        _curves(runs, names),
        _strengths(runs, names),
        _differences(runs, names),
        _usage(runs),
    )
    return page("Comparison of runs", "\n".join(body))


def _curves(runs: Sequence[RunFiles], names: Sequence[str]) -> str:
    """Strength over time and over positions; "" before the first measurement."""
    longest = max((max(column(run.metrics, "seconds"), default=0.0) for run in runs), default=0.0)
    unit, label = time_axis(longest)
    keys = "".join(key(place, name) for place, name in enumerate(names))
    figures = []
    for title, axis, scale, x_label in (
        ("over time", "seconds", unit, label),
        ("over positions", "positions", 1.0, "positions played"),
    ):
        lines = [_line(run, axis, scale) for run in runs]
        found = [line for line in lines if line is not None]
        if found:
            few = max(len(line.x) for line in found) <= 60
            chart = line_chart(lines, x_label=x_label, size=(9.4, 2.9), markers=few)
            caption = f"<b>Strength {title}</b>{keys}<span>the band is the 95 % interval</span>"
            figures.append(figure(caption, chart, "wide"))
    return f"<section><h2>Strength while they train</h2>{''.join(figures)}</section>" if figures else ""


def _line(run: RunFiles, axis: str, scale: float) -> Line | None:
    measured = [line for line in run.metrics if number(line.get("strength")) is not None]
    x = [None if (place := number(line.get(axis))) is None else place / scale for line in measured]
    return interval_series(x, *([line.get(name) for line in measured] for name in STRENGTH))


def _strengths(runs: Sequence[RunFiles], names: Sequence[str]) -> str:
    """A row per run; a measurement that all share is named once, below."""
    columns = ["run", "strength", "95 % interval", "time", "positions", "updates"]
    rows = [[name, *_strength(run)] for run, name in zip(runs, names, strict=True)]
    ways = [str(run.strength.get("name") or "so far") for run in runs]
    if len({*ways}) == 1:
        return table("Final strength", columns, rows, spaced(ways[0]))
    rows = [[*row, way] for row, way in zip(rows, ways, strict=True)]
    note = "Numbers of different measurements cannot be compared."
    return table("Final strength", [*columns, "measurement"], rows, note)


def _strength(run: RunFiles) -> list[str]:
    value, low, high = ("" if each is None else whole_number(each) for each in run.measured()[1])
    seconds = run.last("seconds")
    counts = [run.last(count) for count in ("positions", "updates")]
    return [
        f"{value} {run.strength.get('unit') or ''}".strip(),
        f"{low} to {high}" if low and high else "",
        "" if seconds is None else duration(seconds),
        *("" if count is None else short_number(count) for count in counts),
    ]


def _differences(runs: Sequence[RunFiles], names: Sequence[str]) -> str:
    """The settings and versions that differ between runs."""
    found = [dict(flat({**run.settings, "versions": run.config.get("versions") or {}})) for run in runs]
    settings = dict.fromkeys(name for each in found for name in each if name not in APART)
    rows = [[name, *(each.get(name, "\u2013") for each in found)] for name in settings]
    different = [row for row in rows if len({*row[1:]}) > 1]
    if not different:
        return '<section><h2>Settings that differ</h2><p class="note">None.</p></section>'
    return table("Settings that differ", ("setting", *names), different)


def _usage(runs: Sequence[RunFiles]) -> str:
    """The command for a match of the agents; "" if they cannot play each other."""
    if len({run.env for run in runs}) > 1 or not all(run.loads for run in runs):
        return ""
    command = shlex.join(["python", "-m", "jzero", "match", *(str(run.path) for run in runs)])
    return f'<section><h2>Compare them in games</h2><div class="card"><pre>{escape(command)}</pre></div></section>'
