"""Plays brax's reacher without learning and with a trained agent: mean returns of the same 100 episodes.

    python experiments/reacher_players.py                              random, still, a controller
    python experiments/reacher_players.py --run-dir runs/reacher/20261122-101500

The controller knows the arm: it solves for the angles of the joints that put the finger on the target, takes the
nearer of the two solutions and drives the joints there (a PD controller; its gains are the best of a grid). Prints
a line a player and writes `match.json` to the run directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from reacher import TRAIN

import jzero
from jzero.devices import set_up
from jzero.env import make, random_vectors
from jzero.evaluate.measures import Strength, play_episodes
from jzero.evaluate.rating import mean_with_interval

UPPER, LOWER = 0.1, 0.11
"""Lengths of the arm's links, the second one's to the finger."""
STIFFNESS, DAMPING, LARGEST_TORQUE = 0.4, 0.05, 0.3
"""The controller's: torques for each radian and radian a second, as shares of what the motors can do."""


@dataclass(frozen=True)
class Config:
    """Who plays how many episodes."""

    run_dir: Path | None = None
    """The agent's run; None for the players that do not learn alone."""
    simulations: tuple[int, ...] = (16, 0)
    """Simulations a move of the agent; 0 plays the mean of its policy."""
    episodes: int = 100
    """Episodes each."""
    seed: int = 1
    """Seed of the episodes."""


def randomly(states: Any, key: jax.Array) -> jax.Array:
    """Uniformly random torques f32[B, 2]."""
    return random_vectors(key, (states.terminated.shape[0], 2))


def still(states: Any, key: jax.Array) -> jax.Array:
    """No torques, f32[B, 2]."""
    del key
    return jnp.zeros((states.terminated.shape[0], 2))


def controller(states: Any, key: jax.Array) -> jax.Array:
    """Torques f32[B, 2] towards the angles at which the finger is on the target."""
    del key
    return jax.vmap(_torques)(states.inner.pipeline_state)


def _torques(physics: Any) -> jax.Array:
    """f32[2]; `physics` has the angles of the joints and the target's place as q[:2] and q[2:4]."""
    angles, target = physics.q[:2], physics.q[2:4]
    cosine = (target @ target - UPPER**2 - LOWER**2) / (2 * UPPER * LOWER)
    elbow = jnp.array([1.0, -1.0]) * jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    shoulder = jnp.arctan2(target[1], target[0])
    shoulder -= jnp.arctan2(LOWER * jnp.sin(elbow), UPPER + LOWER * jnp.cos(elbow))
    turn = (shoulder - angles[0] + jnp.pi) % (2 * jnp.pi) - jnp.pi
    errors = jnp.stack([turn, elbow - angles[1]], axis=1)  # [2 solutions, 2 joints]
    error = errors[jnp.argmin(jnp.abs(errors).sum(axis=1))]
    torques = STIFFNESS * error - DAMPING * physics.qd[:2]
    return jnp.clip(torques, -LARGEST_TORQUE, LARGEST_TORQUE)


def main(config: Config) -> None:
    """Plays the episodes of every player."""
    set_up()
    agent = None if config.run_dir is None else jzero.load(config.run_dir)
    env = make(TRAIN.env) if agent is None else agent.env
    if agent is not None and agent.config.env != TRAIN.env:
        raise SystemExit(
            f"error: run_dir: {config.run_dir} is a run of {agent.config.env!r}, not of {TRAIN.env!r}"
        )
    acts: dict[str, Callable] = {"random": randomly, "still": still, "controller": jax.jit(controller)}
    if agent is not None:
        for count in config.simulations:
            acts[f"agent, {count} simulations"] = partial(agent.act, num_simulations=count)
    records = {}
    for name, act in acts.items():
        returns = play_episodes(env, act, jax.random.key(config.seed), config.episodes).returns
        strength = Strength(
            f"{name}: mean return of {config.episodes} episodes", *mean_with_interval(returns)
        )
        print(strength, flush=True)
        records[name] = {"mean_return": strength.value, "interval": [strength.low, strength.high]}
    if config.run_dir is not None:
        (config.run_dir / "match.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
