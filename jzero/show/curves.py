"""The report's charts of metrics.jsonl."""

import statistics
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jzero.show.plots import SERIES, Line, interval_series, line_chart, series
from jzero.show.words import number, short_number, spaced

Metrics = Sequence[Mapping[str, Any]]  # metrics.jsonl, one mapping per line

STRENGTH = ("strength", "strength_low", "strength_high")
COUNTS = ("iteration", "seconds", "positions", "evaluations", "updates", "games")
SPEEDS = ("positions_per_second", "evaluations_per_second", "updates_per_second", "reanalysed_per_second")
OTHERS = 30  # charts of other metrics, at most


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
    caption = f"<b>Strength</b><span>{escape(unit)}</span><span>the band is the 95 % interval</span>"
    chart = line_chart([line], x_label=x_label, size=(9.4, 2.9), markers=len(line.x) <= 60)
    return f"<section><h2>Strength over time</h2>{_figure(caption, chart, 'wide')}</section>\n"


def training_section(metrics: Metrics) -> str:
    """The losses together, then the speeds."""
    lines, x_label = _lines(metrics)
    losses = sorted(filter(_is_loss, lines), key=lambda name: (name != "loss", name))
    groups = [losses[first : first + len(SERIES)] for first in range(0, len(losses), len(SERIES))]
    parts = [
        _lines_figure(metrics, "Losses", {name: lines[name] for name in group}, x_label) for group in groups
    ]
    speeds = [
        _figure(_caption(metrics, name), line_chart([lines[name]], x_label=x_label))
        for name in SPEEDS
        if name in lines
    ]
    if speeds:
        parts.append(f'<div class="two">{"".join(speeds)}</div>')
    return f"<section><h2>Training</h2>{''.join(parts)}</section>\n" if parts else ""


def unroll_section(metrics: Metrics) -> str:
    """A learned model's metrics of each unrolled step ("value_error_0", "value_error_1", ...)."""
    lines, x_label = _lines(metrics)
    stems: dict[str, list[str]] = {}
    for name in filter(_is_step, lines):
        stems.setdefault(_stem(name), []).append(name)
    parts = []
    for stem, names in stems.items():
        shown = sorted(names, key=lambda name: int(name.rpartition("_")[2]))[: len(SERIES)]
        group = {name: lines[name] for name in shown}
        parts.append(_lines_figure(metrics, f"{spaced(stem)} at each unrolled step", group, x_label))
    return f"<section><h2>The learned model</h2>{''.join(parts)}</section>\n" if parts else ""


def other_section(metrics: Metrics) -> str:
    """A small chart for every other metric, those that share the word before the first "_" together."""
    lines, x_label = _lines(metrics)
    elsewhere = (*STRENGTH, *COUNTS, *SPEEDS)
    names = [name for name in lines if not _is_loss(name) and not _is_step(name) and name not in elsewhere]
    words = [name.split("_")[0] for name in names]
    groups: dict[str, list[str]] = {}
    for name, word in zip(names[:OTHERS], words, strict=False):
        groups.setdefault(spaced(word) if words.count(word) > 1 else "Others", []).append(name)
    parts = []
    for group in sorted(groups, key=lambda group: (group == "Others", group)):
        figures = [
            _figure(_caption(metrics, name), line_chart([lines[name]], x_label=x_label, size=(3.6, 1.9)))
            for name in groups[group]
        ]
        parts.append(f'<h3>{escape(group)}</h3><div class="three">{"".join(figures)}</div>')
    if len(names) > OTHERS:
        parts.append(f'<p class="note">{len(names) - OTHERS} more metrics in metrics.jsonl.</p>')
    return f"<section><h2>More metrics</h2>{''.join(parts)}</section>\n" if parts else ""


def _axis(metrics: Metrics, lines: Metrics) -> tuple[list[float | None], str]:
    """The x of `lines` and its label: time in a unit that fits the whole run, or iterations without times."""
    longest = max(column(metrics, "seconds"), default=None)
    if longest is None:
        return [number(line.get("iteration")) for line in lines], "iteration"
    unit, name = 1.0, "seconds"
    if longest >= 120:
        unit, name = (60.0, "minutes") if longest < 7200 else (3600.0, "hours")
    times = [number(line.get("seconds")) for line in lines]
    return [None if time is None else time / unit for time in times], f"{name} since the run began"


def _lines(metrics: Metrics) -> tuple[dict[str, Line], str]:
    """Every metric that has a number, in the order of their first appearance, and the label of x."""
    x, x_label = _axis(metrics, metrics)
    names = dict.fromkeys(name for line in metrics for name in line)
    found = {name: series(x, [line.get(name) for line in metrics]) for name in names}
    return {name: line for name, line in found.items() if line is not None}, x_label


def _lines_figure(metrics: Metrics, title: str, lines: Mapping[str, Line], x_label: str) -> str:
    labels = [f"{escape(spaced(name))} {_latest(metrics, name)}" for name in lines]
    keys = "".join(
        f'<span><i style="background:var(--s{colour})"></i>{label}</span>'
        for colour, label in enumerate(labels, 1)
    )
    chart = line_chart(list(lines.values()), x_label=x_label, size=(9.4, 2.6))
    return _figure(f"<b>{escape(title)}</b>{keys}", chart, "wide")


def _figure(caption: str, chart: str, kind: str = "") -> str:
    return f'<figure class="card {kind}"><figcaption>{caption}</figcaption>{chart}</figure>'


def _caption(metrics: Metrics, name: str) -> str:
    return f"<b>{escape(spaced(name))}</b><span>{_latest(metrics, name)}</span>"


def _latest(metrics: Metrics, name: str) -> str:
    return short_number(column(metrics, name)[-1])


def _is_loss(name: str) -> bool:
    return name == "loss" or name.endswith("_loss")


def _is_step(name: str) -> bool:
    return name.rpartition("_")[2].isdigit()


def _stem(name: str) -> str:
    return name.rpartition("_")[0]
