"""Learns to balance MuJoCo's inverted pendulum and measures the mean return of 100 episodes.

    python experiments/inverted_pendulum.py
    python experiments/inverted_pendulum.py --minutes 30 --seed 1
    python experiments/inverted_pendulum.py --algorithm gumbel_muzero    a learned model and continuous forces

Needs pip install "jzero[envs]" brax. The environment is brax's `inverted_pendulum`, MuJoCo's model of a pole on a
cart, simulated by brax's spring backend: a reward of 1 per step while the pole is less than 0.2 rad from upright,
for 1,000 steps at most. Random play earns about 23. AlphaZero plans with the simulator itself and chooses one of
21 forces. A force lasts two steps: learned models that chose one for every step earned about 500
(docs/lab/continuous.md). A run ends as soon as 20 episodes have a mean of at least 950; the last line measures 100
others.
"""

from functools import partial

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import mean_return
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

ALPHAZERO = TrainConfig(
    env="brax:inverted_pendulum?backend='spring'&bins=21&action_repeat=2",
    # Few candidates, so that each is followed for several steps: the effect of one force on the value is small.
    search=SearchSettings(
        policy="gumbel",
        num_simulations=24,
        max_considered=8,
        rescale_values=True,
        value_scale=0.1,
        min_value_range=2.0,
    ),
    network=NetworkSettings(kind="mlp", width=256, blocks=3, value_limit=400),
    games=256,
    plies=8,
    replay_plies=256,
    batch_size=1024,
    updates=8,
    # Whether a force was good shows after many steps; with 0.99 an agent that falls after 700 no longer improves.
    discount=0.995,
    td_lambda=0.97,
    td_lookahead=64,
    value_weight=10.0,
    ema_decay=0.999,
)
GUMBEL_MUZERO = TrainConfig(
    env="brax:inverted_pendulum?backend='spring'&action_repeat=2",
    algorithm="gumbel_muzero",
    search=SearchSettings(
        policy="gumbel",
        num_simulations=16,
        max_considered=16,
        sampled_actions=16,
        rescale_values=False,
        value_scale=0.2,
    ),
    network=NetworkSettings(kind="mlp", width=128, blocks=1, head_width=64),
    muzero=MuZeroSettings(
        unroll_steps=5, td_steps=30, value_limit=300, reward_limit=5, atoms=51, entropy_weight=0.005
    ),
    games=16,
    plies=16,
    replay_plies=1024,
    warmup_iterations=8,
    batch_size=128,
    updates=16,
    discount=0.99,
    learning_rate=2e-3,
    value_weight=0.25,
    ema_decay=0.99,
)
PRESETS = {
    train.algorithm: RunConfig(minutes=30, evaluate_every=every, target=950, train=train)
    for train, every in ((ALPHAZERO, 120), (GUMBEL_MUZERO, 60))
}


MEASURE = partial(mean_return, episodes=20)
FINAL = partial(mean_return, episodes=100, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("inverted_pendulum", PRESETS, measure=MEASURE, final=FINAL, accelerated=PRESETS)
