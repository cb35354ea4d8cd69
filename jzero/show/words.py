"""Numbers and names as text."""

import math
from collections.abc import Iterator, Mapping

from jzero.pytrees import PyTree


def number(value: PyTree) -> float | None:
    """The value if it is a finite number, else None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return None


def short_number(value: float, digits: int = 3) -> str:
    """At most `digits` significant digits, with k, M, G or T from 1000 on: 0.0123, 412, 1.2k, 3M."""
    value = float(f"{value:.{digits - 1}e}")  # rounded first: 999,999 is 1M, not 1000k
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.{digits}g}{name}"
    return f"{value:.{digits}g}"


def whole_number(value: float) -> str:
    """A number for a headline: whole from 100 on, three significant digits below."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def signed(value: float, digits: int = 2) -> str:
    """A value with its sign; zero has none."""
    size = f"{abs(value):.{digits}f}"
    return ("\u2212" if value < 0 else "+") + size if float(size) else size


def percent(share: float) -> str:
    """A share in percent, with one decimal place below ten."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


def duration(seconds: float) -> str:
    """A time span: 48 s, 9 min 5 s, 3 h 20 min, 2 d 4 h."""
    left = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= unit:
            rest = left % unit // part
            return f"{left // unit} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{left} s"


def spaced(name: str) -> str:
    """A code name as words: "policy_loss" -> "Policy loss"."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def flat(value: PyTree, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested mappings as (dotted name, text); nothing for other values."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from flat(item, f"{prefix}.{name}" if prefix else str(name))
    elif prefix and isinstance(value, list):
        yield prefix, ", ".join(map(str, value))
    elif prefix:
        yield prefix, "none" if value is None else str(value)
