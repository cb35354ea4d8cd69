"""Records of an agent's games against itself, for the report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import is_finished, seeded_key
from jzero.evaluate.turns import Limit
from jzero.pytrees import Json
from jzero.show.rules import Rules
from jzero.show.thoughts import thought_of

if TYPE_CHECKING:
    from jzero.agent import Agent
    from jzero.analysis import Analysis

BARS = 8
"""Actions recorded per search."""
LINE = 6
"""Moves of a search's expected line."""


def record_games(
    agent: Agent,
    *,
    num_games: int,
    key: jax.Array,
    opening_plies: int = 2,
    max_plies: int = 500,
    seconds: float = math.inf,
    analysed: int = 0,
) -> Json:
    """Games of the agent against itself, each opened by `opening_plies` moves of its policy at temperature 1.

    They end after `max_plies`, or `seconds` after the first ply. With continuous actions there are no openings.

    Returns:
      `{"env": name, "games": [{"title", "seed", "actions", "values", "outcome", "thoughts"}]}`; `actions` are
      numbers, or lists of numbers if they are continuous; `values` are the network's, for the player to move at
      each ply, `outcome` the sum of each player's rewards, or None if the game did not end. The seed decides all
      chance of the game, see `jzero.env.seeded_key`. `thoughts` describe the searches that chose the actions
      (`jzero.show.thoughts`, with the move names of the expected line in `line`), in the first `analysed` games.
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
    games: list[Json] = [
        {"title": f"Game {index + 1}", "seed": int(seed), "actions": [], "values": []}
        for index, seed in enumerate(seeds)
    ]
    outcome = np.zeros((num_games, env.num_players))
    limit, rules, analysed = Limit(seconds), Rules(env, agent.name), min(analysed, num_games)
    for ply in range(max_plies):
        running = ~np.asarray(is_finished(states))
        if not running.any():
            break
        key, act_key = jax.random.split(key)
        found = agent.analyse(states, act_key)
        actions = found.action
        if ply < opening_plies and not rules.spec.action_size:
            actions = jax.random.categorical(act_key, jnp.log(found.policy)).astype(jnp.int32)
        values = np.asarray(agent.evaluate(states)[1])
        if values.ndim > 1:
            values = values[np.arange(num_games), np.asarray(states.current_player)]
        for index in np.flatnonzero(running):
            games[index]["actions"].append(_plain(np.asarray(actions[index])))
            games[index]["values"].append(round(float(values[index]), 4))
        if running[:analysed].any():
            host = jax.device_get(dataclasses.replace(found, tree=()))
            continuous = bool(rules.spec.action_size)
            lines = [[]] * analysed if continuous else _lines(rules, step, host, seeds, ply, analysed)
            for index in np.flatnonzero(running[:analysed]):
                thought = _thought(rules, host, int(index)) | {"line": lines[index]}
                games[index].setdefault("thoughts", []).append(thought)
        states = step(states, jnp.asarray(actions), seeds, ply + 1)
        outcome += np.asarray(states.rewards)
        if limit.is_over():
            break
    over = np.asarray(is_finished(states))
    for game, total, whole in zip(games, outcome, over, strict=True):
        game["outcome"] = total.tolist() if whole else None
    return {"env": agent.name, "games": games}


def _plain(action: np.ndarray) -> int | list[float]:
    """The action for JSON; a continuous one by the shortest decimals that give the same float32."""
    return [float(str(x)) for x in action.astype(np.float32)] if action.ndim else int(action)


def _thought(rules: Rules, found: Analysis, row: int) -> Json:
    """The part of an analysis row that a report shows; numbers to four digits."""
    state = jax.tree.map(lambda x: x[row], found.states)
    thought = thought_of(rules, state, found, row, BARS)
    bars = [
        bar | {name: bar[name] and round(bar[name], 4) for name in ("prior", "visits", "q")}
        for bar in thought["actions"]
    ]
    value = [round(x, 4) for x in thought["value"]]
    return {name: thought[name] for name in ("simulations", "action")} | {"value": value, "actions": bars}


def _lines(
    rules: Rules, step: Callable, found: Analysis, seeds: jax.Array, ply: int, rows: int
) -> list[list[str]]:
    """Move names of the expected lines of the first rows, up to an illegal move."""
    names: list[list[str]] = [[] for _ in range(rows)]
    states = found.states
    for later, actions in enumerate(found.principal_variation[:, :LINE].T, 1):
        for row, line in enumerate(names):
            state = jax.tree.map(lambda x, row=row: x[row], states)
            if len(line) == later - 1 and actions[row] in rules.legal(state):
                line.append(rules.name_of(state, int(actions[row])))
        if rules.spec.external or later > max(map(len, names)):  # an emulator does not go back
            break
        states = jax.device_get(step(states, np.maximum(actions, 0), seeds, ply + later))
    return names
