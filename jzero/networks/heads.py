"""Heads: features -> policy and value."""

from __future__ import annotations

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jzero.env import Revealed
from jzero.networks.products import dense, dense_at_cells
from jzero.networks.supports import from_unit
from jzero.networks.towers import flatten
from jzero.pytrees import Observation


class Head(nn.Module):
    """One hidden layer and a last layer, zero-initialised by default, so that initial outputs are 0.

    Attributes:
      outputs: numbers per row.
      width: hidden units.
      dtype: dtype of the hidden layer; the last layer and the outputs are float32.
      last_init: initialises the last layer.
      narrow: the hidden layer's product in bfloat16, see `products.py`.
    """

    outputs: int
    width: int
    dtype: Any = jnp.float32
    last_init: Any = nn.initializers.zeros
    narrow: bool = False

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """f32[B, outputs] of features [B, ...]."""
        hidden = nn.relu(dense(self.width, self.dtype, self.narrow)(flatten(features, self.dtype)))
        return nn.Dense(self.outputs, kernel_init=self.last_init)(hidden.astype(jnp.float32))


class CellsHead(nn.Module):
    """A `Head` plus a number at each cell of the board, for games whose first actions are the cells.

    What speaks for a cell is mostly near it, and the same patterns speak for all cells: the number is one function
    of the planes there, the same everywhere. Later actions, such as a pass, have the head alone.

    Attributes: those of `Head`, and
      hidden: whether the number has a hidden layer too, for planes that are not learned.
    """

    outputs: int
    width: int
    dtype: Any = jnp.float32
    narrow: bool = False
    hidden: bool = False

    @nn.compact
    def __call__(self, features: jax.Array, board: jax.Array) -> jax.Array:
        """f32[B, outputs] of features [B, ...] and planes [B, H, W, C].

        Action r * W + c is the cell in row r and column c.

        Raises:
          ValueError: the planes are no board, or there are more cells than outputs.
        """
        if not hasattr(board, "ndim") or board.ndim != 4:
            raise ValueError(
                "network.policy_head is 'cells', which needs observations [H, W, C], not "
                f"{jax.tree.map(jnp.shape, board)} (with the batch axis): use dense"
            )
        rows, height, width, _ = board.shape
        others = self.outputs - height * width
        if others < 0:
            raise ValueError(
                f"network.policy_head is 'cells', but the game has {self.outputs} actions for {height} x {width} "
                "cells; expected an action for each cell: use dense"
            )
        logits = Head(self.outputs, self.width, self.dtype, narrow=self.narrow, name="all")(features)
        planes = board.astype(self.dtype)
        if self.hidden:
            planes = nn.relu(dense_at_cells(self.width, self.dtype, self.narrow, name="planes")(planes))
        last = nn.Dense(1, kernel_init=nn.initializers.zeros, name="cells")
        cells = last(planes.astype(jnp.float32)).reshape(rows, height * width)
        return logits + jnp.pad(cells, ((0, 0), (0, others)))


class PolicyValueNet(nn.Module):
    """A body with a policy and a value head.

    Attributes:
      body: observation -> features [B, ...].
      critic: (features, hidden information) -> features for the value, if observations are `Revealed`.
      num_actions: A.
      head_width: hidden units of each head.
      num_values: 1, or P if every player has a value.
      value_limit: largest absolute value; above 1, values are on the scale of `supports.to_unit`.
      dtype: dtype of the computation; outputs are float32.
      further: names and output sizes of auxiliary heads on the value's features.
      narrow: as in `Head`.
      cells: whether the policy has a `CellsHead`.
    """

    body: nn.Module
    critic: nn.Module
    num_actions: int
    head_width: int = 64
    num_values: int = 1
    value_limit: float = 1.0
    dtype: Any = jnp.float32
    further: tuple[tuple[str, int], ...] = ()
    narrow: bool = False
    cells: bool = False

    @nn.compact
    def __call__(self, observation: Observation, auxiliary: bool = False) -> tuple[Any, ...]:
        """(policy logits f32[B, A], value f32[B] within the limit) for the observing player.

        With `auxiliary` also a dict of the auxiliary heads' outputs, f32[B, size].

        With several values f32[B, P]: the observer's, then those of the following players. If the observation is
        `Revealed`, the values depend on the hidden information and the policy does not.
        """
        seen, hidden = observation if isinstance(observation, Revealed) else (observation, None)
        features = self.body(seen)
        judged = features if hidden is None else self.critic((features, hidden))
        # Zero-initialised last layers: the first policy is uniform, the first value 0.
        logits = self._policy(features, seen)
        value = jnp.tanh(self._head(self.num_values, "value")(judged))
        value = from_unit(value, self.value_limit)
        value = value[:, 0] if self.num_values == 1 else value
        if not auxiliary:
            return logits, value
        return logits, value, {name: self._head(outputs, name)(judged) for name, outputs in self.further}

    def _policy(self, features: jax.Array, seen: Observation) -> jax.Array:
        if not self.cells:
            return self._head(self.num_actions, "policy")(features)
        learned = features.ndim == 4
        head = CellsHead(
            self.num_actions, self.head_width, self.dtype, self.narrow, hidden=not learned, name="policy"
        )
        return head(features, features if learned else cast(jax.Array, seen))

    def _head(self, outputs: int, name: str) -> Head:
        return Head(outputs, self.head_width, self.dtype, narrow=self.narrow, name=name)
