"""Trains Blob (Oh Hell) from scratch and measures it at a table of rule-based players.

    python experiments/blob.py                                       4 players, 5 cards: 60 minutes
    python experiments/blob.py --env "blob?players=3&cards=7"        another round
    python experiments/blob.py --network.kind transformer --network.width 64 --network.blocks 2
    python experiments/blob.py --help                                every option

A move searches several worlds: deals that agree with what its player has seen. While the agent trains, and at the
end in 2,000 rounds, it sits at a table of rule-based players: every deal is played once from each seat. The last
line is how many points a round it scores above the mean of the others at its tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
from blob_players import rule_based
from match import agent_player

from envs.blob import Blob
from jzero.agent import Agent
from jzero.config import NetworkConfig, SearchConfig, TrainConfig
from jzero.env import Env
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.table import TableResult, play_tables
from jzero.evaluate.turns import as_player
from jzero.run import RunConfig, main

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="blob?players=4&cards=5",
        search=SearchConfig(
            policy="gumbel", num_simulations=10, worlds=4, rescale_values=False, value_scale=0.5
        ),
        network=NetworkConfig(kind="mlp", width=256, blocks=2),
        games=256,
        plies=24,
        opening_plies=4,
        random_move_fraction=0.02,
        temperature_plies=1000,
        td_lambda=0.9,
        replay_plies=24 * 20,
        batch_size=1024,
        updates=24,
        learning_rate=1e-3,
        ema_decay=0.995,
        augment=False,
    ),
)

# With a GPU or TPU: as many passes over the data with 8 times the games, in batches 4 times larger.
ACCELERATED = replace(PRESET, train=replace(PRESET.train, games=8 * 256, batch_size=4 * 1024, updates=2 * 24))


def points_above_rules(num_deals: int, seed: int) -> Callable[[Env], Measure]:
    """Makes the measurement with `num_deals` deals, each played from every seat."""

    def make(env: Env) -> Measure:
        assert isinstance(env, Blob)
        rules = as_player(rule_based(env))

        def measure(agent: Agent) -> Strength:
            result = play_tables(
                env,
                agent_player(agent, agent.config.search.num_simulations),
                rules,
                num_deals=num_deals,
                key=jax.random.key(seed),
            )
            return describe(env, result, agent)

        return measure

    return make


def describe(env: Blob, result: TableResult, agent: Agent) -> Strength:
    """Points a round above the others; prints how often the bids were hit."""
    scale = 10 + env.max_cards  # of the rewards
    own, others = scale * result.own.mean(), scale * result.others.mean()
    hits = TableResult(result.returns > 0)
    search = agent.config.search
    name = (
        f"points a round above rule-based players at the same table ({result.own.size} rounds, {search.worlds} x "
        f"{search.num_simulations} simulations; {own:.2f} against {others:.2f}, bids hit {hits.own.mean():.1%} "
        f"against {hits.others.mean():.1%})"
    )
    mean, low, high = result.compare()
    return Strength(name, scale * mean, scale * low, scale * high)


if __name__ == "__main__":
    main(
        "blob",
        PRESET,
        measure=points_above_rules(64, seed=0),
        final=points_above_rules(500, seed=1),
        accelerated=ACCELERATED,
    )
