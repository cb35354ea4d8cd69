"""Matches between two players: batched, both seats, random openings.

Axes: G games, P = G / 2 pairs, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, is_finished, random_actions, where_rows
from jzero.evaluate.rating import mean_interval
from jzero.evaluate.turns import Player, play_out
from jzero.pytrees import States


class Tally(NamedTuple):
    """Games counted from the player's side."""

    wins: int
    draws: int
    losses: int

    @property
    def score(self) -> float:
        """In [0, 1], with 1/2 per draw; nan without games."""
        games = sum(self)
        return (self.wins + self.draws / 2) / games if games else float("nan")


@dataclass(frozen=True)
class MatchResult:
    """A finished match, counted from the side of `play_match`'s `player`."""

    wins: int
    draws: int
    losses: int
    score: float
    """In [0, 1], with 1/2 per draw."""
    interval: tuple[float, float]
    """95 % interval of `score`; pairs of games are the independent units (`rating.mean_interval`)."""
    by_seat: tuple[Tally, Tally]
    """Games in which the player moved first (counting the opening), and the others."""
    histories: list[list[int]]
    """All actions of each game, including the opening."""
    outcomes: np.ndarray
    """i8[G]: 1 the player won, 0 draw, -1 lost. In a pair, games 2i and 2i + 1, it has seats 0 and 1."""
    first: np.ndarray
    """i32[G]: the seat that moved first."""

    @property
    def distinct_games(self) -> int:
        """Number of different games; few mean that the openings or the players vary too little."""
        return len(set(map(tuple, self.histories)))

    def __str__(self) -> str:
        first, second = (f"+{tally.wins} ={tally.draws} -{tally.losses}" for tally in self.by_seat)
        return (
            f"score {self.score:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}], "
            f"+{self.wins} ={self.draws} -{self.losses} (first {first}, second {second}), "
            f"{self.distinct_games} distinct of {len(self.histories)} games"
        )


def play_match(
    env: Env,
    player: Player,
    opponent: Player,
    *,
    num_games: int,
    key: jax.Array,
    opening_plies: int | tuple[int, int] = 0,
    limit: Callable[[], None] = lambda: None,
) -> MatchResult:
    """Plays `num_games` games side by side, in pairs that share opening and chance but swap seats.

    Each player is called once per ply for all its rows, in batches of `num_games` / 2 rows, enough for a game of
    alternating moves. The winner has the larger sum of rewards, without those of the opening.

    Args:
        env: a game of two players.
        player: the player whose result is reported.
        opponent: the other one.
        num_games: an even number > 0.
        key: for openings, the game's chance and the players' keys.
        opening_plies: random legal moves before the players begin, or (low, high) to sample their number uniformly
            per pair. An opening stops before a move that would end the game.
        limit: called after each ply; an exception from it ends the match.

    Raises:
        ValueError: a malformed argument, or a player chose an illegal action.
    """
    low, high = _check_match(env, num_games, opening_plies)
    opening_key, play_key = jax.random.split(key)
    states, first, opening = _open(env, num_games // 2, high, low, opening_key)
    openings = np.asarray(opening).T.repeat(2, axis=0)
    histories = [row[row >= 0].tolist() for row in openings]
    seats = np.arange(num_games) % 2
    rewards = play_out(env, states, seats, player, opponent, histories, play_key, group=2, limit=limit)
    return _summarise(rewards, seats, np.asarray(first), histories)


def _check_match(env: Env, num_games: int, opening_plies: int | tuple[int, int]) -> tuple[int, int]:
    """Checks the arguments of `play_match`; returns the bounds of the opening's length."""
    if env.num_players != 2:
        raise ValueError(f"env: a match needs a game of 2 players, this one has {env.num_players}")
    if num_games <= 0 or num_games % 2:
        raise ValueError(f"num_games: expected an even number > 0 (games come in pairs), got {num_games}")
    low, high = opening_plies if isinstance(opening_plies, tuple) else (opening_plies, opening_plies)
    if not 0 <= low <= high:
        raise ValueError(f"opening_plies: expected a number >= 0 or (low, high), got {opening_plies}")
    return low, high


@partial(jax.jit, static_argnums=(0, 1, 2))
def _open(
    env: Env, num_pairs: int, high: int, low: jax.Array | int, key: jax.Array
) -> tuple[States, jax.Array, jax.Array]:
    """Starts the games: states [G], who moved first i32[G], openings i32[high, P] (-1: no move)."""
    init_key, length_key, key = jax.random.split(key, 3)
    states = jax.vmap(env.init)(jax.random.split(init_key, num_pairs))
    first = states.current_player
    length = jax.random.randint(length_key, (num_pairs,), low, high + 1)

    def random_move(
        carry: tuple[States, jax.Array], step: tuple[jax.Array, jax.Array]
    ) -> tuple[States, jax.Array]:
        states, going = carry
        ply, key = step
        choice_key, chance_key = jax.random.split(key)
        actions = random_actions(states, choice_key)
        after = jax.vmap(env.step)(states, actions, jax.random.split(chance_key, num_pairs))
        going = going & (ply < length) & ~is_finished(after)
        states = where_rows(going, after, states)
        return (states, going), jnp.where(going, actions, -1)

    plies = (jnp.arange(high), jax.random.split(key, high))
    (states, _), opening = jax.lax.scan(random_move, (states, jnp.ones(num_pairs, bool)), plies)
    paired = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), (states, first))
    return *paired, opening


def _summarise(
    rewards: np.ndarray, seats: np.ndarray, first: np.ndarray, histories: list[list[int]]
) -> MatchResult:
    """Counts the games: rewards f64[G, 2], the player's seats i32[G], who moved first i32[G]."""
    games = np.arange(len(seats))
    outcomes = np.sign(rewards[games, seats] - rewards[games, 1 - seats]).astype(np.int8)
    scores = (outcomes + 1) / 2
    all_games = _tally(outcomes)
    return MatchResult(
        *all_games,
        score=all_games.score,
        interval=mean_interval(scores.reshape(-1, 2).mean(axis=1)),
        by_seat=(_tally(outcomes[first == seats]), _tally(outcomes[first != seats])),
        histories=histories,
        outcomes=outcomes,
        first=first,
    )


def _tally(outcomes: np.ndarray) -> Tally:
    return Tally(*(int((outcomes == outcome).sum()) for outcome in (1, 0, -1)))
