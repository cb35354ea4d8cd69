"""The implementation of a search step: XLA operations or a GPU kernel, chosen when the program is lowered.

`choose` makes one primitive from both forms of a step. It is lowered to the kernel for CUDA and to the operations
for any other platform, whatever machine traces it. A kernel that cannot be lowered falls back to the operations,
with one warning that names the cause.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, cast, get_args

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jzero.pytrees import PyTree

Engine = Literal["auto", "walk", "kernels"]
"""Implementation of a search:

- auto: kernels if lowered for CUDA and if they support the card and the search, else the walk;
- walk: XLA operations everywhere;
- kernels: kernels everywhere; on a CPU interpreted, one game at a time (for tests).
"""


def _checked(name: str, source: str) -> Engine:
    if name not in get_args(Engine):
        raise ValueError(f"{source} is {name!r}; it must be one of {', '.join(map(repr, get_args(Engine)))}")
    return cast(Engine, name)


_engine = jax.make_user_context(_checked(os.environ.get("JZERO_ENGINE", "auto"), "JZERO_ENGINE"))


def engine(name: Engine) -> AbstractContextManager[None]:
    """Searches traced in this context use the engine `name`; see `Engine`.

    Outside it the environment variable JZERO_ENGINE decides, by default "auto". `jax.jit` retraces a function when
    the engine differs.

    Raises:
      ValueError: there is no such engine.
    """
    return _engine(_checked(name, "engine"))


class NotServed(Exception):
    """The kernels do not support this card; the message says why."""


def choose(
    kernel: Callable[..., PyTree] | None, operations: Callable[..., PyTree], *arguments: PyTree
) -> PyTree:
    """`operations(*arguments)`, or the equivalent `kernel(*arguments)`.

    Args:
      kernel: takes and returns pytrees like those of `operations`, and takes the keyword `interpret`. It must not
        close over traced values. None if there is no kernel.
      operations: may close over traced values.
      *arguments: pytrees of arrays.
    """
    if kernel is None or _engine.value == "walk":
        return operations(*arguments)
    closed, output = jax.make_jaxpr(operations, return_shape=True)(*arguments)
    flat, structure = jax.tree.flatten(arguments)

    def flat_kernel(*flat: jax.Array, interpret: bool) -> list[jax.Array]:
        return jax.tree.leaves(kernel(*jax.tree.unflatten(structure, flat), interpret=interpret))

    found = _bind(flat_kernel, closed, flat, force=_engine.value == "kernels")
    return jax.tree.unflatten(jax.tree.structure(output), found)


def kernels() -> PyTree:
    """The module of the kernels, imported on lowering: a CPU does not need Pallas, which JAX may move or remove."""
    from jzero.search import kernels

    return kernels


HOPS = 8
"""Hops of a path that a GPU makes between two checks by the host."""


def hop_while(
    keep_going: Callable[[PyTree], jax.Array], hop: Callable[[PyTree, jax.Array], PyTree], carry: PyTree
) -> PyTree:
    """`jax.lax.while_loop`; lowered for CUDA, it makes `HOPS` hops between two checks by the host.

    Args:
      keep_going: carry -> bool[].
      hop: (carry, bool[]) -> carry; if false, the loop is over and the hop must change nothing that matters.
      carry: initial carry.
    """
    flat, structure = jax.tree.flatten(carry)

    def traced(function: Callable, *more: jax.Array) -> core.ClosedJaxpr:
        def of_leaves(leaves: Sequence[jax.Array], *more: jax.Array) -> list[jax.Array]:
            return jax.tree.leaves(function(jax.tree.unflatten(structure, leaves), *more))

        return jax.make_jaxpr(of_leaves)(flat, *more)

    go, once = traced(keep_going), traced(hop, jnp.bool_(True))
    ends = len(flat), len(flat) + len(go.consts)
    jaxprs = _without_constants(go), _without_constants(once)  # the primitive keeps `loop`

    def loop(*operands: jax.Array, hops: int) -> list[jax.Array]:
        carry, *consts = operands[: ends[0]], operands[ends[0] : ends[1]], operands[ends[1] :]

        def goes_on(carry: Sequence[jax.Array]) -> jax.Array:
            return _call(jaxprs[0], *carry, *consts[0])[0]

        def step(carry: Sequence[jax.Array], on: jax.Array) -> list[jax.Array]:
            return _call(jaxprs[1], *carry, on, *consts[1])

        if hops == 1:
            return jax.lax.while_loop(goes_on, lambda carry: step(carry, jnp.bool_(True)), list(carry))

        def several(carry: list[jax.Array]) -> list[jax.Array]:
            return jax.lax.fori_loop(0, hops, lambda _, carry: step(carry, goes_on(carry)), carry)

        return jax.lax.while_loop(goes_on, several, several(list(carry)))

    def on_gpu(*operands: jax.Array, interpret: bool) -> list[jax.Array]:
        del interpret
        return loop(*operands, hops=HOPS)

    operands = [*flat, *go.consts, *once.consts]
    closed = jax.make_jaxpr(functools.partial(loop, hops=1))(*operands)
    found = _bind(on_gpu, closed, operands, force=_engine.value == "kernels")
    return jax.tree.unflatten(structure, found)


def constant_on_gpu(number: jax.Array, constant: int) -> jax.Array:
    """`number` i32[]; lowered for CUDA the `constant`, so that the host need not wait for it."""
    return jax.lax.platform_dependent(
        number, cuda=lambda number: 0 * number + constant, default=lambda number: number
    )


_choice = core.Primitive("kernel_or_operations")
_choice.multiple_results = True


def _without_constants(closed: core.ClosedJaxpr) -> core.Jaxpr:
    """A jaxpr that takes its constants as last arguments: they may be traced, and JAX 0.12 keeps them in it."""
    jaxpr = closed.jaxpr
    return jaxpr.replace(constvars=[], invars=[*jaxpr.invars, *jaxpr.constvars])


def _call(jaxpr: core.Jaxpr, *operands: jax.Array) -> list[jax.Array]:
    return core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, ()))(*operands)


def _bind(
    kernel: Callable, closed: core.ClosedJaxpr, flat: Sequence[jax.Array], *, force: bool
) -> list[jax.Array]:
    """Operands of the primitive: those of both forms, `count` of them, then the constants that `closed`, the
    operations, close over.
    """
    jaxpr = _without_constants(closed)
    return _choice.bind(*flat, *closed.consts, jaxpr=jaxpr, count=len(flat), kernel=kernel, force=force)


def _operations(*operands: jax.Array, jaxpr: core.Jaxpr, **_: Any) -> list[jax.Array]:
    return _call(jaxpr, *operands)


def _kernel(*operands: jax.Array, count: int, kernel: Callable, interpret: bool, **_: Any) -> list[jax.Array]:
    return kernel(*operands[:count], interpret=interpret)


def _batched(
    operands: Sequence[jax.Array], axes: Sequence[Any], **params: Any
) -> tuple[list[jax.Array], list[int]]:
    count = params["count"]

    def operations(*flat: jax.Array) -> list[jax.Array]:
        return jax.vmap(functools.partial(_operations, **params), tuple(axes))(*flat, *operands[count:])

    def kernel(*flat: jax.Array, interpret: bool) -> list[jax.Array]:
        return jax.vmap(functools.partial(params["kernel"], interpret=interpret), tuple(axes[:count]))(*flat)

    closed = jax.make_jaxpr(operations)(*operands[:count])
    found = _bind(kernel, closed, operands[:count], force=params["force"])
    return found, [0] * len(found)


def _differentiated(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    tangents = tuple(map(ad.instantiate_zeros, tangents))
    return jax.jvp(functools.partial(_operations, **params), tuple(primals), tangents)


def _lower(ctx: mlir.LoweringRuleContext, *operands: jax.Array, force: bool, **params: Any) -> Sequence[Any]:
    if force:
        return mlir.lower_fun(functools.partial(_kernel, interpret=True))(ctx, *operands, **params)
    return mlir.lower_fun(_operations)(ctx, *operands, **params)


def _lower_for_cuda(ctx: mlir.LoweringRuleContext, *operands: jax.Array, **params: Any) -> Sequence[Any]:
    try:
        return mlir.lower_fun(functools.partial(_kernel, interpret=False))(ctx, *operands, **params)
    except Exception as error:
        if params["force"]:
            raise
        _warn_once(f"{type(error).__name__}: {error}" if not isinstance(error, NotServed) else str(error))
        return mlir.lower_fun(_operations)(ctx, *operands, **params)


@functools.cache
def _warn_once(cause: str) -> None:
    warnings.warn(f"the search runs without its GPU kernels, several times slower: {cause}", stacklevel=2)


_choice.def_impl(_operations)
_choice.def_abstract_eval(lambda *_, jaxpr, **__: [var.aval for var in jaxpr.outvars])
batching.primitive_batchers[_choice] = _batched
ad.primitive_jvps[_choice] = _differentiated
mlir.register_lowering(_choice, _lower)
mlir.register_lowering(_choice, _lower_for_cuda, platform="cuda")
