"""Limits of requests: the type and the largest value, or length, of each argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from jzero.play.game import MAX_PLIES, Refused
from jzero.pytrees import Json

_KINDS: dict[str, tuple[type, int]] = {
    "game": (str, 40),
    "ply": (int, MAX_PLIES),
    "action": (int, 2**31),
    "seed": (int, 2**32 - 1),
    "simulations": (int, 10_000),
    "agent": (int, 1),
    "text": (str, 100_000),
    "sgf": (bool, 1),
    "move": (bool, 1),
    "seats": (str, 16),
    "path": (int, 2**31),
    "actions": (int, 2**31),
}
"""Argument -> (type, largest value or length)."""
_WORDS = {
    int: "a whole number from 0 to {}",
    str: "a text of at most {} characters",
    bool: "true or false",
}
_LISTS = {"seats": 16, "path": 400, "actions": MAX_PLIES}
"""Arguments that are lists -> largest length."""


def checked(method: Callable[..., Any], arguments: Any) -> Json:
    """The arguments, checked for a method of the desk.

    Raises:
        Refused: they do not fit.
    """
    takes = dict(list(inspect.signature(method).parameters.items())[1:])  # without self
    needed = {name for name, parameter in takes.items() if parameter.default is parameter.empty}
    if not isinstance(arguments, dict) or not needed <= arguments.keys() <= takes.keys():
        raise Refused(f"{method.__name__} takes {', '.join(takes) or 'nothing'}")
    for name, value in arguments.items():
        kind, most = _KINDS[name]
        values = value if name in _LISTS else [value]
        if not isinstance(values, list) or len(values) > _LISTS.get(name, 1):
            raise Refused(f"{name}: expected a list of at most {_LISTS.get(name, 1)}")
        for one in values:
            size = len(one) if isinstance(one, str) else one
            if type(one) is not kind or not 0 <= size <= most:
                raise Refused(f"{name} is {one!r:.40}; expected {_WORDS[kind].format(most)}")
    return arguments
