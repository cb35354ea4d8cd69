"""Turns of players, and the plies of many games played side by side.

Axes: G games (in `Turn`, rows), A actions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, is_finished
from jzero.evaluate.batches import check_legal, padded_chunks
from jzero.pytrees import States
from jzero.status import set_status

Result = TypeVar("Result")


class Turn(NamedTuple):
    """A request for one move in every row that `rows` marks. Unmarked rows only fill the batch."""

    states: Any  # batched state, every leaf [G, ...]
    histories: list[list[int]]  # of each row, the actions since the game's first state
    rows: np.ndarray  # bool[G]
    key: jax.Array  # a fresh key


Player = Callable[[Turn], np.ndarray]
"""Returns actions i32[G]; those of unmarked rows are ignored."""


class TimeIsUp(Exception):
    """A measurement exceeds its time limit."""


class Limit:
    """Time limit of a measurement, called after each ply; the time is up `seconds` after the first call.

    By then everything is compiled.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._begun = seconds, math.inf

    def is_over(self) -> bool:
        """Whether the time is up."""
        now = time.monotonic()
        self._begun = min(self._begun, now)
        return now > self._begun + self.seconds

    def __call__(self) -> None:
        """Raises TimeIsUp if the time is up."""
        if self.is_over():
            raise TimeIsUp


def rounds(
    play: Callable[..., Result],
    sizes: Sequence[int],
    seconds: float,
    what: str,
    *,
    patience: float = math.inf,
) -> list[Result]:
    """Results of `play(size, key=, limit=)` for each size, as many as the time allows.

    An unfinished round does not count, finished games included: they would be the shortest ones.

    Args:
        play: one round.
        sizes: number of games, or deals, of each round.
        seconds: time for all rounds, from the end of the first ply.
        what: description for the progress message.
        patience: time for the first round, if it has less than all of them.
    """
    limit, results = Limit(min(seconds, patience)), []
    for number, size in enumerate(sizes):
        set_status(what, sum(sizes[:number]), sum(sizes))
        try:
            results.append(play(size, key=jax.random.fold_in(jax.random.key(0), number), limit=limit))
        except TimeIsUp:
            break
        limit.seconds = seconds
    return results


def as_player(act: Callable[[States, jax.Array], jax.Array]) -> Player:
    """The player of a pure function (states [G], key) -> actions i32[G]."""
    act = jax.jit(act)
    return lambda turn: np.asarray(act(turn.states, turn.key))


def play_out(
    env: Env,
    states: States,
    own_seat: np.ndarray,
    player: Player,
    opponent: Player,
    histories: list[list[int]],
    key: jax.Array,
    *,
    group: int,
    limit: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Plays games side by side to their ends: `player` in one seat, `opponent` in all others.

    Each is called once per ply for all its rows, in batches of G / `group` rows.

    Args:
        env: the game.
        states: [G] initial states.
        own_seat: i32[G] the player's seat.
        player: the player in `own_seat`.
        opponent: the player in all other seats.
        histories: actions of each game so far; new actions are appended.
        key: for the game's chance and the players' keys.
        group: number of consecutive games that share all chance; divides G.
        limit: called after each ply; an exception from it ends the games.

    Returns:
        f64[G, P]: return of every seat.

    Raises:
        ValueError: a player chose an illegal action.
    """
    num_games, ply = len(own_seat), 0
    returns = np.zeros((num_games, env.num_players))
    while True:
        mover, finished = jax.device_get(_view(states))
        if finished.all():
            return returns
        *side_keys, step_key = jax.random.split(jax.random.fold_in(key, ply), 3)
        actions = np.zeros(num_games, np.int32)
        sides = (("player", player, mover == own_seat), ("opponent", opponent, mover != own_seat))
        for (name, side, turn), side_key in zip(sides, side_keys, strict=True):
            rows = np.flatnonzero(turn & ~finished)
            actions[rows] = _ask(name, side, states, histories, rows, side_key, num_games // group)
        states = _step(env, states, actions, step_key, group)
        returns += np.asarray(states.rewards)
        for row in np.flatnonzero(~finished):
            histories[row].append(int(actions[row]))
        limit()
        ply += 1


def _ask(
    name: str,
    player: Player,
    states: States,
    histories: list[list[int]],
    rows: np.ndarray,
    key: jax.Array,
    size: int,
) -> np.ndarray:
    """The player's actions i32[N] in rows i32[N], in batches of `size`.

    Raises:
        ValueError: an action is illegal; the message calls the player `name`.
    """
    actions = np.zeros(len(rows), np.int32)
    for number, (chunk, count) in enumerate(padded_chunks(rows, size)):
        marked = np.arange(size) < count
        chunk_key = jax.random.fold_in(key, number)
        turn = Turn(_take(states, chunk), [list(histories[row]) for row in chunk], marked, chunk_key)
        chosen = np.asarray(player(turn))[:count]
        legal = np.asarray(turn.states.legal_action_mask)[:count]
        check_legal(chosen, legal, turn.histories[:count], name)
        actions[number * size :][:count] = chosen
    return actions


@partial(jax.jit, static_argnums=(0, 4))
def _step(env: Env, states: States, actions: jax.Array, key: jax.Array, group: int) -> States:
    """One ply of all games [G]; each group of `group` consecutive games has the same chance."""
    keys = jnp.repeat(jax.random.split(key, len(actions) // group), group, axis=0)
    return jax.vmap(env.step)(states, actions, keys)


@jax.jit
def _view(states: States) -> tuple[jax.Array, jax.Array]:
    """The player to move i32[G] and finished bool[G] of states [G], for the host."""
    return states.current_player, is_finished(states)


@jax.jit
def _take(states: States, rows: jax.Array) -> States:
    """The states of the given rows i32[N]."""
    return jax.tree.map(lambda leaf: leaf[rows], states)
