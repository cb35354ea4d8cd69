"""Learns to swing up Pendulum-v1 by continuous torques and measures the mean return of 100 episodes.

    python experiments/pendulum.py                              Gumbel MuZero over 16 sampled actions per node
    python experiments/pendulum.py --algorithm efficientzero    value prefix, consistency, reanalyse, priorities
    python experiments/pendulum.py --algorithm efficientzero_v2 the same with V2's mixed value target

Needs pip install "jzero[envs]". The environment is gymnax's port of Gymnasium's Pendulum-v1: 200 steps of -16.3 to
0 each. Untrained it earns about -1,200; above -200 it swings up from anywhere and stays up. A run ends as soon as
100 episodes have a mean of at least -170; the last line measures 100 others.
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
    env="gymnax:Pendulum-v1",
    algorithm="gumbel_muzero",
    search=SearchSettings(policy="gumbel", num_simulations=16, max_considered=16, sampled_actions=16),
    network=NetworkSettings(kind="mlp", width=128, blocks=1, head_width=64),
    muzero=MuZeroSettings(
        unroll_steps=5,
        td_steps=5,
        bootstrap="network",
        value_limit=600,
        reward_limit=20,
        atoms=51,
        entropy_weight=0.005,
    ),
    games=16,
    plies=16,
    replay_plies=2048,
    warmup_iterations=8,
    batch_size=128,
    updates=16,
    discount=0.97,
    learning_rate=2e-3,
    value_weight=0.5,
    ema_decay=0.99,
)
EFFICIENTZERO = replace(
    TRAIN,
    algorithm="efficientzero",
    muzero=replace(
        TRAIN.muzero,
        value_prefix=True,
        reward_limit=100,
        consistency_weight=2.0,
        reanalyse=0.1,
        priority_exponent=0.6,
        priority_correction=0.4,
    ),
)
EFFICIENTZERO_V2 = replace(
    EFFICIENTZERO,
    algorithm="efficientzero_v2",
    muzero=replace(EFFICIENTZERO.muzero, search_value_age=8000),
)
PRESETS = {
    train.algorithm: RunConfig(minutes=12, evaluate_every=30, target=-170, train=train)
    for train in (TRAIN, EFFICIENTZERO, EFFICIENTZERO_V2)
}


MEASURE = partial(mean_return, episodes=100)
FINAL = partial(mean_return, episodes=100, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("pendulum", PRESETS, measure=MEASURE, final=FINAL, accelerated=PRESETS)
