"""Checks that an environment follows the protocol, and explains each problem."""

from jzero.check.check import EnvError, check_env, check_shapes
from jzero.check.play import Played

__all__ = ["EnvError", "Played", "check_env", "check_shapes"]
