r"""Opponents for brax's reacher that do not learn: one applies no torque, one is a controller that knows the arm.

    python -m jzero match runs/reacher/20261122-101500:16 runs/reacher/20261122-101500:0 random \
        experiments.players.reacher:still experiments.players.reacher:controller

Run this from the repository's top folder.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jzero.env import Env, action_size
from jzero.evaluate.turns import Player, as_player

UPPER, LOWER = 0.1, 0.11
"""Lengths of the arm's links; the second reaches to the finger."""
STIFFNESS, DAMPING, LARGEST_TORQUE = 0.4, 0.05, 0.3
"""Gains of the controller (torque per radian, and per radian per second) and its largest torque, as shares of the
motors' maximum; the best of a grid search."""


def still(env: Env) -> Player:
    """No torques."""
    return as_player(lambda states, key: jnp.zeros((states.terminated.shape[0], action_size(env))))


def controller(env: Env) -> Player:
    """A PD controller toward the joint angles that put the finger on the target; it takes the nearer solution."""
    del env
    return as_player(lambda states, key: jax.vmap(torques)(states.inner.pipeline_state))


def torques(physics: Any) -> jax.Array:
    """f32[2], the controller's action; `physics.q` f32[4] is the joint angles and the target, `qd` the rates."""
    angles, target = physics.q[:2], physics.q[2:4]
    cosine = (target @ target - UPPER**2 - LOWER**2) / (2 * UPPER * LOWER)
    elbow = jnp.array([1.0, -1.0]) * jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    shoulder = jnp.arctan2(target[1], target[0])
    shoulder -= jnp.arctan2(LOWER * jnp.sin(elbow), UPPER + LOWER * jnp.cos(elbow))
    turn = (shoulder - angles[0] + jnp.pi) % (2 * jnp.pi) - jnp.pi
    errors = jnp.stack([turn, elbow - angles[1]], axis=1)  # [2 solutions, 2 joints]
    error = errors[jnp.argmin(jnp.abs(errors).sum(axis=1))]
    wanted = STIFFNESS * error - DAMPING * physics.qd[:2]
    return jnp.clip(wanted, -LARGEST_TORQUE, LARGEST_TORQUE)
