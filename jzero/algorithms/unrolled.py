"""Batches for a learned model: sample positions, search some of them again (reanalyse), make their targets.

Source of reanalyse: MuZero Reanalyse (Schrittwieser et al. 2020, appendix H; 2021).
Axes: S samples, K unrolled steps, H states in an observation's history, L successive plies, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero.algorithms.augment import draw_images, image_of_action, image_of_observation, image_of_policy
from jzero.algorithms.reanalyse import number_searched, write_back
from jzero.algorithms.returns import LossSettings
from jzero.algorithms.targets import Targets, merge_axes, n_step_returns, unroll_targets
from jzero.env_spec import EnvSpec
from jzero.models.learned import Latent, LearnedModel
from jzero.models.plan import Planner, SearchSettings
from jzero.pytrees import Observation, Params, PyTree
from jzero.record import Position, Recorder, make_recorder, unpack_policy
from jzero.replay import Draw, Replay, draw
from jzero.self_play import SelfPlaySettings, Transition
from jzero.settings import check


@dataclass(frozen=True)
class MuZeroSettings:
    """Settings of a learned model. EfficientZero is MuZero with its parts enabled."""

    unroll_steps: int = 5
    """Number K of steps that the model is unrolled in training."""
    td_steps: int = 0
    """Number n of steps of the value target's return; 0: TD(lambda) to the end of the game (`td_lambda`)."""
    value_limit: float = 1.0
    """Largest absolute value of the value head; larger targets are clipped and counted."""
    reward_limit: float = 1.0
    """Largest absolute reward of the reward head; with a value prefix, the largest sum of five rewards."""
    atoms: int = 21
    """Atoms of the categorical values and rewards; odd."""
    reward_weight: float = 1.0
    """Weight of the reward loss."""
    value_prefix: bool = False
    """EfficientZero: an LSTM predicts the sum of rewards since its last reset, instead of single rewards."""
    prefix_horizon: int = 5
    """Steps between resets of the value prefix."""
    prefix_width: int = 64
    """Units of the value prefix's LSTM (EfficientZero: 512)."""
    consistency_weight: float = 0.0
    """EfficientZero: weight of the consistency loss between unrolled and observed latent states (2 there); 0 is
    off."""
    projection_width: int = 128
    """Units of the consistency's projector and predictor (EfficientZero: 1024 and 512)."""
    commitment_weight: float = 0.25
    """Chance codes: beta, the weight of the encoder's commitment to its code (0.25 in VQ-VAE, van den Oord et al.
    2017)."""
    code_information_weight: float = 0.0
    """Chance codes: weight of a bonus for the information, in nats, that codes carry about their steps; it keeps
    them from collapsing into one code. 0 is the paper's loss."""
    reanalyse: float = 0.0
    """Share of each batch that is searched again with the averaged weights, for new policies and values."""
    bootstrap: Literal["search", "network"] = "search"
    """Bootstrap at step n and at a time limit: the stored root value (search) or the target network's current value
    (network). Random moves bootstrap with the stored root value."""
    td_age: int = 0
    """EfficientZero's off-policy correction: shorten the n-step return by one step per `td_age` positions of age,
    to at least 1 (0.3 of the run in the paper). 0 is off."""
    search_value_age: int = 0
    """EfficientZero V2's mixed value target: for positions older than this number of positions the target is the
    stored root value. 0 is off."""
    priority_exponent: float = 0.0
    """alpha of prioritised replay (MuZero 1, EfficientZero 0.6); 0 samples uniformly."""
    priority_correction: float = 1.0
    """beta of prioritised replay's importance weights when the run begins; it grows linearly to 1."""
    entropy_weight: float = 0.0
    """Continuous actions: weight of the entropy bonus (EfficientZero V2: 0.005)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("unroll_steps", "prefix_horizon", "prefix_width", "projection_width"):
            check(f"muzero.{name}", getattr(self, name), low=1)
        for name in (
            "td_steps",
            "reward_weight",
            "consistency_weight",
            "commitment_weight",
            "code_information_weight",
            "td_age",
            "search_value_age",
            "entropy_weight",
        ):
            check(f"muzero.{name}", getattr(self, name), low=0)
        for name in ("reanalyse", "priority_exponent", "priority_correction"):
            check(f"muzero.{name}", getattr(self, name), low=0, high=1)
        for name in ("value_limit", "reward_limit"):
            check(f"muzero.{name}", getattr(self, name), above=0)
        check("muzero.atoms", self.atoms, low=3)
        if self.atoms % 2 == 0:
            raise ValueError(f"muzero.atoms is {self.atoms}; expected an odd number, so that 0 is an atom")
        for name in ("td_age", "search_value_age"):
            if getattr(self, name) and not self.td_steps:
                raise ValueError(
                    f"muzero.{name} is {getattr(self, name)}; it needs muzero.td_steps of at least 1"
                )
        if self.bootstrap == "network" and not self.td_steps:
            raise ValueError('muzero.bootstrap is "network"; it needs muzero.td_steps of at least 1')


@dataclass(frozen=True)
class LearnedSettings(SelfPlaySettings, LossSettings):
    """The settings of a run that a learned model reads."""

    search: SearchSettings = field(default_factory=SearchSettings)
    muzero: MuZeroSettings = field(default_factory=MuZeroSettings)

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        SelfPlaySettings.__post_init__(self)
        LossSettings.__post_init__(self)


class Roots(NamedTuple):
    """Root values of the sampled positions, and the returns of their games."""

    value: jax.Array
    """f32[S] the stored root value."""
    outcome: jax.Array
    """f32[S] discounted return to the end of the game."""
    known: jax.Array
    """bool[S] whether the game has ended."""


class Batch(NamedTuple):
    """The data of one update."""

    observation: Any
    """[S, ...] observations of the sampled positions."""
    later: Any
    """[S, K, ...] observations of the next K steps; () without consistency loss and chance codes."""
    targets: Targets
    drawn: Draw
    """The samples' places in the replay, and their weights."""
    roots: Roots | tuple = ()
    """For metrics only; () if the replay has no returns."""


class Unrolled(NamedTuple):
    """The model's predictions along the actions taken."""

    policy: jax.Array
    """f32[S, K + 1, A] logits, or f32[S, K + 1, 2 D] if actions are continuous."""
    value: jax.Array
    """f32[S, K + 1, atoms] logits."""
    reward: jax.Array
    """f32[S, K, atoms] logits of rewards or value prefixes."""
    latent: jax.Array
    """f32[K + 1, S, ...] latent states."""
    chance: Any = ()
    """f32[S, K, M] logits of the codes that follow each action; () without chance codes."""
    afterstate_value: Any = ()
    """f32[S, K, atoms] logits of the Q-values of the actions; () without chance codes."""


def searched_again(settings: MuZeroSettings, num_samples: int) -> int:
    """Number of positions searched again for a batch of `num_samples`, counting each sample's unrolled steps."""
    return number_searched(settings.reanalyse, num_samples) * (settings.unroll_steps + 1)


def make_batch(
    spec: EnvSpec,
    settings: LearnedSettings,
    planner: Planner,
    learned: LearnedModel,
    averaged: Params,
    replay: Replay,
    key: jax.Array,
    num_samples: int,
    progress: float | jax.Array = 0.0,
) -> tuple[Replay, Batch]:
    """Samples `num_samples` positions and makes their targets.

    Args:
      spec: the environment, which makes observations from the replay's contents.
      settings: the settings.
      planner: the search for reanalyse.
      learned: the model, for values without a search.
      averaged: the averaged weights, the target network of reanalyse and of the bootstrap.
      replay: the ring.
      key: consumed.
      num_samples: S.
      progress: share of the run that has passed, f32[] in [0, 1].

    Returns:
      the ring, with reanalysed policies and values written back; the batch.
    """
    muzero, steps = settings.muzero, settings.muzero.unroll_steps
    draw_key, search_key, action_key, image_key = jax.random.split(key, 4)
    history = spec.history
    correction = muzero.priority_correction + progress * (1 - muzero.priority_correction)
    drawn = draw(replay, draw_key, num_samples, correction=correction, history=history)
    length = steps + muzero.td_steps + 1
    ahead = jnp.arange(length, dtype=jnp.int32)[None]
    window = jnp.minimum(drawn.age[:, None] + ahead, replay.held - 1)  # [S, L]
    if muzero.reanalyse:
        count = number_searched(muzero.reanalyse, num_samples)
        searched = window[:count, : steps + 1]
        replay = _reanalyse(
            spec, settings, planner, learned, averaged, replay, searched, drawn.lane[:count], search_key
        )

    plies = _plies_at(spec, replay, window, drawn.lane)
    value = _value_targets(spec, settings, learned, averaged, replay, plies, window, drawn)
    targets = unroll_targets(plies, value, action_key, steps)
    observation = observations(spec, replay, window[:, :1], drawn.lane)
    later: Any = ()
    if muzero.consistency_weight or learned.network.afterstate is not None:
        later = observations(spec, replay, window[:, 1 : steps + 1], drawn.lane)
    symmetries = spec.symmetries
    if settings.augment and symmetries:
        image = draw_images(symmetries, image_key, num_samples)
        observation = _images(symmetries, image, observation)
        later = _images(symmetries, image, later)
        targets = targets._replace(
            action=image_of_action(symmetries, image, targets.action, spec.num_actions),
            policy=image_of_policy(symmetries, image, targets.policy),
        )
    first = jax.tree.map(lambda x: x[:, 0], (observation, plies))
    return replay, Batch(first[0], later, targets, drawn, _roots(settings, replay, first[1], drawn))


@lru_cache(maxsize=64)
def recorder_of(spec: EnvSpec) -> Recorder:
    """Records what a learned model trains on: observations, or the records they are made from; legal actions."""
    if spec.recalls:
        return make_recorder(spec.env, lambda record: record)
    return make_recorder(spec.env, lambda state: Position(spec.env.observe(state), state.legal_action_mask))


def _legal(spec: EnvSpec, kept: PyTree) -> jax.Array:
    """bool[S, A]: legal actions of stored positions."""
    found = recorder_of(spec).unpack(kept)
    return found.legal_action_mask if spec.recalls else found.legal


def observations(spec: EnvSpec, replay: Replay, age: jax.Array, lane: jax.Array) -> Observation:
    """Observations [S, L, ...] of the plies with ages i32[S, L] in the lanes i32[S].

    If observations include a history, earlier states are read too, but none before the start of the game.
    """
    history = spec.history
    flat, lanes = age.reshape(-1), jnp.repeat(lane, age.shape[1])
    recorder = recorder_of(spec)
    if not spec.recalls:
        found = recorder.unpack(_at(replay, flat, lanes, replay.plies.position)).seen
    else:
        ago = jnp.arange(history - 1, -1, -1, dtype=jnp.int32)[None]
        back = flat[:, None] - ago  # [S * L, H], the ply itself last
        ended = _at(replay, back, lanes[:, None], replay.plies.ended) | (back < 0)
        # How many of the plies just before it belong to the same game: up to the last end among them.
        inside = jnp.cumprod(~ended[:, :-1][:, ::-1], axis=1)
        back = jnp.maximum(back, (flat - jnp.sum(inside, axis=1, dtype=jnp.int32))[:, None])
        records = _at(replay, back, lanes[:, None], replay.plies.position)
        found = jax.vmap(cast(Any, spec.env).recall)(recorder.unpack(records))
    return jax.tree.map(lambda x: x.reshape(*age.shape, *x.shape[1:]), found)


def _reanalyse(
    spec: EnvSpec,
    settings: LearnedSettings,
    planner: Planner,
    learned: LearnedModel,
    averaged: Params,
    replay: Replay,
    age: jax.Array,
    lane: jax.Array,
    key: jax.Array,
) -> Replay:
    """Searches the plies with ages i32[S, L] again and writes their policies and values into the ring."""
    flat, lanes = age.reshape(-1), jnp.repeat(lane, age.shape[1])
    legal = _legal(spec, _at(replay, flat, lanes, replay.plies.position))
    observation = merge_axes(observations(spec, replay, age, lane))
    found = planner.plan(
        averaged, key, learned.root(averaged, observation, legal), ~legal, explore=True, memory=()
    )
    return write_back(replay, flat, lanes, found)


def _value_targets(
    spec: EnvSpec,
    settings: LearnedSettings,
    learned: LearnedModel,
    averaged: Params,
    replay: Replay,
    plies: Transition,
    window: jax.Array,
    drawn: Draw,
) -> jax.Array:
    """f32[S, K + 1]: the ring's targets, or newly computed n-step returns."""
    muzero, steps = settings.muzero, settings.muzero.unroll_steps
    if not muzero.td_steps:
        return _at(replay, window[:, : steps + 1], drawn.lane[:, None], replay.targets)
    value = plies.value
    if muzero.bootstrap == "network":
        # Where all returns have the same length, only the last K + 1 plies of a window are looked at.
        asked = window if muzero.td_age else window[:, muzero.td_steps :]

        def latent(age: jax.Array) -> Latent:
            """The latent states [S * L] of the plies with ages i32[S, L]."""
            return learned.represent(averaged, merge_axes(observations(spec, replay, age, drawn.lane)))

        found = learned.evaluate(averaged, latent(asked))[1].reshape(asked.shape)
        value = jnp.concatenate([value[:, : -asked.shape[1]], found], axis=1)
        plies = _with_new_ends(partial(learned.qvalue, averaged), latent, plies, window)
    # Lanes advance together, so a ply is as old, in positions, as what all lanes have played since.
    old = (replay.held - drawn.age) * settings.games
    num_steps = jnp.full_like(drawn.age, muzero.td_steps)
    if muzero.td_age:
        num_steps = jnp.clip(muzero.td_steps - old // muzero.td_age, 1, muzero.td_steps)
    found = n_step_returns(plies, value, num_steps, unroll_steps=steps, max_steps=muzero.td_steps)
    if muzero.search_value_age:
        found = jnp.where((old > muzero.search_value_age)[:, None], plies.value[:, : steps + 1], found)
    return found


def _with_new_ends(
    qvalue: Callable[..., jax.Array],
    latent: Callable[[jax.Array], Latent],
    plies: Transition,
    window: jax.Array,
) -> Transition:
    """The plies [S, L], with the current Q-value of the last action of each row's first truncated game.

    Plies after a truncation have no targets, so later games of a row are left as they are.

    Args:
      qvalue: (latent, action, reward, discount) -> Q-values f32[S], `LearnedModel.qvalue` with its weights.
      latent: ages i32[S, 1] -> latent states [S].
      plies: of the window.
      window: i32[S, L] ages of the plies.
    """
    rows, cut = jnp.arange(window.shape[0]), jnp.argmax(plies.truncated, axis=1)
    action, reward, discount = (x[rows, cut] for x in (plies.action, plies.reward, plies.discount))
    new = plies.qvalue.at[rows, cut].set(qvalue(latent(window[rows, cut][:, None]), action, reward, discount))
    return plies._replace(qvalue=jnp.where(plies.truncated, new, plies.qvalue))


def _roots(settings: LearnedSettings, replay: Replay, plies: Transition, drawn: Draw) -> Roots | tuple:
    """Values and returns of the plies [S]; () if the ring's targets mix in values on the way.

    Plies of a random opening are unknown: their targets are their own root values.
    """
    if settings.td_lambda < 1 or (settings.random_move_fraction and settings.cut_at_random_moves):
        return ()
    outcome = _at(replay, drawn.age, drawn.lane, replay.targets)
    known = (drawn.age < replay.finished[drawn.lane]) & ~plies.explored
    return Roots(plies.value, outcome, known)


def _plies_at(spec: EnvSpec, replay: Replay, age: jax.Array, lane: jax.Array) -> Transition:
    """The plies [S, L], without their positions."""
    plies = _at(replay, age, lane[:, None], replay.plies._replace(position=()))
    return plies._replace(policy=unpack_policy(plies.policy, spec.num_actions))


def _at(replay: Replay, age: jax.Array, lane: jax.Array, part: PyTree) -> PyTree:
    rows = replay.rows(jnp.maximum(age, 0))
    return jax.tree.map(lambda x: x[rows, lane], part)


def _images(symmetries: tuple, image: jax.Array, observation: Observation) -> PyTree:
    """The images of observations [S, L, ...]; all observations of a sample have the same symmetry."""
    leaves = jax.tree.leaves(observation)
    if not leaves:
        return observation
    length = leaves[0].shape[1]
    found = image_of_observation(symmetries, jnp.repeat(image, length), merge_axes(observation))
    return jax.tree.map(lambda x: x.reshape(-1, length, *x.shape[1:]), found)
