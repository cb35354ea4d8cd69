"""Neural networks: observation [B, ...] -> (policy logits [B, A], value [B])."""

from jzero.networks.heads import PolicyValueNet
from jzero.networks.make import make_network
from jzero.networks.towers import ResidualMLP, ResidualTower

__all__ = ["PolicyValueNet", "ResidualMLP", "ResidualTower", "make_network"]
