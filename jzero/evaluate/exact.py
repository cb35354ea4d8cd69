"""Exhaustive proof for small games without chance: one policy against every reply.

Axes: N positions, E edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.env import Env, is_finished
from jzero.evaluate.batches import check_legal, in_batches
from jzero.pytrees import States
from jzero.status import set_status

Act = Callable[[Any], Any]
"""states [B] -> actions i32[B]; the same state must always get the same action."""


@dataclass(frozen=True)
class SeatProof:
    """All games that can arise when the policy plays one seat and the opponent plays anything."""

    wins: int
    """Games (sequences of moves) the policy wins."""
    draws: int
    losses: int
    positions: int
    """Distinct positions in which the policy had to move."""
    lost_game: tuple[int, ...] | None
    """The actions of one shortest lost game, None if there is none."""


@dataclass(frozen=True)
class ExactResult:
    """The result of `prove_never_loses`, per seat of the policy and summed."""

    seats: tuple[SeatProof, ...]
    """Player 0's, then player 1's, as requested."""

    @property
    def never_loses(self) -> bool:
        """Whether no opponent can beat the policy in any of these seats."""
        return self.losses == 0

    @property
    def wins(self) -> int:
        """Games the policy wins."""
        return sum(seat.wins for seat in self.seats)

    @property
    def draws(self) -> int:
        """Games drawn."""
        return sum(seat.draws for seat in self.seats)

    @property
    def losses(self) -> int:
        """Games the policy loses."""
        return sum(seat.losses for seat in self.seats)

    @property
    def positions(self) -> int:
        """Distinct positions in which the policy had to move."""
        return sum(seat.positions for seat in self.seats)


class _Level(NamedTuple):
    """The distinct positions [N] after the same number of plies, on the host."""

    states: Any
    rewards: np.ndarray  # f32[N, 2]: collected so far
    games: np.ndarray  # i64[N]: sequences of moves that lead here
    histories: np.ndarray  # i32[N, ply]: one of them

    def take(self, rows: np.ndarray) -> _Level:
        return jax.tree.map(lambda leaf: leaf[rows], self)


def prove_never_loses(
    env: Env,
    act: Act,
    *,
    batch_size: int = 512,
    max_positions: int = 1_000_000,
    openings: Sequence[Sequence[int]] = ((),),
    seats: Sequence[int] = (0, 1),
    until_lost: bool = False,
) -> ExactResult:
    """Plays `act` against every reply of the opponent, after every opening, by default in both seats.

    The walk goes ply by ply and merges equal positions, so the work grows with the number of distinct positions;
    the counts are still numbers of games. The winner has the larger sum of rewards.

    Args:
        env: a game of two players without chance.
        act: the policy, a function of the state alone. It is called with exactly `batch_size` states; surplus rows
            are copies.
        batch_size: rows per call.
        max_positions: limit on distinct positions per ply, which are held in memory.
        openings: sequences of first actions for both players, all of the same length; by default none.
        seats: the policy's seats.
        until_lost: end a seat's walk at the first ply with a lost game; the counts are then of the games that have
            ended.

    Raises:
        ValueError: a malformed argument, an illegal action, or more than `max_positions` positions.
    """
    if env.num_players != 2:
        raise ValueError(f"env: the proof needs a game of 2 players, this one has {env.num_players}")
    first = _first_level(env, openings, batch_size)
    prove = partial(_prove_seat, env, act, first, batch_size, max_positions, until_lost)
    return ExactResult(tuple(prove(seat) for seat in seats))


def _prove_seat(
    env: Env, act: Act, level: _Level, batch_size: int, max_positions: int, until_lost: bool, seat: int
) -> SeatProof:
    """Walks all games from `level` on in which the policy is player `seat`."""
    counts = np.zeros(3, np.int64)  # draws, wins, losses: indexed by the outcome 0, 1, -1
    positions, lost_game = 0, None
    while len(level.games):
        to_move = level.states.current_player == seat
        parents, actions = _edges(act, level, to_move, batch_size)
        positions += int(to_move.sum())
        set_status(f"positions in which player {seat} moved", positions)
        level, finished = _advance(env, level, parents, actions, batch_size)
        outcomes = np.sign(level.rewards[:, seat] - level.rewards[:, 1 - seat]).astype(int)
        np.add.at(counts, outcomes[finished], level.games[finished])
        lost = np.flatnonzero(finished & (outcomes < 0))
        if lost.size and lost_game is None:
            lost_game = tuple(level.histories[lost[0]].tolist())
            if until_lost:
                break
        level = _merge(level.take(~finished))
        if len(level.games) > max_positions:
            raise ValueError(
                f"max_positions: more than {max_positions} distinct positions after "
                f"{level.histories.shape[1]} plies ({len(level.games)}); raise max_positions, or use a smaller game"
            )
    draws, wins, losses = counts.tolist()
    return SeatProof(wins, draws, losses, positions, lost_game)


def _first_level(env: Env, openings: Sequence[Sequence[int]], batch_size: int) -> _Level:
    """The positions after the openings, which it checks."""
    if not openings or len({len(opening) for opening in openings}) > 1:
        raise ValueError(f"openings: expected one or more of the same length, got {openings}")
    count = len(openings)
    state = env.init(jax.random.key(0))
    states = jax.tree.map(lambda leaf: np.asarray(leaf)[None].repeat(count, axis=0), state)
    level = _Level(
        states, np.zeros((count, 2), np.float32), np.ones(count, np.int64), np.zeros((count, 0), np.int32)
    )
    for actions in np.asarray(openings, np.int32).T:
        check_legal(actions, np.asarray(level.states.legal_action_mask), level.histories.tolist(), "openings")
        level, finished = _advance(env, level, np.arange(count), actions, batch_size)
        if finished.any():
            raise ValueError(f"openings: {level.histories[finished][0].tolist()} ends the game")
    return _merge(level)


def _edges(act: Act, level: _Level, to_move: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The moves to follow, as rows i64[E] and actions i32[E]: the policy's, or all of the opponent's."""
    legal = np.asarray(level.states.legal_action_mask)
    own = np.flatnonzero(to_move)
    chosen = np.zeros(0, np.int32)
    if own.size:
        chosen = in_batches(act, level.take(own).states, batch_size)
        check_legal(chosen, legal[own], level.histories[own].tolist(), "act")
    parents, replies = np.nonzero(legal & ~to_move[:, None])
    return np.concatenate([own, parents]), np.concatenate([chosen, replies]).astype(np.int32)


def _advance(
    env: Env, level: _Level, parents: np.ndarray, actions: np.ndarray, batch_size: int
) -> tuple[_Level, np.ndarray]:
    """Plays actions i32[E] in rows i64[E]: the next positions [E], unmerged; finished bool[E]."""
    before = level.take(parents)
    states, finished = in_batches(partial(_step, env), (before.states, actions), batch_size)
    histories = np.concatenate([before.histories, actions[:, None]], axis=1)
    return _Level(states, before.rewards + states.rewards, before.games, histories), finished


@partial(jax.jit, static_argnums=0)
def _step(env: Env, edges: tuple[States, jax.Array]) -> tuple[States, jax.Array]:
    """The states [B] after actions i32[B], and finished bool[B]; without chance one key serves all."""
    states, actions = edges
    states = jax.vmap(env.step, in_axes=(0, 0, None))(states, actions, jax.random.key(0))
    return states, is_finished(states)


def _merge(level: _Level) -> _Level:
    """Merges positions with equal bytes of state and rewards, and adds up their games."""
    leaves = jax.tree.leaves((level.states, level.rewards))
    rows = [np.ascontiguousarray(leaf).reshape(len(leaf), -1).view(np.uint8) for leaf in leaves if leaf.size]
    packed = np.concatenate(rows, axis=1) if rows else np.zeros((0, 1), np.uint8)
    _, kept, group = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    games = np.zeros(len(kept), np.int64)
    np.add.at(games, group.ravel(), level.games)
    return level.take(kept)._replace(games=games)
