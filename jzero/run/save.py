"""Writes the checkpoints of a run and decides which are kept."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import jax
import numpy as np

from jzero.program import TrainState
from jzero.pytrees import Json, PyTree
from jzero.run.config import RunConfig
from jzero.storage import checkpoint
from jzero.storage.files import read_json, write_atomic

KEPT = "kept.json"
OPTIMIZER = "optimizer.json"
REPLAY = "replay"
LIGHT = ("params", "averaged", "opt_state", "key", "iteration", "updates")
"""The parts of the state in a checkpoint."""
HEAVY = ("games", "replay")
"""The parts stored beside the newest checkpoints, in `REPLAY`: in some runs a hundred times the weights."""


class Saver:
    """Writes and removes checkpoints as the settings of a run say.

    `kept.json` beside the checkpoints lists those kept for good: {"every": [iteration, ...], "best": iteration,
    "strength": of the best, "seconds": when the next one of "every" is due}. `optimizer.json` lists the optimizer's
    states by name: some optimizers have the same arrays with another meaning.
    """

    def __init__(self, directory: Path, config: RunConfig) -> None:
        self.directory, self.config = directory, config
        self.saved_iteration = -1
        self._kept: Json = {"every": [], "best": None, "strength": None, "seconds": 0.0}
        path = directory / KEPT
        if config.resume and path.is_file():
            self._kept |= json.loads(path.read_text(encoding="utf-8"))

    @property
    def interval(self) -> float:
        """Seconds between checkpoints: at most those between the ones kept for good."""
        every = self.config.keep_every
        return (
            self.config.checkpoint_every if every is None else min(self.config.checkpoint_every, 60 * every)
        )

    def restore(self, abstract: TrainState) -> tuple[TrainState, float]:
        """The newest state and its training time in seconds; replay and games are None if they were not saved."""
        saved_shapes = (checkpoint.shapes(self.directory) or {}).get("state", {})
        if "replay" in saved_shapes:
            raise ValueError(
                f"{self.directory} holds checkpoints of jzero before 0.2, whose replay this version cannot read: "
                "resume with that version, or use the weights (jzero.load) and start a new run"
            )
        for part, what in (("params", "network"), ("opt_state", "optimizer")):
            _check_fit(what, saved_shapes.get(part), getattr(abstract, part), self.directory)
        self._check_optimizer(abstract)
        template = {"state": _parts(abstract, LIGHT), "seconds": np.float32(0)}
        self.saved_iteration, saved = checkpoint.restore(self.directory, template)
        return TrainState(**saved["state"], **self._heavy(abstract)), float(saved["seconds"])

    def _check_optimizer(self, abstract: TrainState) -> None:
        """Raises ValueError if the checkpoint's numbers mean something else to this optimizer."""
        saved, wanted = (
            (read_json(self.directory / OPTIMIZER) or {}).get("states"),
            _states(abstract.opt_state),
        )
        if saved is not None and saved != wanted:
            difference = f"it has the states {', '.join(saved)}, this optimizer {', '.join(wanted)}"
            raise ValueError(_misfit("optimizer", difference, self.directory))

    def _heavy(self, abstract: TrainState) -> Json:
        """Games and replay of the restored checkpoint; None for what is missing."""
        directory, nothing = self.directory / REPLAY, dict.fromkeys(HEAVY)
        if self.saved_iteration not in checkpoint.iterations(directory):
            return nothing
        template = _parts(abstract, HEAVY)
        try:
            return checkpoint.restore(directory, template, iteration=self.saved_iteration)[1]
        except FileNotFoundError:
            warnings.warn(
                "the replay cannot be read; the run continues and fills a new one first", stacklevel=2
            )
            return nothing

    def is_best(self, strength: float | None) -> bool:
        """Whether a checkpoint of this strength is the best so far; a strength of None means not measured."""
        best = self._kept["strength"]
        if strength is None or (best is not None and strength <= best):
            return False
        self._kept["strength"] = strength
        return True

    def save(self, state: TrainState, seconds: float, *, best: bool = False) -> None:
        """Writes a checkpoint unless this iteration has one, and removes those that are not kept."""
        iteration = int(state.iteration)
        every = self.config.keep_every
        if every is not None and seconds >= self._kept["seconds"]:
            self._kept["every"].append(iteration)
            self._kept["seconds"] = seconds + 60 * every
        if best:
            self._kept["best"] = iteration
        if iteration != self.saved_iteration:
            newest, kept = self.config.keep_newest, {*self._kept["every"], self._kept["best"]}
            if self.config.save_replay:  # before what speaks of it
                checkpoint.save(self.directory / REPLAY, iteration, _parts(state, HEAVY))
            checkpoint.save(
                self.directory, iteration, {"state": _parts(state, LIGHT), "seconds": np.float32(seconds)}
            )
            checkpoint.trim(self.directory, newest=newest, kept=kept)
            checkpoint.trim(self.directory / REPLAY, newest=newest)
            self.saved_iteration = iteration
        if jax.process_index() == 0:
            states = {"states": _states(state.opt_state)}
            if not (self.directory / OPTIMIZER).is_file():
                write_atomic(self.directory / OPTIMIZER, json.dumps(states) + "\n")
            if every is not None or self.config.keep_best:
                write_atomic(self.directory / KEPT, json.dumps(self._kept) + "\n")


def _check_fit(what: str, saved: PyTree, wanted: PyTree, directory: Path) -> None:
    """Raises ValueError if the checkpoint has other arrays than the network or the optimizer wants."""
    if saved is not None and (difference := checkpoint.first_difference(saved, wanted)):
        raise ValueError(_misfit(what, difference, directory))


def _misfit(what: str, difference: str, directory: Path) -> str:
    return (
        f"{what}: it does not fit the checkpoint in {directory}: {difference}; pass the {what} that the run "
        "started with, or start a new run"
    )


def _states(tree: PyTree) -> list[str]:
    """The names of a tree's named tuples, outer ones first: those of an optimizer's states."""
    own = [type(tree).__name__] if hasattr(tree, "_fields") else []
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return own + [name for part in parts for name in _states(part)]


def _parts(state: TrainState, names: tuple[str, ...]) -> Json:
    return {name: getattr(state, name) for name in names}
