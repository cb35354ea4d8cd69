"""Auxiliary losses of AlphaZero's network, next to policy and value: they improve its features.

Axes: R plies of the ring, B game lanes, S samples, A actions, P players, H horizons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.algorithms.augment import image_of_observation, image_of_policy
from jzero.algorithms.losses import policy_divergence
from jzero.algorithms.returns import value_targets
from jzero.env_spec import EnvSpec
from jzero.metrics import Mean, mean
from jzero.models.model import from_mover
from jzero.networks.network import Network
from jzero.networks.supports import to_unit
from jzero.pytrees import States
from jzero.record import unpack_policy
from jzero.replay import Draw, Replay
from jzero.self_play import Transition
from jzero.settings import check


@dataclass(frozen=True)
class AuxiliarySettings:
    """Weights of auxiliary losses; 0 removes a loss and its head. The search never reads these heads."""

    reply: float = 0.0
    """Weight of the prediction of the next ply's policy, the opponent's reply (KataGo: 0.15)."""
    outcome: float = 0.0
    """Weight of the prediction of the environment's `outcome_features` in the last state of the game."""
    short_values: float = 0.0
    """Weight of the values at `horizons`: TD(lambda) with lambda = 1 - 1 / horizon."""
    horizons: tuple[int, ...] = (4, 16)
    """Horizons of the short-term values, in plies."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("reply", "outcome", "short_values"):
            check(f"auxiliary.{name}", getattr(self, name), low=0)
        for horizon in self.horizons:
            check("auxiliary.horizons", horizon, low=1)
        if self.short_values and not self.horizons:
            raise ValueError("auxiliary.horizons is empty; short_values needs at least one, such as 4")


class Auxiliary(NamedTuple):
    """Targets of the auxiliary losses; () for a loss that is off."""

    reply: Any = ()
    """f32[S, A] policy target of the next ply."""
    reply_weight: Any = ()
    """f32[S] 0 if the game ended, or if the next ply has no policy target."""
    outcome: Any = ()
    """[S, ...] features of the end of the game, as the sample's player to move sees them."""
    outcome_weight: Any = ()
    """f32[S] 0 if the end of the game is unknown or was a truncation."""
    short_values: Any = ()
    """f32[S, H], or f32[S, H, P] per seat."""


def heads(spec: EnvSpec, settings: AuxiliarySettings) -> dict[str, int]:
    """Output sizes of the network's auxiliary heads.

    Raises:
      ValueError: the environment has no `outcome_features`.
    """
    sizes = {}
    if settings.reply:
        sizes["reply"] = spec.num_actions
    if settings.outcome:
        if spec.outcome is None:
            raise ValueError(
                f"auxiliary.outcome is {settings.outcome:g}; {spec.name!r} has no outcome_features(state, player): "
                "add it (docs/plug_in.md) or use 0"
            )
        sizes["outcome"] = int(np.prod(spec.outcome.shape))
    if settings.short_values:
        sizes["short_values"] = len(settings.horizons) * spec.num_values
    return sizes


def check_heads(spec: EnvSpec, network: Network, settings: AuxiliarySettings, *, augment: bool) -> None:
    """Raises ValueError if the network or the environment does not fit the auxiliary losses."""
    names = ", ".join(heads(spec, settings))
    if names and network.auxiliary is None:
        raise ValueError(
            f"auxiliary asks for {names}; the network that was passed in has no heads for them: give it "
            "Network.auxiliary, or set these weights to 0"
        )
    if not (settings.outcome and augment and spec.symmetries):
        return
    like = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), spec.outcome)
    try:
        shape = jax.eval_shape(spec.symmetries[0].observation, like).shape
    except Exception:  # of the environment's own function
        shape = None
    if shape != like.shape:
        raise ValueError(
            f"auxiliary.outcome is {settings.outcome:g}; the symmetries of {spec.name!r} transform its "
            f"observation, but outcome_features of shape {list(like.shape)} have another layout: make them "
            "[height, width, channels] as the observation is, or use --no-augment"
        )


def outcome_recorder(spec: EnvSpec, settings: AuxiliarySettings) -> Callable[[States], Any]:
    """States [B] -> features of the end of the game as each player sees them, [B, P, ...]; () if unused."""
    if not settings.outcome:
        return lambda states: ()
    seen: Callable = spec.env.outcome_features  # pyrefly: ignore
    players = jnp.arange(spec.num_players, dtype=jnp.int32)
    return jax.vmap(lambda state: jax.vmap(seen, (None, 0))(state, players))


def short_targets(plies: Transition, settings: AuxiliarySettings) -> Any:
    """Values f32[R, B, H], or [R, B, H, P], of plies [R, B] in time order at each horizon; () if unused."""
    if not settings.short_values:
        return ()
    found = [value_targets(plies, td_lambda=1 - 1 / horizon)[0] for horizon in settings.horizons]
    return jnp.stack(found, axis=2)


def targets(spec: EnvSpec, settings: AuxiliarySettings, replay: Replay, drawn: Draw, mover: Any) -> Auxiliary:
    """The auxiliary targets of the sampled plies; `mover` i32[S] is the player to move."""
    plies, found = replay.plies, Auxiliary()
    index = replay.rows(drawn.age)
    if settings.reply:
        after = replay.rows(drawn.age + 1)
        known = (drawn.age + 1 < replay.held) & ~plies.ended[index, drawn.lane]
        policy = jax.tree.map(lambda x: x[after, drawn.lane], plies.policy)
        weight = jnp.where(known, plies.policy_weight[after, drawn.lane], 0.0)
        found = found._replace(reply=unpack_policy(policy, spec.num_actions), reply_weight=weight)
    if settings.outcome:
        row = replay.ends[index, drawn.lane]
        known, row = row >= 0, jnp.maximum(row, 0)
        known &= ~plies.truncated[row, drawn.lane]
        features = plies.outcome[row, drawn.lane, mover]
        found = found._replace(outcome=features, outcome_weight=known.astype(jnp.float32))
    if settings.short_values:
        found = found._replace(short_values=replay.short_targets[index, drawn.lane])
    return found


def losses(
    spec: EnvSpec,
    network: Network,
    settings: AuxiliarySettings,
    outputs: dict[str, jax.Array],
    wanted: Auxiliary,
    weight: jax.Array,
    mover: Any,
    image: jax.Array | None,
) -> tuple[jax.Array, dict[str, Mean]]:
    """The weighted sum of the auxiliary losses, and each loss as a metric.

    Args:
      spec: the environment, for its symmetries.
      network: the network of the outputs.
      settings: the weights.
      outputs: [S, size] per head.
      wanted: targets of the samples before `image` is applied.
      weight: f32[S] weights of the samples.
      mover: i32[S] or (), as in the batch.
      image: i32[S], symmetric image of each sample; None without augmentation.
    """
    parts, total = {}, jnp.float32(0)
    if settings.reply:
        policy = wanted.reply if image is None else image_of_policy(spec.symmetries, image, wanted.reply)
        divergence = policy_divergence(policy, outputs["reply"])
        parts["reply_loss"] = mean(divergence, weight * wanted.reply_weight)
        total += settings.reply * parts["reply_loss"].value
    if settings.outcome:
        features = wanted.outcome.astype(jnp.float32)
        if image is not None:
            features = image_of_observation(spec.symmetries, image, features)
        error = jnp.square(jnp.tanh(outputs["outcome"]) - features.reshape(outputs["outcome"].shape))
        parts["outcome_loss"] = mean(jnp.mean(error, axis=-1), weight * wanted.outcome_weight)
        total += settings.outcome * parts["outcome_loss"].value
    if settings.short_values:
        target = wanted.short_values
        if target.ndim == 3:
            target = jax.vmap(from_mover, (1, None), 1)(target, mover)
        limit = network.value_limit
        error = jnp.tanh(outputs["short_values"]).reshape(target.shape) - to_unit(target, limit)
        parts["short_values_loss"] = mean(
            jnp.mean(jnp.square(error).reshape(*weight.shape, -1), axis=-1), weight
        )
        total += settings.short_values * parts["short_values_loss"].value
    return total, parts
