"""The network that a configuration describes."""

from __future__ import annotations

from typing import Any, cast

import jax.numpy as jnp

from jzero.config import MuZeroConfig, NetworkConfig
from jzero.networks.heads import PolicyValueNet
from jzero.networks.learned import MuZeroNet
from jzero.networks.towers import ResidualMLP, ResidualTower
from jzero.networks.transformer import Transformer


def make_network(config: NetworkConfig, num_actions: int, num_values: int = 1) -> PolicyValueNet:
    """A policy and value network for `num_actions` actions and one value, or one for each player."""
    dtype = jnp.bfloat16 if config.bf16 else jnp.float32
    if config.kind == "mlp":
        body = ResidualMLP(config.width, config.blocks, config.norm, dtype)
    elif config.kind == "transformer":
        body = Transformer(config.width, config.blocks, dtype=dtype)
    else:
        body = ResidualTower(config.width, config.blocks, config.norm, dtype)
    critic = ResidualMLP(config.width, config.blocks, config.norm, dtype)
    return PolicyValueNet(
        body, critic, num_actions, config.head_width, num_values, config.value_limit, dtype=dtype
    )


def make_learned_network(
    config: NetworkConfig, muzero: MuZeroConfig, num_actions: int, action_size: int = 0
) -> MuZeroNet:
    """The network of a learned model for `num_actions` actions, or for vectors of `action_size` numbers."""
    return MuZeroNet(
        num_actions=num_actions,
        kind=cast(Any, config.kind),  # no transformer: TrainConfig refuses it
        width=config.width,
        blocks=config.blocks,
        dynamics_blocks=config.dynamics_blocks,
        head_width=config.head_width,
        atoms=muzero.atoms,
        prefix_width=muzero.prefix_width if muzero.value_prefix else 0,
        projection_width=muzero.projection_width if muzero.consistency_weight else 0,
        norm=config.norm,
        dtype=jnp.bfloat16 if config.bf16 else jnp.float32,
        action_size=action_size,
        chance_codes=config.chance_codes,
    )
