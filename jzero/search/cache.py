"""An evaluation cache: positions already evaluated, in this tree or another, are not evaluated again.

It is a table in device memory, shared by all games of a batch. A fingerprint of two uint32 identifies a position
and its place in the table; a later position overwrites an earlier one. In a batch that runs in lockstep a hit saves
time only if the misses are packed together, as they are here (`packed.py`). A position requested by several games
in one call is evaluated once.

    cache = EvaluationCache(fingerprint, advance, evaluate)
    table = cache.empty(2**16, params, root.embedding)
    output = muzero_policy(params, key, root, cache.recurrent_fn, 64, model_state=table)
    table = output.search_tree.model_state  # for the next search

The table is valid for the parameters that filled it: start with an empty one when they change.

Axes: B games, A actions, T places of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from mctx import RecurrentFnOutput

from jzero.pytrees import Embedding, Params
from jzero.search.packed import call_packed


class CacheState(NamedTuple):
    """The table and its counters."""

    keys: jax.Array
    """u32[T, 2] fingerprint of the position in each place."""
    filled: jax.Array
    """bool[T]"""
    logits: jax.Array
    """f32[T, A]"""
    values: jax.Array
    """f32[T], or [T, P] if every player has a value."""
    asked: jax.Array
    """i32[] positions requested; terminal ones do not count."""
    hits: jax.Array
    """i32[] number of these found in the table."""
    shared: jax.Array
    """i32[] number of these evaluated for another game in the same call."""


class EvaluationCache:
    """A model with a cache for its network.

    Args:
      fingerprint: embedding [B, ...] -> u32[B, 2], equal for positions with equal evaluations only.
      advance: `(params, rng_key, action [B], embedding) -> (reward [B], discount [B], embedding)`: the rules.
      evaluate: `(params, embedding [n, ...]) -> (prior_logits [n, A], value [n] or [n, P])`: the network.
    """

    def __init__(
        self,
        fingerprint: Callable[[Any], jax.Array],
        advance: Callable[..., tuple[jax.Array, jax.Array, Any]],
        evaluate: Callable[[Any, Any], tuple[jax.Array, jax.Array]],
    ) -> None:
        self.fingerprint = fingerprint
        self.advance = advance
        self.evaluate = evaluate

    def empty(self, size: int, params: Params, embedding: Embedding) -> CacheState:
        """A table of `size` places, a power of two.

        Args:
          size: T.
          params: parameters of the network.
          embedding: [B, ...] of any positions, for its shapes.

        Raises:
          ValueError: `size` is not a power of two.
        """
        if size < 1 or size & (size - 1):
            raise ValueError(f"size is {size}; it must be a power of two, e.g. {1 << size.bit_length()}")
        logits, values = jax.eval_shape(self.evaluate, params, embedding)
        return CacheState(
            keys=jnp.zeros((size, 2), jnp.uint32),
            filled=jnp.zeros(size, bool),
            logits=jnp.zeros((size, logits.shape[-1]), jnp.float32),
            values=jnp.zeros((size, *values.shape[1:]), jnp.float32),
            asked=jnp.int32(0),
            hits=jnp.int32(0),
            shared=jnp.int32(0),
        )

    def recurrent_fn(
        self, params: Params, rng_key: jax.Array, action: jax.Array, embedding: Embedding, state: CacheState
    ) -> tuple[RecurrentFnOutput, Embedding, CacheState]:
        """The `recurrent_fn` for a policy with `model_state=`."""
        reward, discount, embedding = self.advance(params, rng_key, action, embedding)
        logits, value, state = self.lookup(params, embedding, discount != 0, state)
        step = RecurrentFnOutput(reward=reward, discount=discount, prior_logits=logits, value=value)
        return step, embedding, state

    def lookup(
        self, params: Params, embedding: Embedding, wanted: jax.Array, state: CacheState
    ) -> tuple[jax.Array, jax.Array, CacheState]:
        """(logits f32[B, A], values f32[B]) of the positions with `wanted` bool[B]; zeros elsewhere."""
        size, batch_size = state.filled.shape[0], wanted.shape[0]
        key = self.fingerprint(embedding)
        place = _place(key, size)
        is_hit = wanted & state.filled[place] & jnp.all(state.keys[place] == key, axis=-1)
        is_miss = wanted & ~is_hit
        # Of the games that miss at one place the last is evaluated, and so are those with another position.
        games = jnp.arange(batch_size, dtype=jnp.int32)
        owner = jnp.zeros(size, jnp.int32).at[jnp.where(is_miss, place, size)].max(games, mode="drop")[place]
        is_shared = is_miss & (owner != games) & jnp.all(key[owner] == key, axis=-1)
        is_called = is_miss & ~is_shared
        called = call_packed(lambda rows: self.evaluate(params, rows), is_called, embedding)

        def pick(called: jax.Array, stored: jax.Array) -> jax.Array:
            """Of each game what was found for it, in the table, by itself or by another game."""
            called = called.astype(jnp.float32)
            axes = wanted.shape + (1,) * (called.ndim - 1)
            found = jnp.where(is_shared.reshape(axes), called[owner], called)
            return jnp.where(is_hit.reshape(axes), stored[place], found)

        logits, values = jax.tree.map(pick, called, (state.logits, state.values))
        write = jnp.where(is_miss & (owner == games), place, size)
        state = CacheState(
            keys=state.keys.at[write].set(key, mode="drop"),
            filled=state.filled.at[write].set(True, mode="drop"),
            logits=state.logits.at[write].set(logits, mode="drop"),
            values=state.values.at[write].set(values, mode="drop"),
            asked=state.asked + jnp.sum(wanted, dtype=jnp.int32),
            hits=state.hits + jnp.sum(is_hit, dtype=jnp.int32),
            shared=state.shared + jnp.sum(is_shared, dtype=jnp.int32),
        )
        return logits, values, state


def _place(key: jax.Array, size: int) -> jax.Array:
    """The places i32[B] of fingerprints u32[B, 2] in a table of `size` places, a power of two.

    Multiplicative hashing (Knuth 1973, section 6.4), so fingerprints need not be random.
    """
    mixed = key[:, 0] * jnp.uint32(0x9E3779B1) + key[:, 1] * jnp.uint32(0x85EBCA77)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x2C1B3C6D)
    return ((mixed ^ (mixed >> 13)) & jnp.uint32(size - 1)).astype(jnp.int32)
