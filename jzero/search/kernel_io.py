"""Calls of a kernel, one program per game, and its reads and writes.

Axes: B games, N nodes, F elements of a state. Shapes inside a kernel have no batch axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jzero.pytrees import PyTree, States
from jzero.search import layout
from jzero.search.engines import NotServed
from jzero.search.scores import NARROW

Ref = Any
"""An array that a kernel reads or writes; Pallas has no static type for it."""
Index = int | jax.Array
"""An integer, or i32[...]."""
FEWEST_LANES = 1 << NARROW.bit_length()
"""`scores` reduces narrower rows with an operation that Triton lacks."""
LANES_PER_WARP = 256
"""Above this width a game gets more than one warp."""
CHUNK = 1024
"""Elements of a state copied at a time."""
LEAST_CAPABILITY = 80
"""Ten times the lowest CUDA compute capability that Triton supports (Ampere)."""


def call(
    kernel: Callable,
    name: str,
    operands: Sequence[jax.Array],
    outputs: Sequence[tuple[tuple[int, ...], Any]],
    width: int,
    interpret: bool,
    *,
    in_place: bool = False,
) -> Sequence[PyTree]:
    """Runs `kernel` for each of the B games of `operands[0]`, whose widest row has `width` entries.

    With `in_place` the first operands are the outputs.

    Raises:
      NotServed: the card is too old.
    """
    if not interpret:
        _check_card()
    varies = jax.typeof(operands[0]).manual_axis_type
    return pl.pallas_call(
        kernel,
        grid=(operands[0].shape[0],),
        out_shape=[jax.ShapeDtypeStruct(*output, manual_axis_type=varies) for output in outputs],
        input_output_aliases={i: i for i in range(len(outputs))} if in_place else {},
        compiler_params=triton.CompilerParams(
            num_warps=max(1, min(8, lanes(width) // LANES_PER_WARP)), num_stages=1
        ),
        interpret=interpret,
        name=name,
    )(*operands)


def _check_card() -> None:
    """Raises NotServed for a card that Triton does not support."""
    capability = _capability()
    if capability < LEAST_CAPABILITY:
        raise NotServed(
            f"the GPU has compute capability {capability / 10:.1f}, and the kernels need "
            f"{LEAST_CAPABILITY / 10:.1f} (Ampere)"
        )


def _capability() -> int:
    """Ten times the CUDA compute capability of the target card."""
    if hasattr(triton, "get_gpu_info"):
        return triton.get_gpu_info().compute_capability
    try:
        return int(jax.local_devices(backend="gpu")[0].compute_capability.replace(".", ""))
    except RuntimeError:  # no GPU is here: before jax 0.11 Pallas then compiles for Hopper
        return 90


# Elements of references. Plain integers become i32, as interpreted kernels need it.


def load(ref: Ref, *index: Index, mask: jax.Array | None = None, other: PyTree = None) -> jax.Array:
    """Reads `ref` at `index`; `other` where not `mask`."""
    other = None if other is None else jnp.asarray(other).astype(ref.dtype)
    return triton.load(_at(ref, index), mask=mask, other=other)


def store(value: jax.Array | float, ref: Ref, *index: Index, mask: jax.Array | None = None) -> None:
    """Writes `value` in the dtype of `ref`, where `mask`."""
    triton.store(_at(ref, index), jnp.asarray(value).astype(ref.dtype), mask=mask)


def _at(ref: Ref, index: tuple) -> PyTree:
    return ref.at[tuple(jnp.int32(i) if isinstance(i, int) else i for i in index)]


def copy(source: Ref, from_index: tuple, target: Ref, to_index: tuple, keep: jax.Array | None = None) -> None:
    """Copies a state [F]; zeros where not `keep` bool[]."""
    size = source.shape[-1]

    def chunk(start: jax.Array | int, width: int) -> None:
        lane = start + iota(width)
        mask = lane < size
        value = load(source, *from_index, lane, mask=mask, other=0)
        if keep is not None:
            value = jnp.where(keep, value, jnp.zeros_like(value))
        store(value, target, *to_index, lane, mask=mask)

    if size <= CHUNK:
        chunk(0, lanes(size))
    else:
        jax.lax.fori_loop(0, -(-size // CHUNK), lambda i, _: chunk(i * CHUNK, CHUNK), None)


def numbers(number: jax.Array | int) -> jax.Array:
    """i32[1] of a number [] for all games, or i32[B] as they are."""
    return jnp.atleast_1d(jnp.asarray(number, jnp.int32))


def number_of(numbers: Ref, game: jax.Array) -> jax.Array:
    """i32[]: a game's entry of `numbers`."""
    return load(numbers, 0 if numbers.shape[0] == 1 else game)


def lanes(width: int) -> int:
    """`width` padded to a power of two."""
    return max(FEWEST_LANES, 1 << (width - 1).bit_length())


def iota(count: int) -> jax.Array:
    """i32[count]: 0, 1, ..."""
    return jax.lax.iota(jnp.int32, count)


def any_open(open_priors: jax.Array) -> jax.Array:
    """bool[]: whether an action is open, of f32[L]."""
    return jnp.max(open_priors) > -jnp.inf


def root_has_open(open_priors: Ref, game: jax.Array) -> jax.Array:
    """bool[]: whether an action of a game's root is open."""
    return any_open(row_of(open_priors, game, layout.ROOT_INDEX))


def row_of(open_priors: Ref, game: jax.Array, node: Index) -> jax.Array:
    """f32[L] the open priors at a node, padded with -inf."""
    lane = iota(lanes(open_priors.shape[2]))
    return load(open_priors, game, node, lane, mask=lane < open_priors.shape[2], other=-math.inf)


def flat(states: States, axes: int) -> list[jax.Array]:
    """The non-empty leaves of states, all but the first `axes` axes flattened: [B, F] or [B, N, F]."""
    leaves = [jax.random.key_data(leaf) if layout.is_key(leaf) else leaf for leaf in jax.tree.leaves(states)]
    return [x.reshape(*x.shape[:axes], math.prod(x.shape[axes:])) for x in leaves if x.size]


def unflat(leaves: Sequence[jax.Array], states: States, axes: int) -> PyTree:
    """States [B, ...] or, with two `axes`, [B, N, ...], with the structure of `states` [B, N, ...], from `flat`
    leaves.
    """
    rest = iter(leaves)

    def unflat(like: jax.Array) -> jax.Array:
        shape = (*like.shape[:axes], *like.shape[2:])
        if not like.size:
            return jnp.zeros(shape, like.dtype)
        leaf = next(rest)
        if not layout.is_key(like):
            return leaf.reshape(shape)
        data = leaf.reshape(*shape, *jax.random.key_data(like).shape[like.ndim :])
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))

    return jax.tree.map(unflat, states)
