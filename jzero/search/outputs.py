"""Checks of what a user's model returns, made while a search is traced: they cost nothing when it runs.

Axes: B rows of a call (games, or their leaves), A actions, C outcomes, P players.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from mctx import RootFnOutput

from jzero.pytrees import PyTree

Shape = tuple[int, ...]


def checked_model(recurrent_fn: Callable, root: RootFnOutput) -> Callable:
    """The model, with a ValueError where its output does not fit the search from `root`."""
    num_actions, players = jnp.shape(root.prior_logits)[1], jnp.shape(root.value)[1:]

    def model(
        params: PyTree, rng_key: jax.Array, action: jax.Array, embedding: PyTree, *state: PyTree
    ) -> Any:
        found = recurrent_fn(params, rng_key, action, embedding, *state)
        parts = "a RecurrentFnOutput and the embedding" + (", and the model's state" if state else "")
        output, after, *memory = check_parts("recurrent_fn", found, 2 + len(state), parts)
        rows = jnp.shape(action)
        shapes = {
            "reward": rows + players,
            "discount": rows,
            "prior_logits": (*rows, num_actions),
            "value": rows + players,
        }
        check_output("recurrent_fn", output, shapes)
        return output, like("recurrent_fn", after, embedding), *memory

    return model


def check_parts(name: str, found: Any, count: int, parts: str) -> tuple:
    """`found` if it is a tuple of `count` parts; else raises ValueError."""
    if not isinstance(found, tuple | list) or len(found) != count:
        kind = f"{len(found)} values" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
        raise ValueError(f"{name} returns {kind}; it must return {parts}")
    return tuple(found)


def check_output(name: str, output: Any, shapes: dict[str, Shape]) -> None:
    """Raises ValueError unless the fields of a model's output have these shapes."""
    for field, shape in shapes.items():
        if not hasattr(output, field):
            raise ValueError(
                f"{name} returns a {type(output).__name__} without {field}; its output must have "
                f"{', '.join(shapes)}"
            )
        value = getattr(output, field)
        found = None if value is None else jnp.shape(value)
        if found != shape:
            raise ValueError(
                f"{name} returns {field} {'None' if found is None else f'of shape {found}'}; its shape must be "
                f"{shape}, with one row for each of the {shape[0]} actions it gets"
            )


def like(name: str, after: PyTree, before: PyTree) -> PyTree:
    """The embedding `after`, broadcast to the shapes of the one `before`; raises ValueError if it does not fit."""
    found, expected = jax.tree.structure(after), jax.tree.structure(before)
    if found != expected:
        raise ValueError(
            f"{name} returns an embedding of the structure {found}; it must be that of root.embedding, {expected}"
        )

    def fitted(path: tuple, old: jax.Array, new: jax.Array) -> jax.Array:
        shape, wanted = jnp.shape(new), jnp.shape(old)
        if shape == wanted:
            return new
        if not _fits(shape, wanted):
            where = jax.tree_util.keystr(path) or "itself"
            raise ValueError(
                f"{name} returns an embedding whose leaf {where} has shape {shape}; it must be that of "
                f"root.embedding, {wanted}"
            )
        return jnp.broadcast_to(new, wanted)

    return jax.tree_util.tree_map_with_path(fitted, before, after)


def _fits(shape: Shape, wanted: Shape) -> bool:
    """Whether arrays of this shape can be broadcast to the `wanted` one."""
    return len(shape) == len(wanted) and all(a in (1, b) for a, b in zip(shape, wanted, strict=True))
