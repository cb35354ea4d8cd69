"""Shared by settings, which are small frozen dataclasses with checks on construction."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from jzero.pytrees import PyTree

SettingsT = TypeVar("SettingsT")


def check(
    name: str,
    value: float,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ValueError with the setting, its value and its range unless `value` is within the bounds."""
    bounds = [
        (low, "at least", lambda bound: value >= bound),
        (above, "greater than", lambda bound: value > bound),
        (high, "at most", lambda bound: value <= bound),
        (below, "less than", lambda bound: value < bound),
    ]
    given = [(bound, words, holds) for bound, words, holds in bounds if bound is not None]
    try:
        # `not holds` also refuses NaN.
        refused = any(not holds(bound) for bound, _, holds in given)
    except TypeError:
        raise ValueError(f"{name} is {value!r}, of type {type(value).__name__}; expected a number") from None
    if refused:
        wanted = " and ".join(f"{words} {bound:g}" for bound, words, _ in given)
        raise ValueError(f"{name} is {value!r}; it must be {wanted}")


def check_parts(cls: type, values: Mapping[str, object]) -> None:
    """Raises ValueError for fields of the dataclass `cls` that are settings, and whose value is something else."""
    for name, kind in _parts(cls).items():
        value = values.get(name)
        if name not in values or isinstance(value, kind):
            continue
        given = value if isinstance(value, Mapping) and all(isinstance(key, str) for key in value) else {}
        options = ", ".join(f"{key}={item!r}" for key, item in given.items()) or "..."
        raise ValueError(
            f"{name} is {value!r}; expected {kind.__module__}.{kind.__name__}: write "
            f"{name}={kind.__name__}({options})"
        )


@functools.cache
def _parts(cls: type) -> dict[str, type]:
    """The fields of a dataclass that are settings themselves, and their classes."""
    return {name: hint for name, hint in get_type_hints(cls).items() if dataclasses.is_dataclass(hint)}


def full_path(path: str | Path) -> Path:
    """`path` with `~` expanded, which a shell does not do in `--run-dir=~/run`.

    Raises:
      ValueError: there is no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"path {str(path)!r}: this process has no home folder for ~; give the full path"
        ) from error


def from_dict(cls: type[SettingsT], values: dict[str, Any]) -> SettingsT:
    """The dataclass `cls` from a nested dictionary in the form of `dataclasses.asdict`, read from JSON.

    JSON has no infinity: null stands for it where a number is expected. A list stands for a tuple.

    Raises:
      ValueError: a key is not a field of `cls`.
    """
    hints = get_type_hints(cls)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no field {', '.join(unknown)}; was it saved by another version?"
        )

    def read(hint: Any, value: Any) -> Any:
        if dataclasses.is_dataclass(hint):
            return from_dict(hint, value)
        if get_origin(hint) is tuple:
            return tuple(value)
        return math.inf if value is None and hint is float else value

    return cls(**{name: read(hints[name], value) for name, value in values.items()})


def differences(old: PyTree, new: PyTree, prefix: str = "") -> list[str]:
    """One line per field in which two configurations differ."""
    found: list[str] = []
    for item in dataclasses.fields(old):
        before, after = getattr(old, item.name), getattr(new, item.name)
        if dataclasses.is_dataclass(before):
            found += differences(before, after, f"{prefix}{item.name}.")
        elif before != after:
            found.append(f"{prefix}{item.name} was {before!r} and is now {after!r}")
    return found
