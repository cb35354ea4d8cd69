"""The optimiser of the command line; in code any optax transformation replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import optax

from jzero.settings import check


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with clipped gradients."""

    learning_rate: float = 1e-3
    """Adam's step size; with a schedule, the largest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Step size after the warm-up: constant, or a cosine that falls to 0 at update `schedule_updates`."""
    schedule_updates: int = 0
    """Cosine: updates until the step size is 0, warm-up included."""
    warmup_updates: int = 0
    """Updates over which the step size grows from 0."""
    weight_decay: float = 1e-4
    """Decoupled weight decay (AdamW)."""
    max_grad_norm: float = 5.0
    """Gradients are clipped to this global norm."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check("learning_rate", self.learning_rate, above=0)
        check("warmup_updates", self.warmup_updates, low=0)
        check("weight_decay", self.weight_decay, low=0)
        check("max_grad_norm", self.max_grad_norm, above=0)
        if self.schedule == "cosine":
            check(
                "schedule_updates (with the cosine schedule)",
                self.schedule_updates,
                low=self.warmup_updates + 1,
            )


def check_optimizer(optimizer: object) -> None:
    """Raises ValueError unless `optimizer` is an optax transformation."""
    if all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        return
    if callable(optimizer):
        name = getattr(optimizer, "__name__", type(optimizer).__name__)
        raise ValueError(
            f"optimizer is the function {name}; expected an optax transformation: call it, as in optax.adam(1e-3)"
        )
    raise ValueError(
        f"optimizer is {optimizer!r}; expected an optax transformation, such as optax.adam(1e-3); the step size "
        "alone is the setting learning_rate"
    )


def make_optimizer(settings: OptimizerSettings) -> optax.GradientTransformation:
    """The optimiser for the settings."""
    return optax.chain(
        optax.clip_by_global_norm(settings.max_grad_norm),
        optax.adamw(_learning_rate(settings), weight_decay=settings.weight_decay),
    )


def _learning_rate(settings: OptimizerSettings) -> optax.ScalarOrSchedule:
    peak, warmup = settings.learning_rate, settings.warmup_updates
    if settings.schedule == "cosine":
        if warmup:
            return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, settings.schedule_updates)
        return optax.cosine_decay_schedule(peak, settings.schedule_updates)
    return optax.linear_schedule(0.0, peak, warmup) if warmup else peak
