"""A player against others at a table: it plays every seat in turn, with the same chance.

Axes: D deals, P seats, G = D x P games.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, init_batch
from jzero.evaluate.rating import mean_with_interval
from jzero.evaluate.turns import Player, play_out
from jzero.pytrees import States


@dataclass(frozen=True)
class TableResult:
    """Finished games at a table."""

    returns: np.ndarray
    """f64[D, P, P]: return of each seat (last axis) when the player sat in each seat (middle axis)."""

    @property
    def own(self) -> np.ndarray:
        """f64[D, P]: the player's return in each seat."""
        return np.diagonal(self.returns, axis1=1, axis2=2)

    @property
    def others(self) -> np.ndarray:
        """f64[D, P]: the others' mean return at the same tables."""
        return (self.returns.sum(axis=2) - self.own) / (self.returns.shape[2] - 1)

    def compare(self) -> tuple[float, float, float]:
        """(mean, low, high) of the player's return minus the others', with its 95 % interval.

        A deal, played from every seat, is the independent unit.
        """
        return mean_with_interval((self.own - self.others).mean(axis=1))


def play_tables(
    env: Env,
    player: Player,
    opponent: Player,
    *,
    num_deals: int,
    key: jax.Array,
    limit: Callable[[], None] = lambda: None,
) -> TableResult:
    """Plays `num_deals` deals side by side, each P times, with `player` in one seat and `opponent` in all others.

    The P games of a deal share the initial state and all chance of the game.

    Args:
        env: a game of at least two players.
        player: the player whose result is returned.
        opponent: the player in the other seats.
        num_deals: D, at least 1.
        key: for the deals and the players' keys.
        limit: called after each ply; an exception from it ends the games.

    Raises:
        ValueError: a malformed argument, or a player chose an illegal action.
    """
    seats = env.num_players
    if seats < 2:
        raise ValueError(f"env: a table needs a game of 2 players or more, this one has {seats}")
    if num_deals < 1:
        raise ValueError(f"num_deals: expected a number > 0, got {num_deals}")
    deal_key, play_key = jax.random.split(key)
    states = _deal(env, num_deals, deal_key)
    own_seat = np.tile(np.arange(seats), num_deals)
    histories: list[list[int]] = [[] for _ in own_seat]
    returns = play_out(env, states, own_seat, player, opponent, histories, play_key, group=seats, limit=limit)
    return TableResult(returns.reshape(num_deals, seats, seats))


@partial(jax.jit, static_argnums=(0, 1))
def _deal(env: Env, num_deals: int, key: jax.Array) -> States:
    """Initial states [G], each deal P times in a row."""
    return jax.tree.map(lambda x: jnp.repeat(x, env.num_players, axis=0), init_batch(env, key, num_deals))
