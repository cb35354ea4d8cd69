"""Matches between two players: batched, both seats, random openings.

Axes: G games (in `Turn`, rows), P = G / 2 pairs, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, is_finished
from jzero.evaluate.batches import check_legal, padded_chunks
from jzero.evaluate.rating import mean_interval


class Turn(NamedTuple):
    """What a player is asked: one move in every row that `rows` marks. Unmarked rows only fill the batch."""

    states: Any  # batched state, every leaf [G, ...]
    histories: list[list[int]]  # of each row, the actions since the game's first state
    rows: np.ndarray  # bool[G]
    key: jax.Array  # a fresh key


Player = Callable[[Turn], np.ndarray]
"""Returns i32[G] actions; those of unmarked rows may be anything."""


class Tally(NamedTuple):
    """Games counted from the player's side."""

    wins: int
    draws: int
    losses: int

    @property
    def score(self) -> float:
        """In [0, 1], a draw counts 1/2; nan without games."""
        games = sum(self)
        return (self.wins + self.draws / 2) / games if games else float("nan")


@dataclass(frozen=True)
class MatchResult:
    """A finished match, counted from the side of `play_match`'s `player`."""

    wins: int
    draws: int
    losses: int
    score: float
    """In [0, 1], a draw counts 1/2."""
    interval: tuple[float, float]
    """95 % interval of `score`, pairs of games being the independent units (`rating.mean_interval`)."""
    by_seat: tuple[Tally, Tally]
    """Games where the player had the first move (the opening's, if it had one), and the others."""
    histories: list[list[int]]
    """All actions of each game, the opening's included."""
    outcomes: np.ndarray
    """i8[G]: 1 the player won, 0 draw, -1 lost. Games 2i and 2i + 1 are a pair."""

    @property
    def distinct_games(self) -> int:
        """How many of the games differ; few of them mean that the openings or the players vary too little."""
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
) -> MatchResult:
    """Plays `num_games` games side by side, in pairs that share opening and chance but swap the seats.

    Each player is asked once a ply for all its rows, in batches of `num_games` / 2 rows, which holds every
    row that can be its turn in a game of alternating moves. The winner is who has the larger sum of rewards;
    rewards of the opening do not count.

    Args:
        env: a game of two players.
        player: the player whose result is reported.
        opponent: the other one.
        num_games: an even number > 0.
        key: decides openings, the game's chance and the players' keys.
        opening_plies: random legal moves before the players begin, or (low, high) to draw their number
            uniformly for each pair. An opening stops early before a move that would end the game.

    Raises:
        ValueError: a malformed argument, or a player chose an illegal action.
    """
    low, high = _check_match(env, num_games, opening_plies)
    opening_key, play_key = jax.random.split(key)
    states, first, opening = _open(env, num_games // 2, high, low, opening_key)
    openings = np.asarray(opening).T.repeat(2, axis=0)
    histories = [row[row >= 0].tolist() for row in openings]
    seats = np.arange(num_games) % 2
    rewards = jnp.zeros((num_games, 2), jnp.float32)
    ply = 0
    while True:
        mover, legal, finished = jax.device_get(_view(states))
        if finished.all():
            break
        player_key, opponent_key, step_key = jax.random.split(jax.random.fold_in(play_key, ply), 3)
        actions = np.zeros(num_games, np.int32)
        for name, side, turn, side_key in (
            ("player", player, mover == seats, player_key),
            ("opponent", opponent, mover != seats, opponent_key),
        ):
            rows = np.flatnonzero(turn & ~finished)
            actions[rows] = _ask(side, states, histories, rows, side_key, num_games // 2)
            check_legal(actions[rows], legal[rows], [histories[row] for row in rows], name)
        states, rewards = _step(env, states, rewards, actions, step_key)
        for row in np.flatnonzero(~finished):
            histories[row].append(int(actions[row]))
        ply += 1
    return _summarise(np.asarray(rewards), seats, np.asarray(first), histories)


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


def _ask(
    player: Player, states: Any, histories: list[list[int]], rows: np.ndarray, key: jax.Array, size: int
) -> np.ndarray:
    """The player's actions i32[N] in rows i32[N], asked for in batches of `size`."""
    actions = np.zeros(len(rows), np.int32)
    for number, (chunk, count) in enumerate(padded_chunks(rows, size)):
        marked = np.arange(size) < count
        chunk_key = jax.random.fold_in(key, number)
        turn = Turn(_take(states, chunk), [list(histories[row]) for row in chunk], marked, chunk_key)
        actions[number * size :][:count] = np.asarray(player(turn))[:count]
    return actions


@partial(jax.jit, static_argnums=(0, 1, 2))
def _open(
    env: Env, num_pairs: int, high: int, low: jax.Array | int, key: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """Starts the games: states [G], who moved first i32[G], openings i32[high, P] (-1: no move)."""
    init_key, length_key, key = jax.random.split(key, 3)
    states = jax.vmap(env.init)(jax.random.split(init_key, num_pairs))
    first = states.current_player
    length = jax.random.randint(length_key, (num_pairs,), low, high + 1)

    def random_move(carry: tuple[Any, jax.Array], step: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        states, going = carry
        ply, key = step
        choice_key, chance_key = jax.random.split(key)
        noise = jax.random.uniform(choice_key, states.legal_action_mask.shape, minval=1.0, maxval=2.0)
        actions = (noise * states.legal_action_mask).argmax(axis=-1).astype(jnp.int32)
        after = jax.vmap(env.step)(states, actions, jax.random.split(chance_key, num_pairs))
        going = going & (ply < length) & ~is_finished(after)
        states = jax.tree.map(partial(_where_row, going), after, states)
        return (states, going), jnp.where(going, actions, -1)

    plies = (jnp.arange(high), jax.random.split(key, high))
    (states, _), opening = jax.lax.scan(random_move, (states, jnp.ones(num_pairs, bool)), plies)
    paired = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), (states, first))
    return *paired, opening


def _where_row(rows: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """`new` in the rows bool[G] that are marked, else `old`; both [G, ...]."""
    return jnp.where(rows.reshape(rows.shape + (1,) * (new.ndim - 1)), new, old)


@partial(jax.jit, static_argnums=0)
def _step(
    env: Env, states: Any, rewards: jax.Array, actions: jax.Array, key: jax.Array
) -> tuple[Any, jax.Array]:
    """One ply of all games [G], the two of a pair with the same chance; adds up the rewards f32[G, 2]."""
    keys = jnp.repeat(jax.random.split(key, len(actions) // 2), 2, axis=0)
    states = jax.vmap(env.step)(states, actions, keys)
    return states, rewards + states.rewards


@jax.jit
def _view(states: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What the host needs of states [G]: to move i32[G], legal actions bool[G, A], finished bool[G]."""
    return states.current_player, states.legal_action_mask, is_finished(states)


@jax.jit
def _take(states: Any, rows: jax.Array) -> Any:
    """The states of the given rows i32[N]."""
    return jax.tree.map(lambda leaf: leaf[rows], states)


def _summarise(
    rewards: np.ndarray, seats: np.ndarray, first: np.ndarray, histories: list[list[int]]
) -> MatchResult:
    """Counts the games: rewards f32[G, 2], the player's seats i32[G], who moved first i32[G]."""
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
    )


def _tally(outcomes: np.ndarray) -> Tally:
    return Tally(*(int((outcomes == outcome).sum()) for outcome in (1, 0, -1)))
