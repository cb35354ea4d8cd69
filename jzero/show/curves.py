"""The report's charts of metrics.jsonl."""

import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from jzero.pytrees import Record
from jzero.show.plots import SERIES, Line, figure, interval_series, key, line_chart, series
from jzero.show.words import duration, number, short_number, spaced

Metrics = Sequence[Record]  # metrics.jsonl, one mapping per line

STRENGTH = ("strength", "strength_low", "strength_high")
COUNTS = ("iteration", "seconds", "positions", "evaluations", "updates", "games")
SPEEDS = ("positions_per_second", "evaluations_per_second", "updates_per_second", "reanalysed_per_second")
OTHERS = 30  # charts of other metrics, at most


class Curves(NamedTuple):
    """Every metric that has a number, in the order of their first appearance."""

    lines: Mapping[str, Line]
    latest: Mapping[str, float]
    x_label: str


def curves(metrics: Metrics) -> Curves:
    """The metrics as lines over time, read once for all charts."""
    x, x_label = _axis(metrics, metrics)
    latest = {
        name: found
        for line in metrics
        for name, value in line.items()
        if (found := number(value)) is not None
    }
    lines = {name: series(x, [line.get(name) for line in metrics]) for name in latest}
    return Curves({name: line for name, line in lines.items() if line is not None}, latest, x_label)


def column(metrics: Metrics, name: str) -> list[float]:
    """The metric's values where it has one, oldest first."""
    return [value for line in metrics if (value := number(line.get(name))) is not None]


def speeds_line(metrics: Metrics) -> str:
    """The median speeds of a run in words, and the shares of its time since its first update; "" without any."""
    parts = [
        f"{short_number(statistics.median(values))} {name.removesuffix('_per_second')}/s"
        for name in SPEEDS
        if (values := column(metrics, name))
    ]
    learning = [line for line in metrics if column([line], "updates_per_second")]
    if shares := column(learning or metrics, "self_play_share"):
        share = statistics.median(shares)
        parts.append(f"{share:.0%} of the time is self-play, {1 - share:.0%} learning")
    return f"median speeds: {', '.join(parts)}" if parts else ""


def strength_section(metrics: Metrics, unit: str) -> str:
    """Strength against wall-clock time with its interval; "" before the first measurement."""
    measured = [line for line in metrics if number(line.get("strength")) is not None]
    x, x_label = _axis(metrics, measured)
    line = interval_series(x, *([row.get(name) for row in measured] for name in STRENGTH))
    if line is None:
        return ""
    if len(line.x) == 1:
        seconds = number(measured[0].get("seconds"))
        when = "" if seconds is None else f", after {duration(seconds)}"
        note = f"Measured once on the way{when}: {short_number(float(line.y[0]))}."
        return f'<section><h2>Strength over time</h2><p class="note">{note}</p></section>\n'
    caption = f"<b>Strength</b><span>{escape(unit)}</span><span>the band is the 95 % interval</span>"
    chart = line_chart([line], x_label=x_label, size=(9.4, 2.9), markers=len(line.x) <= 60)
    return f"<section><h2>Strength over time</h2>{figure(caption, chart, 'wide')}</section>\n"


def training_section(found: Curves) -> str:
    """The losses together, then the speeds."""
    losses = sorted(filter(_is_loss, found.lines), key=lambda name: (name != "loss", name))
    groups = [losses[first : first + len(SERIES)] for first in range(0, len(losses), len(SERIES))]
    parts = [_lines_figure(found, "Losses", group) for group in groups]
    speeds = [_one_figure(found, name) for name in SPEEDS if name in found.lines]
    if speeds:
        parts.append(f'<div class="two">{"".join(speeds)}</div>')
    return f"<section><h2>Training</h2>{''.join(parts)}</section>\n" if parts else ""


def unroll_section(found: Curves) -> str:
    """A learned model's metrics of each unrolled step ("value_error_0", "value_error_1", ...)."""
    stems: dict[str, list[str]] = {}
    for name in filter(_is_step, found.lines):
        stems.setdefault(_stem(name), []).append(name)
    parts = []
    for stem, names in stems.items():
        shown = sorted(names, key=lambda name: int(name.rpartition("_")[2]))[: len(SERIES)]
        parts.append(_lines_figure(found, f"{spaced(stem)} at each unrolled step", shown))
    return f"<section><h2>The learned model</h2>{''.join(parts)}</section>\n" if parts else ""


def other_section(found: Curves) -> str:
    """A small chart for every other metric, those that share the word before the first "_" together."""
    elsewhere = (*STRENGTH, *COUNTS, *SPEEDS)
    names = [
        name for name in found.lines if not _is_loss(name) and not _is_step(name) and name not in elsewhere
    ]
    words = [name.split("_")[0] for name in names]
    groups: dict[str, list[str]] = {}
    for name, word in zip(names[:OTHERS], words, strict=False):
        groups.setdefault(spaced(word) if words.count(word) > 1 else "Others", []).append(name)
    parts = []
    for group in sorted(groups, key=lambda group: (group == "Others", group)):
        figures = [_one_figure(found, name, (3.6, 1.9)) for name in groups[group]]
        parts.append(f'<h3>{escape(group)}</h3><div class="three">{"".join(figures)}</div>')
    if len(names) > OTHERS:
        parts.append(f'<p class="note">{len(names) - OTHERS} more metrics in metrics.jsonl.</p>')
    return f"<section><h2>More metrics</h2>{''.join(parts)}</section>\n" if parts else ""


def _axis(metrics: Metrics, lines: Metrics) -> tuple[list[float | None], str]:
    """The x of `lines` and its label: time in a unit that fits the whole run, or iterations without times."""
    longest = max(column(metrics, "seconds"), default=None)
    if longest is None:
        return [number(line.get("iteration")) for line in lines], "iteration"
    unit, x_label = time_axis(longest)
    times = [number(line.get("seconds")) for line in lines]
    return [None if time is None else time / unit for time in times], x_label


def time_axis(longest: float) -> tuple[float, str]:
    """The seconds of a unit of time that fits the longest one, and the label of the axis."""
    unit, name = 1.0, "seconds"
    if longest >= 120:
        unit, name = (60.0, "minutes") if longest < 7200 else (3600.0, "hours")
    return unit, f"{name} since the run began"


def _one_figure(found: Curves, name: str, size: tuple[float, float] = (4.6, 2.3)) -> str:
    caption = f"<b>{escape(spaced(name))}</b><span>{short_number(found.latest[name])}</span>"
    return figure(caption, line_chart([found.lines[name]], x_label=found.x_label, size=size))


def _lines_figure(found: Curves, title: str, names: Sequence[str]) -> str:
    labels = [f"{spaced(name)} {short_number(found.latest[name])}" for name in names]
    keys = "".join(key(place, label) for place, label in enumerate(labels))
    lines = [found.lines[name] for name in names]
    chart = line_chart(lines, x_label=found.x_label, size=(9.4, 2.6))
    return figure(f"<b>{escape(title)}</b>{keys}", chart, "wide")


def _is_loss(name: str) -> bool:
    return name == "loss" or name.endswith("_loss")


def _is_step(name: str) -> bool:
    return name.rpartition("_")[2].isdigit()


def _stem(name: str) -> str:
    return name.rpartition("_")[0]
