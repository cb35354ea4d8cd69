"""What random play shows of an environment: how long its games are, what they pay, whether chance has a part.

It is bounded by plies, not by the clock alone, so that it is the same each time; and kept in a file of the user's.
Axes: B games side by side, P players, N games in all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, init_batch, is_finished, observe_batch, random_actions_in, step_batch
from jzero.env_spec import describe
from jzero.pytrees import States

LOOKS = 64
"""Random games that `look` plays at most."""
SIDE_BY_SIDE = 8
"""Games that it plays at a time."""
ENOUGH_PLIES = 2048
"""Plies, of all games together, after which it begins no more of them."""
MOST_PLIES = 1000
"""Plies after which a game is not played on."""
SECONDS = 8.0
"""After which it stops; a game that has not ended by then is taken for one of `MOST_PLIES`."""
ROUND = 32
"""Plies between two looks at the clock."""
CACHE = Path("~/.cache/jzero/looks")
"""Where it is kept what was seen."""


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
    """At least one game came to its end, or the time was over before any could."""
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


_BOUNDS = (LOOKS, SIDE_BY_SIDE, ENOUGH_PLIES, MOST_PLIES)
_known: dict[tuple[Env, int], Facts] = {}


def look(env: Env, *, seed: int = 0, say: Callable[[str], None] = lambda text: None) -> Facts:
    """Plays up to `LOOKS` random games, of at most `MOST_PLIES` plies.

    Of long games it plays fewer, and it stops after `SECONDS`. What was seen is kept in `CACHE`, where that can be
    written, by what the environment computes. An emulator (`external`) is not played but taken for a game of
    `MOST_PLIES` plies with rewards of 1.

    Args:
      env: the environment.
      seed: of the games.
      say: receives what is being done, in words.
    """
    if (env, seed) not in _known:
        _known[env, seed] = _facts(env, _unplayed() if describe(env).external else _seen(env, seed, say))
    return _known[env, seed]


class _Seen(NamedTuple):
    """What random games [N] were like."""

    chance: Any  # bool[]
    plies: Any  # i32[N]
    ended: Any  # bool[N]
    largest_reward: Any  # f32[]
    largest_return: Any  # f32[N], absolute, over the players
    equal: Any  # bool[]: all players' rewards


def _unplayed() -> _Seen:
    """What an emulator is taken for."""
    return _Seen(False, np.full(1, MOST_PLIES), np.full(1, True), 1.0, np.full(1, np.inf), False)


def _facts(env: Env, seen: _Seen) -> Facts:
    first = jax.eval_shape(partial(init_batch, env, batch_size=1), jax.random.key(0))
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


def _seen(env: Env, seed: int, say: Callable[[str], None]) -> _Seen:
    """What is on file, or what is played now."""
    key = jax.random.key(seed)
    say("random games show how long a game is and what it pays: compiling")
    begin = jax.jit(partial(_begin, env)).lower(key)
    go_on = jax.jit(partial(_go_on, env)).lower(jax.eval_shape(partial(_begin, env), key), key)
    text = "".join((begin.as_text(), go_on.as_text(), jax.__version__, repr((seed, *_BOUNDS))))
    path = CACHE.expanduser() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, RuntimeError):
        return _Seen(**json.loads(path.read_text(encoding="utf-8")))
    begin, go_on = begin.compile(), go_on.compile()
    say(f"playing random games, at most {SECONDS:g} s")
    seen = _play(begin, go_on, key, say)
    # Where nothing can be written it is looked at anew each time.
    with contextlib.suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({k: np.asarray(v).tolist() for k, v in seen._asdict().items()}))
        part.replace(path)
    return seen


def _play(begin: Callable, go_on: Callable, key: jax.Array, say: Callable[[str], None]) -> _Seen:
    """Random games by the compiled functions, until there are enough of them or the time is over."""
    deadline, batches, plies = time.monotonic() + SECONDS, [], 0
    while len(batches) < LOOKS // SIDE_BY_SIDE and plies < ENOUGH_PLIES:
        batch_key = jax.random.fold_in(key, len(batches))
        games = begin(batch_key)
        while (going := bool(games.going)) and time.monotonic() < deadline:
            games = go_on(games, batch_key)
        batch = jax.device_get(games.seen)
        if going and batches:  # the games of earlier batches have ended
            break
        batches.append(_of_most_plies(batch) if going else batch)
        plies += int(batches[-1].plies.sum())
        if going:
            break
    count = len(batches) * SIDE_BY_SIDE
    say(f"{count} random games, {plies / count:.0f} plies on average")
    return _Seen(
        chance=any(batch.chance for batch in batches),
        plies=np.concatenate([batch.plies for batch in batches]),
        ended=np.concatenate([batch.ended for batch in batches]),
        largest_reward=max(batch.largest_reward for batch in batches),
        largest_return=np.concatenate([batch.largest_return for batch in batches]),
        equal=all(batch.equal for batch in batches),
    )


class _Batch(NamedTuple):
    """Random games in progress."""

    ply: jax.Array  # i32[]
    states: Any  # [B, ...]
    returns: jax.Array  # f32[B, P]
    seen: _Seen  # N is B
    going: jax.Array  # bool[]: a game may be played on


def _begin(env: Env, key: jax.Array) -> _Batch:
    """First states."""
    states = init_batch(env, jax.random.fold_in(key, 0), SIDE_BY_SIDE)
    # What is seen, not the states: who sits where is often drawn (pgx), and games begin alike all the same.
    first = (observe_batch(env, states), states.legal_action_mask)
    alike = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), first)
    nothing = jnp.zeros(SIDE_BY_SIDE, jnp.float32)
    seen = _Seen(
        _differ(first, alike),
        nothing.astype(jnp.int32),
        nothing > 0,
        jnp.float32(0),
        nothing,
        jnp.bool_(True),
    )
    return _Batch(jnp.int32(0), states, jnp.zeros_like(states.rewards), seen, jnp.bool_(True))


def _go_on(env: Env, batch: _Batch, key: jax.Array) -> _Batch:
    """`ROUND` plies more of the games, or as many as there are."""
    end = batch.ply + ROUND
    return jax.lax.while_loop(lambda now: now.going & (now.ply < end), partial(_one_ply, env, key), batch)


def _one_ply(env: Env, key: jax.Array, batch: _Batch) -> _Batch:
    states, seen = batch.states, batch.seen
    action_key, step_key = jax.random.split(jax.random.fold_in(key, batch.ply + 1))
    actions = random_actions_in(env, states, action_key)
    # Some games make the same step twice, with other chance; all in one call, which is compiled once.
    twice = jnp.concatenate([jnp.arange(SIDE_BY_SIDE), jnp.arange(SIDE_BY_SIDE // 4)])
    after = step_batch(env, _rows(states, twice), actions[twice], step_key)
    again = _rows(after, slice(SIDE_BY_SIDE, None))
    after = _rows(after, slice(SIDE_BY_SIDE))
    seen = _Seen(
        chance=seen.chance | _differ(_rows(after, slice(SIDE_BY_SIDE // 4)), again),
        plies=seen.plies + ~is_finished(states),
        ended=is_finished(after),
        largest_reward=jnp.maximum(seen.largest_reward, jnp.max(jnp.abs(after.rewards))),
        largest_return=jnp.max(jnp.abs(batch.returns + after.rewards), axis=-1),
        equal=seen.equal & jnp.all(after.rewards == after.rewards[:, :1]),
    )
    going = (batch.ply + 1 < MOST_PLIES) & ~jnp.all(seen.ended)
    return _Batch(batch.ply + 1, after, batch.returns + after.rewards, seen, going)


def _of_most_plies(seen: _Seen) -> _Seen:
    """The games that have not ended taken for games of `MOST_PLIES` plies."""
    return seen._replace(
        plies=np.where(seen.ended, seen.plies, MOST_PLIES), ended=np.full(SIDE_BY_SIDE, True)
    )


def _rows(states: States, rows: Any) -> States:
    return jax.tree.map(lambda x: x[rows], states)


def _differ(states: States, others: States) -> jax.Array:
    """bool[]: any leaf of the states differs; random keys that they hold do not count."""
    pairs = zip(jax.tree.leaves(states), jax.tree.leaves(others), strict=True)
    plain = [(a, b) for a, b in pairs if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key)]
    return jnp.stack([jnp.any(a != b) for a, b in plain]).any()
