"""Finds the transforms of Q-values by which only mctx's engine can search.

A tree here stores the tried actions of a node and, for all others, the greatest prior. So it serves transforms that
give a node's untried legal actions one value, as mctx's own do. A user's transform may give them different ones,
such as a bonus per action: then mctx searches. Axes: N nodes, A actions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np

from jzero.pytrees import PyTree
from jzero.search.options import NONE, Options
from jzero.search.qtransforms import is_own

TREES = 4
NODES = 4


def by_mctx(qtransform: Callable, root: mctx.RootFnOutput, options: Options) -> bool:
    """Whether mctx must search by this transform: it tells untried actions apart.

    It is called on a few random trees. One that cannot be called so, since it closes over traced values, may tell
    them apart, and so may one that reads embeddings: mctx searches by these too, unless `options` are set that mctx
    lacks.

    Raises:
      ValueError: it tells them apart, and `options` are set that mctx lacks.
    """
    if is_own(qtransform):
        return False
    apart = tells_untried_apart(qtransform, root)
    beyond = [name for name in Options._fields if not _same(getattr(options, name), getattr(NONE, name))]
    if not beyond:
        return apart is not False
    if apart:
        raise ValueError(
            f"qtransform gives untried actions of a node different values, by which only mctx's engine can search, "
            f"and that has no {', '.join(beyond)}: give all untried actions one value, as mctx's transforms do, or "
            f"omit {' and '.join(beyond)}"
        )
    return False


def tells_untried_apart(qtransform: Callable, root: mctx.RootFnOutput) -> bool | None:
    """Whether a transform gives the untried actions of a node of a random tree different values.

    None if that is not known: it cannot be called outside of a search, or it reads embeddings.
    """
    rng, num_actions = np.random.default_rng(0), jnp.shape(root.prior_logits)[-1]
    # A user's function may raise anything.
    with contextlib.suppress(Exception), jax.ensure_compile_time_eval():
        for _ in range(TREES):
            tree = _random_tree(rng, num_actions, root.embedding)
            found = np.stack([np.asarray(qtransform(tree, jnp.int32(node))) for node in range(NODES)])
            untried = np.asarray(tree.children_visits) == 0
            untried[0] &= np.asarray(tree.root_invalid_actions) == 0
            high, low = (np.where(untried, found, edge) for edge in (-np.inf, np.inf))
            spread = np.where(untried.any(axis=1), high.max(axis=1) - low.min(axis=1), 0.0)
            if (spread > 1e-6 * np.maximum(1.0, np.abs(found).max(axis=1))).any():
                return True
        watched = _Watched(_random_tree(rng, num_actions, root.embedding))
        qtransform(watched, jnp.int32(0))
        return None if watched.embeddings_read else False
    return None


class _Watched:
    """A tree that notes whether its embeddings are read."""

    def __init__(self, tree: mctx.Tree) -> None:
        self._tree, self.embeddings_read = tree, False

    def __getattr__(self, name: str) -> Any:
        self.embeddings_read |= name == "embeddings"
        return getattr(self._tree, name)


def _same(value: PyTree, default: PyTree) -> bool:
    """Whether an option has its default."""
    return value is default or (isinstance(value, (bool, int, float, str)) and value == default)


def _random_tree(rng: np.random.Generator, num_actions: int, embedding: PyTree) -> mctx.Tree:
    """One game's tree: node 0 has the others as children or grandchildren, and about half of all edges visits."""
    edges = (NODES, num_actions)
    visits = rng.integers(1, 9, edges) * (rng.random(edges) < 0.5)
    numbers = {
        name: jnp.asarray(rng.normal(size=edges), jnp.float32) for name in ("logits", "rewards", "values")
    }
    discounts = jnp.asarray(rng.choice([-1.0, 0.0, 1.0], edges), jnp.float32)
    parents = np.array([mctx.Tree.NO_PARENT, 0, *rng.integers(0, 2, NODES - 2)])
    return mctx.Tree(
        node_visits=jnp.asarray(1 + visits.sum(axis=1), jnp.int32),
        raw_values=jnp.asarray(rng.normal(size=NODES), jnp.float32),
        node_values=jnp.asarray(rng.normal(size=NODES), jnp.float32),
        parents=jnp.asarray(parents, jnp.int32),
        action_from_parent=jnp.asarray(
            [mctx.Tree.NO_PARENT, *rng.integers(0, num_actions, NODES - 1)], jnp.int32
        ),
        children_index=jnp.asarray(np.where(visits > 0, rng.integers(1, NODES, edges), -1), jnp.int32),
        children_prior_logits=numbers["logits"],
        children_visits=jnp.asarray(visits, jnp.int32),
        children_rewards=numbers["rewards"],
        children_discounts=discounts,
        children_values=numbers["values"],
        embeddings=jax.tree.map(partial(_random_states, rng), embedding),
        root_invalid_actions=jnp.asarray(rng.random(num_actions) < 0.3, jnp.float32),
        extra_data=mctx.GumbelMuZeroExtraData(
            root_gumbel=jnp.asarray(rng.normal(size=num_actions), jnp.float32)
        ),
    )


def _random_states(rng: np.random.Generator, leaf: jax.Array) -> jax.Array:
    """A leaf [B, ...] of embeddings for the nodes [N, ...] of one game: small numbers, or keys."""
    shape = (NODES, *jnp.shape(leaf)[1:])
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(
            jax.random.key(int(rng.integers(2**31)), impl=jax.random.key_impl(leaf)), shape
        )
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.asarray(rng.normal(size=shape), leaf.dtype)
    return jnp.asarray(rng.integers(0, 2, shape), leaf.dtype)
