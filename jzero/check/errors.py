"""Messages of `check_env` for functions of an environment that JAX cannot trace."""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jzero.pytrees import PyTree

HINTS: tuple[tuple[type[Exception], str], ...] = (
    (
        jax.errors.TracerBoolConversionError,
        "branch on arrays with jnp.where or jax.lax.cond, not with `if`, `while`, `and`, `or` or `not`",
    ),
    (
        jax.errors.NonConcreteBooleanIndexError,
        "no shape may depend on values: keep all elements and zero some with jnp.where(mask, array, 0)",
    ),
    (jax.errors.TracerArrayConversionError, "use jax.numpy (jnp) instead of numpy"),
    (
        jax.errors.TracerIntegerConversionError,
        "index arrays, as in jnp.array([1, 2, 3])[action], not lists; no shape may depend on values",
    ),
    (
        jax.errors.UnexpectedTracerError,
        "keep nothing between calls in attributes (self.x = ...): it belongs in the state",
    ),
    (
        jax.errors.ConcretizationTypeError,
        "keep values as arrays: no int(), float(), bool() or .item(); no shape may depend on values",
    ),
)
"""(JAX's error, fix); the first that matches is used."""


class NotArraysError(TypeError):
    """A function returned something that is not a pytree of arrays."""


def shapes(function: Callable[..., Any], *arguments: Any) -> PyTree:
    """`jax.eval_shape`, with an error that names the type of anything that is not an array.

    Raises:
      NotArraysError: the result has a leaf that is not an array.
      Exception: whatever `function` raises.
    """

    def checked(*arguments: Any) -> PyTree:
        result = function(*arguments)
        for leaf in jax.tree.leaves(result):
            if not hasattr(leaf, "dtype") and not isinstance(leaf, bool | int | float):
                raise NotArraysError(
                    f"returns a {type(leaf).__name__}, which is neither an array nor a pytree for JAX: make a "
                    "state a typing.NamedTuple (or a chex.dataclass) of arrays"
                )
        return result

    return jax.eval_shape(checked, *arguments)


def explain(call: str, error: Exception, how: str = "fails under jax.jit") -> str:
    """One line: the call, the first line of the error, the line of the environment's file, a hint."""
    if isinstance(error, NotArraysError):
        return f"{call} {error}"
    reason = next(iter(str(error).strip().splitlines()), "")
    hint = next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
    parts = [f"{call} {how}: {type(error).__name__}: {reason}", place(error)]
    return " ".join(filter(None, parts)) + (f": {hint}" if hint else "")


def place(error: BaseException) -> str:
    """The innermost line of the environment's code; "" if the error was raised outside it."""
    others = [Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        foreign = "site-packages" in file.parts or any(file.is_relative_to(folder) for folder in others)
        if not foreign and file.suffix == ".py":
            return f"({file.name}, line {frame.lineno}: `{frame.line}`)"
    return ""
