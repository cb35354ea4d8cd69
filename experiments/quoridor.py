"""Trains Quoridor from scratch and measures it against players that know the game.

    python experiments/quoridor.py                                     5 x 5, 3 walls each: 60 minutes
    python experiments/quoridor.py --env "quoridor?size=9&walls=10"    the original game

Needs `pip install -e ".[test]"`. While it trains, strength is the score against a minimax of 2 plies. At the end
the agent, with 64 simulations, plays 200 games, or as many as half the time of the training allows, against each of
three opponents, in both seats, from openings of 0 to 4 random plies: a minimax of 4 plies (2 on larger boards), one
that walks along the shortest path, OpenSpiel's MCTS with 1,000 simulations. The last line is the score against the
minimax. `experiments/players/quoridor.py` shows how to play a run against these afterwards.
"""

from measures.quoridor import score, scores

from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="quoridor?size=5&walls=3",
        search=SearchSettings(num_simulations=32, rescale_values=False, value_scale=0.2, solve=True),
        network=NetworkSettings(kind="mlp", width=384, blocks=3),
        games=512,
        plies=8,
        opening_plies=8,
        random_move_fraction=0.1,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
        cooldown=0.2,
    ),
)


if __name__ == "__main__":
    main("quoridor", PRESET, measure=score, final=scores)
