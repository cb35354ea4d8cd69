"""Which random draws the parts of an initial state come from, read from the traced `init`."""

from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from typing import NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

from jzero.check.rows import is_key
from jzero.pytrees import OneState

CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call"}
"""Primitives that are read through. Others that hold a program (scan, while, cond) count as one operation."""


class _Value(NamedTuple):
    """An array of the program."""

    number: int
    """The same for results of the same operation on the same arrays."""
    draws: frozenset[tuple[str, int]]
    """(kind, number) of the draws that it depends on: "key" for the numbers of a key, "draw" for what is drawn."""
    seed: bool = False
    """Whether it is a key, or bits as they were drawn."""


def apart(init: Callable[[jax.Array], OneState]) -> list[list[int]]:
    """Groups of the leaves of `init(key)`, as indices: leaves of different groups depend on different draws.

    Such groups are independent if the draws are, so a group of one initial state among those of another is a
    possible initial state. What comes from one draw, such as a board and its hash, is in one group; but a key, and
    bits as they were drawn, are alone: a seed of what follows. Leaves that depend on no draw are in no group.
    """
    traced = jax.make_jaxpr(init)(jax.random.key(0))
    numbers: dict[tuple, int] = {}
    leaves = _outputs(numbers, traced, [_Value(_number(numbers, "the key"), frozenset(), seed=True)])
    groups: list[tuple[list[int], frozenset]] = []
    for index, leaf in enumerate(leaves):
        draws = frozenset({("seed", leaf.number)}) if leaf.seed else leaf.draws
        indices = [index]
        for group in [group for group in groups if group[1] & draws]:
            groups.remove(group)
            indices, draws = group[0] + indices, group[1] | draws
        if draws:
            groups.append((indices, draws))
    return [indices for indices, _ in groups]


def _number(numbers: dict[tuple, int], *what: Hashable) -> int:
    """The number of `what`; equal ones have the same."""
    return numbers.setdefault(what, len(numbers))


def _outputs(numbers: dict[tuple, int], closed: ClosedJaxpr, inputs: Sequence[_Value]) -> list[_Value]:
    """The outputs of a closed jaxpr."""
    constants = [_Value(_number(numbers, "constant", id(array)), frozenset()) for array in closed.consts]
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

    def read(atom: Literal | Var) -> _Value:
        if isinstance(atom, Literal):
            return _Value(_number(numbers, "literal", str(atom.aval), repr(atom.val)), frozenset())
        return values[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        inside = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        through = equation.primitive.name in CALLS and inside is not None
        found = _outputs(numbers, inside, given) if through else _results(numbers, equation, given)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _results(numbers: dict[tuple, int], equation: JaxprEqn, given: Sequence[_Value]) -> list[_Value]:
    """The results of one operation. Of a key, a result that is no key is a new draw."""
    name = equation.primitive.name
    operation = _number(numbers, name, str(equation.params), *(value.number for value in given))
    draws = reduce(frozenset.union, (value.draws for value in given), frozenset())
    of_key = any(_holds_key(atom) for atom in equation.invars)
    results = []
    for index, variable in enumerate(equation.outvars):
        if _holds_key(variable):  # a key made of a key's numbers is a key like others
            own = draws if of_key else frozenset(draw for draw in draws if draw[0] != "key")
        else:
            own = draws | {("key" if name == "random_unwrap" else "draw", operation)} if of_key else draws
        seed = _holds_key(variable) or name == "random_bits"
        results.append(_Value(_number(numbers, "result", operation, index), own, seed))
    return results


def _holds_key(atom: Literal | Var) -> bool:
    return hasattr(atom.aval, "dtype") and is_key(atom.aval)
