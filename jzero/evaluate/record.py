"""Records of games an agent plays against itself, for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import init_batch, is_finished, step_batch

if TYPE_CHECKING:
    from jzero.agent import Agent


def record_games(
    agent: Agent, *, num_games: int, key: jax.Array, opening_plies: int = 2, max_plies: int = 500
) -> dict[str, Any]:
    """Games of the agent against itself, each opened by `opening_plies` of its policy at temperature 1.

    Returns:
      `{"env": name, "games": [{"title", "actions", "values", "outcome"}]}`; `values` are the network's, for
      the player to move at each ply, `outcome` the sum of each player's rewards.
    """
    env = agent.env
    key, init_key = jax.random.split(key)
    states = init_batch(env, init_key, num_games)
    step = jax.jit(lambda states, actions, key: step_batch(env, states, actions, key))
    games: list[dict[str, Any]] = [
        {"title": f"Game {index + 1}", "actions": [], "values": []} for index in range(num_games)
    ]
    outcome = np.zeros((num_games, env.num_players))
    for ply in range(max_plies):
        running = ~np.asarray(is_finished(states))
        if not running.any():
            break
        key, act_key, step_key = jax.random.split(key, 3)
        temperature = 1.0 if ply < opening_plies else 0.0
        actions = agent.act(states, act_key, temperature=temperature)
        values = np.asarray(agent.evaluate(states)[1])
        for index in np.flatnonzero(running):
            games[index]["actions"].append(int(actions[index]))
            games[index]["values"].append(round(float(values[index]), 4))
        states = step(states, jnp.asarray(actions), step_key)
        outcome += np.asarray(states.rewards)
    for game, total in zip(games, outcome, strict=True):
        game["outcome"] = total.tolist()
    return {"env": agent.config.env, "games": games}
