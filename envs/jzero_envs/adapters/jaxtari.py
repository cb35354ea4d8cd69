"""Atari 2600 games reimplemented in JAX, from JAXtari: `jzero.make("jaxtari:pong")`. No emulator, no ROM.

An action is held for `frame_skip` frames (4); the reward is the sum of their rewards, not clipped. The actions are
the game's own set; a game begins at its first frame, and a lost life does not end it. The game's end is
`terminated`; after `max_frames` (108,000, 27,000 steps) it is `truncated`. Pong has no chance, so all episodes of a
player that does not explore are the same one; with "jaxtari:pong?sticky_actions=0.25" each frame repeats the action
of the frame before with this probability (Machado et al. 2018).

The observation is f32[4, F] (`stack`): for each of the last 4 steps, oldest first, the game's objects as a row of
JAXtari's `ObjectCentricWrapper`, each number scaled to [0, 1] by the range that the game declares for it; Pong's 26
numbers are x, y, width, height, activity, look, state and angle of player, enemy and ball, and the score. A state
keeps the 4 game states behind the observation.

These games need sprites only for pixels; a few games compute with sprites, and an error says so. `python -m
jaxtari.install_sprites` asks whether you own the ROMs and downloads the sprites. With them
"jaxtari:pong?pixels=True" observes uint8 [210, 160, 12], the colours of 4 steps' last frames, oldest first, and
"jaxtari:alien?sprites=True" makes a game that computes with sprites.

`SHOWN` games have no hidden state and no chance. Others may hide cards or draw chance from their state, so
AlphaZero refuses them: use a learned model.
Source: https://github.com/k4ntz/JAXAtari (Delfosse et al.); the package `jaxatari` is an older name of `jaxtari`.
"""

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from jzero.env import where_rows
from jzero.registry import unknown_name
from jzero_envs.adapters.one_player import OnePlayerEnv, Outcome, check_sticky_actions, in_unit_range

SHOWN = ("breakout", "pong")
"""Games without chance and without hidden state."""
_SPRITES = "python -m jaxtari.install_sprites"


class JaxtariGame(NamedTuple):
    """The state of a game. K steps in an observation."""

    states: Any  # JAXtari's, [K, ...]: newest last; the first is repeated in a younger game
    frames: jax.Array  # i32[]: number played
    last_action: jax.Array  # i32[]: of the last frame, 0 at the start; sticky actions repeat it


def make(
    name: str,
    *,
    pixels: bool = False,
    sprites: bool = False,
    frame_skip: int = 4,
    stack: int = 4,
    max_frames: int = 108_000,
    sticky_actions: float = 0.0,
) -> OnePlayerEnv:
    """The game `name` of JAXtari, such as "pong".

    With `pixels` the observation is a picture, which needs sprites; `sprites` is for games that compute with them.
    `sticky_actions` is the probability that a frame repeats the action of the frame before.

    Raises:
      ImportError: jaxtari is not installed.
      ValueError: it has no such game, needed sprites are missing, a number is below 1, or `sticky_actions` is no
        probability.
    """
    try:
        from jaxtari.core import GAME_MODULES
    except ImportError as error:
        raise ImportError(f"JAXtari games need jaxtari ({error}): pip install jaxtari") from error
    if name not in GAME_MODULES:
        raise ValueError(unknown_name("game of JAXtari", name, list(GAME_MODULES)))
    for option, value in (("frame_skip", frame_skip), ("stack", stack), ("max_frames", max_frames)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"game of JAXtari {name!r}: {option} is {value!r}; expected an int of at least 1"
            )
    check_sticky_actions(sticky_actions)
    inner = _game(name, GAME_MODULES[name], pixels or sprites)

    def reset(key: jax.Array) -> JaxtariGame:
        _, first = inner.reset(key)
        states = jax.tree.map(lambda x: jnp.broadcast_to(x, (stack, *jnp.shape(x))), first)
        return JaxtariGame(states, jnp.int32(0), jnp.int32(0))

    def advance(game: JaxtariGame, action: jax.Array, key: jax.Array) -> Outcome:
        # The game's own chance is drawn from `key` itself, which is in its state.
        repeats = jax.random.bernoulli(jax.random.fold_in(key, 1), sticky_actions, (frame_skip,))

        def frame(now: tuple[Any, ...], repeat: jax.Array) -> tuple[tuple[Any, ...], jax.Array]:
            state, done, last_action = now
            taken = jnp.where(repeat, last_action, action).astype(jnp.int32)
            _, after, reward, over, _ = inner.step(state, taken)
            reward = jnp.where(done, 0.0, reward).astype(jnp.float32)
            return (where_rows(done, state, after), done | jnp.asarray(over, bool), taken), reward

        newest = jax.tree.map(lambda x: x[-1], game.states)
        begin = (newest, jnp.bool_(False), game.last_action)
        (newest, done, last_action), rewards = jax.lax.scan(frame, begin, repeats)
        states = jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), game.states, newest)
        frames = game.frames + frame_skip
        return Outcome(JaxtariGame(states, frames, last_action), rewards.sum(), done, frames >= max_frames)

    ranges = [(space.low, space.high) for space in jax.tree.leaves(inner.observation_space())]

    def objects(game: JaxtariGame) -> jax.Array:
        def row(state: Any) -> jax.Array:
            numbers = jax.tree.leaves(inner._get_observation(state))
            scaled = [in_unit_range(x, *bounds) for x, bounds in zip(numbers, ranges, strict=True)]
            return jnp.concatenate([x.astype(jnp.float32).reshape(-1) for x in scaled])

        return jax.vmap(row)(game.states)

    def picture(game: JaxtariGame) -> jax.Array:
        frames = jnp.moveaxis(jax.vmap(inner.render)(game.states), 0, 2)
        return frames.reshape(*frames.shape[:2], -1)

    look: Callable[[JaxtariGame], jax.Array] = picture if pixels else objects
    names = _action_names(inner)
    return OnePlayerEnv(f"jaxtari:{name}", len(names), reset, advance, look, name not in SHOWN, names)


def _action_names(inner: Any) -> tuple[str, ...]:
    """The joystick's positions that the game uses, in words, by the numbers of its actions."""
    from jaxtari.environment import JAXAtariAction

    words = {value: name.lower() for name, value in vars(JAXAtariAction).items() if name.isupper()}
    used = getattr(inner, "ACTION_SET", ())
    count = int(inner.action_space().n)
    return tuple(words[int(used[a])] if a < len(used) else str(a) for a in range(count))


def _game(name: str, module_name: str, sprites: bool) -> Any:
    """The environment of JAXtari, with or without its renderer.

    Raises:
      ValueError: it needs sprites that are missing.
    """
    from jaxtari.environment import JaxEnvironment

    # Not `jaxtari.make`, which does not start without sprites and may prompt for input.
    try:
        module = importlib.import_module(module_name)
        kind = _classes(module, JaxEnvironment)[0]
        with contextlib.nullcontext() if sprites else _without_renderer(module):
            return kind()
    except (OSError, AttributeError) as error:
        raise ValueError(
            f"game of JAXtari {name!r} needs its sprites ({error}): {_SPRITES}"
            + ("" if sprites else f", then jaxtari:{name}?sprites=True")
        ) from error


def _classes(module: Any, base: type) -> list[type]:
    """The subclasses of `base` in a module, by name; JAXtari too takes the first one."""
    found = (value for _, value in inspect.getmembers(module, inspect.isclass))
    return [kind for kind in found if issubclass(kind, base) and kind is not base]


@contextlib.contextmanager
def _without_renderer(module: Any) -> Iterator[None]:
    """Inside this context, games of the module are built with a renderer that loads nothing."""
    from jaxtari.renderers import JAXGameRenderer

    with contextlib.ExitStack() as patches:
        for kind in _classes(module, JAXGameRenderer):
            patches.enter_context(mock.patch.object(module, kind.__name__, _NoRenderer))
        yield


class _NoRenderer:
    """A renderer that draws nothing."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Loads no sprites."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the renderer's {name} comes from sprites: {_SPRITES}, then ?sprites=True")
