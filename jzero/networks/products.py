"""Matrix products in bfloat16 between float32 arrays, for a CPU's matrix units (AMX).

Everything else stays float32, which is faster than bfloat16 on a CPU. Axes: B rows, F features in, O features out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


def dense(width: int, dtype: Any, narrow: bool, **options: Any) -> nn.Dense:
    """A dense layer that computes in `dtype`; if `narrow`, its product is in bfloat16 and the rest in float32."""
    return nn.Dense(width, dtype=dtype, dot_general=_dot_general if narrow else None, **options)


def dense_at_cells(width: int, dtype: Any, narrow: bool, **options: Any) -> nn.Dense:
    """`dense` at each cell of boards [B, H, W, F].

    On a GPU it is a convolution: XLA's compiler of JAX 0.10 fails on products that it fuses with some observations
    ("Couldn't find output tile sizes").
    """
    return nn.Dense(width, dtype=dtype, dot_general=partial(_at_cells, narrow), **options)


def _at_cells(
    narrow: bool, x: jax.Array, kernel: jax.Array, dimension_numbers: Any, precision: Any = None
) -> jax.Array:
    del dimension_numbers, precision  # a dense layer's
    layout = ("NHWC", "HWIO", "NHWC")

    def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel[None, None], (1, 1), "VALID", dimension_numbers=layout)

    return jax.lax.platform_dependent(x, kernel, cuda=convolution, default=product if narrow else jnp.matmul)


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """f32[..., O] from f32[..., F] and weights [F, O]: factors are rounded to bfloat16, sums are float32."""
    rows = jnp.reshape(x, (-1, x.shape[-1]))
    # Cast outside of what differentiates by itself, so that `networks.prepare` finds the dtype.
    return jnp.reshape(_product(rows, kernel.astype(jnp.bfloat16)), (*x.shape[:-1], kernel.shape[-1]))


def _dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, precision: Any = None) -> jax.Array:
    del dimension_numbers, precision  # a dense layer's
    return product(x, kernel)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """f32[B, O] of f32[B, F] and bf16[F, O]."""
    return _dot(x.astype(jnp.bfloat16), kernel, 0)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    narrow = x.astype(jnp.bfloat16)
    return _dot(narrow, kernel, 0), (narrow, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    narrow = gradient.astype(jnp.bfloat16)
    # XLA would contract over the rows of both, for which its CPU library has no fast code.
    columns = with_layout_constraint(jnp.transpose(x), Layout(major_to_minor=(0, 1)))
    return _dot(narrow, kernel, 1), _dot(columns, narrow, 0).astype(jnp.bfloat16)


def _dot(x: jax.Array, kernel: jax.Array, axis: int) -> jax.Array:
    """Contracts the last axis of `x` with `axis` of `kernel`; float32."""
    return jax.lax.dot_general(x, kernel, (((1,), (axis,)), ((), ())), preferred_element_type=jnp.float32)


_product.defvjp(_forward, _backward)
