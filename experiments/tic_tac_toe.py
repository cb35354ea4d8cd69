"""Trains tic-tac-toe from scratch and proves, against every reply in both seats, whether the agent can lose.

    python experiments/tic_tac_toe.py                  2 minutes
    python experiments/tic_tac_toe.py --seed 3 --minutes 1

The last line is the share of all games, over every possible opponent, that the trained agent does not lose.
"""

from __future__ import annotations

from typing import Any

import jax

from jzero.agent import Agent
from jzero.config import NetworkConfig, SearchConfig, TrainConfig
from jzero.env import Env
from jzero.evaluate.exact import prove_never_loses
from jzero.run import Measure, RunConfig, Strength, main

SIMULATIONS = 32

PRESET = RunConfig(
    minutes=2,
    evaluate_every=15,
    train=TrainConfig(
        env="tic_tac_toe",
        search=SearchConfig(policy="gumbel", num_simulations=SIMULATIONS),
        network=NetworkConfig(kind="mlp", width=128, blocks=2),
        games=256,
        plies=9,
        replay_plies=288,
        batch_size=512,
        updates=16,
        opening_plies=4,
    ),
)


def share_not_lost(env: Env) -> Measure:
    """Makes the exhaustive measurement; 1 means that no opponent can win."""

    def measure(agent: Agent) -> Strength:
        def act(states: Any) -> jax.Array:
            return agent.act(states, jax.random.key(0), num_simulations=SIMULATIONS)

        proof = prove_never_loses(env, act)
        games = proof.wins + proof.draws + proof.losses
        share = 1 - proof.losses / games
        name = (
            f"games not lost against every reply in both seats, {SIMULATIONS} simulations "
            f"({proof.losses} of {games} lost)"
        )
        return Strength(name, share, share, share)

    return measure


if __name__ == "__main__":
    main("tic_tac_toe", PRESET, measure=share_not_lost)
