"""Learns CartPole-v1 with a learned model and measures the mean return of 100 episodes (500 is the most there is).

    python experiments/cartpole.py                              Gumbel MuZero with 16 simulations, until 490
    python experiments/cartpole.py --algorithm muzero           PUCT with 50 simulations
    python experiments/cartpole.py --algorithm efficientzero    value prefix, consistency, reanalyse, priorities
    python experiments/cartpole.py --algorithm efficientzero_v2 the same with V2's mixed value target
    python experiments/cartpole.py --search.num-simulations 4

Needs pip install "jzero[envs]". The environment is gymnax's port of Gymnasium's CartPole-v1: 1 per step, at most
500. A run ends as soon as 100 episodes have a mean of at least 490; the last line measures 100 others.
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
    env="gymnax:CartPole-v1",
    algorithm="gumbel_muzero",
    search=SearchSettings(
        policy="gumbel", num_simulations=16, max_considered=2, rescale_values=False, value_scale=0.2
    ),
    network=NetworkSettings(kind="mlp", width=64, blocks=1, head_width=64),
    muzero=MuZeroSettings(unroll_steps=5, td_steps=30, value_limit=150, reward_limit=2, atoms=41),
    games=16,
    plies=16,
    replay_plies=1024,
    warmup_iterations=4,
    batch_size=128,
    updates=16,
    discount=0.99,
    learning_rate=2e-3,
    value_weight=0.25,
    ema_decay=0.995,
)
MUZERO = replace(
    TRAIN,
    algorithm="muzero",
    search=SearchSettings(policy="puct", num_simulations=50),
    temperature_plies=500,
)
EFFICIENTZERO = replace(
    TRAIN,
    algorithm="efficientzero",
    muzero=replace(
        TRAIN.muzero,
        value_prefix=True,
        reward_limit=10,
        consistency_weight=2.0,
        reanalyse=0.1,
        priority_exponent=0.6,
        priority_correction=0.4,
    ),
)
EFFICIENTZERO_V2 = replace(
    EFFICIENTZERO,
    algorithm="efficientzero_v2",
    muzero=replace(EFFICIENTZERO.muzero, search_value_age=4000),
)
PRESETS = {
    train.algorithm: RunConfig(minutes=10, evaluate_every=10, target=490, train=train)
    for train in (TRAIN, MUZERO, EFFICIENTZERO, EFFICIENTZERO_V2)
}


MEASURE = partial(mean_return, episodes=100)
FINAL = partial(mean_return, episodes=100, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("cartpole", PRESETS, measure=MEASURE, final=FINAL, accelerated=PRESETS)
