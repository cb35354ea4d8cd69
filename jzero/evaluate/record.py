"""Records of games an agent plays against itself, for the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import is_finished, seeded_key
from jzero.evaluate.turns import Limit

if TYPE_CHECKING:
    from jzero.agent import Agent


def record_games(
    agent: Agent,
    *,
    num_games: int,
    key: jax.Array,
    opening_plies: int = 2,
    max_plies: int = 500,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Games of the agent against itself, each opened by `opening_plies` of its policy at temperature 1.

    They end after `max_plies`, or `seconds` after the first ply.

    Returns:
      `{"env": name, "games": [{"title", "seed", "actions", "values", "outcome"}]}`; `values` are the network's,
      for the player to move at each ply, `outcome` the sum of each player's rewards. The seed tells all chance of
      the game, see `jzero.env.seeded_key`.
    """
    env = agent.env
    key, seed_key = jax.random.split(key)
    seeds = jax.random.randint(seed_key, (num_games,), 0, 2**31 - 1)
    states = jax.vmap(lambda seed: env.init(seeded_key(seed, 0)))(seeds)
    step = jax.jit(
        jax.vmap(
            lambda state, action, seed, ply: env.step(state, action, seeded_key(seed, ply)), (0, 0, 0, None)
        )
    )
    games: list[dict[str, Any]] = [
        {"title": f"Game {index + 1}", "seed": int(seed), "actions": [], "values": []}
        for index, seed in enumerate(seeds)
    ]
    outcome = np.zeros((num_games, env.num_players))
    limit = Limit(seconds)
    for ply in range(max_plies):
        running = ~np.asarray(is_finished(states))
        if not running.any():
            break
        key, act_key = jax.random.split(key)
        temperature = 1.0 if ply < opening_plies else 0.0
        actions = agent.act(states, act_key, temperature=temperature)
        values = np.asarray(agent.evaluate(states)[1])
        if values.ndim > 1:
            values = values[np.arange(num_games), np.asarray(states.current_player)]
        for index in np.flatnonzero(running):
            games[index]["actions"].append(int(actions[index]))
            games[index]["values"].append(round(float(values[index]), 4))
        states = step(states, jnp.asarray(actions), seeds, ply + 1)
        outcome += np.asarray(states.rewards)
        if limit.is_over():
            break
    for game, total in zip(games, outcome, strict=True):
        game["outcome"] = total.tolist()
    return {"env": agent.name, "games": games}
