"""Grid worlds of XLand-MiniGrid: `jzero.make("xminigrid:MiniGrid-Empty-5x5")`.

Actions are its six: forward, turn right, turn left, pick up, put down, toggle. The reward is
1 - 0.9 steps / max_steps at the goal. Reaching the goal is `terminated`, the step limit `truncated`. The name can
set parameters: "xminigrid:MiniGrid-DoorKey-8x8?max_steps=100&view_size=5".

The observation is the agent's view ahead, uint8 [view_size, view_size, 2] (object and colour); the agent is in the
middle of the last row. It does not show what is behind the agent, its direction and what it carries, so AlphaZero
refuses: use a learned model.

An XLand environment needs a ruleset, which defines its goal, from one of the benchmarks that
`xminigrid.load_benchmark` downloads: jzero.make("xminigrid:XLand-MiniGrid-R1-9x9", ruleset=ruleset).
Source: https://github.com/dunnolab/xland-minigrid (Nikulin et al. 2023).
"""

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp

from jzero.registry import check_options, unknown_name
from jzero_envs.adapters.one_player import OnePlayerEnv, Outcome


def make(name: str, **options: Any) -> OnePlayerEnv:
    """The environment `name` of XLand-MiniGrid, such as "MiniGrid-Empty-5x5"; `options` are its parameters.

    Raises:
      ImportError: xminigrid is not installed.
      ValueError: it has no such environment, or no such parameter.
    """
    try:
        import xminigrid
        from xminigrid.core.observation import transparent_field_of_view
        from xminigrid.types import StepType, TimeStep
    except ImportError as error:
        raise ImportError(
            f"XLand-MiniGrid environments need xminigrid ({error}): pip install xminigrid"
        ) from error
    known = xminigrid.registered_environments()
    if name not in known:
        raise ValueError(unknown_name("environment of XLand-MiniGrid", name, list(known)))
    inner, params = xminigrid.make(name)
    check_options(
        f"parameter of XLand-MiniGrid's {name!r}", options, {field.name for field in fields(params)}
    )
    params = params.replace(**options)
    size = params.view_size

    def reset(key: jax.Array) -> Any:
        return inner.reset(params, key).state

    def advance(state: Any, action: jax.Array, key: jax.Array) -> Outcome:
        del key  # there is no chance after the first state
        now = TimeStep(state, StepType.MID, jnp.float32(0), jnp.float32(1), jnp.int32(0))
        after = inner.step(params, now, action)
        return Outcome(after.state, after.reward, after.last() & (after.discount == 0), after.last())

    def look(state: Any) -> jax.Array:
        return transparent_field_of_view(state.grid, state.agent, size, size)

    return OnePlayerEnv(f"xminigrid:{name}", inner.num_actions(params), reset, advance, look, True)
