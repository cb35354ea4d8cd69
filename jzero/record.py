"""Compact records of positions in the replay: only what training reads.

Training reads an observation, the legal actions and at most the player to move. A state holds more, such as the
hashes of all earlier positions; but an observation may be larger than its source. So the replay keeps either the
leaves of a state that these depend on, or the values themselves, whichever is smaller. Booleans take one bit each,
and long policies are cut to their largest probabilities.

Axes: B games, S samples, A actions, K kept probabilities. Leading axes are written as ....
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

from jzero.env import Env
from jzero.pytrees import OneState, PyTree, States

MAX_POLICY = 256
"""Stored probabilities per policy, if it has at least twice that number of actions: the largest ones."""


class Position(NamedTuple):
    """A position for training, as its player to move sees it."""

    seen: Any
    """The network's input: the observation, or `jzero.env.Revealed`."""
    legal: jax.Array
    """bool[..., A]"""
    mover: Any = ()
    """i32[...] the player to move; () if unused."""


class Recorder(NamedTuple):
    """Functions that pack positions for the replay and unpack them."""

    pack: Callable[[States], PyTree]
    """States [B] -> packed positions, leaves [B, ...]."""
    unpack: Callable[[PyTree], Any]
    """Packed positions, leaves [...] -> positions [...]."""


class TopPolicy(NamedTuple):
    """The largest probabilities of a policy."""

    action: jax.Array
    """u16 or i32[..., K]"""
    probability: jax.Array
    """f32[..., K], with sum 1."""


def make_recorder(env: Env, read: Callable[[OneState], PyTree]) -> Recorder:
    """The recorder of an environment.

    Args:
      env: the environment; if it has `record`, `read` takes that function's output.
      read: one state -> the data for training, a pytree of arrays.
    """
    record: Callable[[OneState], PyTree] = getattr(env, "record", lambda state: state)
    like = jax.eval_shape(lambda key: record(env.init(key)), jax.random.key(0))
    leaves, tree = jax.tree.flatten(like)
    used = _leaves_read(read, like)

    def read_leaves(kept: list[jax.Array]) -> PyTree:
        rest = iter(kept)
        return read(
            tree.unflatten(
                next(rest) if is_used else jnp.zeros(leaf.shape, leaf.dtype)
                for leaf, is_used in zip(leaves, used, strict=True)
            )
        )

    def kept_leaves(state: OneState) -> list[jax.Array]:
        return [x for x, is_used in zip(jax.tree.leaves(record(state)), used, strict=True) if is_used]

    of_state, of_reading = (
        [leaf for leaf, is_used in zip(leaves, used, strict=True) if is_used],
        jax.eval_shape(read, like),
    )
    if _packed_bytes(of_state) <= _packed_bytes(of_reading):
        keep, rows, derive = kept_leaves, of_state, read_leaves
    else:
        keep, rows, derive = (lambda state: read(record(state))), of_reading, (lambda kept: kept)

    def pack(states: States) -> PyTree:
        return jax.tree.map(_bits, jax.vmap(keep)(states), rows)

    def unpack(kept: PyTree) -> PyTree:
        whole = jax.tree.map(_booleans, kept, rows)
        leading = jax.tree.leaves(whole)[0].ndim - jax.tree.leaves(rows)[0].ndim
        function = derive
        for _ in range(leading):
            function = jax.vmap(function)
        return function(whole)

    return Recorder(pack, unpack)


def pack_policy(policy: jax.Array) -> jax.Array | TopPolicy:
    """Policies f32[..., A] as the replay keeps them: unchanged, or the largest probabilities if A is large."""
    num_actions = policy.shape[-1]
    if num_actions < 2 * MAX_POLICY:
        return policy
    probability, action = jax.lax.top_k(policy, MAX_POLICY)
    dtype = jnp.uint16 if num_actions <= 2**16 else jnp.int32
    return TopPolicy(action.astype(dtype), probability / jnp.sum(probability, axis=-1, keepdims=True))


def unpack_policy(kept: jax.Array | TopPolicy, num_actions: int) -> jax.Array:
    """Policies f32[..., A]: the inverse of `pack_policy`."""
    if not isinstance(kept, TopPolicy):
        return kept
    zeros = jnp.zeros((*kept.action.shape[:-1], num_actions), kept.probability.dtype)
    return jnp.put_along_axis(zeros, kept.action.astype(jnp.int32), kept.probability, axis=-1, inplace=False)


def _leaves_read(read: Callable[[OneState], PyTree], like: PyTree) -> list[bool]:
    """The leaves that `read` depends on, of a state `like` this one."""
    leaves, tree = jax.tree.flatten(like)
    jaxpr = jax.make_jaxpr(lambda *leaves: read(tree.unflatten(leaves)))(*leaves).jaxpr
    return dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1]


def _takes_bits(row: PyTree) -> bool:
    return row.dtype == bool and row.ndim > 0


def _packed_bytes(rows: PyTree) -> int:
    sizes = (
        -(-row.size // 8) if _takes_bits(row) else row.size * row.dtype.itemsize
        for row in jax.tree.leaves(rows)
    )
    return sum(sizes)


def _bits(x: jax.Array, row: PyTree) -> jax.Array:
    """Boolean rows [B, ...] as bits, u8[B, ceil(n / 8)]."""
    return jnp.packbits(x.reshape(x.shape[0], -1), axis=-1) if _takes_bits(row) else x


def _booleans(kept: jax.Array, row: PyTree) -> jax.Array:
    if not _takes_bits(row):
        return kept
    bits = jnp.unpackbits(kept, axis=-1, count=math.prod(row.shape))
    return bits.astype(bool).reshape(*kept.shape[:-1], *row.shape)
