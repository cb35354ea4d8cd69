"""Learns to reach with MuJoCo's two-jointed arm by continuous torques and measures the mean return of 100 episodes.

    python experiments/reacher.py
    python experiments/reacher.py --minutes 10 --seed 1

Needs pip install "jzero[envs]" brax. The environment is brax's `reacher`, MuJoCo's arm of two links in the plane,
with episodes of 50 steps as in Gymnasium; each step costs the distance from the finger to the target and the sum
of the squared torques, and an action lasts two steps. Random play earns about -42, no torques -12, a controller
that knows the arm -4.1 (`experiments/players/reacher.py`), the agent about -4.2 with its search and -4.0 by its
policy alone, after 40 minutes on one core.
"""

from functools import partial

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import mean_return
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

TRAIN = TrainConfig(
    # Actions of two steps: each changes the return by more, and an episode has half as many.
    env="brax:reacher?episode_length=50&action_repeat=2",
    algorithm="gumbel_muzero",
    search=SearchSettings(policy="gumbel", num_simulations=16, max_considered=16, sampled_actions=16),
    network=NetworkSettings(kind="mlp", width=128, blocks=1, head_width=64),
    muzero=MuZeroSettings(
        unroll_steps=5,
        td_steps=5,
        bootstrap="network",
        value_limit=60,
        reward_limit=6,
        atoms=51,
        entropy_weight=0.005,
    ),
    games=64,
    plies=8,
    # The arm soon folds up whatever the target is: with them it sees earlier what else it could do.
    random_move_fraction=0.1,
    replay_plies=1024,
    warmup_iterations=8,
    batch_size=128,
    updates=32,
    discount=0.97,
    learning_rate=2e-3,
    value_weight=0.5,
    ema_decay=0.99,
    cooldown=0.4,
)
PRESET = RunConfig(minutes=40, evaluate_every=60, train=TRAIN)


MEASURE = partial(mean_return, episodes=100)
FINAL = partial(mean_return, episodes=100, seed=1)

if __name__ == "__main__":
    # On a GPU no more games side by side: what counts is the number of steps.
    main("reacher", PRESET, measure=MEASURE, final=FINAL, accelerated=PRESET)
