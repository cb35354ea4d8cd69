"""Learns a MinAtar game with a learned model and measures the mean return of 50 full episodes.

    python experiments/minatar.py                                      Breakout, MuZero, 100,000 frames
    python experiments/minatar.py --env "gymnax:Asterix-MinAtar?sticky_actions=0.1"
    python experiments/minatar.py --algorithm efficientzero
    python experiments/minatar.py --minutes 600 --iterations 12500     1,000,000 frames

MuZero's settings are those that did best of a dozen tried, docs/lab/learned_models.md; EfficientZero's add its
parts to them. Gumbel MuZero's are as they were first written down, and learned less in what was seen of them.

Needs pip install "jzero[envs]". The games are gymnax's ports of MinAtar (Young and Tian 2019) with the sticky
actions of the original, but with the actions that a game uses only, and a game is cut short after 1,000 frames
(Freeway 2,500). Frames are iterations x games x plies. A random player earns about 0.5 in Breakout; DQN after
1,000,000 frames about 9 (Young and Tian 2019).
"""

from dataclasses import replace
from functools import partial

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import mean_return
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

GUMBEL_MUZERO = TrainConfig(
    env="gymnax:Breakout-MinAtar?sticky_actions=0.1",
    algorithm="gumbel_muzero",
    search=SearchSettings(policy="gumbel", num_simulations=16, rescale_values=False),
    network=NetworkSettings(kind="mlp", width=128, blocks=1, head_width=64),
    muzero=MuZeroSettings(unroll_steps=5, td_steps=5, value_limit=100, reward_limit=5, atoms=51),
    games=16,
    plies=5,
    replay_plies=8000,
    warmup_iterations=25,
    batch_size=128,
    updates=40,
    discount=0.97,
    learning_rate=1e-3,
    value_weight=0.25,
    ema_decay=0.995,
)
MUZERO = replace(
    GUMBEL_MUZERO,
    algorithm="muzero",
    # Where no action matters yet Q-values differ by noise only, which must not decide: hence the least range.
    search=SearchSettings(policy="puct", num_simulations=50, dirichlet_alpha=0.3, min_value_range=0.5),
    # Nothing is searched again, so the positions trained on must be recent.
    muzero=replace(GUMBEL_MUZERO.muzero, bootstrap="network"),
    replay_plies=1500,
    temperature_plies=1_000,
)
EFFICIENTZERO = replace(
    MUZERO,
    algorithm="efficientzero",
    # Priorities by value error, the fourth part of EfficientZero, cost more than they gave.
    muzero=replace(MUZERO.muzero, value_prefix=True, consistency_weight=0.5, reanalyse=0.03),
)
PRESETS = {
    train.algorithm: RunConfig(
        minutes=60, iterations=100_000 // (train.games * train.plies), evaluate_every=120, train=train
    )
    for train in (MUZERO, EFFICIENTZERO, GUMBEL_MUZERO)
}


MEASURE = partial(mean_return, episodes=50)
FINAL = partial(mean_return, episodes=50, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("minatar", PRESETS, measure=MEASURE, final=FINAL, accelerated=PRESETS)
