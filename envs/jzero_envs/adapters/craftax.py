"""Craftax and Craftax-Classic: `jzero.make("craftax:Craftax-Symbolic-v1")`, "craftax:Craftax-Classic-Symbolic-v1".

Craftax has 43 actions, Classic 17. Rewards are the game's: achievements and, in small amounts, health. Death and
victory are `terminated`, the step limit (`max_timesteps`: 100,000, in Classic 10,000) is `truncated`. The name can
set the game's parameters: "craftax:Craftax-Symbolic-v1?max_timesteps=1000".

The observation is Craftax's vector in two parts: `map`, uint8 [9, 11, 83] (Classic: [7, 9, 21]), zeros and ones for
the contents of each place in view, and `player`, f32[51] (Classic: [22]), the player's inventory and condition. It
takes 8.4 kB instead of 33. Most of the world is out of view, so AlphaZero refuses the game: use a learned model. A
state of Craftax takes 273 kB (Classic: 21); a replay keeps only the observation.
Source: https://github.com/MichaelTMatthews/Craftax (Matthews et al. 2024).
"""

import math
import sys
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp

from jzero.registry import check_options, unknown_name
from jzero_envs.adapters.one_player import OnePlayerEnv, Outcome

NAMES = ["Craftax-Classic-Symbolic-v1", "Craftax-Symbolic-v1"]
"""The games with symbolic observations."""


def make(name: str, **options: Any) -> OnePlayerEnv:
    """The game `name` of Craftax; `options` are its parameters.

    Raises:
      ImportError: craftax is not installed.
      ValueError: there is no such game, or no such parameter.
    """
    try:
        from craftax.craftax_env import make_craftax_env_from_name
    except ImportError as error:
        raise ImportError(f"Craftax needs craftax ({error}): pip install craftax") from error
    if name not in NAMES:
        raise ValueError(unknown_name("Craftax game", name, NAMES))
    inner = make_craftax_env_from_name(name, auto_reset=False)
    default = inner.default_params
    check_options(f"parameter of {name!r}", options, {field.name for field in fields(default)})
    params = default.replace(**options)
    endless = params.replace(max_timesteps=jnp.iinfo(jnp.int32).max)
    shape = sys.modules[type(inner).__module__].get_map_obs_shape()

    def reset(key: jax.Array) -> Any:
        return inner.reset_env(key, params)[1]

    def advance(state: Any, action: jax.Array, key: jax.Array) -> Outcome:
        _, after, reward, _, _ = inner.step_env(key, state, action, params)
        limit = after.timestep >= params.max_timesteps
        return Outcome(after, reward, inner.is_terminal(after, endless), limit)

    def look(state: Any) -> dict[str, jax.Array]:
        places, player = jnp.split(inner.get_obs(state), [math.prod(shape)])
        return {"map": places.reshape(shape).astype(jnp.uint8), "player": player}

    return OnePlayerEnv(f"craftax:{name}", inner.num_actions, reset, advance, look, True)
