"""How far a run's searches tell moves apart: the span of the Q-values of the tried actions, by ply.

    python experiments/benchmarks/spans.py RUN
    python experiments/benchmarks/spans.py RUN --simulations 64 --plies 0 8 16

Gumbel's improved policy weighs differences of Q-values, so a span near 0 says that the search improves little.
Games follow the search's policy at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

import jzero
from jzero.analysis import Analysis


@dataclass(frozen=True)
class Config:
    """A run and the plies to look at."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of a run of AlphaZero."""
    simulations: int = 32
    """Simulations per search."""
    games: int = 64
    """Games; the numbers are means over those that go on."""
    plies: tuple[int, ...] = (0, 8, 14, 20, 30)
    """The plies to print, ascending."""


def told_apart(found: Analysis, terminated: np.ndarray) -> tuple[float, float, int]:
    """Means of the span of Q-values and of the largest prior, and over how many games: NaN over none.

    Games [B] count that go on and in which several actions were tried.
    """
    tried, qvalues = np.asarray(found.visits) > 0, np.asarray(found.qvalues)
    counts = ~terminated & (tried.sum(1) > 1)
    high, low = (np.where(tried, qvalues, x) for x in (-np.inf, np.inf))
    if not counts.any():
        return np.nan, np.nan, 0
    span, prior = high.max(1) - low.min(1), np.asarray(found.prior).max(1)
    return float(span[counts].mean()), float(prior[counts].mean()), int(counts.sum())


def main(config: Config) -> None:
    """Plays the games and prints a line per ply."""
    agent = jzero.load(config.run)
    env, rng = agent.env, np.random.default_rng(0)
    states = jax.jit(jax.vmap(env.init))(jax.random.split(jax.random.key(0), config.games))
    step = jax.jit(jax.vmap(env.step))
    for ply in range(max(config.plies) + 1):
        key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(1), ply))
        found = agent.analyse(states, key, num_simulations=config.simulations)
        policy = np.asarray(found.policy, np.float64)
        if ply in config.plies:
            span, prior, games = told_apart(found, np.asarray(states.terminated))
            print(f"ply {ply}: span {span:.3f}, largest prior {prior:.3f}, in {games} games")
        actions = np.array([rng.choice(len(row), p=row / row.sum()) for row in policy])
        states = step(states, actions, jax.random.split(step_key, config.games))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
