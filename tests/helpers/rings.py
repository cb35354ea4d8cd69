"""Rings of random lanes whose plies are numbered, so that what a batch holds can be looked up.

Axes: T plies, B lanes, R plies of the ring.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero import replay as replay_lib
from jzero.algorithms.returns import value_targets
from jzero.algorithms.unrolled import make_batch, recorder_of
from jzero.env_spec import describe
from jzero.run.build import build_algorithm
from tests.helpers import lanes as lanes_lib
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import learned_of

ACTIONS = 3


@functools.partial(quick_jit, static_argnames=("td_lambda", "lookahead"))
def add(ring, transitions, td_lambda=1.0, lookahead=None):
    """The ring with these plies and their targets."""
    targets = functools.partial(value_targets, td_lambda=td_lambda)
    return replay_lib.add(ring, transitions, targets, lookahead=lookahead)


def lookahead(config):
    """How many later plies the targets of a learned model need."""
    return build_algorithm(NumberedGame(), config).lookahead


def batch_of(env, config, ring, key, size):
    """What the learned model of the settings learns from a ring of whole states; nothing is searched again."""
    ring, learned = packed(env, ring), learned_of(env, config)
    return make_batch(describe(env), config, None, learned, (), ring, key, size)[1]


def packed(env, ring):
    """The ring with its states as a learned model's replay keeps them."""
    pack = jax.vmap(recorder_of(describe(env)).pack)
    return ring._replace(plies=ring.plies._replace(position=pack(ring.plies.position)))


class Numbered(NamedTuple):
    """A state of which only the number of its ply is known, lane after lane."""

    number: jax.Array
    legal_action_mask: jax.Array


class NumberedGame:
    """Observes the number."""

    num_actions = ACTIONS
    num_players = 1

    def init(self, key):
        return Numbered(jnp.int32(0), jnp.ones(ACTIONS, bool))

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
        position=Numbered((np.arange(length)[:, None] + length * np.arange(batch)).astype(np.int32), legal),
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
