"""jzero: AlphaZero and MuZero in JAX.

Public names are imported on first use: `from jzero import search` loads no libraries for networks, checkpoints or
plots.
"""

import importlib
import importlib.util
import os
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jzero.agent import Agent
    from jzero.algorithms.algorithm import Algorithm
    from jzero.algorithms.alphazero import alphazero
    from jzero.algorithms.muzero import muzero
    from jzero.analysis import Analysis
    from jzero.check import EnvError, check_env
    from jzero.env import Env, State, Symmetry, init_batch, observe_batch, step_batch
    from jzero.env_spec import EnvSpec, describe
    from jzero.networks.network import LearnedNetwork, Network
    from jzero.registry import make
    from jzero.run.load import load
    from jzero.run.train import train

    __version__: str

__all__ = [
    "Agent",
    "Algorithm",
    "Analysis",
    "Env",
    "EnvError",
    "EnvSpec",
    "LearnedNetwork",
    "Network",
    "State",
    "Symmetry",
    "__version__",
    "alphazero",
    "check_env",
    "describe",
    "init_batch",
    "load",
    "make",
    "muzero",
    "observe_batch",
    "step_batch",
    "train",
]

try:
    tempfile.gettempdir()
except FileNotFoundError:  # absl, which chex imports, asks for it where nothing can be written
    tempfile.tempdir = os.curdir

_MODULES = {
    "jzero.agent": ("Agent",),
    "jzero.analysis": ("Analysis",),
    "jzero.algorithms.algorithm": ("Algorithm",),
    "jzero.algorithms.alphazero": ("alphazero",),
    "jzero.algorithms.muzero": ("muzero",),
    "jzero.check": (
        "EnvError",
        "check_env",
    ),
    "jzero.env": (
        "Env",
        "State",
        "Symmetry",
        "init_batch",
        "observe_batch",
        "step_batch",
    ),
    "jzero.env_spec": (
        "EnvSpec",
        "describe",
    ),
    "jzero.networks.network": (
        "LearnedNetwork",
        "Network",
    ),
    "jzero.registry": ("make",),
    "jzero.run.load": ("load",),
    "jzero.run.train": ("train",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a public name or a module of the package on first use (PEP 562)."""
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("jzero")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
