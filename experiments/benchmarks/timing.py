"""Shared by the benchmarks of self-play: runs of the compiled program, and the time of its network alone."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jzero.env import Env, reveal_batch
from jzero.env_spec import describe
from jzero.networks.make import policy_value_network
from jzero.program import AXIS, Program, make_mesh
from jzero.run.build import build_algorithm, build_program
from jzero.run.config import TrainConfig
from jzero.self_play import start_games


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds and CPU seconds (of all threads) until the function's result is ready."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    jax.block_until_ready(function())
    return time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Ours:
    """Iterations of the compiled program; the state is kept between calls."""

    def __init__(self, env: Env, config: TrainConfig) -> None:
        self.program: Program = build_program(env, config)
        self.state = self.program.init()
        for _ in range(3):  # so that the replay holds finished games, and everything is compiled
            self.play()
            self.learn()

    def play(self) -> Any:
        """Self-play of one iteration."""
        self.state, self.metrics = self.program.play(self.state)
        return self.metrics

    def learn(self) -> Any:
        """Its updates."""
        self.state, metrics = self.program.learn(self.state)
        return metrics

    def both(self) -> Any:
        """Self-play and updates of one iteration."""
        return self.play(), self.learn()


def network_alone(env: Env, train: TrainConfig, rounds: int) -> float:
    """Seconds of the network calls alone of one iteration's self-play, on the same devices.

    Each ply takes one call for the roots of all worlds of all games, and one per simulation.
    """
    mesh, apply = make_mesh(), policy_value_network(describe(env), train.network).apply
    states = start_games(env, train, jax.random.key(0), train.games).states
    params = build_algorithm(env, train).init(jax.random.key(0))
    views = jax.tree.map(lambda x: jnp.repeat(x, train.search.worlds, axis=0), reveal_batch(env, states))
    calls = train.plies * (1 + train.search.num_simulations)

    def evaluate(params: Any, views: Any) -> Any:
        def once(_: Any, observation: Any) -> Any:
            logits, value = apply(params, observation)
            small = 1e-6 * (jnp.sum(logits) + jnp.sum(value))  # each call depends on the one before
            return jax.tree.map(lambda x: x + small.astype(x.dtype), observation)

        return jax.lax.fori_loop(0, calls, once, views)

    rows = P(AXIS)
    run = jax.jit(jax.shard_map(evaluate, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False))
    timed(lambda: run(params, views))
    return statistics.median(timed(lambda: run(params, views))[0] for _ in range(rounds))
