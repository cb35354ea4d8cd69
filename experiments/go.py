r"""Trains Go on a small board and plays it against GNU Go.

    python experiments/go.py                               5 x 5, komi 24: 60 minutes
    python experiments/go.py --env "go?size=7&komi=8.5" --network.kind resnet --network.width 32 \
        --network.blocks 2 --network.policy-head cells --games 256 --batch-size 512 --replay-plies 384 \
        --cooldown 0.2 --search.rescale-values --search.value-scale 0.2 --search.min-value-range 0.2

Needs GNU Go (apt-get install gnugo). With komi 24 black wins on 5 x 5 by taking all points, as perfect play does.
At the end the agent, with 64 simulations, plays 100 games, or as many as half the time of training allows, in both
seats: at level 10 on 5 x 5, else at level 1. The last line is the share of wins as black on 5 x 5, else the score.
"""

from functools import partial

from measures.go import against_gnu_go

from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="go?size=5&komi=24",
        search=SearchSettings(num_simulations=32, rescale_values=False, value_scale=0.2, cache=2**16),
        network=NetworkSettings(kind="mlp", width=384, blocks=3),
        auxiliary=AuxiliarySettings(outcome=0.5),
        games=512,
        plies=8,
        opening_plies=4,
        random_move_fraction=0.05,
        td_lambda=0.9,
        td_lookahead=24,
        replay_plies=256,
        updates=16,
        ema_decay=0.999,
    ),
)


if __name__ == "__main__":
    main("go", PRESET, measure=partial(against_gnu_go, pairs=10), final=partial(against_gnu_go, pairs=50))
