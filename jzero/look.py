"""What random play shows of an environment: how long its games are, what they pay, whether chance has a part.

Axes: B games, P players.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, init_batch, is_finished, observe_batch, random_actions_in, step_batch
from jzero.env_spec import describe
from jzero.pytrees import States

LOOKS = 64
"""Random games that `look` plays."""
MOST_PLIES = 1000
"""Plies after which it stops."""


class Facts(NamedTuple):
    """What random play shows of an environment."""

    num_players: int
    """P."""
    player_values: bool
    """Every player has a value of its own."""
    hides: bool
    """It has hidden information that can be redrawn."""
    chance: bool
    """Games look different from the beginning, or go on differently, by chance."""
    plies: float
    """Mean length of a game, in plies."""
    longest: int
    """Length of the longest game."""
    ended: bool
    """At least one game came to its end."""
    largest_reward: float
    """Greatest absolute reward of a step."""
    largest_return: float
    """Greatest absolute undiscounted return of a game."""
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of the observation's leaves, without the batch axis."""
    shared: bool = False
    """All of several players earn the same at every step: they play together, not against each other."""

    @property
    def points(self) -> bool:
        """It is played for points: more than one win or loss can be earned."""
        return self.largest_return > 1 + 1e-4

    @property
    def features(self) -> int:
        """Numbers in an observation."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    @property
    def is_board(self) -> bool:
        """The observation is one array [H, W, C]."""
        return len(self.shapes) == 1 and len(self.shapes[0]) == 3


@lru_cache(maxsize=4)
def look(env: Env, *, seed: int = 0) -> Facts:
    """Plays `LOOKS` random games side by side, of at most `MOST_PLIES` plies.

    An emulator (`external`) is not played but taken for a game of `MOST_PLIES` plies with rewards of 1.
    """
    key = jax.random.key(seed)
    first = jax.eval_shape(partial(init_batch, env, batch_size=LOOKS), key)
    if describe(env).external:
        seen = _Seen(
            True, np.full(LOOKS, MOST_PLIES), np.full(LOOKS, True), 1.0, np.full(LOOKS, np.inf), False
        )
    else:
        seen = _Seen(*jax.device_get(jax.jit(partial(_random_games, env))(key)))
    observation = jax.eval_shape(partial(observe_batch, env), first)
    return Facts(
        num_players=env.num_players,
        player_values=describe(env).values_by_seat,
        hides=describe(env).resamples,
        chance=bool(seen.chance),
        plies=float(np.mean(seen.plies)),
        longest=int(np.max(seen.plies)),
        ended=bool(np.any(seen.ended)),
        largest_reward=float(seen.largest_reward),
        largest_return=float(np.max(seen.largest_return)),
        shapes=tuple(leaf.shape[1:] for leaf in jax.tree.leaves(observation)),
        shared=env.num_players > 1 and bool(seen.equal) and float(seen.largest_reward) > 0,
    )


class _Seen(NamedTuple):
    """What random games [B] were like."""

    chance: Any  # bool[]
    plies: Any  # i32[B]
    ended: Any  # bool[B]
    largest_reward: Any  # f32[]
    largest_return: Any  # f32[B], absolute, over the players
    equal: Any  # bool[]: all players' rewards


def _random_games(env: Env, key: jax.Array) -> _Seen:
    start_key, play_key = jax.random.split(key)
    states = init_batch(env, start_key, LOOKS)

    def goes_on(carry: tuple) -> jax.Array:
        ply, states, *_ = carry
        return (ply < MOST_PLIES) & ~jnp.all(is_finished(states))

    def one_ply(carry: tuple) -> tuple:
        ply, states, returns, seen = carry
        action_key, step_key, other_key = jax.random.split(jax.random.fold_in(play_key, ply), 3)
        actions = random_actions_in(env, states, action_key)
        after = step_batch(env, states, actions, step_key)
        seen = _Seen(
            chance=seen.chance | _differ(after, step_batch(env, states, actions, other_key)),
            plies=seen.plies + ~is_finished(states),
            ended=is_finished(after),
            largest_reward=jnp.maximum(seen.largest_reward, jnp.max(jnp.abs(after.rewards))),
            largest_return=seen.largest_return,
            equal=seen.equal & jnp.all(after.rewards == after.rewards[:, :1]),
        )
        return ply + 1, after, returns + after.rewards, seen

    # What is seen, not the states: who sits where is often drawn (pgx), and games begin alike all the same.
    first = (observe_batch(env, states), states.legal_action_mask)
    alike = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), first)
    nothing = jnp.zeros(LOOKS)
    seen = _Seen(
        _differ(first, alike),
        nothing.astype(jnp.int32),
        nothing > 0,
        jnp.float32(0),
        nothing,
        jnp.bool_(True),
    )
    carry = (0, states, jnp.zeros_like(states.rewards), seen)
    _, _, returns, seen = jax.lax.while_loop(goes_on, one_ply, carry)
    return seen._replace(largest_return=jnp.max(jnp.abs(returns), axis=-1))


def _differ(states: States, others: States) -> jax.Array:
    """bool[]: any leaf of the states differs; random keys that they hold do not count."""
    pairs = zip(jax.tree.leaves(states), jax.tree.leaves(others), strict=True)
    plain = [(a, b) for a, b in pairs if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key)]
    return jnp.stack([jnp.any(a != b) for a, b in plain]).any()
