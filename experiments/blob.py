"""Trains Blob (Oh Hell) from scratch and measures it at a table of rule-based players.

    python experiments/blob.py                                       4 players, 5 cards: 60 minutes
    python experiments/blob.py --env "blob?players=3&cards=7"        another round
    python experiments/blob.py --network.kind transformer --network.width 64 --network.blocks 2

A move searches several worlds: deals that agree with what the player has seen. The last line is its points per
round above rule-based players, in 2,000 rounds, each deal once from each seat.
"""

from functools import partial

from measures.blob import points_above_rules

from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="blob?players=4&cards=5",
        search=SearchSettings(num_simulations=10, worlds=4, rescale_values=False, value_scale=0.5),
        network=NetworkSettings(kind="mlp", width=256, blocks=2),
        games=256,
        plies=24,
        # Random bids whose results count: else all soon bid 0, and no other bid's value is learned.
        opening_plies=4,
        cut_at_random_moves=False,
        temperature_plies=1000,
        replay_plies=24 * 20,
        batch_size=1024,
        updates=24,
        ema_decay=0.999,
        cooldown=0.4,  # the results of rounds are mostly luck
        augment=False,
    ),
)


if __name__ == "__main__":
    final = partial(points_above_rules, deals=500, seed=1)
    main("blob", PRESET, measure=partial(points_above_rules, deals=64), final=final)
