"""What a configuration trains: the parts in which algorithms differ; self-play, replay and updates are shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax

from jzero.algorithms.alphazero import alphazero_loss
from jzero.algorithms.batch import lookahead, make_batch
from jzero.algorithms.muzero import muzero_loss
from jzero.config import TrainConfig
from jzero.env import Env, action_size, has_chance, init_batch, observe_batch, reveal_batch
from jzero.models.simulator import (
    Apply,
    LearnedModel,
    Model,
    has_player_values,
    learned_model,
    simulator_model,
)
from jzero.networks import PolicyValueNet, Support, make_learned_network, make_network, prepared
from jzero.replay import Replay, sample, set_priority


class Algorithm(NamedTuple):
    """The parts of an algorithm."""

    model: Model
    """What the search plans with."""
    init: Callable[[jax.Array], Any]
    """key -> the network's first weights."""
    batch: Callable[[Any, Replay, jax.Array, int], tuple[Replay, Any]]
    """(averaged weights, replay, key, number of samples) -> replay, batch."""
    loss: Callable[[Any, Any, jax.Array], tuple[jax.Array, tuple[dict[str, jax.Array], Any]]]
    """(params, batch, key) -> loss, (metrics, priorities of the samples)."""
    remember: Callable[[Replay, Any, Any], Replay]
    """(replay, batch, priorities) -> replay."""
    prioritised: bool
    """The replay keeps priorities."""
    lookahead: int | None
    """How many later plies make a ply ready for learning; None waits for the end of its game."""


def make_algorithm(env: Env, config: TrainConfig) -> Algorithm:
    """The algorithm that `config.algorithm` names.

    Raises:
      ValueError: the environment has more players than a learned model's single value can serve, or AlphaZero
        cannot search in it.
    """
    return _alphazero(env, config) if config.algorithm == "alphazero" else _muzero(env, config)


def make_learned(env: Env, config: TrainConfig) -> LearnedModel:
    """The learned model that a configuration describes."""
    if has_player_values(env):
        raise ValueError(
            f"algorithm {config.algorithm!r} learns one value, for one player or for two whose rewards sum to 0, "
            f"and each of the {env.num_players} players of {config.env!r} needs its own; use AlphaZero "
            "(experiments/alphazero.py)"
        )
    if env.num_players == 2 and not getattr(env, "alternates", True):
        raise ValueError(
            f"algorithm {config.algorithm!r} learns a model in which two players take turns, and in {config.env!r} "
            "one may move twice in a row; use AlphaZero (experiments/alphazero.py)"
        )
    muzero = config.muzero
    return LearnedModel(
        network=make_learned_network(
            config.network, muzero, getattr(env, "num_actions", 0), action_size(env)
        ),
        value=Support(muzero.value_limit, muzero.atoms),
        reward=Support(muzero.reward_limit, muzero.atoms),
        prefix_horizon=muzero.prefix_horizon,
        discount=-config.discount if env.num_players == 2 else config.discount,
        sampled_actions=config.search.sampled_actions if action_size(env) else 0,
    )


def make_apply(env: Env, config: TrainConfig) -> Apply:
    """AlphaZero's network as a function of parameters and observations."""
    return cast(Apply, _network(env, config).apply)


def _network(env: Env, config: TrainConfig) -> PolicyValueNet:
    num_values = env.num_players if has_player_values(env) else 1
    return make_network(config.network, env.num_actions, num_values)


def _check_search(env: Env, config: TrainConfig) -> None:
    """Raises ValueError for options that do not fit the environment."""
    hides = getattr(env, "resample", None) is not None
    if config.search.worlds > 1 and not hides:
        raise ValueError(
            f"search.worlds is {config.search.worlds}; {config.env!r} hides nothing (it has no "
            "resample(state, key)), so its worlds would all be the same: use 1"
        )
    reveals = hasattr(env, "reveal")
    if reveals and not hides:
        raise ValueError(
            f"{config.env!r} has reveal but no resample(state, key): its values would see what is really hidden; "
            "add resample, or drop reveal"
        )
    if reveals and config.augment and getattr(env, "symmetries", ()):
        raise ValueError(
            f"augment is True; {config.env!r} has symmetries of its observation, but what it reveals would stay as "
            "it is: use --no-augment"
        )
    if config.search.reuse and hides:
        raise ValueError(
            f"search.reuse is True; {config.env!r} hides information, and its worlds are drawn anew at every move: "
            "use --search.no-reuse"
        )
    if config.search.reuse and has_chance(env):
        raise ValueError(
            f"search.reuse is True; {config.env!r} has explicit chance, and a search cannot go on from the outcome "
            "that came: use --search.no-reuse"
        )
    if config.resign_below > -1 and (env.num_players != 2 or has_player_values(env)):
        raise ValueError(
            f"resign_below is {config.resign_below:g}; resigning is for two players whose rewards sum to 0: use -1"
        )


def check_numbered(env: Env, name: str) -> None:
    """Raises ValueError where the actions of the environment called `name` are vectors: AlphaZero needs numbers."""
    if action_size(env):
        raise ValueError(
            f"algorithm 'alphazero' chooses among numbered actions, and those of {name!r} are vectors of "
            f"{action_size(env)}; learn a model (experiments/muzero.py, efficientzero.py)"
        )


def _alphazero(env: Env, config: TrainConfig) -> Algorithm:
    check_numbered(env, config.env)
    if getattr(env, "external", False) or hasattr(env, "record"):
        raise ValueError(
            f"algorithm 'alphazero' searches by stepping states, and a state of {config.env!r} is not the whole "
            "game; learn a model (experiments/muzero.py, efficientzero.py)"
        )
    _check_search(env, config)
    network = _network(env, config)
    apply = cast(Apply, network.apply)

    def loss(params: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
        total, metrics = alphazero_loss(
            env,
            apply,
            params,
            batch,
            key,
            value_weight=config.value_weight,
            augment=config.augment,
            value_limit=config.network.value_limit,
        )
        return total, (metrics, ())

    def seen(key: jax.Array) -> Any:
        return reveal_batch(env, init_batch(env, key, 1))

    model = simulator_model(env, apply, discount=config.discount)
    return Algorithm(
        model=model._replace(prepare=_prepare(network, seen)),
        init=lambda key: network.init(key, seen(key)),
        batch=lambda averaged, replay, key, size: (replay, sample(replay, key, size)),
        loss=loss,
        remember=lambda replay, batch, priorities: replay,
        prioritised=False,
        lookahead=config.td_lookahead or None,
    )


def _prepare(network: nn.Module, seen: Callable[[jax.Array], Any]) -> Callable[[Any], Any]:
    """`Model.prepare` of a network that reads what `seen` makes of a key."""

    def prepare(params: Any) -> Any:
        return prepared(network.apply, params, jax.eval_shape(lambda: seen(jax.random.key(0))))

    return prepare


def _muzero(env: Env, config: TrainConfig) -> Algorithm:
    simulator_only = {
        "search.worlds": config.search.worlds > 1,
        "search.reuse": config.search.reuse,
        "resign_below": config.resign_below > -1,
    }
    if needing := [name for name, is_set in simulator_only.items() if is_set]:
        raise ValueError(
            f"{' and '.join(needing)} is set; it needs the environment itself: use AlphaZero "
            "(experiments/alphazero.py)"
        )

    def seen(key: jax.Array) -> Any:
        return observe_batch(env, init_batch(env, key, 1))

    learned = make_learned(env, config)
    model = learned_model(env, learned)._replace(prepare=_prepare(learned.network, seen))
    exponent = config.muzero.priority_exponent

    def batch(averaged: Any, replay: Replay, key: jax.Array, size: int) -> tuple[Replay, Any]:
        return make_batch(env, config, model, learned, model.prepare(averaged), replay, key, size)

    def remember(replay: Replay, batch: Any, priorities: Any) -> Replay:
        return set_priority(replay, batch.drawn, priorities, exponent) if exponent else replay

    return Algorithm(
        model=model,
        init=lambda key: learned.network.init(key, seen(key)),
        batch=batch,
        loss=lambda params, batch, key: muzero_loss(learned, config, params, batch, key),
        remember=remember,
        prioritised=exponent > 0,
        lookahead=lookahead(config.muzero),
    )
