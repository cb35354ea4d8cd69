"""Checks that an environment keeps the protocol; problems are in plain words."""

from jzero.check.check import EnvError, check_env, check_shapes
from jzero.check.play import Played

__all__ = ["EnvError", "Played", "check_env", "check_shapes"]
