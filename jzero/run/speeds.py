"""How fast a run is."""

from __future__ import annotations

from collections.abc import Mapping

from jzero.program import ProgramSettings
from jzero.show.words import short_number


def speeds(
    train: ProgramSettings,
    evaluations: float,
    searched_again: float,
    play_seconds: float,
    learn_seconds: float,
    *,
    updated: bool,
) -> dict[str, float]:
    """Rates of one iteration, and the share of self-play in its time.

    Positions are per second of the whole iteration, evaluations per second of self-play, updates and reanalysed
    positions per second of learning.

    Args:
      train: the settings.
      evaluations: network evaluations of its self-play.
      searched_again: positions that an update searches again (reanalyse), on all devices.
      play_seconds: duration of self-play.
      learn_seconds: duration of learning.
      updated: whether it had updates; there are none during warm-up.
    """
    seconds = play_seconds + learn_seconds
    found = {
        "positions_per_second": train.games * train.plies / seconds,
        "evaluations_per_second": evaluations / play_seconds,
        "self_play_share": play_seconds / seconds,
    }
    if updated:
        found["updates_per_second"] = train.updates / learn_seconds
        if searched_again:
            found["reanalysed_per_second"] = train.updates * searched_again / learn_seconds
    return found


def speeds_words(metrics: Mapping[str, float], strength: float | None) -> str:
    """The words beside the progress bar: speeds, loss and the last strength."""
    words = [
        f"{short_number(metrics['positions_per_second'])} pos/s",
        f"{short_number(metrics['evaluations_per_second'])} eval/s",
    ]
    words += [f"loss {metrics['loss']:.3f}"] if "loss" in metrics else []
    words += [f"strength {strength:.3f}"] if strength is not None else []
    return ", ".join(words)
