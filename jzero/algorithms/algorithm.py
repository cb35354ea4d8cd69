"""What an algorithm is: plain functions, each of which can be replaced (`algorithm._replace(loss=...)`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jzero.metrics import Metrics
from jzero.models.model import Model
from jzero.models.plan import Planner
from jzero.pytrees import PyTree, States
from jzero.replay import Replay, Targets
from jzero.self_play import Transition


def nothing_to_remember(replay: Replay, batch: Any, priorities: Any) -> Replay:
    """The replay as it is."""
    del batch, priorities
    return replay


class Algorithm(NamedTuple):
    """The parts in which algorithms differ; self-play, replay and updates are shared."""

    model: Model
    """What the search plans with."""
    planner: Planner
    """How it is searched."""
    init: Callable[[jax.Array], Any]
    """key -> the network's first weights."""
    record: Callable[[States], PyTree]
    """States [B] -> what the replay keeps of them; `batch` knows how to read it."""
    targets: Targets
    """Makes the replay's value targets."""
    batch: Callable[..., tuple[Replay, Any]]
    """(averaged weights, replay, key, number of samples, progress f32[] of the run in [0, 1]) -> replay, batch."""
    loss: Callable[[Any, Any, jax.Array], tuple[jax.Array, tuple[Metrics, Any]]]
    """(params, batch, key) -> loss, (metrics, priorities f32[S] of the samples, or () where nobody asks)."""
    update_priorities: Callable[[Replay, Any, Any], Replay] = nothing_to_remember
    """(replay, batch, priorities) -> replay."""
    prioritised: bool = False
    """The replay keeps priorities."""
    lookahead: int | None = None
    """How many later plies make a ply ready for learning; None waits for the end of its game."""
    unroll_steps: int = 0
    """Steps after a sampled position that its targets speak of."""
    outcome: Callable[[States], Any] = lambda states: ()
    """States [B] after an action -> what the replay keeps of how a game ended there; () for nothing."""
    short_targets: Callable[[Transition], Any] = lambda plies: ()
    """Plies [R, B] in time order -> further values f32[R, B, H, ...] of each; () for none."""
    searched_again: Callable[[int], int] = lambda num_samples: 0
    """Samples of a device's batch -> positions that are searched again for it (reanalyse)."""
