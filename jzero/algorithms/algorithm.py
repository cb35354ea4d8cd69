"""An algorithm: plain functions, each of which can be replaced (`algorithm._replace(loss=...)`)."""

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
    """The replay, unchanged."""
    del batch, priorities
    return replay


class Algorithm(NamedTuple):
    """The parts in which algorithms differ; self-play, replay and updates are shared."""

    model: Model
    """The model that the search plans with."""
    planner: Planner
    """Searches with the model."""
    init: Callable[[jax.Array], Any]
    """key -> the network's initial weights."""
    record: Callable[[States], PyTree]
    """States [B] -> the part of them that the replay keeps, in the format that `batch` reads."""
    targets: Targets
    """Makes the replay's value targets."""
    batch: Callable[..., tuple[Replay, Any]]
    """(averaged weights, replay, key, number of samples, progress f32[] of the run in [0, 1]) -> replay, batch."""
    loss: Callable[[Any, Any, jax.Array], tuple[jax.Array, tuple[Metrics, Any]]]
    """(params, batch, key) -> loss, (metrics, priorities f32[S] of the samples, or () if unused)."""
    update_priorities: Callable[[Replay, Any, Any], Replay] = nothing_to_remember
    """(replay, batch, priorities) -> replay."""
    prioritised: bool = False
    """Whether the replay keeps priorities."""
    lookahead: int | None = None
    """Number of later plies after which a ply is ready for training; None waits for the end of its game."""
    unroll_steps: int = 0
    """Steps after a sampled position that its targets cover."""
    outcome: Callable[[States], Any] = lambda states: ()
    """States [B] after an action -> features of the end of the game for the replay; () for none."""
    short_targets: Callable[[Transition], Any] = lambda plies: ()
    """Plies [R, B] in time order -> further values f32[R, B, H, ...] of each ply; () for none."""
    searched_again: Callable[[int], int] = lambda num_samples: 0
    """Samples in a device's batch -> positions searched again for it (reanalyse)."""
