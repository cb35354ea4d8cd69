r"""Trains Go on a small board and plays it against GNU Go.

    python experiments/go.py                               5 x 5, komi 24: 60 minutes
    python experiments/go.py --env "go?size=7&komi=8.5" --network.kind resnet --network.width 32 \
        --network.blocks 2 --network.policy-head cells --games 256 --batch-size 512 --replay-plies 384 \
        --cooldown 0.2 --search.rescale-values --search.value-scale 0.2 --search.min-value-range 0.2

Needs GNU Go (apt-get install gnugo). With perfect play black takes all 25 points of 5 x 5, so with a komi of 24
black wins only by taking all of them. At the end the agent, with 64 simulations, plays 100 games from the empty
board in both seats, each pair against GNU Go with another seed: on 5 x 5 at level 10, on larger boards at level 1;
or as many as half the time of the training allows. The last line is the share of its games as black that it wins on
5 x 5, else its score.
"""

from __future__ import annotations

import jax
import numpy as np

from jzero.agent import Agent
from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.env import Env
from jzero.evaluate.arena import MatchResult, play_match
from jzero.evaluate.gtp import gnu_go, go_rules, gtp_player
from jzero.evaluate.measures import Measure, Strength, TimedMeasure, not_measured
from jzero.evaluate.players import agent_player
from jzero.evaluate.rating import mean_interval, wilson_interval
from jzero.evaluate.turns import Limit, rounds
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.run.cli import main
from jzero.run.config import RunConfig, TrainConfig

SIMULATIONS = 64

PRESET = RunConfig(
    minutes=60,
    evaluate_every=300,
    train=TrainConfig(
        env="go?size=5&komi=24",
        search=SearchSettings(
            policy="gumbel", num_simulations=32, rescale_values=False, value_scale=0.2, cache=2**16
        ),
        network=NetworkSettings(kind="mlp", width=384, blocks=3),
        auxiliary=AuxiliarySettings(outcome=0.5),
        games=512,
        plies=8,
        opening_plies=4,
        random_move_fraction=0.05,
        td_lambda=0.9,
        td_lookahead=24,
        replay_plies=256,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
    ),
)


def _against_gnu_go(pairs: int, env: Env) -> Measure:
    rules = go_rules(env)
    if rules is None:
        raise ValueError(f"env is {env}; this experiment plays Go: use go?size=5&komi=24")
    size, komi = rules
    level = 10 if size == 5 else 1
    words = f"GNU Go at level {level}"

    def take(agent: Agent, seconds: float) -> Strength:
        player = agent_player(agent, SIMULATIONS)

        def pair(games: int, key: jax.Array, limit: Limit) -> MatchResult:
            """One game in each seat, against GNU Go with a separate seed."""
            seed = int(jax.random.randint(key, (), 1, 2**15))
            with gnu_go(size, komi, level=level, seed=seed) as engine:
                return play_match(env, player, gtp_player(engine), num_games=games, key=key, limit=limit)

        results = rounds(pair, [2] * pairs, seconds, f"games against {words}")
        if not results:
            return not_measured(seconds)
        distinct = len({tuple(game) for result in results for game in result.histories})
        said = f"{words}, {SIMULATIONS} simulations, {distinct} distinct games"
        if size > 5:
            scores = np.array([result.score for result in results])
            name = f"score in {2 * len(results)} games against {said}"
            return Strength(name, float(scores.mean()), *mean_interval(scores))
        wins = sum(result.by_seat[0].wins for result in results)
        name = f"won of {len(results)} games as black against {said}"
        return Strength(name, wins / len(results), *wilson_interval(wins, len(results)))

    return TimedMeasure(take, share=0.5)


def meanwhile(env: Env) -> Measure:
    """Makes the measurement during training."""
    return _against_gnu_go(10, env)


def final(env: Env) -> Measure:
    """Makes the measurement at the end."""
    return _against_gnu_go(50, env)


if __name__ == "__main__":
    main("go", PRESET, measure=meanwhile, final=final)
