"""Targets of a learned model: K steps from each sampled position (MuZero, Schrittwieser et al. 2020, appendix G).

Axes: S samples, K unrolled steps, L successive plies starting at the sampled one, A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import random_vectors, where_rows
from jzero.pytrees import PyTree
from jzero.self_play import Transition


class Targets(NamedTuple):
    """Targets of the model's predictions. Step 0 is the sampled position."""

    action: jax.Array
    """i32[S, K], or f32[S, K, D] if continuous: the actions taken; random ones past the end of the game."""
    reward: jax.Array
    """f32[S, K] reward of each action for the player who took it; 0 past the end."""
    value: jax.Array
    """f32[S, K + 1] value for the player to move; 0 past the end."""
    policy: jax.Array
    """f32[S, K + 1, A] the search's policy, over the candidates if actions are continuous."""
    known: jax.Array
    """bool[S, K + 1] false past a truncation, where neither the value nor the next reward is known."""
    policy_weight: jax.Array
    """f32[S, K + 1] weight of the policy loss: 0 past the end and after a fast search."""
    alive: jax.Array
    """bool[S, K + 1] whether the step is a position of the sampled game."""
    candidates: Any = ()
    """f32[S, K + 1, A, D] the candidate actions of the policy if actions are continuous; else ()."""


def unroll_targets(plies: Transition, value: jax.Array, key: jax.Array, unroll_steps: int) -> Targets:
    """Targets from the plies [S, L] that follow each sample in its lane, L at least `unroll_steps` + 1.

    Plies of a later game in the lane become an absorbing state: no reward, value or policy target. After a
    truncated game nothing is known, and everything is masked.

    Args:
      plies: successive plies; their states are not read.
      value: f32[S, K + 1] value targets of the first plies.
      key: for the actions past the end.
      unroll_steps: K.
    """
    first = jax.tree.map(lambda x: x[:, : unroll_steps + 1], plies._replace(position=()))
    num_samples, num_actions = first.policy.shape[0], first.policy.shape[-1]

    def before(flags: jax.Array) -> jax.Array:
        """bool[S, K + 1]: one of the flags is set at an earlier step."""
        seen = jnp.cumsum(flags, axis=1) > 0
        return jnp.concatenate([jnp.zeros_like(seen[:, :1]), seen[:, :-1]], axis=1)

    alive = ~before(first.ended)
    # The game's own end is the first; a later one does not count.
    known = ~before(first.truncated & alive)
    taken = first.action[:, :-1]
    if taken.ndim == 2:
        random = jax.random.randint(key, (num_samples, unroll_steps), 0, num_actions, jnp.int32)
    else:
        random = random_vectors(key, taken.shape)
    return Targets(
        action=where_rows(alive[:, :-1], taken, random),
        reward=jnp.where(alive[:, :-1], first.reward[:, :-1], 0.0),
        value=jnp.where(alive, value, 0.0),
        policy=first.policy,
        known=known,
        policy_weight=jnp.where(alive, first.policy_weight, 0.0),
        alive=alive,
        candidates=first.candidates,
    )


def n_step_returns(
    plies: Transition, value: jax.Array, steps: jax.Array, *, unroll_steps: int, max_steps: int
) -> jax.Array:
    """Returns f32[S, K + 1] of the first plies, for their players to move.

    z_t = u_t + d_t u_{t+1} + ... + d_t .. d_{t+n-1} v_{t+n}, with discounts d that are negative if the mover
    changes and 0 at a terminal state. A truncated game bootstraps from the search's value of its last action, and a
    ply with a random action from the root value of its state (for the reason see `returns.value_targets`).

    Args:
      plies: successive plies [S, L], L at least K + 1 + `max_steps`.
      value: f32[S, L] values to bootstrap from after n steps.
      steps: i32[S] number of steps n of each sample's returns, 1 .. `max_steps`.
      unroll_steps: K.
      max_steps: the largest n.
    """

    def one_step(step: jax.Array, carry: tuple) -> tuple:
        total, factor, is_open = carry

        def at(x: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(x, step, unroll_steps + 1, axis=1)

        # The network's own value would teach a ply whose action was random nothing: it ends with the search's.
        random, cut = at(plies.explored), at(plies.truncated)
        last = jnp.broadcast_to((step == steps)[:, None], random.shape)
        ends = [at(plies.value), at(value), at(plies.qvalue)]
        earned = jnp.select([random, last, cut], ends, at(plies.reward))
        total += jnp.where(is_open, factor * earned, 0.0)
        return total, factor * at(plies.discount), is_open & ~(random | last | cut)

    zeros = jnp.zeros_like(value[:, : unroll_steps + 1])
    carry = (zeros, jnp.ones_like(zeros), zeros == 0)
    return jax.lax.fori_loop(0, max_steps + 1, one_step, carry)[0]


def merge_axes(tree: PyTree) -> PyTree:
    """Arrays [S, L, ...] as [S * L, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def prefix_sums(reward: jax.Array, horizon: int) -> jax.Array:
    """f32[S, K]: sums of rewards since the last multiple of `horizon` steps (EfficientZero's value prefix)."""
    step = jnp.arange(reward.shape[1], dtype=jnp.int32)
    same = (step[:, None] // horizon == step[None] // horizon) & (step[None] <= step[:, None])
    return jnp.einsum("sj,kj->sk", reward, same.astype(reward.dtype))
