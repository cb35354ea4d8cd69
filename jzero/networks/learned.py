"""Networks of learned models: representation, dynamics, prediction (MuZero), value prefix and projections
(EfficientZero), afterstates and chance codes (Stochastic MuZero).

Axes: B rows, A actions, D dimensions of a continuous action, M chance codes. A latent state is [B, width] or a map
[B, H, W, width]; so is an afterstate.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jzero.networks.heads import Head
from jzero.networks.products import dense
from jzero.networks.towers import (
    AtariTower,
    Norm,
    ResidualBlock,
    ResidualMLP,
    ResidualTower,
    computed_once,
    conv,
    flatten,
    normalisation,
)
from jzero.pytrees import Observation, PyTree, States

Memory = tuple[jax.Array, jax.Array] | tuple[()]
"""The value prefix's LSTM state ([B, U], [B, U]); () without one."""


class MuZeroNet(nn.Module):
    """The three functions of MuZero (Schrittwieser et al. 2020); all outputs are float32.

    With chance codes the dynamics take an afterstate and a code instead of a state and an action, and there are
    three more functions (Stochastic MuZero, Antonoglou et al. 2022, section 4.1): `decide`, `predict_afterstate`
    and `encode`.

    Attributes:
      num_actions: A; ignored with continuous actions.
      kind: body of the representation; latent states are vectors with "mlp", else maps.
      width: hidden units or channels, also of the latent state.
      blocks: residual blocks of the representation.
      dynamics_blocks: residual blocks of the dynamics.
      head_width: hidden units of each head.
      atoms: atoms of values and rewards.
      prefix_width: units of the value prefix's LSTM; 0 predicts rewards instead.
      projection_width: units of the consistency loss's projector and predictor; 0: none.
      norm: as in `ResidualTower`.
      dtype: dtype of the computation.
      action_size: D for actions that are vectors in [-1, 1]; 0 for discrete ones.
      chance_codes: M codes of chance outcomes after an action; 0: a model without chance.
      narrow: products of dense layers in bfloat16, see `products.py`.
    """

    num_actions: int
    kind: Literal["mlp", "resnet", "atari"] = "mlp"
    width: int = 64
    blocks: int = 1
    dynamics_blocks: int = 1
    head_width: int = 64
    atoms: int = 21
    prefix_width: int = 0
    projection_width: int = 0
    norm: Norm = "layer"
    dtype: Any = jnp.float32
    action_size: int = 0
    chance_codes: int = 0
    narrow: bool = False

    def setup(self) -> None:
        """Makes the parts; attribute names are parameter names."""
        self.representation = self._tower()
        self.dynamics = self._dynamics()
        self.policy_input, self.value_input, self.reward_input = (self._squeeze() for _ in range(3))
        self.policy = self._head(2 * self.action_size or self.num_actions)
        self.value, self.reward = self._head(self.atoms), self._head(self.atoms)
        if self.prefix_width:
            self.prefix = nn.OptimizedLSTMCell(self.prefix_width, dtype=jnp.float32)
        if self.projection_width:
            self.projector = Projector(self.projection_width, self.dtype, self.narrow)
            self.predictor = Projector(self.projection_width, self.dtype, self.narrow)
        if self.chance_codes:
            self.afterstate_dynamics = self._dynamics()
            self.chance_input, self.afterstate_value_input = self._squeeze(), self._squeeze()
            self.chance, self.afterstate_value = self._head(self.chance_codes), self._head(self.atoms)
            self.encoder, self.code_input = self._tower(), self._squeeze()
            # Not zeros, of which all observations would have the same code.
            self.code = self._head(self.chance_codes, last_init=nn.initializers.lecun_normal())

    def _tower(self) -> nn.Module:
        """The body of the representation."""
        if self.kind == "mlp":
            return ResidualMLP(self.width, self.blocks, self.norm, self.dtype, self.narrow)
        tower = {"resnet": ResidualTower, "atari": AtariTower}[self.kind]
        return tower(self.width, self.blocks, self.norm, self.dtype)

    def _dynamics(self) -> nn.Module:
        """The dynamics of the latent state."""
        if self.kind == "mlp":
            return VectorDynamics(
                self.width, self.dynamics_blocks, self.num_actions, self.norm, self.dtype, self.narrow
            )
        return MapDynamics(self.width, self.dynamics_blocks, self.num_actions, self.norm, self.dtype)

    def _head(self, outputs: int, **options: Any) -> Head:
        return Head(outputs, self.head_width, self.dtype, narrow=self.narrow, **options)

    def _squeeze(self) -> nn.Module:
        """The layer before a head."""
        return Squeeze(norm=self.norm, dtype=self.dtype)

    def __call__(self, observation: Observation) -> PyTree:
        """Calls every part, for `init`."""
        latent = self.represent(observation)
        rows = latent.shape[0]
        action = jnp.zeros((rows, self.action_size)) if self.action_size else jnp.zeros(rows, jnp.int32)
        projected = self.predict_projection(self.project(latent)) if self.projection_width else ()
        if not self.chance_codes:
            return self.predict(latent), self.step(latent, self.no_memory(rows), action), projected
        afterstate, code = self.decide(latent, action), self.encode(observation, observation)
        after = self.step(afterstate, self.no_memory(rows), code)
        return self.predict(latent), after, projected, self.predict_afterstate(afterstate)

    def represent(self, observation: Observation) -> jax.Array:
        """The latent states of observations [B, ...]; each row is within [0, 1]."""
        return to_unit_range(self.representation(observation))

    def predict(self, latent: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(policy, value logits f32[B, atoms]).

        The policy is logits f32[B, A], or with continuous actions f32[B, 2 D] in the format of `networks.squashed`.
        """
        return self.policy(self.policy_input(latent)), self.value(self.value_input(latent))

    def step(
        self, latent: jax.Array, memory: Memory, action: jax.Array
    ) -> tuple[jax.Array, Memory, jax.Array]:
        """The latent state and memory after actions; reward (or value prefix) logits f32[B, atoms].

        Actions are i32[B], or f32[B, D] if continuous. With chance codes `latent` is an afterstate and
        `action` its code, f32[B, M] one-hot.
        """
        latent = to_unit_range(self.dynamics(latent, action))
        features = self.reward_input(latent)
        if not self.prefix_width:
            return latent, memory, self.reward(features)
        memory, output = self.prefix(cast(Any, memory), flatten(features, jnp.float32))
        return latent, memory, self.reward(output)

    def decide(self, latent: jax.Array, action: jax.Array) -> jax.Array:
        """The afterstate of actions i32[B] or f32[B, D], before chance; also within [0, 1]."""
        return to_unit_range(self.afterstate_dynamics(latent, action))

    def predict_afterstate(self, afterstate: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(logits f32[B, M] of the next code, logits f32[B, atoms] of the action's Q-value)."""
        value = self.afterstate_value(self.afterstate_value_input(afterstate))
        return self.chance(self.chance_input(afterstate)), value

    def encode(self, before: PyTree, after: States) -> jax.Array:
        """Encodes the chance outcome between two observations [B, ...]: f32[B, M], whose argmax is the code.

        The encoder sees o_t as well as o_t+1, so that it can recognise what is new.
        """
        # A tower of convolutions sees the two as channels of one picture.
        seen = (before, after) if self.kind == "mlp" else jnp.concatenate([before, after], axis=-1)
        return self.code(self.code_input(self.encoder(seen)))

    def no_memory(self, rows: int) -> Memory:
        """The memory at a root and after a reset."""
        if not self.prefix_width:
            return ()
        zeros = jnp.zeros((rows, self.prefix_width), jnp.float32)
        return zeros, zeros

    def project(self, latent: jax.Array) -> jax.Array:
        """Projection f32[B, U] of a latent state (SimSiam's projector)."""
        return self.projector(latent)

    def predict_projection(self, projection: jax.Array) -> jax.Array:
        """Prediction f32[B, U] of the other branch's projection (SimSiam's predictor)."""
        return self.predictor(projection)


class VectorDynamics(nn.Module):
    """Dynamics of a latent vector with an action or a one-hot chance code: a residual MLP of both."""

    width: int
    blocks: int
    num_actions: int
    norm: Norm = "layer"
    dtype: Any = jnp.float32
    narrow: bool = False

    @nn.compact
    def __call__(self, latent: jax.Array, action: jax.Array) -> jax.Array:
        """[B, width] from [B, width] and actions i32[B] or f32[B, D], or codes f32[B, M]."""
        numbered = action.ndim == 1
        taken = jax.nn.one_hot(action, self.num_actions, dtype=self.dtype) if numbered else action
        features = ResidualMLP(self.width, self.blocks, self.norm, self.dtype, self.narrow)((latent, taken))
        return latent.astype(self.dtype) + dense(self.width, self.dtype, self.narrow)(features)


class MapDynamics(nn.Module):
    """Dynamics of a latent map with an action or a one-hot chance code.

    A learned plane per action (initialised by `_planes`), a convolution, residual blocks.
    """

    width: int
    blocks: int
    num_actions: int
    norm: Norm = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latent: jax.Array, action: jax.Array) -> jax.Array:
        """[B, H, W, width] from [B, H, W, width] and actions i32[B] or f32[B, D], or codes f32[B, M]."""
        rows, height, width, _ = latent.shape
        size = height * width
        if action.ndim == 1:
            init = partial(_planes, board=(height, width))
            plane = nn.Embed(self.num_actions, size, dtype=self.dtype, embedding_init=init)
        else:
            plane = nn.Dense(size, dtype=self.dtype, kernel_init=nn.initializers.normal(1))
        latent = latent.astype(self.dtype)
        x = jnp.concatenate([latent, plane(action).reshape(rows, height, width, 1)], axis=-1)
        x = conv(self.width, self.norm, self.dtype)(x)
        x = latent + normalisation(self.width, self.norm, self.dtype)(x)
        x = nn.relu(x)
        for _ in range(self.blocks):
            x = ResidualBlock(self.width, self.blocks, self.norm, self.dtype)(x)
        return nn.relu(x)


def _planes(key: jax.Array, shape: tuple[int, int], dtype: Any, *, board: tuple[int, int]) -> jax.Array:
    """Planes [A, H * W] that mark an action's place on the board, if its index determines it.

    With one action per cell (and perhaps one more, to pass) the plane marks the cell, with one per column the
    column; else planes are noise, which distinguishes actions equally well (MuZero, appendix E, encodes moves as
    planes too).
    """
    actions, (height, width) = shape[0], board
    if actions in (height * width, height * width + 1):
        return jnp.eye(*shape, dtype=dtype)
    if actions == width:
        return jnp.tile(jnp.eye(width, dtype=dtype), (1, height))
    return jax.random.normal(key, shape, dtype)


class Squeeze(nn.Module):
    """Reduces a map to few channels for a head, by a 1x1 convolution (EfficientZero); vectors are unchanged.

    Attributes:
      channels: output channels.
      norm: as in `ResidualTower`.
      dtype: dtype of the computation.
    """

    channels: int = 16
    norm: Norm = "layer"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latent: jax.Array) -> jax.Array:
        """[B, H, W, channels] of [B, H, W, C], or [B, F] of [B, F]."""
        if latent.ndim == 2:
            return latent
        bias = self.norm == "none"
        x = nn.Conv(self.channels, (1, 1), use_bias=bias, dtype=self.dtype)(latent.astype(self.dtype))
        return nn.relu(normalisation(self.channels, self.norm, self.dtype)(x))


class Projector(nn.Module):
    """Two dense layers with LayerNorm between them."""

    width: int
    dtype: Any = jnp.float32
    narrow: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[B, width] of [B, ...]."""
        x = dense(self.width, self.dtype, self.narrow)(flatten(x, self.dtype))
        x = nn.relu(nn.LayerNorm(dtype=self.dtype)(x))
        return dense(self.width, self.dtype, self.narrow)(x).astype(jnp.float32)


def to_unit_range(latent: jax.Array) -> jax.Array:
    """Latent states f32[B, ...] with each row scaled to [0, 1] (MuZero, appendix G)."""
    rows = latent.astype(jnp.float32).reshape(latent.shape[0], -1)
    # By their places: the gradient of a maximum divides by how many numbers equal it, and none does where XLA
    # computes the numbers twice with different rounding. A sum over a mask, as a gather's gradient is a scatter.
    place = jnp.arange(rows.shape[1], dtype=jnp.int32)[None]
    low, high = (
        jnp.sum(jnp.where(place == found(rows, axis=1, keepdims=True), rows, 0.0), axis=1, keepdims=True)
        for found in (jnp.argmin, jnp.argmax)
    )
    return computed_once(((rows - low) / jnp.maximum(high - low, 1e-5)).reshape(latent.shape))
