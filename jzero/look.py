"""Measurements of an environment from random play: length of games, rewards, chance.

Play is bounded by plies, not only by the clock, so that it is reproducible; the result is cached in a file. Axes: B
games side by side, P players, N games in all.
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
from jzero.pytrees import Observation, States

LOOKS = 64
"""Largest number of random games that `look` plays."""
SIDE_BY_SIDE = 8
"""Games at a time."""
ENOUGH_PLIES = 2048
"""Plies, summed over games, after which it starts no more games."""
MOST_PLIES = 1000
"""Plies after which a game is cut short."""
SECONDS = 8.0
"""Time limit in seconds; a game that has not ended by then counts as one of `MOST_PLIES`."""
ROUND = 32
"""Most plies between two checks of the clock."""
CALL = 0.5
"""Seconds between two checks of the clock, if a ply takes less."""
CACHE = Path("~/.cache/jzero/looks")
"""Folder of cached results."""


class Facts(NamedTuple):
    """Measurements of an environment from random play."""

    num_players: int
    """P."""
    player_values: bool
    """Whether every player has a value."""
    hides: bool
    """Whether it has hidden information that can be resampled."""
    chance: bool
    """Whether initial observations or steps depend on chance."""
    plies: float
    """Mean length of a game, in plies."""
    longest: int
    """Length of the longest game."""
    ended: bool
    """Whether at least one game ended, or the time was up before any could."""
    largest_reward: float
    """Largest absolute reward of a step; NaN if one was NaN."""
    largest_return: float
    """Largest absolute undiscounted return of a game."""
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of the observation's leaves, without the batch axis."""
    shared: bool = False
    """Whether several players always get the same rewards: they cooperate."""
    largest_number: float = 1.0
    """Largest absolute number of an observation, except bytes, which may be pixels; NaN if one was NaN."""

    @property
    def points(self) -> bool:
        """Whether it is played for points: returns exceed 1."""
        return self.largest_return > 1 + 1e-4

    @property
    def features(self) -> int:
        """Size of an observation."""
        return sum(int(np.prod(shape)) for shape in self.shapes)

    @property
    def is_board(self) -> bool:
        """Whether the observation is one array [H, W, C]."""
        return len(self.shapes) == 1 and len(self.shapes[0]) == 3


_BOUNDS = (LOOKS, SIDE_BY_SIDE, ENOUGH_PLIES, MOST_PLIES)
_known: dict[tuple[Env, int], Facts] = {}


def look(env: Env, *, seed: int = 0, say: Callable[[str], None] = lambda text: None) -> Facts:
    """Plays up to `LOOKS` random games, of at most `MOST_PLIES` plies.

    It plays fewer games if they are long, and stops after `SECONDS`. The result is cached in `CACHE`, if that can
    be written, with the environment's computation as the key. An emulator (`external`) is not played; it counts as
    a game of `MOST_PLIES` plies with rewards of 1.

    Args:
      env: the environment.
      seed: seed of the games.
      say: receives progress messages.
    """
    if (env, seed) not in _known:
        _known[env, seed] = _facts(env, _unplayed() if describe(env).external else _seen(env, seed, say))
    return _known[env, seed]


class _Seen(NamedTuple):
    """Measurements of random games [N]."""

    chance: Any  # bool[]
    plies: Any  # i32[N]
    ended: Any  # bool[N]
    largest_reward: Any  # f32[]
    largest_return: Any  # f32[N], absolute, over the players
    equal: Any  # bool[]: all players' rewards
    largest_number: Any  # f32[]


def _unplayed() -> _Seen:
    """The assumed measurements of an emulator."""
    return _Seen(False, np.full(1, MOST_PLIES), np.full(1, True), 1.0, np.full(1, np.inf), False, 1.0)


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
        largest_number=float(seen.largest_number),
    )


def _seen(env: Env, seed: int, say: Callable[[str], None]) -> _Seen:
    """The cached measurements, or new ones."""
    key = jax.random.key(seed)
    say("compiling random games, which measure lengths and rewards")
    begin = jax.jit(partial(_begin, env)).lower(key)
    go_on = jax.jit(partial(_go_on, env)).lower(jax.eval_shape(partial(_begin, env), key), key, jnp.int32(1))
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
    """Plays random games with the compiled functions, until there are enough or the time is up."""
    deadline, batches, plies, at_once = time.monotonic() + SECONDS, [], 0, 1
    while len(batches) < LOOKS // SIDE_BY_SIDE and plies < ENOUGH_PLIES:
        batch_key = jax.random.fold_in(key, len(batches))
        games = begin(batch_key)
        while (going := bool(games.going)) and (now := time.monotonic()) < deadline:
            ply, games = int(games.ply), go_on(games, batch_key, jnp.int32(at_once))
            played = int(games.ply) - ply  # waits for the call
            at_once = _next_plies(at_once, (time.monotonic() - now) / played)
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
        largest_reward=np.max([batch.largest_reward for batch in batches]),
        largest_return=np.concatenate([batch.largest_return for batch in batches]),
        equal=all(batch.equal for batch in batches),
        largest_number=np.max([batch.largest_number for batch in batches]),
    )


def _next_plies(plies: int, seconds: float) -> int:
    """The plies of the next call after one of `plies`, each of which took `seconds`: at most twice as many."""
    return max(1, min(2 * plies, ROUND, int(CALL / max(seconds, 1e-9))))


class _Batch(NamedTuple):
    """Random games in progress."""

    ply: jax.Array  # i32[]
    states: Any  # [B, ...]
    returns: jax.Array  # f32[B, P]
    seen: _Seen  # N is B
    going: jax.Array  # bool[]: a game may be played on


def _begin(env: Env, key: jax.Array) -> _Batch:
    """The initial states."""
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
        _largest_number(first[0]),
    )
    return _Batch(jnp.int32(0), states, jnp.zeros_like(states.rewards), seen, jnp.bool_(True))


def _go_on(env: Env, batch: _Batch, key: jax.Array, plies: jax.Array) -> _Batch:
    """Plays up to `plies`, i32[], more plies of the games."""
    end = batch.ply + plies
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
        largest_number=jnp.maximum(seen.largest_number, _largest_number(observe_batch(env, after))),
    )
    going = (batch.ply + 1 < MOST_PLIES) & ~jnp.all(seen.ended)
    return _Batch(batch.ply + 1, after, batch.returns + after.rewards, seen, going)


def _of_most_plies(seen: _Seen) -> _Seen:
    """Counts unfinished games as games of `MOST_PLIES` plies."""
    return seen._replace(
        plies=np.where(seen.ended, seen.plies, MOST_PLIES), ended=np.full(SIDE_BY_SIDE, True)
    )


def _largest_number(observation: Observation) -> jax.Array:
    """f32[]: the largest absolute number of an observation, except booleans and bytes."""
    leaves = [x for x in jax.tree.leaves(observation) if x.dtype not in (jnp.bool_, jnp.uint8) and x.size]
    return jnp.stack([jnp.float32(0), *(jnp.max(jnp.abs(x)).astype(jnp.float32) for x in leaves)]).max()


def _rows(states: States, rows: Any) -> States:
    return jax.tree.map(lambda x: x[rows], states)


def _differ(states: States, others: States) -> jax.Array:
    """bool[]: whether any leaf of the states differs, except random keys."""
    pairs = zip(jax.tree.leaves(states), jax.tree.leaves(others), strict=True)
    plain = [(a, b) for a, b in pairs if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key)]
    return jnp.stack([jnp.any(a != b) for a, b in plain]).any()
