"""Whole runs of tiny programs in this process."""

import math
from pathlib import Path

import jax

from jzero.registry import make
from jzero.run import loop as run_lib
from jzero.run.build import NOTHING
from jzero.run.config import RunConfig
from jzero.run.loop import Run, Strength
from jzero.run.save import Saver
from jzero.storage.run_dir import read_metrics
from tests.helpers.tiny import TINY

SPEEDS = {
    *("seconds", "positions_per_second", "evaluations_per_second", "updates_per_second", "self_play_share"),
}
NEVER = 1e9


def nothing(agent):
    return Strength("nothing", 0.5, 0.25, 0.75)


def settings(path, iterations=3, **changes):
    defaults = {"minutes": 60, "evaluate_every": NEVER, "checkpoint_every": NEVER, "train": TINY}
    return RunConfig(run_dir=Path(path), iterations=iterations, **(defaults | changes))


def train(config, measure=nothing, final=nothing, prepare=lambda run: None):
    """The state after a whole run in this process; `prepare` may change the run before it trains."""
    with Run("tiny", make(config.train.env), config) as run:
        prepare(run)
        run.train(measure, final)
        return run.state


def saved(path):
    """(iteration, everything the newest checkpoint holds) of a run of `TINY` on one device."""
    _, program = run_lib.build(make(TINY.env), TINY, parts=NOTHING)  # shared with the runs
    state, seconds = Saver(Path(path) / "checkpoints", RunConfig()).restore(program.abstract)
    return int(state.iteration), {"state": state, "seconds": seconds}


def lines(path):
    """The metrics of each iteration without clocks and strengths."""
    skipped = SPEEDS | {"strength", "strength_low", "strength_high"}
    return [{k: v for k, v in line.items() if k not in skipped} for line in read_metrics(path)]


def not_a_number_in_update(number):
    """Spoils the weights before the updates of one iteration."""

    def prepare(run):
        learn = run.program.learn

        def spoiled(state, progress):
            if int(state.iteration) == number:
                state = state._replace(params=jax.tree.map(lambda x: x * math.nan, state.params))
            return learn(state, progress)

        run.program = run.program._replace(learn=spoiled)

    return prepare
