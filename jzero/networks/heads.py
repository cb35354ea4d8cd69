"""Heads: features [B, F] -> what the search needs."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class PolicyValueNet(nn.Module):
    """A body with a policy and a value head.

    Attributes:
      body: observation -> features [B, F].
      num_actions: A.
      head_width: hidden units of each head.
      dtype: dtype of the computation; outputs are float32.
    """

    body: nn.Module
    num_actions: int
    head_width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: Any) -> tuple[jax.Array, jax.Array]:
        """(policy logits f32[B, A], value f32[B] in (-1, 1)) for the player who observes."""
        features = self.body(observation)
        policy = nn.relu(nn.Dense(self.head_width, dtype=self.dtype)(features))
        value = nn.relu(nn.Dense(self.head_width, dtype=self.dtype)(features))
        # Zero-initialised last layers: the first policy is uniform, the first value 0.
        logits = nn.Dense(self.num_actions, kernel_init=nn.initializers.zeros)(policy.astype(jnp.float32))
        value = nn.Dense(1, kernel_init=nn.initializers.zeros)(value.astype(jnp.float32))
        return logits, jnp.tanh(value[:, 0])
