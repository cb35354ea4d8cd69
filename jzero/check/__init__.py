"""Whether an environment keeps the protocol, said in plain words."""

from jzero.check.rules import EnvError, Played, check_env, check_shapes

__all__ = ["EnvError", "Played", "check_env", "check_shapes"]
