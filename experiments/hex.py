"""Trains Hex on 5 x 5 and proves from how many of the winning first moves it never loses.

    python experiments/hex.py                       20 minutes
    python experiments/hex.py --env "hex?size=4"

An exact solver finds the first moves that win. After each of them the agent, with 64 simulations and proofs,
goes on as the first player against every possible reply: the last line is the share of these first moves from which
no opponent wins. All are proved together, since games that begin differently meet in the same positions; only after
a loss is each proved alone. The proof takes longer than the training: about an hour on one core. While it trains,
strength is the score against the solver's perfect play, in both seats, from openings of 0 to 3 random plies.
"""

from measures.hex import against_perfect_play, share_never_lost

from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=20,
    evaluate_every=120,
    train=TrainConfig(
        env="hex?size=5",
        search=SearchSettings(num_simulations=32, rescale_values=False, value_scale=0.2, cache=2**16),
        network=NetworkSettings(kind="mlp", width=256, blocks=3),
        games=512,
        plies=8,
        opening_plies=3,
        random_move_fraction=0.1,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
    ),
)


if __name__ == "__main__":
    main("hex", PRESET, measure=against_perfect_play, final=share_never_lost)
