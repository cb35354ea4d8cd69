"""Neural networks: policy and value; a learned model; values as distributions; adapters for other libraries."""

from jzero.networks.adapters import from_equinox, from_flax, from_haiku, learned_from_flax
from jzero.networks.heads import PolicyValueNet
from jzero.networks.learned import MuZeroNet
from jzero.networks.make import (
    NetworkSettings,
    learned_network,
    make_learned_network,
    make_network,
    policy_value_network,
)
from jzero.networks.network import Afterstate, LearnedNetwork, Network, Projection, ValuePrefix
from jzero.networks.prepare import prepared
from jzero.networks.supports import Support
from jzero.networks.towers import ResidualMLP, ResidualTower

__all__ = [
    "Afterstate",
    "LearnedNetwork",
    "MuZeroNet",
    "Network",
    "NetworkSettings",
    "PolicyValueNet",
    "Projection",
    "ResidualMLP",
    "ResidualTower",
    "Support",
    "ValuePrefix",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "learned_from_flax",
    "learned_network",
    "make_learned_network",
    "make_network",
    "policy_value_network",
    "prepared",
]
