"""Rings of random lanes whose plies are numbered, so that what a batch holds can be looked up.

Axes: T plies, B lanes, R plies of the ring.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero import replay as replay_lib
from tests.helpers import lanes as lanes_lib
from tests.helpers.search_tables import quick_jit

ACTIONS = 3

add = quick_jit(replay_lib.add, static_argnames=("td_lambda", "lookahead"))


class Numbered(NamedTuple):
    """A state of which only the number of its ply is known, lane after lane."""

    number: jax.Array
    legal_action_mask: jax.Array


class NumberedGame:
    """Observes the number."""

    num_actions = ACTIONS
    num_players = 1

    def observe(self, state):
        return state.number


@functools.cache
def random_lanes(batch, length, seed=0):
    """(lanes of plies; the same as transitions [T, B] with random policies, actions and masks)."""
    rng = np.random.default_rng(seed)
    lanes = [lanes_lib.random_lane(rng, length, mean_length=7) for _ in range(batch)]
    legal = rng.random((length, batch, ACTIONS)) < 0.6
    legal[..., 1] = True
    policy = legal * rng.random(legal.shape) + 1e-3 * legal
    return lanes, lanes_lib.transitions(lanes)._replace(
        state=Numbered((np.arange(length)[:, None] + length * np.arange(batch)).astype(np.int32), legal),
        action=rng.integers(ACTIONS, size=(length, batch)).astype(np.int32),
        policy=(policy / policy.sum(-1, keepdims=True)).astype(np.float32),
    )


def filled(transitions, capacity, *, plies_an_add=4, td_lambda=1.0, lookahead=None, prioritised=False):
    """A ring after the transitions [T, B] went in."""
    one_ply = jax.tree.map(lambda x: x[0], transitions)
    ring = replay_lib.init_replay(one_ply, capacity, prioritised=prioritised)
    for start in range(0, len(transitions.reward), plies_an_add):
        chunk = jax.tree.map(lambda x, start=start: jnp.asarray(x[start : start + plies_an_add]), transitions)
        ring = add(ring, chunk, td_lambda=td_lambda, lookahead=lookahead)
    return ring


def by_age(ring, part):
    """A part [R, B] of the ring as NumPy, the oldest ply first."""
    held = min(int(ring.head), ring.targets.shape[0])
    return np.asarray(part)[np.asarray(ring.rows(np.arange(held)))]
