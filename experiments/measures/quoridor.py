"""The strength of an agent in Quoridor: its score against players that know the game."""

from __future__ import annotations

from jzero_envs.quoridor import Quoridor
from players.quoridor import default_depth, greedy, mcts, minimax

from jzero.env import Env
from jzero.evaluate.measures import Measure, beside, score_against
from jzero.evaluate.turns import Player

SIMULATIONS = 64
OPENING_PLIES = (0, 4)


def _quoridor(env: Env) -> Quoridor:
    if not isinstance(env, Quoridor):
        raise ValueError(
            f"env is {env}; this experiment's opponents play Quoridor: use quoridor?size=5&walls=3"
        )
    return env


def score(env: Env) -> Measure:
    """Makes the measurement during training."""
    return _against(minimax(_quoridor(env), 2), "a minimax of 2 plies", games=64)


def scores(env: Env) -> Measure:
    """Makes the measurement at the end."""
    env = _quoridor(env)
    depth = default_depth(env)
    return beside(
        _against(minimax(env, depth), f"a minimax of {depth} plies"),
        _against(greedy(env), "the shortest path"),
        _against(mcts(env), "OpenSpiel's MCTS with 1000 simulations"),
    )


def _against(opponent: Player, words: str, games: int = 200) -> Measure:
    return score_against(
        opponent, words, games=games, at_once=40, num_simulations=SIMULATIONS, opening_plies=OPENING_PLIES
    )
