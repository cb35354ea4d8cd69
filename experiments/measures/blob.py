"""The strength of an agent in Blob: its points at a table of rule-based players."""

from __future__ import annotations

import jax
import numpy as np
from jzero_envs.blob import Blob
from players.blob import rule_based

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.players import agent_player
from jzero.evaluate.table import TableResult, play_tables


def points_above_rules(env: Env, deals: int, seed: int = 0) -> Measure:
    """Makes the measurement with `deals` deals, each played from every seat: points per round above the others.

    The name gives the points of both and how often their bids were hit.
    """
    if not isinstance(env, Blob) or env.rounds is not None:
        raise ValueError(f"env is {env}; this experiment measures single rounds: use blob?players=4&cards=5")
    rules = rule_based(env)

    def measure(agent: Agent) -> Strength:
        simulations, worlds = agent.search.num_simulations, agent.search.worlds
        player, key = agent_player(agent, simulations), jax.random.key(seed)
        result = play_tables(env, player, rules, num_deals=deals, key=key)
        own, their = env.points * result.own.mean(), env.points * result.others.mean()
        hits = TableResult((result.returns > 0).astype(float))
        name = (
            f"points per round above rule-based players at the same table ({result.own.size} rounds, {worlds} x "
            f"{simulations} simulations; {own:.2f} against {their:.2f}, bids hit {hits.own.mean():.1%} against "
            f"{hits.others.mean():.1%})"
        )
        return Strength(name, *(env.points * np.array(result.compare())).tolist())

    return measure
