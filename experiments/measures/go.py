"""The strength of an agent in Go: games against GNU Go."""

from __future__ import annotations

import jax
import numpy as np

from jzero.agent import Agent
from jzero.env import Env
from jzero.evaluate.arena import MatchResult, play_match
from jzero.evaluate.gtp import gnu_go, go_rules, gtp_player
from jzero.evaluate.measures import Measure, Strength, TimedMeasure, not_measured
from jzero.evaluate.players import agent_player
from jzero.evaluate.rating import mean_interval, wilson_interval
from jzero.evaluate.turns import Limit, rounds

SIMULATIONS = 64


def against_gnu_go(env: Env, pairs: int) -> Measure:
    """Makes the measurement of `pairs` games in each seat: the share won as black on 5 x 5, else the score."""
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
