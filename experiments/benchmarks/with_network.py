"""Measurements with a network for search.py: latency of one game, and the network's share of the time.

Connect Four with random weights: the time of a search does not depend on how well the network plays.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jzero_envs.connect_four import ConnectFour

from jzero import search
from jzero.env import init_batch, observe_batch, step_batch
from jzero.env_spec import describe
from jzero.models.model import Model
from jzero.models.simulator import simulator_model
from jzero.networks import Network
from jzero.networks.make import NetworkSettings, policy_value_network

ENV = ConnectFour()


def set_stage(network: NetworkSettings, batch_size: int) -> tuple[Model, Network, Any, Any]:
    """(model, network, parameters, states [B] after three plies)."""
    net = policy_value_network(describe(ENV), network)
    states = init_batch(ENV, jax.random.key(0), batch_size)
    for ply in range(3):
        action = (jnp.arange(batch_size) * (ply + 3) + ply) % ENV.num_actions
        states = step_batch(ENV, states, action.astype(jnp.int32), jax.random.key(ply))
    params = net.init(jax.random.key(0), observe_batch(ENV, states))
    return simulator_model(describe(ENV), net), net, params, states


def gumbel(model: Model, num_simulations: int, **options: Any) -> Callable[[Any, Any, jax.Array], jax.Array]:
    """`(params, states [B], key) -> action [B]`, compiled."""

    def act(params: Any, states: Any, key: jax.Array) -> Any:
        root = model.root(params, states)
        args = (params, key, root, model.recurrent, num_simulations, ~states.legal_action_mask)
        return search.gumbel_muzero_policy(*args, **options).action

    return jax.jit(act)


def in_turn(functions: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Median seconds of each function, called in turn after one call that is not timed."""
    seconds: dict[Any, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            begun = time.perf_counter()
            jax.block_until_ready(function())
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in seconds.items()}


def latency(
    rounds: int, leaves: tuple[int, ...] = (1, 2, 4, 8, 16), num_simulations: int = 32
) -> dict[str, Any]:
    """One game, Gumbel search with at most 16 considered actions, a residual network of 6 x 64."""
    network = NetworkSettings(kind="resnet", width=64, blocks=6)
    model, _, params, states = set_stage(network, 1)
    searches = {k: gumbel(model, num_simulations, max_num_considered_actions=16, leaves=k) for k in leaves}
    key = jax.random.key(0)
    calls = {k: functools.partial(run, params, states, key) for k, run in searches.items()}
    seconds = in_turn(calls, rounds)
    return {
        "network": "resnet 6 x 64",
        "simulations": num_simulations,
        "milliseconds_by_leaves": {str(k): round(1e3 * s, 2) for k, s in seconds.items()},
        "rounds_over_sequential": round(seconds[max(leaves)] / seconds[1], 3),
    }


def network_share(
    network: NetworkSettings, batch_size: int, num_simulations: int, rounds: int
) -> dict[str, Any]:
    """Evaluations per second of a whole search over those of its network calls alone."""
    model, net, params, states = set_stage(network, batch_size)
    run, key = gumbel(model, num_simulations), jax.random.key(0)
    observation = observe_batch(ENV, states)

    def alone(params: Any, observation: jax.Array) -> jax.Array:
        def once(_: Any, observation: jax.Array) -> jax.Array:
            _, value = net.apply(params, observation)
            change = 1e-6 * value.reshape(-1, *(1,) * (observation.ndim - 1))
            return observation + change.astype(observation.dtype)  # makes each call depend on the one before

        return jax.lax.fori_loop(0, num_simulations + 1, once, observation)

    only_network = jax.jit(alone)
    seconds = in_turn(
        {
            "search": lambda: run(params, states, key),
            "network": lambda: only_network(params, observation),
        },
        rounds,
    )
    return {
        "network": f"{network.kind} {network.blocks} x {network.width}{' bf16' if network.bf16 else ''}",
        "batch": batch_size,
        "simulations": num_simulations,
        "search_milliseconds": round(1e3 * seconds["search"], 2),
        "network_milliseconds": round(1e3 * seconds["network"], 2),
        "evaluations_per_second": round(batch_size * (num_simulations + 1) / seconds["search"]),
        "share_of_network_only_throughput": round(seconds["network"] / seconds["search"], 3),
    }
