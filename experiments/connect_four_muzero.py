"""Learns the rules of Connect Four and how to play it, and measures it against an exact solver.

    python experiments/connect_four_muzero.py                               Gumbel MuZero, 25 minutes
    python experiments/connect_four_muzero.py --algorithm muzero            visit counts and PUCT
    python experiments/connect_four_muzero.py --algorithm efficientzero     value prefix and consistency too
    python -m jzero match DIR:64 open_spiel_mcts:1000                       against OpenSpiel's MCTS

The search plans with a learned model: it knows only the legal moves of the current position. The last line is
measured as in connect_four.py: the share of 1,000 solved positions on which the agent, with 64 simulations, plays a
move that keeps the game's value; a random player keeps it in 40 %. Seen on two cores: 74 % after 10 minutes, 86 %
after 19; AlphaZero, which knows the rules, has 87 to 89 % after two. What a model lacks is shown by
benchmarks/what_is_learned.py.
"""

from pathlib import Path

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.evaluate.measures import keeps_value
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.presets import learned_presets

POSITIONS = Path(__file__).parent / "data" / "connect_four_positions.json"

GUMBEL_MUZERO = RunConfig(
    minutes=25,
    evaluate_every=300,
    train=TrainConfig(
        env="connect_four",
        algorithm="gumbel_muzero",
        search=SearchSettings(policy="gumbel", num_simulations=32, rescale_values=False, value_scale=0.2),
        network=NetworkSettings(kind="resnet", width=32, blocks=2, dynamics_blocks=1),
        muzero=MuZeroSettings(unroll_steps=5, reward_weight=4.0),
        games=128,
        plies=8,
        opening_plies=8,
        # A model learns the wins that were played, and a search tries other moves than a good player.
        random_move_fraction=0.1,
        td_lambda=0.8,
        replay_plies=512,
        batch_size=128,
        updates=16,
        learning_rate=1.5e-3,
        cooldown=0.2,
        value_weight=0.5,
        ema_decay=0.995,
    ),
)

if __name__ == "__main__":
    measure = keeps_value(POSITIONS, num_simulations=64)
    main("connect_four_muzero", learned_presets(GUMBEL_MUZERO), measure=measure)
