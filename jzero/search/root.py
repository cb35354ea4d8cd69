"""Shared by all policies, before and after the simulations: legal actions, a tree with only the root, the result.

Axes: B games, A actions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from mctx import PolicyOutput, RootFnOutput

from jzero.pytrees import PyTree
from jzero.search import layout, simulate
from jzero.search.arguments import Size
from jzero.search.leaves import search_leaves
from jzero.search.tree import Tree, init_tree
from jzero.search.types import Select

NO_TREE: Any = None
"""The tree argument of a selection that reads only rows."""


def legal_logits(root: RootFnOutput, invalid_actions: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """(f32[B, A] the root's prior logits, -inf for invalid actions; [B, A] non-zero for invalid actions)."""
    invalid = jnp.zeros_like(root.prior_logits) if invalid_actions is None else invalid_actions
    return mask_invalid_actions(jnp.asarray(root.prior_logits, jnp.float32), invalid), invalid


def as_float32(number: Any) -> Any:
    """A hyper-parameter that widens no float32 in 64-bit mode: an array as float32, a scalar of NumPy as a Python
    number, since these adapt to any dtype; anything else unchanged.
    """
    if isinstance(number, jax.Array | np.ndarray):
        return number.astype(np.float32)
    return number.item() if isinstance(number, np.generic) else number


def mask_invalid_actions(logits: jax.Array, invalid_actions: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf for invalid actions; a row without a valid action becomes uniform."""
    masked = jnp.where(layout.is_set(invalid_actions), -jnp.inf, logits)
    return jnp.where(jnp.any(masked > -jnp.inf, axis=-1, keepdims=True), masked, 0.0)


def fresh_tree(
    logits: jax.Array,
    root: RootFnOutput,
    size: Size,
    invalid: jax.Array,
    to_play: Callable | None,
    model_state: PyTree,
    extra_data: PyTree = None,
    *,
    solve: bool = False,
) -> Tree:
    """A tree with only the root, with prior `logits` [B, A]; with `solve` it has bounds."""
    return init_tree(
        logits,
        jnp.asarray(root.value),
        root.embedding,
        num_nodes=size.num_nodes,
        invalid_actions=invalid,
        to_play=None if to_play is None else to_play(root.embedding),
        extra_data=extra_data,
        model_state=model_state,
        solve=solve,
    )


def of_row(select: Select) -> Callable:
    """`select` as a function of the node's row only."""
    return functools.partial(select, NO_TREE)


def search_by(leaves: int, loop_fn: Callable, rounds: jax.Array | None = None) -> Callable[..., Tree]:
    """The function that runs the simulations: one by one, or several per tree at a time
    (`leaves.search_leaves`).
    """
    if leaves == 1:
        return functools.partial(simulate.search, loop_fn=loop_fn)
    return functools.partial(search_leaves, leaves=leaves, rounds=rounds)


def output(action: jax.Array, action_weights: jax.Array, tree: Tree) -> PolicyOutput:
    """The result in mctx's type, with this package's tree."""
    return PolicyOutput(action=action, action_weights=action_weights, search_tree=cast(Any, tree))
