"""Learns 2048 with AlphaZero whose search has chance nodes, and measures the mean score of 100 games.

    python experiments/game_2048.py
    python experiments/game_2048.py --env "2048?size=3"
    python experiments/game_2048.py --algorithm gumbel_muzero    learns the moves and the new tiles too
    python experiments/game_2048.py --algorithm muzero           Stochastic MuZero: PUCT, 50 simulations
    python -m jzero match DIR random "experiments.players.game_2048:expectimax?depth=2"

The values are scores, hence `network.value_limit`; they are discounted, so they cover roughly the next hundred
moves. The last line also gives the largest tiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jzero.agent import Agent
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.env import Env, init_batch, is_finished, step_batch
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.rating import mean_with_interval
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

ALPHAZERO = RunConfig(
    minutes=30,
    evaluate_every=280,
    train=TrainConfig(
        env="2048",
        search=SearchSettings(policy="gumbel", num_simulations=16, max_considered=4, min_value_range=40.0),
        network=NetworkSettings(kind="mlp", width=256, blocks=2, value_limit=20_000),
        games=128,
        plies=32,
        discount=0.99,
        td_lambda=0.9,
        td_lookahead=32,
        replay_plies=2048,
        warmup_iterations=8,
        batch_size=512,
        updates=64,
        learning_rate=1e-3,
        value_weight=500.0,
        ema_decay=0.995,
    ),
)

GUMBEL_MUZERO = replace(
    ALPHAZERO,
    train=replace(
        ALPHAZERO.train,
        algorithm="gumbel_muzero",
        network=NetworkSettings(kind="mlp", width=256, blocks=2, dynamics_blocks=1, chance_codes=32),
        muzero=MuZeroSettings(
            unroll_steps=5,
            td_steps=10,
            value_limit=20_000.0,
            reward_limit=5_000.0,
            atoms=101,
            code_information_weight=1.0,
        ),
        td_lookahead=0,
        batch_size=256,
        updates=32,
        value_weight=0.25,
    ),
)
MUZERO = replace(
    GUMBEL_MUZERO,
    train=replace(
        GUMBEL_MUZERO.train,
        algorithm="muzero",
        search=SearchSettings(
            policy="puct", num_simulations=50, dirichlet_alpha=0.25, dirichlet_fraction=0.1
        ),
        temperature_plies=1_000_000,
    ),
)
PRESETS = {"alphazero": ALPHAZERO, "gumbel_muzero": GUMBEL_MUZERO, "muzero": MUZERO}


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


def measure(env: Env, seed: int = 0, games: int = 30) -> Measure:
    """Makes the measurement: the mean score of some games; they are long."""

    def measured(agent: Agent) -> Strength:
        states = final_states(env, agent.act, jax.random.key(seed), games)
        tiles = ", ".join(f"{tile} in {count}" for tile, count in largest_tiles(states).items())
        simulations = agent.search.num_simulations
        name = f"mean score of {games} games, {simulations} simulations (largest tile {tiles})"
        return Strength(name, *mean_with_interval(states.score.astype(np.float64)))

    return measured


def final(env: Env) -> Measure:
    """The same in 100 other games."""
    return measure(env, seed=1, games=100)


if __name__ == "__main__":
    main("game_2048", PRESETS, measure=measure, final=final)
