"""Replay on the device: a ring of plies for every game lane, with value targets and uniform sampling.

Axes: R plies of the ring, B game lanes, T new plies, S samples, A actions. A lane is a stream of games in the
order they were played. A position can be sampled once its game has ended; the games still running wait at the
end of their lane and nothing of them is thrown away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.self_play import Transition


class Replay(NamedTuple):
    """The ring and what sampling needs."""

    plies: Transition
    """[R, B] recorded plies."""
    targets: jax.Array
    """f32[R, B] value targets, right where the game has ended."""
    ready: jax.Array
    """i32[B] how many plies of each lane, from the oldest, belong to games that have ended."""
    head: jax.Array
    """i32[] plies written to each lane since the run began."""


class Sample(NamedTuple):
    """Positions to learn from."""

    state: Any
    """[S] environment states."""
    policy: jax.Array
    """f32[S, A] policy targets."""
    policy_weight: jax.Array
    """f32[S] weights of the policy loss."""
    value: jax.Array
    """f32[S] value targets for the player to move."""
    weight: jax.Array
    """f32[S] 1, or 0 where the lane had nothing to sample."""


def init_replay(transition: Transition, capacity: int) -> Replay:
    """An empty ring of `capacity` plies for transitions shaped like `transition` [B] (arrays or shapes)."""
    plies = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), transition)
    batch_size = transition.reward.shape[0]
    return Replay(
        plies=plies,
        targets=jnp.zeros((capacity, batch_size), jnp.float32),
        ready=jnp.zeros(batch_size, jnp.int32),
        head=jnp.int32(0),
    )


def add(replay: Replay, transitions: Transition, *, td_lambda: float) -> Replay:
    """Writes T plies [T, B] over the oldest ones and renews the targets. R must be a multiple of T."""
    capacity, num_plies = replay.targets.shape[0], transitions.reward.shape[0]
    start = replay.head % capacity
    plies = jax.tree.map(
        lambda ring, new: jax.lax.dynamic_update_slice_in_dim(ring, new.astype(ring.dtype), start, 0),
        replay.plies,
        transitions,
    )
    head = replay.head + num_plies
    oldest = head % capacity
    small = plies._replace(state=(), policy=(), policy_weight=())
    targets, known = value_targets(jax.tree.map(lambda x: jnp.roll(x, -oldest, axis=0), small), td_lambda)
    # Before the ring is full its front, in time order, is empty.
    written = jnp.arange(capacity) >= capacity - jnp.minimum(head, capacity)
    return Replay(
        plies=plies,
        targets=jnp.roll(targets, oldest, axis=0),
        ready=jnp.sum(known & written[:, None], axis=0, dtype=jnp.int32),
        head=head,
    )


def value_targets(plies: Transition, td_lambda: float) -> tuple[jax.Array, jax.Array]:
    """Value targets of plies [R, B] in time order, for the player to move, and where they are known.

    z_t = r_t + d_t ((1 - lambda) v_{t+1} + lambda z_{t+1}), where d_t is negative if the mover changes and 0 at a
    terminal. A game cut short ends with the search's value of its last action instead (bootstrap). Where a random
    action replaced the search's choice the return is cut and the target is the search's value: what followed says
    nothing about the search's play (Watkins' Q(lambda)).

    Returns:
      targets f32[R, B]; known bool[R, B], true up to the last ply of a game that has ended.
    """

    def one_ply(later: tuple, ply: Transition) -> tuple:
        next_target, next_value, next_known = later
        mixed = (1 - td_lambda) * next_value + td_lambda * next_target
        target = jnp.where(ply.ended, ply.reward, ply.reward + ply.discount * mixed)
        target = jnp.where(ply.truncated, ply.qvalue, target)
        target = jnp.where(ply.explored, ply.value, target)
        known = next_known | ply.ended
        return (target, ply.value, known), (target, known)

    zeros = jnp.zeros_like(plies.reward[0])
    _, (targets, known) = jax.lax.scan(one_ply, (zeros, zeros, zeros > 0), plies, reverse=True)
    return targets, known


def sample(replay: Replay, key: jax.Array, num_samples: int) -> Sample:
    """`num_samples` positions: a lane uniformly, then a ply uniformly among those whose game has ended."""
    capacity, batch_size = replay.targets.shape
    lane_key, ply_key = jax.random.split(key)
    lane = jax.random.randint(lane_key, (num_samples,), 0, batch_size)
    ready = replay.ready[lane]
    age = jax.random.randint(ply_key, (num_samples,), 0, jnp.maximum(ready, 1))
    index = (replay.head - jnp.minimum(replay.head, capacity) + age) % capacity
    plies = replay.plies
    return Sample(
        state=jax.tree.map(lambda x: x[index, lane], plies.state),
        policy=plies.policy[index, lane],
        policy_weight=plies.policy_weight[index, lane],
        value=replay.targets[index, lane],
        weight=(ready > 0).astype(jnp.float32),
    )
