"""Builds the parts of a run from its settings; the only place that resolves names.

Objects passed in (`Parts`) replace what the settings name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import optax
from jax.sharding import Mesh

from jzero.agent import Agent
from jzero.algorithms.algorithm import Algorithm
from jzero.algorithms.alphazero import alphazero
from jzero.algorithms.auxiliary import heads
from jzero.algorithms.check import check_loss
from jzero.algorithms.muzero import muzero
from jzero.check import check_shapes
from jzero.env import Env
from jzero.env_spec import EnvSpec, describe
from jzero.networks import LearnedNetwork, Network
from jzero.networks.check import check_kind, check_network
from jzero.networks.make import learned_network, make_learned_network, policy_value_network
from jzero.optimizer import make_optimizer
from jzero.program import Program, make_program
from jzero.pytrees import Params
from jzero.registry import load_named
from jzero.run.config import TrainConfig

AnyNetwork = Network | LearnedNetwork
MakeAlgorithm = Callable[[EnvSpec, Any, Any], Algorithm]


class Parts(NamedTuple):
    """Objects that a user passes in; None uses what the settings name."""

    network: AnyNetwork | Callable[[EnvSpec], AnyNetwork] | None = None
    algorithm: MakeAlgorithm | None = None
    """(spec, network, settings) -> algorithm: `jzero.alphazero`, or a variant of it."""
    optimizer: optax.GradientTransformation | None = None


NOTHING = Parts()


def build_algorithm(env: Env, config: TrainConfig, parts: Parts = NOTHING) -> Algorithm:
    """The algorithm of a run.

    Raises:
      ValueError: the environment, the settings and the parts do not fit each other.
    """
    spec = describe(env, config.env)
    make: MakeAlgorithm = parts.algorithm or (alphazero if config.algorithm == "alphazero" else muzero)
    made = make(spec, build_network(spec, config, parts), config)
    if not isinstance(made, Algorithm):
        name = getattr(make, "__name__", type(make).__name__)
        raise ValueError(
            f"algorithm {name} returns {type(made).__name__}; expected jzero.Algorithm: end it with `return "
            "algorithm`, or `return algorithm._replace(loss=loss)`"
        )
    return made


def build_network(spec: EnvSpec, config: TrainConfig, parts: Parts = NOTHING) -> AnyNetwork:
    """The network of a run; one that was passed in is checked first."""
    found: Any = parts.network
    if found is None and ":" in config.network.kind:
        found = load_named(
            f"network.kind {config.network.kind!r}", "function of EnvSpec", config.network.kind
        )
    if found is None:
        return _own_network(spec, config)
    if callable(found) and not isinstance(found, (Network, LearnedNetwork)):
        found = found(spec)
    check_kind(found, Network if config.algorithm == "alphazero" else LearnedNetwork, config.algorithm)
    if isinstance(found, Network):
        _check_limit(found, config.network.value_limit)
    check_network(spec, found, config.muzero.atoms)
    return found


def _check_limit(network: Network, limit: float) -> None:
    """Raises ValueError for a network whose values end at 1 in a game of larger scores."""
    if network.value_limit == 1 < limit:
        raise ValueError(
            f"network has value_limit 1, but this game's returns reach {limit:g} (network.value_limit in the "
            f"settings): give value_limit={limit:g} to from_flax, from_haiku, from_equinox or Network, and return "
            f"values within it, such as jzero.networks.supports.from_unit(jnp.tanh(x), {limit:g}), since errors "
            "are then measured on MuZero's scale h (docs/own_network.md)"
        )


def _own_network(spec: EnvSpec, config: TrainConfig) -> AnyNetwork:
    """The built-in network that the settings name."""
    if config.algorithm == "alphazero":
        return policy_value_network(spec, config.network, heads(spec, config.auxiliary))
    muzero = config.muzero
    module = make_learned_network(
        config.network,
        spec.num_actions,
        spec.action_size,
        atoms=muzero.atoms,
        prefix_width=muzero.prefix_width if muzero.value_prefix else 0,
        projection_width=muzero.projection_width if muzero.consistency_weight else 0,
    )
    return learned_network(module)


def build(
    env: Env, config: TrainConfig, mesh: Mesh | None = None, parts: Parts = NOTHING
) -> tuple[Algorithm, Program]:
    """The algorithm of a run and its compiled functions on `mesh` (all devices by default)."""
    check_shapes(env)
    algorithm = build_algorithm(env, config, parts)
    optimizer = make_optimizer(config) if parts.optimizer is None else parts.optimizer
    program = make_program(env, algorithm, optimizer, config, mesh)
    if parts.algorithm is not None:
        check_loss(algorithm, program.abstract, config.batch_size)
    return algorithm, program


def build_program(env: Env, config: TrainConfig, mesh: Mesh | None = None) -> Program:
    """The compiled functions for these settings, on `mesh` (all devices by default)."""
    return build(env, config, mesh)[1]


def build_agent(
    env: Env,
    config: TrainConfig,
    params: Params,
    parts: Parts = NOTHING,
    algorithm: Algorithm | None = None,
) -> Agent:
    """The agent with these weights; it can be pickled if the environment and the parts can.

    Args:
      env: the environment.
      config: the settings of its run.
      params: its weights.
      parts: objects that were passed in to its run.
      algorithm: the algorithm, if it is already built.
    """
    parts = parts._replace(optimizer=None)
    model = (algorithm or build_algorithm(env, config, parts)).model
    return Agent(env, model, params, config.search, name=config.env, recipe=(build_agent, config, parts))
