"""Line charts as small inline SVG: thinned, without fonts or links, in the colours of the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jzero.show.words import number, short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 150  # of a line; more than are visible at the size of a chart

# Stand-ins for the page's colours: matplotlib draws with the left ones, the page's CSS has the right ones.
TEXT, GRID = "#00000a", "#00000b"
SERIES = ("#000001", "#000002", "#000003", "#000004", "#000005", "#000006")
STYLES = ("solid", "dashed", "dotted")
"""Of lines, by matplotlib's and CSS's names: the next one wherever the colours begin again."""
PAGE_COLOURS = {TEXT: "var(--muted)", GRID: "var(--line)"} | {
    colour: f"var(--s{number})" for number, colour in enumerate(SERIES, 1)
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jzero",
    "path.simplify": True,
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.xmargin": 0.01,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


class Line(NamedTuple):
    """A line y over x, each [N] and finite, with a band from `low` to `high` around it."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def series(x: Sequence[Any], y: Sequence[Any]) -> Line | None:
    """The finite points of y over x, at most POINTS of them; None where there are none.

    More points are averaged in equal bins of their order; the band is each bin's least and greatest value.
    """
    xs, ys = _floats(x), _floats(y)
    known = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[known], ys[known]
    if not len(xs):
        return None
    starts = np.linspace(0, len(xs), min(POINTS, len(xs)), endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, len(xs)))
    return Line(
        np.add.reduceat(xs, starts) / sizes,
        np.add.reduceat(ys, starts) / sizes,
        np.minimum.reduceat(ys, starts),
        np.maximum.reduceat(ys, starts),
    )


def interval_series(
    x: Sequence[Any], y: Sequence[Any], low: Sequence[Any], high: Sequence[Any]
) -> Line | None:
    """Measurements y over x, each with an interval, or without one where `low` or `high` is unknown.

    Every k-th of more than POINTS, the last among them; None where there are none.
    """
    xs, ys, lows, highs = _floats(x), _floats(y), _floats(low), _floats(high)
    known = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    if not len(known):
        return None
    known = known[:: -math.ceil(len(known) / POINTS)][::-1]
    bounded = np.isfinite(lows) & np.isfinite(highs)
    lows, highs = np.where(bounded, lows, ys), np.where(bounded, highs, ys)
    return Line(xs[known], ys[known], lows[known], highs[known])


def key(place: int, label: str) -> str:
    """The HTML of a caption's entry for the line at a place of a chart; `label` is text."""
    colour, style = place % len(SERIES) + 1, STYLES[place // len(SERIES) % len(STYLES)]
    return f'<span><i style="border-top:3px {style} var(--s{colour})"></i>{escape(label)}</span>'


def figure(caption: str, chart: str, kind: str = "") -> str:
    """A chart on a card, under its caption in HTML."""
    return f'<figure class="card {kind}"><figcaption>{caption}</figcaption>{chart}</figure>'


def line_chart(
    lines: Sequence[Line | None],
    *,
    x_label: str,
    size: tuple[float, float] = (4.6, 2.3),
    markers: bool = False,
) -> str:
    """One chart as an `<svg>` element for an HTML page whose CSS defines --muted, --line and --s1 ... --s6.

    Args:
      lines: the first six have the page's colours --s1 ... --s6, the next ones the same with dashes, then dots;
        None keeps its place free. `key` makes the entries of the caption.
      x_label: written under the axis.
      size: width and height in units of 72 pixels; the page may scale it.
      markers: also draw a dot at each point.
    """
    import matplotlib  # at import it looks for a folder to write to, which may only be that of the run
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        for place, line in enumerate(lines):
            if line is None:
                continue
            colour, style = SERIES[place % len(SERIES)], STYLES[place // len(SERIES) % len(STYLES)]
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
            dots = "o" if markers or len(line.x) == 1 else None
            axes.plot(
                line.x, line.y, color=colour, linestyle=style, linewidth=1.7, marker=dots, markersize=3.5
            )
        _dress(axes, x_label)
        _place(axes, size)
        text = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    return _for_page(text.getvalue())


def _floats(values: Sequence[Any]) -> np.ndarray:
    """[N] float64; what is no finite number becomes nan."""
    found = map(number, values)
    return np.array([math.nan if value is None else value for value in found], np.float64)


def _dress(axes: Axes, x_label: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_xlabel(x_label, labelpad=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    """More digits than elsewhere: neighbours must look different."""
    return short_number(value, 6) if abs(value) >= 1e4 else f"{value:.6g}"


def _place(axes: Axes, size: tuple[float, float]) -> None:
    """Fits the axes to the labels by counting letters; measuring them would take as long as the drawing."""
    low, high = axes.get_ylim()
    letters = max(
        (len(_tick(tick)) for tick in axes.yaxis.get_major_locator().tick_values(low, high)), default=1
    )
    left, bottom = (0.12 + 0.078 * letters) / size[0], 0.42 / size[1]
    axes.set_position((left, bottom, 0.985 - left, 0.96 - bottom))


def _for_page(svg: str) -> str:
    """Leaves out what only a file of its own needs, and names the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<=<g) id="[^"]*"| font-family: [^;]*;| transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'(?<=[ "])(-?\d+\.\d\d)\d+', r"\1", svg)  # coordinates, not the labels after a ">"
    svg = re.sub("|".join(PAGE_COLOURS), lambda colour: PAGE_COLOURS[colour[0]], svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
