"""A transformer over the tokens of an observation: cards, players, pieces.

Axes: B rows, n tokens, f features per token, D width.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jzero.pytrees import Observation


class Transformer(nn.Module):
    """Pre-normalised attention between tokens (Vaswani et al. 2017; Xiong et al. 2020); a summary token is the
    output.

    A leaf [B, n, f] of the observation becomes n tokens, a leaf [B, f] one. Every leaf has its own embedding and
    every token a learned position, which identifies the token's card or seat.

    Attributes:
      width: D, a multiple of 32: heads have 32 units each.
      blocks: number of blocks: attention, then two dense layers with 4 D hidden units.
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: Observation) -> jax.Array:
        """Features [B, D] of an observation.

        Raises:
          ValueError: a leaf of the observation is neither [f] nor [n, f].
        """
        x = jnp.concatenate([self._embed(leaf) for leaf in jax.tree.leaves(observation)], axis=1)
        position = self.param("position", nn.initializers.normal(0.02), (x.shape[1] + 1, self.width))
        x = jnp.pad(x, ((0, 0), (1, 0), (0, 0))) + position.astype(self.dtype)
        for _ in range(self.blocks):
            x = x + self._attend(nn.LayerNorm(dtype=self.dtype)(x))
            y = nn.Dense(4 * self.width, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x))
            x = x + nn.Dense(self.width, dtype=self.dtype)(nn.gelu(y))
        return nn.LayerNorm(dtype=self.dtype)(x[:, 0])

    def _embed(self, leaf: jax.Array) -> jax.Array:
        """Tokens [B, n, D] of a leaf."""
        if leaf.ndim not in (2, 3):
            raise ValueError(
                f"network.kind 'transformer' needs observation leaves [f] or [n, f], not {leaf.shape[1:]}; use "
                "--network.kind mlp or resnet"
            )
        tokens = leaf if leaf.ndim == 3 else leaf[:, None]
        return nn.Dense(self.width, dtype=self.dtype)(tokens.astype(self.dtype))

    def _attend(self, x: jax.Array) -> jax.Array:
        return jnp.asarray(nn.MultiHeadDotProductAttention(self.width // 32, dtype=self.dtype)(x))
