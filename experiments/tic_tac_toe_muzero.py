"""Learns the rules of tic-tac-toe and how to play it, and proves whether the agent can lose.

    python experiments/tic_tac_toe_muzero.py                                Gumbel MuZero
    python experiments/tic_tac_toe_muzero.py --algorithm muzero             visit counts and PUCT
    python experiments/tic_tac_toe_muzero.py --algorithm efficientzero      value prefix and consistency too

The search plans with a learned model: it knows only the legal moves of the current position. A run ends as soon as
a proof finds that no opponent can win, or after 15 minutes; the last line is the share of all games, over every
possible opponent in both seats, that the agent does not lose.
"""

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import share_not_lost
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.presets import learned_presets

GUMBEL_MUZERO = RunConfig(
    minutes=15,
    evaluate_every=15,
    target=1.0,
    train=TrainConfig(
        env="tic_tac_toe",
        algorithm="gumbel_muzero",
        search=SearchSettings(policy="gumbel", num_simulations=32),
        network=NetworkSettings(kind="mlp", width=96, blocks=1, dynamics_blocks=1),
        muzero=MuZeroSettings(unroll_steps=5),
        games=256,
        plies=9,
        replay_plies=288,
        batch_size=512,
        updates=16,
        opening_plies=4,
    ),
)


if __name__ == "__main__":
    main("tic_tac_toe_muzero", learned_presets(GUMBEL_MUZERO), measure=share_not_lost)
