"""Test positions with known values: the share where a player's move keeps the game's value.

The file is JSON: {"game": "connect_four", "name": "after good moves", "recipe": "...", "seed": 0, "positions":
[{"moves": "334", "values": [1, 0, null, ...]}, ...]}. "moves" holds the actions from the initial state, as digits
or as a list of numbers; "values" the game's value after each action, for the player to move, null if it is illegal.
Axes: N positions, T plies of the longest, A actions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, is_finished
from jzero.evaluate.batches import check_legal, in_batches
from jzero.evaluate.rating import wilson_interval
from jzero.pytrees import OneState, States
from jzero.settings import full_path

ILLEGAL = -128
"""Marks an illegal action in an i8 array of values or scores."""


@dataclass(frozen=True)
class PositionSet:
    """Positions given by the actions that lead to them, and the value of every action."""

    game: str
    name: str
    """Name of the set, if there are several."""
    moves: np.ndarray
    """i32[N, T]: actions from the initial state, -1 after the last."""
    plies: np.ndarray
    """i32[N]: number of actions."""
    values: np.ndarray
    """i8[N, A]: for the player to move, `ILLEGAL` if the action is illegal."""

    @property
    def histories(self) -> list[list[int]]:
        """The actions without padding, as `arena.Turn` has them."""
        return [row[:ply].tolist() for row, ply in zip(self.moves, self.plies, strict=True)]

    @property
    def keeps_value(self) -> np.ndarray:
        """bool[N, A]: whether the action is as good as the best."""
        return self.values == self.values.max(axis=1, keepdims=True)


class PlyScore(NamedTuple):
    """The score in the positions of plies `first`..`last`, with Wilson's 95 % interval."""

    first: int
    last: int
    count: int
    score: float
    low: float
    high: float


class PositionScore(NamedTuple):
    """The share of positions, in [0, 1], where the chosen action keeps the game's value."""

    score: float
    low: float  # 95 %, Wilson
    high: float
    count: int
    by_ply: tuple[PlyScore, ...]

    def __str__(self) -> str:
        return f"{self.score:.3f} [{self.low:.3f}, {self.high:.3f}] on {self.count} positions"


def load_positions(path: str | Path, env: Env | None = None) -> PositionSet:
    """Reads a file of positions; with `env`, also replays them to check that they belong to that game.

    Raises:
        ValueError: the file does not have this module's format, or does not fit `env`.
    """
    content = json.loads(full_path(path).read_text())
    try:
        positions = content["positions"]
        histories = [[int(action) for action in position["moves"]] for position in positions]
        values = [[ILLEGAL if v is None else v for v in position["values"]] for position in positions]
        name = content.get("name", full_path(path).stem)
        loaded = make_position_set(content["game"], histories, np.array(values, np.int8), name)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"path: {path} is not a file of positions: {error!r}") from error
    if env is not None:
        positions_states(env, loaded)
    return loaded


def make_position_set(
    game: str, histories: list[list[int]], values: np.ndarray, name: str = "positions"
) -> PositionSet:
    """A PositionSet from the actions of N games and the values i8[N, A] of every next action."""
    if values.ndim != 2 or len(values) != len(histories) or not len(values):
        raise ValueError(f"values: expected [N, A] with N = {len(histories)} > 0, got shape {values.shape}")
    plies = np.array([len(history) for history in histories], np.int32)
    moves = np.full((len(histories), max(1, plies.max())), -1, np.int32)
    for row, history in zip(moves, histories, strict=True):
        row[: len(history)] = history
    return PositionSet(game, name, moves, plies, values)


def positions_states(env: Env, positions: PositionSet) -> States:
    """Plays the moves of the positions; returns the states [N].

    Raises:
        ValueError: a position is finished, or its legal actions are not those of the values.
    """
    states = _replay(env, positions.moves)
    legal = np.asarray(states.legal_action_mask)
    expected = positions.values != ILLEGAL
    if legal.shape != expected.shape:
        raise ValueError(
            f"positions: expected {env.num_actions} values per position, got {expected.shape[1]}"
        )
    wrong = np.flatnonzero((legal != expected).any(axis=1) | np.asarray(is_finished(states)))
    if wrong.size:
        row = wrong[0]
        raise ValueError(
            f"positions: {positions.game} position {row} (moves {positions.histories[row]}) should be "
            f"unfinished with legal actions {np.flatnonzero(expected[row]).tolist()}, but in env it is "
            f"finished or has {np.flatnonzero(legal[row]).tolist()}; is env the game of these positions?"
        )
    return states


@partial(jax.jit, static_argnums=0)
def _replay(env: Env, moves: jax.Array) -> States:
    """The states [N] after moves i32[N, T], -1 meaning none; without chance one key serves all."""
    key = jax.random.key(0)

    def play(state: OneState, action: jax.Array) -> tuple[States, None]:
        after = env.step(state, action, key)
        return jax.tree.map(lambda new, old: jnp.where(action >= 0, new, old), after, state), None

    return jax.vmap(lambda actions: jax.lax.scan(play, env.init(key), actions)[0])(moves)


def score_positions(
    env: Env,
    act: Callable[[Any], Any],
    positions: PositionSet,
    *,
    batch_size: int = 256,
    plies_per_bin: int = 8,
) -> PositionScore:
    """The share of positions where the player keeps the game's value.

    Args:
        env: the game of the positions.
        act: states [batch_size] -> actions i32[batch_size]; always called with this number of rows.
        positions: from `load_positions`.
        batch_size: rows per call.
        plies_per_bin: plies per entry of the result's `by_ply`.

    Raises:
        ValueError: the positions are not of this game, or an action is illegal.
    """
    states = jax.device_get(positions_states(env, positions))
    return grade_actions(positions, in_batches(act, states, batch_size), plies_per_bin=plies_per_bin)


def grade_actions(positions: PositionSet, actions: np.ndarray, *, plies_per_bin: int = 8) -> PositionScore:
    """The score of actions i32[N], one per position, from any player.

    Raises:
        ValueError: an action is illegal.
    """
    actions = np.asarray(actions)
    check_legal(actions, positions.values != ILLEGAL, positions.histories, "act")
    kept = positions.keeps_value[np.arange(len(actions)), actions]
    by_ply = []
    for first in range(0, int(positions.plies.max()) + 1, plies_per_bin):
        last = first + plies_per_bin - 1
        here = kept[(positions.plies >= first) & (positions.plies <= last)]
        if here.size:
            interval = wilson_interval(here.sum(), len(here))
            by_ply.append(PlyScore(first, last, len(here), float(here.mean()), *interval))
    low, high = wilson_interval(kept.sum(), len(kept))
    return PositionScore(float(kept.mean()), low, high, len(kept), tuple(by_ply))
