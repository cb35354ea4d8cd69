"""Grid worlds of navix, MiniGrid's in JAX: `jzero.make("navix:Navix-Empty-5x5-v0")`.

Actions are navix's seven: turn left, turn right, forward, pick up, drop, toggle, done. Rewards are the
environment's, usually 1 at the goal. An end by the rules (the goal, lava, a ball) is `terminated`, the limit
`max_steps` (navix's default is 100) `truncated`. Further options go to navix's constructor.

Observations are navix's, by the name of the function: "symbolic", the whole grid as uint8 [H, W, 3] (object,
colour, state or direction), "rgb", a picture uint8 [32 H, 32 W, 3], and the others in `navix.observations`:
"navix:Navix-DoorKey-8x8-v0?observation='symbolic_first_person'". With partial views, and in GoToDoor, which does
not show which door is meant, AlphaZero refuses: use a learned model.

navix's step starts a new game after an end, and its states store picture tiles. This adapter does neither: a state
of Empty-5x5 takes 262 bytes instead of 5.3 kB.
Source: https://github.com/epignatelli/navix (Pignatelli et al. 2024).
"""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.registry import unknown_name
from jzero_envs.adapters.one_player import OnePlayerEnv, Outcome

SHOW_ALL = ("rgb", "symbolic")
"""Observations that show the whole grid and everything that an agent can distinguish."""
HIDDEN = ("GoToDoor",)
"""Games whose states hold what the player may not see in any observation: the door to go to."""


class NavixGame(NamedTuple):
    """The state of a game of navix."""

    state: Any  # navix's state, without the tiles of pictures
    steps: jax.Array  # i32[]: number taken


def make(name: str, *, max_steps: int = 100, observation: str = "symbolic", **options: Any) -> OnePlayerEnv:
    """The environment `name` of navix, such as "Navix-Empty-5x5-v0"; `options` go to its constructor.

    Raises:
      ImportError: navix is not installed.
      ValueError: navix has no such environment or observation, or it does not take the options.
    """
    try:
        import navix
        from navix.rendering.cache import RenderingCache
    except ImportError as error:
        raise ImportError(f"navix environments need navix ({error}): pip install navix") from error
    if name not in navix.registry():
        raise ValueError(unknown_name("navix environment", name, list(navix.registry())))
    views = _views(navix.observations)
    if observation not in views:
        raise ValueError(unknown_name("observation of navix", observation, sorted(views)))
    try:
        # The observation is computed only when it is needed.
        inner = navix.make(name, max_steps=max_steps, observation_fn=navix.observations.none, **options)
    except TypeError as error:
        known = ", ".join(field.name for field in fields(navix.make(name)))
        raise ValueError(
            f"navix environment {name!r} does not take the options {options}: {error}; it takes {known}"
        ) from error

    def reset(key: jax.Array) -> NavixGame:
        first = inner.reset(key)
        return NavixGame(first.state.replace(cache=()), first.t)

    def advance(game: NavixGame, action: jax.Array, key: jax.Array) -> Outcome:
        del key  # the state has it
        zero = jnp.int32(0)
        now = navix.Timestep(game.steps, zero, zero, jnp.float32(0), zero, game.state)
        after = inner._step(now, action)  # `step` would start a new game after the end
        return Outcome(
            NavixGame(after.state, after.t), after.reward, after.is_termination(), after.is_truncation()
        )

    def look(game: NavixGame) -> jax.Array:
        return views[observation](game.state.replace(cache=RenderingCache.init(game.state.grid)))

    hidden = observation not in SHOW_ALL or any(word in name for word in HIDDEN)
    return OnePlayerEnv(f"navix:{name}", int(inner.action_space.n), reset, advance, look, hidden)


def _views(module: Any) -> dict[str, Callable[[Any], jax.Array]]:
    """The functions of a module that take only a state and return an observation."""
    found = {}
    for name, function in inspect.getmembers(module, inspect.isfunction):
        own = function.__module__ == module.__name__
        if own and name != "none" and list(inspect.signature(function).parameters) == ["state"]:
            found[name] = function
    return found
