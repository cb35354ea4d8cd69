"""Bodies: an observation -> features [B, F].

Normalisation is LayerNorm or GroupNorm, so that the parameters are the whole model and a row's output never
depends on its batch mates.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp


def flatten(observation: Any, dtype: Any) -> jax.Array:
    """All leaves [B, ...] of an observation side by side: [B, F]."""
    leaves = jax.tree.leaves(observation)
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in leaves], axis=-1)


class ResidualMLP(nn.Module):
    """Residual MLP with pre-normalised blocks of two dense layers.

    Attributes:
      width: hidden units.
      blocks: number of blocks.
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: Any) -> jax.Array:
        """Features [B, width] of an observation (a pytree of [B, ...])."""
        x = nn.Dense(self.width, dtype=self.dtype)(flatten(observation, self.dtype))
        for _ in range(self.blocks):
            y = nn.LayerNorm(dtype=self.dtype)(x)
            y = nn.relu(nn.Dense(self.width, dtype=self.dtype)(y))
            x = x + nn.Dense(self.width, dtype=self.dtype, kernel_init=_residual_init(self.blocks))(y)
        return nn.relu(nn.LayerNorm(dtype=self.dtype)(x))


class ResidualTower(nn.Module):
    """Residual tower of 3x3 convolutions (AlphaGo Zero), pre-normalised.

    Attributes:
      width: channels.
      blocks: number of blocks of two convolutions.
      norm: "layer" (over a position's whole feature map) or "group" (groups of 8 channels, or all of them).
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    norm: Literal["layer", "group"] = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Features [B, H * W * width] of boards [B, H, W, C].

        Raises:
          ValueError: the observation is not a board.
        """
        if not hasattr(observation, "ndim") or observation.ndim != 4:
            raise ValueError(
                f"network.kind 'resnet' needs observations [H, W, C], not {jax.tree.map(jnp.shape, observation)} "
                "(with the batch axis); use --network.kind mlp"
            )
        x = self._conv()(observation.astype(self.dtype))
        for _ in range(self.blocks):
            y = self._conv()(nn.relu(self._norm()(x)))
            x = x + self._conv(_residual_init(self.blocks))(nn.relu(self._norm()(y)))
        return nn.relu(self._norm()(x)).reshape(x.shape[0], -1)

    def _conv(self, kernel_init: Any = None) -> nn.Module:
        kernel_init = kernel_init or nn.initializers.lecun_normal()
        return nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, kernel_init=kernel_init)

    def _norm(self) -> nn.Module:
        groups = 1 if self.norm == "layer" or self.width % 8 else self.width // 8
        return nn.GroupNorm(num_groups=groups, dtype=self.dtype)


def _residual_init(blocks: int) -> Any:
    """Smaller weights at the end of each block, so that the variance does not grow with the depth."""
    return nn.initializers.variance_scaling(1.0 / max(blocks, 1), "fan_in", "truncated_normal")
