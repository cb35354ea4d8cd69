"""Trains tic-tac-toe from scratch and proves, against every reply in both seats, whether the agent can lose.

    python experiments/tic_tac_toe.py                  2 minutes
    python experiments/tic_tac_toe.py --seed 3 --minutes 1

The last line is the share of all games, over every possible opponent, that the trained agent does not lose.
"""

from jzero.evaluate.measures import share_not_lost
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=2,
    evaluate_every=15,
    train=TrainConfig(
        env="tic_tac_toe",
        search=SearchSettings(num_simulations=32),
        network=NetworkSettings(kind="mlp", width=128, blocks=2),
        games=256,
        plies=9,
        replay_plies=288,
        batch_size=512,
        updates=16,
        opening_plies=4,
    ),
)


if __name__ == "__main__":
    main("tic_tac_toe", PRESET, measure=share_not_lost)
