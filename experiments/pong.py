"""Learns Atari's Pong with a learned model, in JAX alone, and measures the mean return of 100 whole games.

    python experiments/pong.py                              Gumbel MuZero with 16 simulations
    python experiments/pong.py --algorithm efficientzero    value prefix, consistency, reanalyse, priorities

Needs pip install jaxtari. The game is JAXtari's (Delfosse et al.), the observation its objects in the last 4
steps of 4 frames; no emulator and no sprites. Each frame repeats the action before it with probability 0.25
(Machado et al. 2018), else the game has no chance and all games of an agent would be the same one. A game ends at
21 points; random play earns about -19.5. A run ends as soon as 20 games have a mean of at least 18; the last line
measures 100 others.
"""

from dataclasses import replace
from functools import partial

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import mean_return
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

TRAIN = TrainConfig(
    env="jaxtari:pong?sticky_actions=0.25",
    algorithm="gumbel_muzero",
    search=SearchSettings(policy="gumbel", num_simulations=16, rescale_values=False, value_scale=0.2),
    network=NetworkSettings(kind="mlp", width=128, blocks=1, head_width=64),
    muzero=MuZeroSettings(unroll_steps=5, td_steps=10, value_limit=25, reward_limit=1, atoms=51),
    games=64,
    plies=16,
    replay_plies=2048,
    warmup_iterations=4,
    batch_size=256,
    updates=16,
    discount=0.99,
    learning_rate=1e-3,
    value_weight=0.25,
    ema_decay=0.995,
)
EFFICIENTZERO = replace(
    TRAIN,
    algorithm="efficientzero",
    muzero=replace(
        TRAIN.muzero,
        value_prefix=True,
        reward_limit=5,
        consistency_weight=2.0,
        reanalyse=0.1,
        priority_exponent=0.6,
        priority_correction=0.4,
    ),
)
PRESETS = {
    train.algorithm: RunConfig(minutes=60, evaluate_every=300, target=18, train=train)
    for train in (TRAIN, EFFICIENTZERO)
}


MEASURE = partial(mean_return, episodes=20)
FINAL = partial(mean_return, episodes=100, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("pong", PRESETS, measure=MEASURE, final=FINAL, accelerated=PRESETS)
