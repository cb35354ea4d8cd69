"""Environments by name: `make`, and its error messages.

A name is an entry point of the group "jzero.envs", which any package may add to, or "module:Class".
"""

import ast
import contextlib
import difflib
import importlib
import inspect
import keyword
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from jzero.env import Env, missing_members

ENTRY_POINTS = "jzero.envs"
_NAMES: dict[int, str] = {}
"""The name of each object from `make` that still exists, by its `id`: equal ones may have other names."""


def make(name: str, **kwargs: Any) -> Env:
    """The environment called `name`, built with `kwargs`.

    `name` is a registered name ("connect_four"), a registered adapter and its game ("pgx:go_9x9"), or a user's
    class ("my_module:MyGame"; the working directory is searched first). A package registers names as entry points
    of the group "jzero.envs"; an adapter takes the text after the colon. The name itself may hold keyword
    arguments, as Python literals or plain words: "gymnax:Breakout-MinAtar?sticky_actions=0.1",
    "go?size=9&rules=pgx".

    Raises:
      ValueError: there is no such name, module or class, it does not take the arguments, or the object lacks
        members of an environment.
      ImportError: an adapter's package is not installed.
    """
    full_name = _with_options(name, kwargs)
    name, _, options = name.partition("?")
    kwargs |= literal_options(f"env {name!r}", options, "sticky_actions=0.1")
    registered = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    prefix, colon, rest = name.partition(":")
    if name in registered:
        env = _build(name, registered[name].value, **kwargs)
    elif colon and prefix in registered:
        env = _build(name, registered[prefix].value, rest, **kwargs)
    elif colon:
        env = _build(name, name, **kwargs)
    else:
        raise ValueError(f"{unknown_name('env', name, sorted(registered))}; or give {_own_class(name)}")
    missing = missing_members(env)
    if missing:
        raise ValueError(
            f"env {name!r} is not an environment: it lacks {', '.join(missing)}; see jzero.env.Env"
        )
    with contextlib.suppress(TypeError):  # its class allows no weak references
        weakref.finalize(env, _NAMES.pop, id(env), None)
        _NAMES[id(env)] = full_name
    return env


def made_as(env: Env) -> str | None:
    """The name for which `make` returns an environment like this one.

    "" if `make` got an argument that no name can hold, None if `env` does not come from `make`.
    """
    return _NAMES.get(id(env))


def _with_options(name: str, kwargs: Mapping[str, object]) -> str:
    """The name with these options in it; "" if they are not literals."""
    text = "&".join(f"{key}={value!r}" for key, value in kwargs.items())
    try:
        written = literal_options("", text, "")
    except ValueError:
        return ""
    joint = "" if not kwargs else "&" if "?" in name else "?"
    return f"{name}{joint}{text}" if written == kwargs else ""


def literal_options(what: str, text: str, example: str) -> dict[str, Any]:
    """Keyword arguments from "key=literal&key=word"; error messages name `what` and give the `example`."""
    found = {}
    for option in filter(None, text.split("&")):
        key, _, value = option.partition("=")
        try:
            word = value.isidentifier() and not keyword.iskeyword(value)
            found[key] = value if word else ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise ValueError(
                f"{what}: cannot read the option {option!r}; expected key=literal, such as {example}"
            ) from None
    return found


def _build(name: str, target: str, *arguments: str, **kwargs: Any) -> Env:
    """Calls the class or function `target` ("module:attribute") with the arguments; error messages give `name`."""
    registered = [point.name for point in metadata.entry_points(group=ENTRY_POINTS)]
    factory = load_named(f"env {name!r}", "class", target, here=name == target, known=registered)
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some classes written in C have none
        return factory(*arguments, **kwargs)
    try:
        signature.bind(*arguments, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"env {name!r}: {error}; it takes {signature}: give options as in 'name?key=literal', the game "
            "of an adapter as in 'adapter:game'"
        ) from None
    return factory(*arguments, **kwargs)


def load_named(
    what: str, kind: str, target: str, *, here: bool = True, known: Iterable[str] = ()
) -> Callable[..., Any]:
    """The class or function called `target` ("module:attribute").

    Args:
      what: its purpose for error messages: "env 'my_game:MyGame'".
      kind: the expected kind for error messages: "class".
      target: its full name.
      here: search the working directory first.
      known: names that may have been meant instead of the module.

    Raises:
      ValueError: there is none; the message gives similar names.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        raise ValueError(
            f"{what}: {module_name!r} is a file; give its module, as Python imports it from the working "
            f"directory: {_as_module(module_name)}:{attribute}"
        )
    if not module_name or module_name.startswith("."):
        raise ValueError(
            f"{what}: {module_name!r} is not a module name; give it as Python imports it from the working directory"
        )
    if here and sys.path[0] not in ("", os.getcwd()):
        # A script's path starts at its own folder, whose files must not hide those of where the user stands.
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        near = [*known, *(path.stem for path in Path().glob("*.py"))]
        hint = ""
        # Else the module was found, and lacks another.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            hint = _package_found(error, module_name) or _did_you_mean(module_name, near, f":{attribute}")
        if not hint and error.name == module_name:
            hint = f"start in the folder of {module_name}.py, or add that folder to PYTHONPATH"
        text = f"{what}: cannot import the module {module_name!r}: {error}"
        raise ValueError(f"{text}; {hint}".removesuffix("; ")) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        hint = _did_you_mean(attribute, [key for key, value in vars(module).items() if callable(value)])
        hint = hint or f"it was read from {getattr(module, '__file__', None) or 'Python itself'}"
        raise ValueError(f"{what}: the module {module_name!r} has no {kind} {attribute!r}; {hint}")
    return found


def _own_class(name: str) -> str:
    """How to name a class outside the package; if `name` is a file in the working directory, with its module."""
    module, _, attribute = name.removesuffix(".py").partition(".")
    return f'"{module}:{attribute or "Class"}"' if Path(f"{module}.py").is_file() else '"module:Class"'


def _as_module(file: str) -> str:
    """The module name of `file`, relative to the working directory if the file is in it."""
    path = os.path.relpath(file)
    path = os.path.basename(path) if path.startswith("..") else path
    return path.removesuffix(".py").replace("/", ".")


def _package_found(error: ImportError, module_name: str) -> str:
    """A hint if Python found the package of `module_name` but not the module: which package it found; else ""."""
    package = module_name.partition(".")[0]
    places = list(getattr(sys.modules.get(package), "__path__", []))
    missing = error.name or ""
    if not places or missing == package or not f"{module_name}.".startswith(f"{missing}."):
        return ""
    return f"Python found the package {package!r} in {places[0]}: rename yours if you meant another"


def unknown_name(what: str, name: str, known: list[str]) -> str:
    """The error message for an unknown `name` of kind `what`, with the most similar of the `known` names."""
    hint = _did_you_mean(name, known)
    return f"unknown {what} {name!r}: {hint}{' ' if hint else ''}known: {', '.join(known) or 'none'}"


def check_options(what: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raises ValueError for the first of the `options` that is not `known`; `what` is the kind of option."""
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(what, option, sorted(known)))


def options_of(made: type) -> list[str]:
    """Names of a class's constructor arguments, including its bases' if it passes further arguments on."""
    names: dict[str, None] = {}
    for base in made.__mro__:
        if "__init__" in vars(base):
            kinds = {name: each.kind for name, each in inspect.signature(base).parameters.items()}
            more = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
            names |= {name: None for name, kind in kinds.items() if kind not in more}
            if inspect.Parameter.VAR_KEYWORD not in kinds.values():
                break
    return list(names)


def _did_you_mean(name: str, known: list[str], ending: str = "") -> str:
    """A question with the names most similar to `name`, or ""."""
    exact = {other.lower(): other for other in known}
    near = [exact[other] + ending for other in difflib.get_close_matches(name.lower(), exact)]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
