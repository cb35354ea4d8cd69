"""Time to compile a search over mctx's: the three policies, from nothing, in turns in one process.

    python experiments/benchmarks/compile_time.py --out experiments/benchmarks/results/compile_time_cpu.json

Tracing, lowering and compiling count; what JAX has cached is dropped before each. The model is that of `search.py`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import tyro
from hardware import provenance, tell
from search import STATES, geometric_mean, make_policy, make_tables, recurrent_fn, root_of

from jzero import search
from jzero.devices import set_up

POLICIES = ("muzero_policy", "gumbel_muzero_policy", "stochastic_muzero_policy")
CHANCE = 4


@dataclass(frozen=True)
class Config:
    """Shapes and repetitions."""

    shapes: tuple[tuple[int, int, int], ...] = ((9, 32, 16), (362, 128, 64))
    """Actions A, simulations N, games B."""
    rounds: int = 9
    """Compilations of each; the ratio is the median over rounds."""
    out: Path | None = None
    """JSON file for the result."""


def make(module: ModuleType, policy: str, num_simulations: int) -> Callable:
    """`(tables, key, states [B]) -> (action, action_weights)` of the policy of either module."""
    if policy == "stochastic_muzero_policy":
        run = functools.partial(_stochastic, module, num_simulations)
    else:
        run = make_policy(module, "gumbel" if policy.startswith("gumbel") else "puct", num_simulations)

    def act(tables: Any, key: jax.Array, states: jax.Array) -> tuple[jax.Array, jax.Array]:
        output = run(tables, key, states)
        return output.action, output.action_weights

    return act


def _stochastic(module: ModuleType, num_simulations: int, tables: Any, key: jax.Array, states: Any) -> Any:
    def decide(tables: Any, key: jax.Array, action: jax.Array, state: jax.Array) -> Any:
        step, after = recurrent_fn(tables, key, action, state)
        chances = tables["logits"][after, :CHANCE]
        return module.DecisionRecurrentFnOutput(chance_logits=chances, afterstate_value=step.value), after

    def happen(tables: Any, key: jax.Array, outcome: jax.Array, after: jax.Array) -> Any:
        step, state = recurrent_fn(tables, key, outcome, after)
        return module.ChanceRecurrentFnOutput(
            action_logits=step.prior_logits, value=step.value, reward=step.reward, discount=step.discount
        ), state

    return module.stochastic_muzero_policy(
        tables, key, root_of(tables, states), decide, happen, num_simulations, dirichlet_fraction=0.0
    )


def seconds(module: ModuleType, policy: str, shape: tuple[int, int, int]) -> float:
    """Seconds from the Python function to the program."""
    num_actions, num_simulations, batch_size = shape
    arguments = make_tables(num_actions), jax.random.key(1), jnp.arange(batch_size) % STATES
    jax.clear_caches()
    begun = time.perf_counter()
    jax.jit(make(module, policy, num_simulations)).lower(*arguments).compile()
    return time.perf_counter() - begun


def measure(policy: str, shape: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    """Seconds of both and the ratio, medians over `rounds`, with the ratio's quartiles."""
    both = [[seconds(module, policy, shape) for module in (search, mctx)] for _ in range(rounds + 1)]
    ours, theirs = np.array(both[1:]).T  # the first round also imports what it needs
    low, ratio, high = np.quantile(ours / theirs, (0.25, 0.5, 0.75)).round(3).tolist()
    return {
        "policy": policy,
        "shape": shape,
        "ours_s": round(float(np.median(ours)), 2),
        "mctx_s": round(float(np.median(theirs)), 2),
        "ratio": ratio,
        "quartiles": [low, high],
    }


def main(config: Config) -> None:
    """Measures every policy at every shape, prints the ratios and writes them."""
    set_up(cache=None)
    cells, means = [], {}
    for policy in POLICIES:
        found = [measure(policy, shape, config.rounds) for shape in config.shapes]
        means[policy] = round(geometric_mean([cell["ratio"] for cell in found]), 3)
        cells += found
    tell({"geometric_means": means, "rounds": config.rounds, "cells": cells} | provenance(), config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
