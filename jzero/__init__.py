"""jzero: AlphaZero and MuZero as arrays."""

from jzero.agent import Agent
from jzero.check import EnvError, check_env
from jzero.env import Env, State, Symmetry, init_batch, make, observe_batch, step_batch
from jzero.run.load import load

__all__ = [
    "Agent",
    "Env",
    "EnvError",
    "State",
    "Symmetry",
    "check_env",
    "init_batch",
    "load",
    "make",
    "observe_batch",
    "step_batch",
]
