"""Warnings of a run whose settings do not suit its games or its time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import jax

from jzero.run.config import TrainConfig
from jzero.show.words import duration

SOON = 0.1
"""Share of a run's time within which the first update should come."""
SAME = 1e-4
"""`policy_std` below which a policy is the same in all positions: only rounding differs."""
PATIENCE = 20
"""Iterations in a row with the same policy in all positions, after which a run says so."""


def late_update(train: TrainConfig, seconds: float, budget: float) -> str | None:
    """Advice for a first update that comes late; None if it comes soon.

    Args:
      train: the settings.
      seconds: duration of an iteration's self-play.
      budget: duration of the run in seconds.
    """
    iterations = train.warmup_iterations + 1
    needed = iterations * seconds
    if needed <= SOON * budget:
        return None
    text = (
        f"LITTLE TIME: the first update comes after {iterations} iterations, {duration(needed)} of this run's "
        f"{duration(budget)}; use --minutes {math.ceil(needed / SOON / 60)}"
    )
    games = 2 ** math.floor(math.log2(max(train.games * SOON * budget / needed, 1)))
    return f"{text} or --games {games} (now {train.games})" if games >= jax.device_count() else text


class Advice:
    """Warnings that follow from the metrics of each iteration, each given once."""

    def __init__(self, train: TrainConfig) -> None:
        self._train = train
        self._given: set[str] = set()
        self._same_policy = 0

    def after(
        self,
        iteration: int,
        positions: int,
        games: float,
        play: Mapping[str, float],
        losses: Mapping[str, float],
    ) -> None:
        """Warns of problems that the metrics of an iteration show.

        Args:
          iteration: number of the iteration.
          positions: played since the start of the run.
          games: finished since the start of the run.
          play: metrics of the iteration's self-play.
          losses: metrics of the iteration's updates; empty during warm-up.
        """
        self._of_clipping(iteration, losses)
        self._of_short_games(positions, games)
        self._of_lost_positions(iteration, play["lost_share"])
        self._of_a_dead_policy(losses)

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._given:
            self._given.add(kind)
            warnings.warn(text, stacklevel=4)

    def _of_clipping(self, iteration: int, losses: Mapping[str, float]) -> None:
        """Targets are outside the range of the heads."""
        for kind in ("value", "reward"):
            share = losses.get(f"{kind}_clipped_share", 0.0)
            if share > 0:
                limit = getattr(self._train.muzero, f"{kind}_limit")
                self._warn(
                    kind,
                    f"{share:.2%} of the {kind} targets of iteration {iteration} are outside +-{limit:g} and were "
                    f"clipped; raise --muzero.{kind}-limit in a new run",
                )

    def _of_short_games(self, positions: int, games: float) -> None:
        """A learned model is unrolled beyond the end of most games."""
        steps = self._train.muzero.unroll_steps
        # Of all so far: the games that end in the first iterations are the shortest ones.
        if self._train.algorithm == "alphazero" or positions >= steps * games:
            return
        self._warn(
            "unroll",
            f"games end after {positions / games:.1f} plies on average, but muzero.unroll_steps is {steps}: most "
            "unrolled steps are past the end, where there is nothing to learn; lower --muzero.unroll-steps in a "
            "new run",
        )

    def _of_lost_positions(self, iteration: int, share: float) -> None:
        """Positions leave the replay before their game ends, without being trained on."""
        if not share:
            return
        sooner = "--td-lookahead 24" if self._train.algorithm == "alphazero" else "--muzero.td-steps 10"
        self._warn(
            "lost",
            f"in iteration {iteration}, positions left the replay before their game ended ({share:.0%} of the "
            "number played) and were never trained on: games are longer than replay_plies, "
            f"{self._train.replay_plies}; raise --replay-plies, or train before the end with {sooner}, in a new "
            "run",
        )

    def _of_a_dead_policy(self, losses: Mapping[str, float]) -> None:
        """The network's policy is the same in all positions, and the search's is not that."""
        same = losses.get("policy_std", 1.0) < SAME and losses.get("policy_loss", 0.0) > 0.01
        self._same_policy = self._same_policy + 1 if same else 0
        if self._same_policy < PATIENCE:
            return
        self._warn(
            "dead",
            f"for {PATIENCE} iterations the network's policy was the same in all positions (policy_std "
            f"{losses['policy_std']:.1e}) and unlike the search's: the units of its head no longer answer, as "
            "after too large steps, and do not recover; start a new run with a lower --learning-rate (now "
            f"{self._train.learning_rate:g})",
        )


def nothing_learned(train: TrainConfig) -> str:
    """What to say at the end of a run that had no update."""
    first = train.warmup_iterations + 1
    return (
        f"NOTHING WAS LEARNED: no update ran; updates start at iteration {first}. Raise --minutes or lower "
        "--warmup-iterations"
    )
