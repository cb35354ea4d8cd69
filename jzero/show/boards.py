"""Sample games as pictures: replays the actions, draws every position, stores each picture once."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import Env, action_size, is_finished, seeded_key
from jzero.pytrees import Observation, OneState, PyTree, Record
from jzero.show.frames import frame, written

Action = int | tuple[float, ...]
"""The number of an action, or a continuous action."""


class Position(NamedTuple):
    """A position of a game."""

    svg: str
    mover: int | None
    """The player to move; None when the game is over."""
    move: str | None
    """The name of the action that was played."""
    earned: float | None = None
    """By the only player so far; None in games of several."""


class Album:
    """Distinct pictures under CSS class names, within a limit of bytes.

    Every picture is the background of its class, as a data URL: it is in the page once, however often it is shown,
    and its ids, styles, scripts and links cannot affect the page.
    """

    def __init__(self, capacity: int) -> None:
        self._left = capacity
        self._urls: dict[str, str] = {}  # data URL -> class name

    def add(self, svgs: Sequence[str], step: int = 1) -> dict[int, str]:
        """Adds every `step`-th picture and the last; returns class names by index, or {} if they are too large."""
        last = len(svgs) - 1
        chosen = [index for index in range(len(svgs)) if index % step == 0 or index == last]
        urls = {index: data_url(svgs[index]) for index in chosen}
        new = dict.fromkeys(url for url in urls.values() if url not in self._urls)
        size = sum(map(len, new))
        if size > self._left:
            return {}
        self._left -= size
        for url in new:
            self._urls[url] = f"b{len(self._urls)}"
        return {index: self._urls[url] for index, url in urls.items()}

    def add_thinned(self, svgs: Sequence[str]) -> dict[int, str]:
        """The same with the smallest step whose pictures fit; {} if not even the first and the last fit."""
        fitting = (self.add(svgs, step) for step in range(1, len(svgs)))
        return next((names for names in fitting if names), {})

    def css(self) -> str:
        """The style sheet of the classes."""
        return "\n".join(f'.{name}{{background-image:url("{url}")}}' for url, name in self._urls.items())


def data_url(svg: str) -> str:
    """The picture as a data URL, safe between double quotes in a style sheet."""
    quote = "%22" if "'" in svg else "'"
    codes = {"%": "%25", "#": "%23", "<": "%3C", "\\": "%5C", "\n": "%0A", "\r": "", '"': quote}
    return "data:image/svg+xml;charset=utf-8," + svg.strip().translate(str.maketrans(codes))


def replay(env: Env, actions: Sequence[int | Sequence[float]], seed: int | None = None) -> list[Position]:
    """The positions of a game from its actions: [number of actions + 1], including the initial one.

    Raises:
      ValueError: an action is illegal, so the game belongs to another environment; or the game has chance and its
        seed (see `jzero.env.seeded_key`) is missing.
    """
    hashable = tuple(action if isinstance(action, int) else tuple(action) for action in actions)
    return list(_replay(env, hashable, (0, 1) if seed is None else (seed, seed)))


@functools.lru_cache(maxsize=64)
def _replay(env: Env, actions: tuple[Action, ...], seeds: tuple[int, int]) -> tuple[Position, ...]:
    init, step = _with_two_seeds(env)
    state, seen, certain = init(seeds)
    positions, earned = [], 0.0 if env.num_players == 1 else None
    for ply, action in enumerate(actions):
        if not _is_legal(env, state, action):
            raise ValueError(
                f"action {action} of ply {ply} is illegal: the game belongs to another environment"
            )
        positions.append(_position(env, state, seen, action, earned))
        state, seen, same = step(state, _as_array(action), seeds, ply + 1)
        certain &= same
        earned = None if earned is None else earned + float(state.rewards[0])
    # With one seed both are the same game, up to the last bit of a number.
    if seeds[0] != seeds[1] and not certain:
        raise ValueError("this environment has chance, so a game needs its seed as well as its actions")
    return (*positions, _position(env, state, seen, None, earned))


@functools.lru_cache(maxsize=8)
def _with_two_seeds(env: Env) -> tuple[Callable, Callable]:
    """`init` and `step` with the first of two seeds; each also returns the observation, and whether both seeds give
    the same one (bool[]).

    Compiled once per environment, for all games and reports.
    """

    def both(move: Callable[[jax.Array], Any], seeds: Any, ply: Any) -> tuple[PyTree, Observation, jax.Array]:
        state, other = (move(seeded_key(seed, ply)) for seed in seeds)
        views = [(env.observe(s), s.legal_action_mask, s.current_player, s.rewards) for s in (state, other)]
        same = jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), *views))
        return state, views[0][0], jnp.stack(same).all()

    step = jax.jit(
        lambda state, action, seeds, ply: both(lambda key: env.step(state, action, key), seeds, ply)
    )
    return jax.jit(lambda seeds: both(env.init, seeds, 0)), step


def _is_legal(env: Env, state: OneState, action: Action) -> bool:
    if isinstance(action, int):
        return 0 <= action < env.num_actions and bool(state.legal_action_mask[action])
    return len(action) == action_size(env)


def _as_array(action: Action) -> jax.Array:
    return jnp.int32(action) if isinstance(action, int) else jnp.asarray(action, jnp.float32)


def vector_name(vector: Iterable[float]) -> str:
    """A continuous action as short text."""
    return f"({', '.join(f'{number:.2f}' for number in vector)})"


def _position(
    env: Any, state: OneState, seen: Observation, action: Action | None, earned: float | None
) -> Position:
    name = None
    if isinstance(action, int):
        name = env.action_name(state, action) if hasattr(env, "action_name") else str(action)
    elif action is not None:
        name = vector_name(action)
    svg = env.svg(state) if hasattr(env, "svg") else frame(seen) or written(seen)
    return Position(svg, None if bool(is_finished(state)) else int(state.current_player), name, earned)


def drawn(env: Env | None, game: Record) -> tuple[list[Position], str]:
    """The game's positions and "", or [] and the reason; it never raises, since a picture must not end a run.

    If a one-player environment draws nothing, the pictures are its observations.
    """
    if env is None:
        return [], "its environment is not installed here"
    if not hasattr(env, "svg") and env.num_players > 1:
        return [], "its environment draws no pictures: it has no svg(state)"
    try:
        return replay(env, game["actions"], game.get("seed")), ""
    except Exception as error:
        return [], f"{type(error).__name__}: {error}"
