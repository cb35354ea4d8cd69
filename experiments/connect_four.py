"""Trains Connect Four from scratch and measures it against an exact solver.

    python experiments/connect_four.py                 10 minutes
    python experiments/connect_four.py --minutes 25 --seed 1
    python experiments/connect_four.py --help          every option

The last line is the share of solved positions on which the trained agent, with 64 simulations, plays a move that
keeps the game's value. In each of these 1,000 positions some move loses it; a random player keeps it in 40 %.
The line also gives the share on 1,000 positions from games whose non-random moves have the best exact score: these
have more forced sequences.
"""

from dataclasses import replace
from pathlib import Path

from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.evaluate.measures import keeps_value
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

POSITIONS = Path(__file__).parent / "data" / "connect_four_positions.json"
BEST = POSITIONS.with_name("connect_four_best_positions.json")
MEASURE = keeps_value(POSITIONS, num_simulations=64)
FINAL = keeps_value(POSITIONS, BEST, num_simulations=64)

PRESET = RunConfig(
    minutes=10,
    train=TrainConfig(
        env="connect_four",
        search=SearchSettings(num_simulations=32, rescale_values=False, value_scale=0.2, cache=2**16),
        network=NetworkSettings(kind="mlp", width=384, blocks=3),
        auxiliary=AuxiliarySettings(outcome=0.5),
        games=1024,
        plies=8,
        opening_plies=8,
        random_move_fraction=0.1,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=32,
        ema_decay=0.999,
    ),
)

# With a GPU or TPU: a residual tower, which computes there about as fast as an MLP does on a CPU; no cache, whose
# batches have a size that only the host knows.
ACCELERATED = replace(
    PRESET,
    train=replace(
        PRESET.train,
        search=replace(PRESET.train.search, cache=0),
        network=NetworkSettings(kind="resnet", width=64, blocks=6, norm="none"),
        games=4 * 1024,
        batch_size=4 * 1024,
    ),
)


if __name__ == "__main__":
    main("connect_four", PRESET, measure=MEASURE, final=FINAL, accelerated=ACCELERATED)
