"""Trains an agent in any environment; only its name is needed.

    python -m jzero train --env connect_four
    python -m jzero train --env my_game:MyGame --minutes 30
    python -m jzero train --env gymnax:CartPole-v1 --algorithm gumbel_muzero
    python -m jzero train --env connect_four --network.kind my_module:my_network

Random games measure the length of a game, its rewards and its observations; the rules in `jzero.run.presets` turn
that into settings, and every option overrides one. The last line printed is the strength that
`jzero.evaluate.strength` measures: with two players, the score against Monte-Carlo tree search with random
rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from jzero.evaluate import strength
from jzero.run.cli import main as run
from jzero.run.config import AlgorithmName
from jzero.run.presets import suited
from jzero.run.train import COMMAND


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    presets = suited(*get_args(AlgorithmName))
    finished = run(
        "train", presets, measure=strength.measure, final=strength.final, argv=argv, command=COMMAND
    )
    return 0 if finished is not None else 130
