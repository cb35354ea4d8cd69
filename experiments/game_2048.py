"""Learns 2048 with AlphaZero whose search has chance nodes, and measures the mean score of 100 games.

    python experiments/game_2048.py
    python experiments/game_2048.py --env "2048?size=3"
    python experiments/game_2048.py --algorithm gumbel_muzero    learns the moves and the new tiles too
    python experiments/game_2048.py --algorithm muzero           Stochastic MuZero: PUCT, 50 simulations
    python -m jzero match DIR random "experiments.players.game_2048:expectimax?depth=2"

The values are scores, hence `network.value_limit`; they are discounted, so they cover roughly the next hundred
moves. The last line also gives the largest tiles.
"""

from dataclasses import replace
from functools import partial

from measures.game_2048 import mean_score

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

ALPHAZERO = RunConfig(
    minutes=30,
    evaluate_every=280,
    train=TrainConfig(
        env="2048",
        search=SearchSettings(policy="gumbel", num_simulations=16, max_considered=4, min_value_range=40.0),
        network=NetworkSettings(kind="mlp", width=256, blocks=2, value_limit=20_000),
        games=128,
        plies=32,
        discount=0.99,
        td_lambda=0.9,
        td_lookahead=32,
        replay_plies=2048,
        warmup_iterations=8,
        batch_size=512,
        updates=64,
        learning_rate=1e-3,
        value_weight=500.0,
        ema_decay=0.995,
    ),
)

GUMBEL_MUZERO = replace(
    ALPHAZERO,
    train=replace(
        ALPHAZERO.train,
        algorithm="gumbel_muzero",
        network=NetworkSettings(kind="mlp", width=256, blocks=2, dynamics_blocks=1, chance_codes=32),
        muzero=MuZeroSettings(
            unroll_steps=5,
            td_steps=10,
            value_limit=20_000.0,
            reward_limit=5_000.0,
            atoms=101,
            code_information_weight=1.0,
        ),
        td_lookahead=0,
        batch_size=256,
        updates=32,
        value_weight=0.25,
    ),
)
MUZERO = replace(
    GUMBEL_MUZERO,
    train=replace(
        GUMBEL_MUZERO.train,
        algorithm="muzero",
        search=SearchSettings(
            policy="puct", num_simulations=50, dirichlet_alpha=0.25, dirichlet_fraction=0.1
        ),
        temperature_plies=1_000_000,
    ),
)
PRESETS = {"alphazero": ALPHAZERO, "gumbel_muzero": GUMBEL_MUZERO, "muzero": MUZERO}


if __name__ == "__main__":
    main(
        "game_2048",
        PRESETS,
        measure=partial(mean_score, games=30),
        final=partial(mean_score, games=100, seed=1),
    )
