"""What an observation looks like, for games that draw nothing: a frame of a picture or a grid, else its numbers.

Axes: H rows, W columns, C channels.
"""

from __future__ import annotations

import base64
import io
import textwrap
from html import escape

import jax
import numpy as np

from jzero.pytrees import Observation

PIXELS = 24
"""An array with as many rows and columns is a picture; a smaller one is a grid of cells."""
MAX_NUMBERS = 48
"""Numbers of an array that are written."""
LETTERS = 44
"""Of a line in a picture of numbers."""
_COLOURS = (
    *("#5b9bf5", "#f0924a", "#3dbfa3", "#b78af0", "#ef7387", "#f2d14a", "#8bc34a", "#e0e3e8"),
    *("#4dd0e1", "#a1887f", "#ff8a65", "#9575cd"),
)
"""Of what fills a cell."""


def frame(observation: Observation) -> str:
    """An SVG of one observation: an array [H, W, C] as a picture or as a grid, so u8[H, W]; "" of anything else.

    Of several arrays the only one [H, W, C] is drawn. A picture's last three channels are its colours, or its last
    one is grey: frames are stacked oldest first. A grid's cell has the colour of its last channel of zeros and ones
    that is set; without such channels, of the number in its first one.
    """
    if not hasattr(observation, "shape"):
        boards = [leaf for leaf in jax.tree.leaves(observation) if np.ndim(leaf) == 3]
        return frame(boards[0]) if len(boards) == 1 else ""
    if 0 in observation.shape:
        return ""
    seen = np.asarray(observation)
    if seen.ndim == 2 and seen.dtype in (np.uint8, np.bool_):
        seen = seen[..., None]
    if seen.ndim != 3:
        return ""
    return _picture(seen) if min(seen.shape[:2]) >= PIXELS else _grid(seen)


def _picture(seen: np.ndarray) -> str:
    height, width, channels = seen.shape
    newest = seen[..., -3:] if channels % 3 == 0 else np.repeat(seen[..., -1:], 3, axis=-1)
    if newest.dtype != np.uint8:
        scale = 255.0 if newest.max(initial=0) <= 1 else 1.0
        newest = np.clip(scale * newest.astype(np.float32), 0, 255).astype(np.uint8)
    data = base64.b64encode(_png(newest)).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/></svg>'
    )


def _png(pixels: np.ndarray) -> bytes:
    """The file of u8[H, W, 3]."""
    from matplotlib.image import imsave  # slow to import

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return file.getvalue()


def _grid(seen: np.ndarray) -> str:
    height, width, channels = seen.shape
    flags = np.isin(seen, (0, 1)).all(axis=(0, 1))
    if flags.any():
        kinds = ((seen != 0) & flags) * np.arange(1, channels + 1)
        kinds = kinds.max(axis=-1)
    else:
        kinds = seen[..., 0].astype(np.int64)
    cells = [
        f'<rect x="{x + 0.05:g}" y="{y + 0.05:g}" width=".9" height=".9" rx=".12" '
        f'fill="{_COLOURS[(int(kinds[y, x]) - 1) % len(_COLOURS)]}"/>'
        for y, x in np.argwhere(kinds != 0).tolist()
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{30 * width}" '
        f'height="{30 * height}"><rect width="{width}" height="{height}" fill="#16181d"/>{"".join(cells)}</svg>'
    )


def numbers(observation: Observation) -> str:
    """The numbers of one observation: a line for each array, a small table for one of two axes."""
    lines = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(observation)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        lines.append(_array(np.asarray(leaf), f"{name}: " if name else ""))
    return "\n".join(lines)


def written(observation: Observation) -> str:
    """An SVG of the numbers of one observation."""
    lines = [
        part for line in numbers(observation).split("\n") for part in textwrap.wrap(line, LETTERS) or [""]
    ]
    height = 20 * len(lines) + 20
    rows = "".join(
        f'<text x="14" y="{20 * row + 28}" xml:space="preserve">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 {height}" width="400" height="{height}" '
        f'font-family="monospace" font-size="14" fill="#e8eaee"><rect width="400" height="{height}" '
        f'fill="#16181d"/>{rows}</svg>'
    )


def _array(values: np.ndarray, name: str) -> str:
    if values.ndim == 2 and values.size <= 16 * MAX_NUMBERS and values.shape[1] <= MAX_NUMBERS:
        rows = [[_short(x) for x in row] for row in values.tolist()]
        widest = max((len(x) for row in rows for x in row), default=0)
        table = "\n".join(" ".join(x.rjust(widest) for x in row) for row in rows)
        return f"{name}\n{table}" if name else table
    flat = values.ravel()
    more = f" ... {flat.size} numbers" if flat.size > MAX_NUMBERS else ""
    return name + " ".join(_short(x) for x in flat[:MAX_NUMBERS].tolist()) + more


def _short(value: float) -> str:
    return str(int(value)) if isinstance(value, bool | int) else f"{value:.3f}"
