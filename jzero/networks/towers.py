"""Bodies: an observation or latent state -> features.

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
        """Feature maps [B, H, W, width] of boards [B, H, W, C].

        Raises:
          ValueError: the observation is not a board.
        """
        if not hasattr(observation, "ndim") or observation.ndim != 4:
            raise ValueError(
                f"network.kind 'resnet' needs observations [H, W, C], not {jax.tree.map(jnp.shape, observation)} "
                "(with the batch axis); use --network.kind mlp"
            )
        x = conv(self.width, self.dtype)(observation.astype(self.dtype))
        for _ in range(self.blocks):
            x = ResidualBlock(self.width, self.blocks, self.norm, self.dtype)(x)
        return nn.relu(normalisation(self.width, self.norm, self.dtype)(x))


class ResidualBlock(nn.Module):
    """Two pre-normalised 3x3 convolutions beside the identity.

    Attributes:
      width: channels, in and out.
      depth: blocks in the tower; see `_residual_init`.
      norm: as in `ResidualTower`.
      dtype: dtype of the computation.
    """

    width: int
    depth: int
    norm: Literal["layer", "group"] = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, width] to the same shape."""
        y = conv(self.width, self.dtype)(nn.relu(normalisation(self.width, self.norm, self.dtype)(x)))
        y = nn.relu(normalisation(self.width, self.norm, self.dtype)(y))
        return computed_once(x + conv(self.width, self.dtype, kernel_init=_residual_init(self.depth))(y))


class AtariTower(nn.Module):
    """EfficientZero's encoder (Ye et al. 2021, appendix A.1): pixels [B, 96, 96, C] to maps [B, 6, 6, width].

    Attributes:
      width: channels at the end; half of it before the second halving of the picture.
      blocks: residual blocks at the end.
      norm: as in `ResidualTower`.
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    norm: Literal["layer", "group"] = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """Feature maps of pixels, u8 in 0 .. 255.

        Raises:
          ValueError: the observation is not [B, 96, 96, C].
        """
        if getattr(observation, "shape", ())[1:3] != (96, 96):
            raise ValueError(
                f"network.kind 'atari' needs pixels [96, 96, C], not {jax.tree.map(jnp.shape, observation)} "
                "(with the batch axis); use --network.kind resnet or mlp"
            )
        half = max(self.width // 2, 1)
        x = conv(half, self.dtype, strides=2)(observation.astype(self.dtype) / 255)
        x = self._block(half)(x)
        x = conv(self.width, self.dtype, strides=2)(x)
        x = self._block(self.width)(x)
        x = nn.avg_pool(x, (3, 3), strides=(2, 2), padding="SAME", count_include_pad=False)
        x = self._block(self.width)(x)
        x = nn.avg_pool(x, (3, 3), strides=(2, 2), padding="SAME", count_include_pad=False)
        for _ in range(self.blocks):
            x = self._block(self.width)(x)
        return nn.relu(normalisation(self.width, self.norm, self.dtype)(x))

    def _block(self, width: int) -> nn.Module:
        return ResidualBlock(width, self.blocks + 3, self.norm, self.dtype)


def computed_once(x: jax.Array) -> jax.Array:
    """`x`, which XLA may not compute again from its own inputs wherever it is read.

    It would at every reader of a sum, of sums before it too: back to the first state of a learned model that is
    unrolled, with the normalisations on the way. On a CPU this holds in updates alone (`train.py`).
    """
    return jax.lax.optimization_barrier(x)


def conv(width: int, dtype: Any, *, strides: int = 1, kernel_init: Any = None) -> nn.Module:
    """A 3x3 convolution without bias."""
    kernel_init = kernel_init or nn.initializers.lecun_normal()
    return nn.Conv(width, (3, 3), strides, use_bias=False, dtype=dtype, kernel_init=kernel_init)


def normalisation(width: int, norm: Literal["layer", "group"], dtype: Any) -> nn.Module:
    """Over a position's whole feature map, or over groups of 8 channels."""
    groups = 1 if norm == "layer" or width % 8 else width // 8
    return nn.GroupNorm(num_groups=groups, dtype=dtype)


def _residual_init(blocks: int) -> Any:
    """Smaller weights at the end of each block, so that the variance does not grow with the depth."""
    return nn.initializers.variance_scaling(1.0 / max(blocks, 1), "fan_in", "truncated_normal")
