"""Learns an Atari game from pixels with EfficientZero and measures the mean score of whole games.

    python experiments/atari.py                               Pong; hours on a GPU
    python experiments/atari.py --env ale:breakout
    python experiments/atari.py --algorithm gumbel_muzero     without EfficientZero's parts
    python experiments/atari.py --minutes 20 --iterations 32  a first look on a CPU: 2,048 steps

Needs pip install "jzero[envs]"; the ROMs come with ale-py. Frames, rewards and lives are EfficientZero's (Ye et al.
2021): 96 x 96 pixels in colour, four frames in a stack, four frames per step, the sign of the reward, a lost life
as the end of a game in training; no sticky actions. Whole games with their own scores are measured. Other than in
the paper: AdamW in place of SGD, a projector and predictor of two layers of 512, priorities whose correction stays
at 0.4, a quarter of a batch reanalysed, Gumbel search with 16 simulations. In Pong a random player scores -20.7,
the paper's agent 20.1 after 100,000 steps.
"""

from dataclasses import replace

import jax
from jzero_envs.adapters.ale import AleEnv

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.env import Env
from jzero.evaluate.measures import Measure, mean_return
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

EFFICIENTZERO = TrainConfig(
    env="ale:pong",
    algorithm="efficientzero",
    search=SearchSettings(policy="gumbel", num_simulations=16, rescale_values=True),
    network=NetworkSettings(kind="atari", width=64, blocks=1, head_width=32),
    muzero=MuZeroSettings(
        unroll_steps=5,
        td_steps=5,
        value_limit=300,
        reward_limit=5,
        atoms=101,
        value_prefix=True,
        prefix_width=512,
        consistency_weight=2.0,
        projection_width=512,
        reanalyse=0.25,
        bootstrap="network",
        td_age=30_000,
        priority_exponent=0.6,
        priority_correction=0.4,
    ),
    games=8,
    plies=8,
    replay_plies=4096,
    warmup_iterations=8,
    batch_size=256,
    updates=64,
    discount=0.997**4,
    learning_rate=3e-4,
    value_weight=0.25,
    ema_decay=0.995,
)
GUMBEL_MUZERO = replace(
    EFFICIENTZERO,
    algorithm="gumbel_muzero",
    muzero=MuZeroSettings(unroll_steps=5, td_steps=5, value_limit=300, reward_limit=1, atoms=101),
)
MUZERO = replace(
    GUMBEL_MUZERO,
    algorithm="muzero",
    search=SearchSettings(policy="puct", num_simulations=50, dirichlet_alpha=0.3),
    temperature_plies=1_000_000,
)
# Emulators belong to one device; their threads and the network's use all cores all the same.
PRESETS = {
    train.algorithm: RunConfig(
        minutes=600,
        iterations=100_000 // (train.games * train.plies),
        evaluate_every=1800,
        checkpoint_every=900,
        cpu_devices=1,
        train=train,
    )
    for train in (EFFICIENTZERO, GUMBEL_MUZERO, MUZERO)
}
# A core does what it can: a smaller batch, fewer updates, games measured with fewer simulations.
ON_CPU = {
    name: replace(run, train=replace(run.train, batch_size=32, updates=8)) for name, run in PRESETS.items()
}


def measure(env: Env) -> Measure:
    assert isinstance(env, AleEnv)
    options = f"evaluation=True&sticky_actions={env.sticky_actions}&max_frames={env.max_frames}"
    whole_games = make(f"ale:{env.name}?{options}")
    on_cpu = jax.default_backend() == "cpu"
    return mean_return(whole_games, episodes=2 if on_cpu else 32, num_simulations=4 if on_cpu else None)


if __name__ == "__main__":
    main("atari", ON_CPU, measure=measure, accelerated=PRESETS)
