"""Neural networks: policy and value of an observation; a learned model; values as distributions."""

from jzero.networks.heads import PolicyValueNet
from jzero.networks.learned import MuZeroNet
from jzero.networks.make import make_learned_network, make_network
from jzero.networks.prepare import prepared
from jzero.networks.supports import Support
from jzero.networks.towers import ResidualMLP, ResidualTower

__all__ = [
    "MuZeroNet",
    "PolicyValueNet",
    "ResidualMLP",
    "ResidualTower",
    "Support",
    "make_learned_network",
    "make_network",
    "prepared",
]
