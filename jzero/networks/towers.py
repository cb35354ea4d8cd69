"""Bodies: an observation or latent state -> features.

Normalisation is LayerNorm or GroupNorm, so that the parameters are the whole model and a row's output never depends
on its batch mates. With norm "none" the weights are normalised instead of the features, see `Standardised`: in a
search, where weights do not change, that is free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jzero.networks.products import dense, product
from jzero.pytrees import Observation, PyTree

Norm = Literal["layer", "group", "none"]
"""Normalisation of towers: of a position's whole feature map, of groups of 8 channels, or none."""


def flatten(observation: Observation, dtype: Any) -> jax.Array:
    """All leaves [B, ...] of an observation, flattened and concatenated: [B, F]."""
    leaves = jax.tree.leaves(observation)
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in leaves], axis=-1)


class ResidualMLP(nn.Module):
    """Residual MLP with pre-normalised blocks of two dense layers.

    Attributes:
      width: hidden units.
      blocks: number of blocks.
      norm: "none", or any other value for LayerNorm.
      dtype: dtype of the computation.
      narrow: products in bfloat16, see `products.py`.
    """

    width: int
    blocks: int
    norm: Norm = "layer"
    dtype: Any = jnp.float32
    narrow: bool = False

    @nn.compact
    def __call__(self, observation: Observation) -> jax.Array:
        """Features [B, width] of an observation (a pytree of arrays [B, ...])."""
        x = self._dense()(flatten(observation, self.dtype))
        for _ in range(self.blocks):
            y = self._dense(RELU_GAIN)(self._after(x))
            x = x + self._dense(RELU_GAIN, self.blocks)(nn.relu(y))
        return nn.relu(self._normalise(x))

    def _normalise(self, x: jax.Array) -> jax.Array:
        return x if self.norm == "none" else nn.LayerNorm(dtype=self.dtype)(x)

    def _after(self, x: jax.Array) -> jax.Array:
        """The input of a block's first layer: LayerNorm's output, or a relu's."""
        return nn.relu(x) if self.norm == "none" else self._normalise(x)

    def _dense(self, gain: float = 1.0, depth: int = 1) -> nn.Module:
        if self.norm == "none":
            return Standardised(self.width, gain / max(depth, 1), dtype=self.dtype, narrow=self.narrow)
        init = nn.initializers.lecun_normal() if depth == 1 else _residual_init(depth)
        return dense(self.width, self.dtype, self.narrow, kernel_init=init)


class ResidualTower(nn.Module):
    """Residual tower of 3x3 convolutions (AlphaGo Zero), pre-normalised.

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
        x = conv(self.width, self.norm, self.dtype)(observation.astype(self.dtype))
        for _ in range(self.blocks):
            x = ResidualBlock(self.width, self.blocks, self.norm, self.dtype)(x)
        return nn.relu(normalisation(self.width, self.norm, self.dtype)(x))


class ResidualBlock(nn.Module):
    """Two pre-normalised 3x3 convolutions plus the identity.

    Attributes:
      width: channels, in and out.
      depth: blocks in the tower; with more blocks, each adds less initially.
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
        y = nn.relu(normalisation(self.width, self.norm, self.dtype)(x))
        y = conv(self.width, self.norm, self.dtype, gain=RELU_GAIN)(y)
        y = nn.relu(normalisation(self.width, self.norm, self.dtype)(y))
        return computed_once(x + conv(self.width, self.norm, self.dtype, gain=RELU_GAIN, depth=self.depth)(y))


class AtariTower(nn.Module):
    """EfficientZero's encoder (Ye et al. 2021, appendix A.1): pixels [B, 96, 96, C] to maps [B, 6, 6, width].

    Attributes:
      width: output channels; half of it before the second downsampling.
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
        x = conv(half, self.norm, self.dtype, strides=2)(observation.astype(self.dtype) / 255)
        x = self._block(half)(x)
        x = conv(self.width, self.norm, self.dtype, strides=2)(x)
        x = self._block(self.width)(x)
        x = self._block(self.width)(self._halved(x))
        x = self._halved(x)
        for _ in range(self.blocks):
            x = self._block(self.width)(x)
        return nn.relu(normalisation(self.width, self.norm, self.dtype)(x))

    def _halved(self, x: jax.Array) -> jax.Array:
        # The mean is float32, and all blocks after it would be.
        return nn.avg_pool(x, (3, 3), (2, 2), padding="SAME", count_include_pad=False).astype(self.dtype)

    def _block(self, width: int) -> nn.Module:
        return ResidualBlock(width, self.blocks + 3, self.norm, self.dtype)


RELU_GAIN = (2 / (1 - 1 / np.pi)) ** 0.5
"""Restores the variance of a normal variable after a relu."""


class Standardised(nn.Module):
    """A dense layer or a convolution whose weights are normalised: scaled weight standardisation.

    The weights of each output have mean 0 and a learned norm, so that features keep their variance from block to
    block without normalisation (Brock et al. 2021, "Characterizing signal propagation to close the performance gap
    in unnormalized ResNets").

    Attributes:
      width: output units or channels.
      gain: initial value of the learned norm.
      window: window of the convolution; () for a dense layer.
      strides: strides of the convolution.
      dtype: dtype of the computation.
      narrow: a dense layer's product in bfloat16, see `products.py`.
    """

    width: int
    gain: float = 1.0
    window: tuple[int, ...] = ()
    strides: int = 1
    dtype: Any = jnp.float32
    narrow: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] from [..., F], or with a window [B, H, W, width] from [B, H, W, F]."""
        shape = (*self.window, x.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        if self.is_initializing() or self.has_variable("params", "scale"):  # else `prepared` has done it
            scale = self.param("scale", nn.initializers.constant(self.gain), (self.width,))
            kernel = standardised(kernel, scale)
        if self.window:
            strides, layout = (self.strides, self.strides), ("NHWC", "HWIO", "NHWC")
            kernel = kernel.astype(self.dtype)
            y = jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)
        else:
            y = product(x, kernel) if self.narrow else x @ kernel.astype(self.dtype)
        return y + bias.astype(self.dtype)


def standardised(kernel: jax.Array, scale: jax.Array) -> jax.Array:
    """Weights [..., width] with column mean 0 and column norms `scale` [width]."""
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel - jnp.mean(kernel, axes)
    return centred * (scale * jax.lax.rsqrt(jnp.sum(centred**2, axes) + 1e-6))


def computed_once(x: jax.Array) -> jax.Array:
    """`x`, which XLA must not recompute from its inputs at each use.

    Otherwise each use of a sum recomputes all sums before it: back to the first state of an unrolled model, with
    the normalisations on the way. On a CPU this takes effect in updates only (`program.py`).
    """
    return jax.lax.optimization_barrier(x)


def conv(
    width: int, norm: Norm, dtype: Any, *, strides: int = 1, gain: float = 1.0, depth: int = 1
) -> nn.Module:
    """A 3x3 convolution, before a normalisation or with standardised weights.

    Args:
      width: output channels.
      norm: "none" standardises the weights.
      dtype: dtype of the computation.
      strides: stride in both directions.
      gain: initial norm of standardised weights.
      depth: depth of the tower if the output is added to the residual stream, whose variance must not grow with
        depth.
    """
    if norm == "none":
        return Standardised(width, gain / max(depth, 1), (3, 3), strides, dtype)
    init = nn.initializers.lecun_normal() if depth == 1 else _residual_init(depth)
    return nn.Conv(width, (3, 3), strides, use_bias=False, dtype=dtype, kernel_init=init)


def normalisation(width: int, norm: Norm, dtype: Any) -> Callable[[jax.Array], jax.Array]:
    """Normalisation of a position's whole feature map, of groups of 8 channels, or none."""
    if norm == "none":
        return lambda x: x
    groups = 1 if norm == "layer" or width % 8 else width // 8
    return nn.GroupNorm(num_groups=groups, dtype=dtype)


def _residual_init(blocks: int) -> PyTree:
    """Initialiser with smaller weights for the last layer of a block, so that variance does not grow with depth."""
    return nn.initializers.variance_scaling(1.0 / max(blocks, 1), "fan_in", "truncated_normal")
