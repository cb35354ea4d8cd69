"""Positions that the tests of algorithms share. Axes: S samples."""

import jax
import numpy as np

from jzero.env import init_batch, step_batch
from tests.helpers.search_tables import quick_jit


def mid_games(env, num_games, plies, seed):
    """States [S] after `plies` random legal plies, and the actions i32[plies, S]."""
    rng = np.random.default_rng(seed)
    states, history = init_batch(env, jax.random.key(0), num_games), []
    step = quick_jit(lambda states, actions: step_batch(env, states, actions, jax.random.key(0)))
    for _ in range(plies):
        legal = np.asarray(states.legal_action_mask)
        history.append((rng.random(legal.shape) + legal).argmax(axis=1).astype(np.int32))
        states = step(states, history[-1])
    return states, np.array(history), step
