"""The network that a configuration describes."""

from __future__ import annotations

import jax.numpy as jnp

from jzero.config import NetworkConfig
from jzero.networks.heads import PolicyValueNet
from jzero.networks.towers import ResidualMLP, ResidualTower


def make_network(config: NetworkConfig, num_actions: int) -> PolicyValueNet:
    """A policy and value network for `num_actions` actions."""
    dtype = jnp.bfloat16 if config.bf16 else jnp.float32
    if config.kind == "mlp":
        body = ResidualMLP(config.width, config.blocks, dtype=dtype)
    else:
        body = ResidualTower(config.width, config.blocks, norm=config.norm, dtype=dtype)
    return PolicyValueNet(body, num_actions, dtype=dtype)
