"""What jzero knows of an environment, read once.

Axes: P players, A actions, D dimensions of a continuous action.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jzero.env import (
    Env,
    Symmetry,
    has_chance,
    init_batch,
    observe_batch,
    reveal_batch,
)
from jzero.pytrees import Observation


@dataclass(frozen=True, eq=False)
class EnvSpec:
    """An environment with its abilities; `describe` makes it."""

    env: Env
    name: str
    """What `jzero.make` calls it, or the name of its class."""
    num_players: int
    num_actions: int
    """A; 0 where actions are continuous."""
    action_size: int
    """D; 0 where actions are numbered."""
    values_by_seat: bool
    """Every player has a value of its own: more than two players, or two whose rewards do not sum to 0."""
    alternates: bool
    """The players take turns; false where one may move twice in a row."""
    chance: bool
    """Chance is explicit: it is a `jzero.env.ChanceEnv`."""
    hidden_information: bool
    """A state holds what its player to move may not see."""
    resamples: bool
    """It can redraw what is hidden: `resample(state, key)`."""
    reveals: bool
    """It shows the value what is hidden: `reveal(state)`."""
    external: bool
    """States live outside of JAX, in an emulator."""
    records: bool
    """A replay keeps a part of its states: `record(state)`."""
    recalls: bool
    """Observations are made of several records: `recall(records)`."""
    history: int
    """Plies that an observation looks back on, its own included."""
    symmetries: tuple[Symmetry, ...]
    """Symmetries of its observations."""
    fingerprints: bool
    """Positions have a hash: `fingerprint(state)`."""
    draws: bool
    """States can be drawn: `svg(state)`."""
    draws_for: bool
    """They can be drawn without what a player may not see: `svg_for(state, player)`."""
    places: bool
    """The picture has places to click: `areas(state)`."""
    names_actions: bool
    """Players have names for actions: `action_name(state, action)`."""
    names_outcomes: bool
    """There are names for outcomes of explicit chance: `outcome_name(afterstate, outcome)`."""
    writes: bool
    """States can be written in words: `text(state)`."""
    writes_for: bool
    """They can be written without what a player may not see: `text_for(state, player)`."""
    observation: Any
    """Shapes and dtypes of one observation, without a batch axis."""
    outcome: Any
    """Shape and dtype of what `outcome_features(state, player)` says of a last state; None without."""

    @property
    def num_values(self) -> int:
        """Values that a network predicts: P where every player has one, else 1."""
        return self.num_players if self.values_by_seat else 1

    @property
    def one_value_serves(self) -> bool:
        """A value whose sign changes at every step, or never, serves all players: what learned models have."""
        return self.num_players == 1 or (self.alternates and not self.values_by_seat)

    @property
    def searchable(self) -> bool:
        """A search may step its states: they hide nothing, or what they hide can be redrawn."""
        return self.resamples or not self.hidden_information

    def seen(self, key: jax.Array) -> Observation:
        """What a network of policy and value reads of one first state, with a batch axis of 1."""
        return reveal_batch(self.env, init_batch(self.env, key, 1))

    def observed(self, key: jax.Array) -> Observation:
        """The observation of one first state, with a batch axis of 1."""
        return observe_batch(self.env, init_batch(self.env, key, 1))


def describe(env: Env, name: str = "") -> EnvSpec:
    """What there is to know of an environment; of the same one it is the same object.

    Args:
      env: keeps the protocol of `jzero.env.Env`.
      name: what `jzero.make` calls it; by default its own `name`, or the name of its class.

    Raises:
      ValueError: it has no hash.
    """
    try:
        hash(env)
    except TypeError as error:
        raise ValueError(
            f"env {name or type(env).__name__!r} has no hash, by which it is known again: make its class "
            "@dataclass(frozen=True), without lists"
        ) from error
    return _read(env, name)


@functools.lru_cache(maxsize=64)
def _read(env: Env, name: str) -> EnvSpec:
    observation = jax.eval_shape(lambda key: env.observe(env.init(key)), jax.random.key(0))
    resamples = getattr(env, "resample", None) is not None
    return EnvSpec(
        env=env,
        name=name or getattr(env, "name", type(env).__name__),
        num_players=env.num_players,
        num_actions=0 if getattr(env, "action_size", 0) else env.num_actions,
        action_size=getattr(env, "action_size", 0),
        values_by_seat=env.num_players > 2 or (env.num_players == 2 and not getattr(env, "zero_sum", True)),
        alternates=getattr(env, "alternates", True),
        chance=has_chance(env),
        hidden_information=resamples or getattr(env, "hidden_information", False),
        resamples=resamples,
        reveals=hasattr(env, "reveal"),
        external=getattr(env, "external", False),
        records=hasattr(env, "record"),
        recalls=hasattr(env, "recall"),
        history=getattr(env, "history", 1),
        symmetries=tuple(getattr(env, "symmetries", ())),
        fingerprints=getattr(env, "fingerprint", None) is not None,
        draws=hasattr(env, "svg"),
        draws_for=hasattr(env, "svg_for"),
        places=hasattr(env, "areas"),
        names_actions=hasattr(env, "action_name"),
        names_outcomes=hasattr(env, "outcome_name"),
        writes=hasattr(env, "text"),
        writes_for=hasattr(env, "text_for"),
        observation=observation,
        outcome=_outcome(env),
    )


def _outcome(env: Any) -> Any:
    if not hasattr(env, "outcome_features"):
        return None
    state = jax.eval_shape(env.init, jax.random.key(0))
    return jax.eval_shape(env.outcome_features, state, jax.ShapeDtypeStruct((), jnp.int32))
