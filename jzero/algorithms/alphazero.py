"""AlphaZero (Silver et al. 2017), with symmetric augmentation.

Axes: S samples, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp

from jzero.algorithms import auxiliary
from jzero.algorithms.algorithm import Algorithm
from jzero.algorithms.augment import draw_images, image_of_observation, image_of_policy
from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.algorithms.losses import policy_divergence, policy_std
from jzero.algorithms.reanalyse import number_searched, write_back
from jzero.algorithms.returns import LossSettings, value_targets
from jzero.env import shown
from jzero.env_spec import EnvSpec
from jzero.metrics import Metrics, mean, one
from jzero.models.model import from_mover, mask_logits
from jzero.models.plan import SearchSettings, make_planner
from jzero.models.simulator import simulator_model
from jzero.networks.check import check_kind
from jzero.networks.network import Network
from jzero.networks.supports import to_unit
from jzero.pytrees import OneState, Params
from jzero.record import Position, make_recorder, unpack_policy
from jzero.replay import Draw, Replay, Sample, draw, taken
from jzero.settings import check


@dataclass(frozen=True)
class AlphaZeroSettings(LossSettings):
    """The settings of a run that AlphaZero reads."""

    search: SearchSettings = field(default_factory=SearchSettings)
    auxiliary: AuxiliarySettings = field(default_factory=AuxiliarySettings)
    reanalyse: float = 0.0
    """AlphaZero: share of each batch that is searched again with the averaged weights first. The new policies are
    trained on at once; the new values enter the value targets of the next iteration. The replay then holds whole
    states. Learned models have muzero.reanalyse."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        LossSettings.__post_init__(self)
        check("reanalyse", self.reanalyse, low=0, high=1)


def alphazero(spec: EnvSpec, network: Network, settings: AlphaZeroSettings) -> Algorithm:
    """AlphaZero: plans with the environment itself.

    Raises:
      ValueError: the network is not a `Network`, the environment cannot be searched by stepping its states, or the
        settings do not fit it.
    """
    check_kind(network, Network, "alphazero")
    _check(spec, network, settings)
    model = simulator_model(spec, network, discount=settings.discount)

    planner, read = make_planner(settings.search, model), partial(position_of, spec)
    # Only a whole state can be searched again.
    recorder = make_recorder(spec.env, (lambda state: state) if settings.reanalyse else read)

    def again(averaged: Params, replay: Replay, drawn: Draw, key: jax.Array) -> Replay:
        states = recorder.unpack(taken(replay, drawn).position)
        params = model.prepare(averaged)
        root, invalid = model.root(params, states), ~states.legal_action_mask
        found = planner.plan(params, key, root, invalid, explore=True, memory=())
        return write_back(replay, drawn.age, drawn.lane, found)

    def batch(
        averaged: Params, replay: Replay, key: jax.Array, num_samples: int, progress: float | jax.Array = 0.0
    ) -> tuple[Replay, Sample]:
        del progress
        drawn = draw(replay, key, num_samples, correction=0.0)
        if settings.reanalyse:
            count = number_searched(settings.reanalyse, num_samples)
            first = jax.tree.map(lambda x: x[:count], drawn)
            replay = again(averaged, replay, first, jax.random.fold_in(key, 2))
        found = taken(replay, drawn)
        position = recorder.unpack(found.position)
        position = jax.vmap(read)(position) if settings.reanalyse else position
        further = auxiliary.targets(spec, settings.auxiliary, replay, drawn, position.mover)
        policy = unpack_policy(found.policy, spec.num_actions)
        return replay, found._replace(position=position, policy=policy, auxiliary=further)

    return Algorithm(
        model=model,
        planner=planner,
        init=lambda key: network.init(key, spec.seen(key)),
        record=recorder.pack,
        targets=partial(value_targets, td_lambda=settings.td_lambda),
        batch=batch,
        loss=partial(alphazero_loss, spec, network, settings),
        lookahead=settings.td_lookahead or None,
        outcome=auxiliary.outcome_recorder(spec, settings.auxiliary),
        short_targets=partial(auxiliary.short_targets, settings=settings.auxiliary),
        searched_again=partial(number_searched, settings.reanalyse),
    )


def position_of(spec: EnvSpec, state: OneState) -> Position:
    """The part of one state that AlphaZero trains on."""
    return Position(shown(spec.env, state), state.legal_action_mask, state.current_player)


def alphazero_loss(
    spec: EnvSpec,
    network: Network,
    settings: AlphaZeroSettings,
    params: Params,
    batch: Sample,
    key: jax.Array,
) -> tuple[jax.Array, tuple[Metrics, tuple[()]]]:
    """Cross-entropy of the policy, plus `value_weight` times the squared error of the value (the mean over
    players), plus the auxiliary losses.

    Args:
      spec: the environment, for its symmetries.
      network: policy and value; value errors are on the scale of `supports.to_unit` with the network's limit.
      settings: weights of the losses, and whether each position is replaced by a random symmetric image (including
        the identity).
      params: parameters of the network.
      batch: `Position`s [S].
      key: for the symmetries.

    Returns:
      the loss, and metrics: `loss`, `policy_loss` (nats above the target's entropy: the KL divergence),
      `value_loss`, `policy_std`, and those of `auxiliary.losses`.
    """
    observation, legal, mover = batch.position
    policy, image = batch.policy, None
    if settings.augment and spec.symmetries:
        image = draw_images(spec.symmetries, key, policy.shape[0])
        observation = image_of_observation(spec.symmetries, image, observation)
        policy, legal = (image_of_policy(spec.symmetries, image, x) for x in (policy, legal))
    further: dict[str, jax.Array] = {}
    if network.auxiliary is None:
        logits, value = network.apply(params, observation)
    else:
        logits, value, further = network.auxiliary(params, observation)
    divergence = policy_divergence(policy, mask_logits(logits, legal))
    policy_loss = mean(divergence, batch.weight * batch.policy_weight)
    target = batch.value if value.ndim == 1 else from_mover(batch.value, mover)
    error = jnp.square(to_unit(value, network.value_limit) - to_unit(target, network.value_limit))
    value_loss = mean(jnp.mean(error.reshape(*batch.weight.shape, -1), axis=-1), batch.weight)
    more, parts = auxiliary.losses(
        spec, network, settings.auxiliary, further, batch.auxiliary, batch.weight, mover, image
    )
    loss = policy_loss.value + settings.value_weight * value_loss.value + more
    metrics = {"loss": one(loss), "policy_loss": policy_loss, "value_loss": value_loss}
    return loss, (metrics | {"policy_std": one(policy_std(logits))} | parts, ())


def _check(spec: EnvSpec, network: Network, settings: AlphaZeroSettings) -> None:
    """Raises ValueError for an environment that AlphaZero cannot search, or settings that do not fit it."""
    check_numbered(spec)
    auxiliary.check_heads(spec, network, settings.auxiliary, augment=settings.augment)
    if spec.external or spec.records:
        raise ValueError(
            f"algorithm 'alphazero' searches by stepping states, and a state of {spec.name!r} does not hold the "
            "whole game; use algorithm 'gumbel_muzero', which learns a model"
        )
    hides = spec.resamples
    if settings.search.worlds > 1 and not hides:
        raise ValueError(
            f"search.worlds is {settings.search.worlds}; {spec.name!r} has no hidden information (no "
            "resample(state, key)), so all worlds would be the same: use 1"
        )
    reveals = spec.reveals
    if reveals and not hides:
        raise ValueError(
            f"{spec.name!r} has reveal but no resample(state, key): its values would see the true hidden state; "
            "add resample, or remove reveal"
        )
    if reveals and settings.augment and spec.symmetries:
        raise ValueError(
            f"augment is True; {spec.name!r} has symmetries for its observation, but none for the output of "
            "reveal: use --no-augment"
        )
    if settings.search.reuse and hides:
        raise ValueError(
            f"search.reuse is True; {spec.name!r} has hidden information, and its worlds are sampled anew at every "
            "move: use --search.no-reuse"
        )
    if settings.search.reuse and spec.chance:
        raise ValueError(
            f"search.reuse is True; {spec.name!r} has explicit chance, and a search cannot continue from the "
            "outcome that occurred: use --search.no-reuse"
        )


def check_numbered(spec: EnvSpec) -> None:
    """Raises ValueError if actions are vectors: AlphaZero needs discrete actions."""
    if spec.action_size:
        raise ValueError(
            f"algorithm 'alphazero' needs discrete actions, and those of {spec.name!r} are vectors of "
            f"{spec.action_size}; use algorithm 'gumbel_muzero', which learns a model"
        )
