"""Trains Gomoku on 9 x 9 and measures it against tree search with random games and a player that sees threats.

    python experiments/gomoku.py                    30 minutes
    python experiments/gomoku.py --env "gomoku?size=15&lines=True"

At the end the agent, with 64 simulations, plays 200 games against each, in both seats, from openings of 0 to 4
random plies, or as many as half the time of the training allows. The last line is the score against the player that
sees threats, with the other beside it.
"""

from measures.gomoku import score, scores

from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=30,
    evaluate_every=180,
    train=TrainConfig(
        env="gomoku?size=9&lines=True",
        search=SearchSettings(
            num_simulations=32, rescale_values=False, value_scale=0.2, solve=True, cache=2**16
        ),
        network=NetworkSettings(kind="mlp", width=384, blocks=3, head_width=32, policy_head="cells"),
        games=512,
        plies=8,
        opening_plies=6,
        random_move_fraction=0.05,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
        cooldown=0.2,
    ),
)


if __name__ == "__main__":
    main("gomoku", PRESET, measure=score, final=scores)
