"""Bodies: an observation or latent state -> features.

Normalisation is LayerNorm or GroupNorm, so that the parameters are the whole model and a row's output never
depends on its batch mates; or there is none. Without it layers have biases, and what a block adds is scaled by a
learned vector that starts small, so that a deep tower starts near the identity (Fixup, Zhang et al. 2019; ReZero,
Bachlechner et al. 2020). Every layer is then `relu(conv(x) + bias)` or `relu(conv(x) + bias + y)`, each of which is
one kernel of cuDNN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Norm = Literal["layer", "group", "none"]
"""Normalisation of towers: of a position's whole feature map, of groups of 8 channels, or none."""


def flatten(observation: Any, dtype: Any) -> jax.Array:
    """All leaves [B, ...] of an observation side by side: [B, F]."""
    leaves = jax.tree.leaves(observation)
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in leaves], axis=-1)


class ResidualMLP(nn.Module):
    """Residual MLP with pre-normalised blocks of two dense layers, or with blocks without normalisation.

    Attributes:
      width: hidden units.
      blocks: number of blocks.
      norm: "none", or any other for LayerNorm.
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    norm: Norm = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: Any) -> jax.Array:
        """Features [B, width] of an observation (a pytree of [B, ...])."""
        x = nn.Dense(self.width, dtype=self.dtype)(flatten(observation, self.dtype))
        if self.norm == "none":
            x = nn.relu(x)
            for _ in range(self.blocks):
                y = nn.relu(nn.Dense(self.width, dtype=self.dtype)(x))
                x = nn.relu(x + Scaled(self.width, self.blocks, dtype=self.dtype)(y))
            return x
        for _ in range(self.blocks):
            y = nn.LayerNorm(dtype=self.dtype)(x)
            y = nn.relu(nn.Dense(self.width, dtype=self.dtype)(y))
            x = x + nn.Dense(self.width, dtype=self.dtype, kernel_init=_residual_init(self.blocks))(y)
        return nn.relu(nn.LayerNorm(dtype=self.dtype)(x))


class ResidualTower(nn.Module):
    """Residual tower of 3x3 convolutions (AlphaGo Zero), pre-normalised or without normalisation.

    Attributes:
      width: channels.
      blocks: number of blocks of two convolutions.
      norm: "layer" (over a position's whole feature map), "group" (groups of 8 channels, or all of them) or "none".
      dtype: dtype of the computation.
    """

    width: int
    blocks: int
    norm: Norm = "layer"
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
        x = _before_blocks(observation.astype(self.dtype), self.width, self.norm)
        for _ in range(self.blocks):
            x = ResidualBlock(self.width, self.blocks, self.norm, self.dtype)(x)
        return _after_blocks(x, self.norm)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity: pre-normalised, or with a relu at the end in place of that.

    Attributes:
      width: channels, in and out.
      depth: blocks in the tower; see `_residual_init` and `Scaled`.
      norm: as in `ResidualTower`.
      dtype: dtype of the computation.
    """

    width: int
    depth: int
    norm: Norm = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, width] to the same shape."""
        if self.norm == "none":
            y = nn.relu(conv(self.width, self.dtype, use_bias=True)(x))
            return computed_once(nn.relu(x + Scaled(self.width, self.depth, (3, 3), self.dtype)(y)))
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
    norm: Norm = "layer"
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
        x = _before_blocks(observation.astype(self.dtype) / 255, half, self.norm, strides=2)
        x = self._block(half)(x)
        x = _before_blocks(x, self.width, self.norm, strides=2)
        x = self._block(self.width)(x)
        x = self._block(self.width)(self._halved(x))
        x = self._halved(x)
        for _ in range(self.blocks):
            x = self._block(self.width)(x)
        return _after_blocks(x, self.norm)

    def _halved(self, x: jax.Array) -> jax.Array:
        # The mean is float32, and all blocks after it would be.
        return nn.avg_pool(x, (3, 3), (2, 2), padding="SAME", count_include_pad=False).astype(self.dtype)

    def _block(self, width: int) -> nn.Module:
        return ResidualBlock(width, self.blocks + 3, self.norm, self.dtype)


class Scaled(nn.Module):
    """A dense layer or a convolution at the end of a block, whose outputs are scaled by a learned vector.

    Its weights are multiplied by the scale and not its outputs, of which there are many more.

    Attributes:
      width: units or channels, out.
      depth: blocks in the tower; the scale starts at 1 / depth, so that the variance does not grow with the depth.
      window: of the convolution; () for a dense layer.
      dtype: dtype of the computation.
    """

    width: int
    depth: int
    window: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] of [..., F], [B, H, W, width] of [B, H, W, F] with a window; the bias is not scaled."""
        shape = (*self.window, x.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        if self.is_initializing() or self.has_variable("params", "scale"):  # else `prepared` has done it
            kernel *= self.param("scale", nn.initializers.constant(1 / self.depth), (self.width,))
        kernel = kernel.astype(self.dtype)
        if self.window:
            layout = ("NHWC", "HWIO", "NHWC")
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
        else:
            y = x @ kernel
        return y + bias.astype(self.dtype)


def computed_once(x: jax.Array) -> jax.Array:
    """`x`, which XLA may not compute again from its own inputs wherever it is read.

    It would at every reader of a sum, of sums before it too: back to the first state of a learned model that is
    unrolled, with the normalisations on the way. On a CPU this holds in updates alone (`train.py`).
    """
    return jax.lax.optimization_barrier(x)


def _before_blocks(x: jax.Array, width: int, norm: Norm, *, strides: int = 1) -> jax.Array:
    """A convolution before blocks, which without normalisation read what a relu has left."""
    x = conv(width, x.dtype, strides=strides, use_bias=norm == "none")(x)
    return nn.relu(x) if norm == "none" else x


def _after_blocks(x: jax.Array, norm: Norm) -> jax.Array:
    """What blocks lead to, normalised; without normalisation they end with a relu themselves."""
    return x if norm == "none" else nn.relu(normalisation(x.shape[-1], norm, x.dtype)(x))


def conv(
    width: int, dtype: Any, *, strides: int = 1, use_bias: bool = False, kernel_init: Any = None
) -> nn.Module:
    """A 3x3 convolution."""
    kernel_init = kernel_init or nn.initializers.lecun_normal()
    return nn.Conv(width, (3, 3), strides, use_bias=use_bias, dtype=dtype, kernel_init=kernel_init)


def normalisation(width: int, norm: Norm, dtype: Any) -> Callable[[jax.Array], jax.Array]:
    """Over a position's whole feature map, over groups of 8 channels, or nothing."""
    if norm == "none":
        return lambda x: x
    groups = 1 if norm == "layer" or width % 8 else width // 8
    return nn.GroupNorm(num_groups=groups, dtype=dtype)


def _residual_init(blocks: int) -> Any:
    """Smaller weights at the end of each block, so that the variance does not grow with the depth."""
    return nn.initializers.variance_scaling(1.0 / max(blocks, 1), "fan_in", "truncated_normal")
