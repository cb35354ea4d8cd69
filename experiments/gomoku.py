"""Trains Gomoku on 9 x 9 and measures it against tree search with random games and a player that sees threats.

    python experiments/gomoku.py                    30 minutes
    python experiments/gomoku.py --env gomoku?size=15

At the end the agent, with 64 simulations, plays 200 games against each, in both seats, from openings of 0 to 4
random plies. The last line is the score against the player that sees threats.
"""

from __future__ import annotations

import jax
from players.gomoku import threats

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.arena import play_match
from jzero.evaluate.measures import Measure, Strength
from jzero.evaluate.players import agent_player, rollouts
from jzero.evaluate.turns import Player
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

SIMULATIONS = 64
ROLLOUTS = 1000

PRESET = RunConfig(
    minutes=30,
    evaluate_every=180,
    train=TrainConfig(
        env="gomoku?size=9",
        search=SearchSettings(policy="gumbel", num_simulations=32, rescale_values=False, value_scale=0.2),
        network=NetworkSettings(kind="mlp", width=384, blocks=3),
        games=512,
        plies=8,
        opening_plies=6,
        random_move_fraction=0.05,
        td_lambda=0.8,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
    ),
)


def score(env: Env) -> Measure:
    """Makes the measurement during training."""
    opponent = threats(env)
    return lambda agent: _against(agent, "a player that sees threats", opponent, games=40)


def scores(env: Env) -> Measure:
    """Makes the measurement at the end."""
    search, threatening = rollouts(env, ROLLOUTS), threats(env)

    def measure(agent: Agent) -> Strength:
        print(_against(agent, search.words, search.player, games=200), flush=True)
        return _against(agent, "a player that sees threats", threatening, games=200)

    return measure


def _against(agent: Agent, name: str, opponent: Player, games: int) -> Strength:
    player = agent_player(agent, SIMULATIONS)
    result = play_match(
        agent.env, player, opponent, num_games=games, key=jax.random.key(0), opening_plies=(0, 4)
    )
    name = f"score in {games} games against {name}, {SIMULATIONS} simulations"
    return Strength(name, result.score, *result.interval)


if __name__ == "__main__":
    main("gomoku", PRESET, measure=score, final=scores)
