"""The properties of an environment, read once.

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
    """An environment with its properties; `describe` makes it."""

    env: Env
    name: str
    """Its name for `jzero.make`, or the name of its class."""
    num_players: int
    num_actions: int
    """A; 0 for continuous actions."""
    action_size: int
    """D; 0 for discrete actions."""
    values_by_seat: bool
    """Whether every player has a value: more than two players, or two whose rewards do not sum to 0."""
    alternates: bool
    """Whether players alternate; false if one may move twice in a row."""
    chance: bool
    """Whether chance is explicit: it is a `jzero.env.ChanceEnv`."""
    hidden_information: bool
    """Whether a state holds information that its player to move may not see."""
    resamples: bool
    """Whether it can resample hidden information: `resample(state, key)`."""
    reveals: bool
    """Whether it shows hidden information to the value: `reveal(state)`."""
    external: bool
    """Whether states are outside JAX, in an emulator."""
    records: bool
    """Whether a replay keeps a part of its states: `record(state)`."""
    recalls: bool
    """Whether observations are made from several records: `recall(records)`."""
    history: int
    """Plies in an observation, including the current one."""
    symmetries: tuple[Symmetry, ...]
    """Symmetries of its observations."""
    fingerprints: bool
    """Whether positions have a hash: `fingerprint(state)`."""
    draws: bool
    """Whether it draws states: `svg(state)`."""
    draws_for: bool
    """Whether it draws them without information hidden from a player: `svg_for(state, player)`."""
    places: bool
    """Whether the picture has places to click: `areas(state)`."""
    names_actions: bool
    """Whether actions have names: `action_name(state, action)`."""
    names_outcomes: bool
    """Whether outcomes of explicit chance have names: `outcome_name(afterstate, outcome)`."""
    writes: bool
    """Whether it writes states as text: `text(state)`."""
    writes_for: bool
    """Whether it writes them without information hidden from a player: `text_for(state, player)`."""
    observation: Any
    """Shapes and dtypes of one observation, without a batch axis."""
    outcome: Any
    """Shape and dtype of `outcome_features(state, player)`; None without."""

    @property
    def num_values(self) -> int:
        """Number of values that a network predicts: P if every player has one, else 1."""
        return self.num_players if self.values_by_seat else 1

    @property
    def one_value_serves(self) -> bool:
        """Whether one value, whose sign flips at every step or never, represents all players, as in learned
        models.
        """
        return self.num_players == 1 or (self.alternates and not self.values_by_seat)

    @property
    def searchable(self) -> bool:
        """Whether a search may step its states: they have no hidden information, or it can be resampled."""
        return self.resamples or not self.hidden_information

    def seen(self, key: jax.Array) -> Observation:
        """The input of a policy and value network for an initial state, with a batch axis of 1."""
        return reveal_batch(self.env, init_batch(self.env, key, 1))

    def observed(self, key: jax.Array) -> Observation:
        """The observation of an initial state, with a batch axis of 1."""
        return observe_batch(self.env, init_batch(self.env, key, 1))


def describe(env: Env, name: str = "") -> EnvSpec:
    """The properties of an environment; the same object for the same environment.

    Args:
      env: an environment that follows `jzero.env.Env`.
      name: its name for `jzero.make`; by default its attribute `name`, or the name of its class.

    Raises:
      ValueError: it has no hash.
    """
    try:
        hash(env)
    except TypeError as error:
        raise ValueError(
            f"env {name or type(env).__name__!r} has no hash, which JAX needs for caching: make its class "
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
