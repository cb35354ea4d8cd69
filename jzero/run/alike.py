"""Whether two objects hold the same data: two environments of one class may be different games."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Mapping

import jax
import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), range, slice, set, frozenset, np.generic)
ARRAYS = (np.ndarray, jax.Array)


def alike(one: object, other: object) -> bool:
    """Whether two objects have one type and the same data, down to what they hold; code and classes count by name.

    What only one of them holds does not count: it may be what an object remembers of its own computations.
    """
    return _alike(one, other, set())


def _alike(one: object, other: object, seen: set[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in seen:  # some hold each other
        return True
    if type(one) is not type(other) or getattr(one, "__qualname__", "") != getattr(other, "__qualname__", ""):
        return False
    if isinstance(one, PLAIN):
        return one == other or (one != one and other != other)  # not a number
    if isinstance(one, ARRAYS) and isinstance(other, ARRAYS):
        same_kind = one.shape == other.shape and one.dtype == other.dtype
        return same_kind and bool(((one == other) | ((one != one) & (other != other))).all())
    seen.add((id(one), id(other)))
    ours, theirs = _held(one), _held(other)
    if isinstance(one, tuple | list | dict) and ours.keys() != theirs.keys():
        return False
    return all(_alike(ours[name], theirs[name], seen) for name in ours.keys() & theirs.keys())


def _held(value: object) -> Mapping[object, object]:
    """What an object holds, by name or place."""
    if isinstance(value, dict):
        return value
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, functools.partial):
        return {"func": value.func, "args": value.args, "keywords": value.keywords}
    if isinstance(value, types.MethodType):
        return {"function": value.__func__, "object": value.__self__}
    if isinstance(value, types.FunctionType):
        closed_over = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        return {"(defaults)": (value.__defaults__, value.__kwdefaults__), **dict(closed_over)}
    if isinstance(value, types.CellType):
        with contextlib.suppress(ValueError):  # it is empty
            return {"contents": value.cell_contents}
    if isinstance(value, type):
        return {}
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    slots = {name: getattr(value, name) for name in names if name[:2] != "__" and hasattr(value, name)}
    return slots | getattr(value, "__dict__", {})
