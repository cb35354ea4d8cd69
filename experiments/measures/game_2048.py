"""The strength of an agent in 2048: its mean score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jzero.agent import Agent
from jzero.env import Env, init_batch, is_finished, step_batch
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.rating import mean_with_interval


def final_states(env: Env, act: Callable[[Any, jax.Array], jax.Array], key: jax.Array, games: int) -> Any:
    """The final states [B] of `games` games played side by side with `act`: (states [B], key) -> actions i32[B]."""
    step = jax.jit(partial(step_batch, env))
    states, ply = init_batch(env, jax.random.fold_in(key, 0), games), 0
    while not np.asarray(is_finished(states)).all():
        ply += 1
        act_key, step_key = jax.random.split(jax.random.fold_in(key, ply))
        states = step(states, act(states, act_key), step_key)
    return jax.device_get(states)


def largest_tiles(states: Any) -> dict[int, int]:
    """Number of the games [B] per largest tile."""
    counts = Counter((2 ** states.board.max(axis=(1, 2)).astype(int)).tolist())
    return dict(sorted(counts.items()))


def mean_score(env: Env, games: int, seed: int = 0) -> Measure:
    """Makes the measurement of `games` games; the name gives their largest tiles."""

    def measured(agent: Agent) -> Strength:
        states = final_states(env, agent.act, jax.random.key(seed), games)
        tiles = ", ".join(f"{tile} in {count}" for tile, count in largest_tiles(states).items())
        simulations = agent.search.num_simulations
        name = f"mean score of {games} games, {simulations} simulations (largest tile {tiles})"
        return Strength(name, *mean_with_interval(states.score.astype(np.float64)))

    return measured
