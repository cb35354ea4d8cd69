"""Small environments that keep every rule of the protocol, for tests to use and to break."""

from typing import NamedTuple

import chex
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


def roll(key):
    return (jax.random.bits(key) % 3 + 1).astype(jnp.int32)


class Dice:
    """One player adds dice until the sum reaches 6 (won, terminated) or three plies are over (truncated)."""

    num_actions = 2
    num_players = 1

    @chex.dataclass(frozen=True)
    class State:
        total: jax.Array
        ply: jax.Array
        noise: jax.Array  # a key of the random number generator, so that check_env meets one in a state
        current_player: jax.Array
        legal_action_mask: jax.Array
        rewards: jax.Array
        terminated: jax.Array
        truncated: jax.Array

    def init(self, key):
        false, noise = jnp.bool_(False), jax.random.fold_in(key, 1)
        return self.State(
            total=roll(key) - 1,
            ply=jnp.int32(0),
            noise=noise,
            current_player=jnp.int32(0),
            legal_action_mask=jnp.array([True, False]),
            rewards=jnp.zeros(1),
            terminated=false,
            truncated=false,
        )

    def step(self, state, action, key):
        total, ply = state.total + roll(key), state.ply + 1
        next_state = state.replace(
            total=total,
            ply=ply,
            rewards=jnp.where(total >= 6, 1.0, 0.0)[None],
            terminated=total >= 6,
            truncated=(ply == 3) & (total < 6),
        )
        return keep_finished(state, next_state)

    def observe(self, state):
        return {"total": state.total, "ply": state.ply}
