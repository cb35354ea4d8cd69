"""Trains Blob (Oh Hell) from scratch and measures it at a table of rule-based players.

    python experiments/blob.py                                       4 players, 5 cards: 60 minutes
    python experiments/blob.py --env "blob?players=3&cards=7"        another round
    python experiments/blob.py --network.kind transformer --network.width 64 --network.blocks 2
    python experiments/blob.py --help                                every option

A move searches several worlds: deals that agree with what its player has seen. While the agent trains, and at the
end in 2,000 rounds, it sits at a table of rule-based players: every deal is played once from each seat. The last
line is its points per round minus the mean of the others at its tables. `experiments/players/blob.py` shows how to
play a run against others afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jzero_envs.blob import Blob
from players.blob import rule_based

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.players import agent_player
from jzero.evaluate.table import TableResult, play_tables
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="blob?players=4&cards=5",
        search=SearchSettings(
            policy="gumbel", num_simulations=10, worlds=4, rescale_values=False, value_scale=0.5
        ),
        network=NetworkSettings(kind="mlp", width=256, blocks=2),
        games=256,
        plies=24,
        # Random bids whose results count: else all soon bid 0, and no other bid's value is learned.
        opening_plies=4,
        cut_at_random_moves=False,
        temperature_plies=1000,
        td_lambda=1.0,
        replay_plies=24 * 20,
        batch_size=1024,
        updates=24,
        learning_rate=1e-3,
        ema_decay=0.999,
        cooldown=0.4,  # the results of rounds are mostly luck
        augment=False,
    ),
)


def points_above_rules(num_deals: int, seed: int) -> Callable[[Env], Measure]:
    """Makes the measurement with `num_deals` deals, each played from every seat."""

    def make(env: Env) -> Measure:
        if not isinstance(env, Blob) or env.rounds is not None:
            raise ValueError(
                f"env is {env}; this experiment measures single rounds: use blob?players=4&cards=5"
            )
        rules = rule_based(env)

        def measure(agent: Agent) -> Strength:
            result = play_tables(
                env,
                agent_player(agent, agent.search.num_simulations),
                rules,
                num_deals=num_deals,
                key=jax.random.key(seed),
            )
            simulations = agent.search.num_simulations
            return describe(env, result, agent, "rule-based players", simulations)

        return measure

    return make


def describe(env: Blob, result: TableResult, agent: Agent, others: str, simulations: int) -> Strength:
    """Points per round above the `others`; the name gives the points and the shares of bids that were hit."""
    own, their = env.points * result.own.mean(), env.points * result.others.mean()
    hits = TableResult((result.returns > 0).astype(float))
    name = (
        f"points per round above {others} at the same table ({result.own.size} rounds, {agent.search.worlds} "
        f"x {simulations} simulations; {own:.2f} against {their:.2f}, bids hit {hits.own.mean():.1%} against "
        f"{hits.others.mean():.1%})"
    )
    return Strength(name, *(env.points * np.array(result.compare())).tolist())


if __name__ == "__main__":
    main(
        "blob",
        PRESET,
        measure=points_above_rules(64, seed=0),
        final=points_above_rules(500, seed=1),
    )
