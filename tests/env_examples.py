"""A small environment that keeps every rule of the protocol, for tests to use and to break."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished


class PilesState(NamedTuple):
    piles: jax.Array  # i32[2]
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class TwoPiles:
    """Nim with two piles of three: take one or two from a pile; whoever takes the last one wins.

    Actions: one from the left pile, two from the left, one from the right, two from the right.
    """

    num_actions = 4
    num_players = 2
    symmetries = (Symmetry(observation=lambda piles: piles[::-1], action=np.array([2, 3, 0, 1])),)

    def init(self, key):
        return PilesState(
            piles=jnp.array([3, 3]),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(4, bool),
            rewards=jnp.zeros(2),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state, action, key):
        next_state = self.take(state, action, key)
        return keep_finished(state, forfeit(state, ~state.legal_action_mask[action], next_state))

    def take(self, state, action, key):
        piles = state.piles.at[action // 2].add(-(action % 2 + 1))
        over = (piles == 0).all()
        mover = jnp.arange(2) == state.current_player
        return PilesState(
            piles=piles,
            current_player=1 - state.current_player,
            legal_action_mask=(piles[:, None] > jnp.arange(2)).reshape(4),
            rewards=jnp.where(over, jnp.where(mover, 1.0, -1.0), 0.0),
            terminated=over,
            truncated=state.truncated,
        )

    def observe(self, state):
        return state.piles.astype(jnp.float32)

    def fingerprint(self, state):
        return jnp.stack([state.piles[0] + 8 * state.piles[1], state.current_player]).astype(jnp.uint32)

    def svg(self, state):
        return f"<svg><text>{state.piles}</text></svg>"
