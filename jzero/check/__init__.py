"""Checks that an environment keeps the protocol; problems are in plain words."""

from jzero.check.rules import EnvError, Played, check_env, check_shapes

__all__ = ["EnvError", "Played", "check_env", "check_shapes"]
