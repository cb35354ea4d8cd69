"""The strength of an agent in Gomoku: its score against a player that sees threats, and against tree search."""

from __future__ import annotations

from players.gomoku import threats

from jzero.env import Env
from jzero.evaluate.measures import Measure, beside, score_against
from jzero.evaluate.players import rollouts
from jzero.evaluate.turns import Player

SIMULATIONS = 64
ROLLOUTS = 1000
THREATS = "a player that sees threats"


def score(env: Env) -> Measure:
    """Makes the measurement during training."""
    return _against(threats(env), THREATS, games=40)


def scores(env: Env) -> Measure:
    """Makes the measurement at the end."""
    search = rollouts(env, ROLLOUTS)
    return beside(_against(threats(env), THREATS), _against(search.player, search.words))


def _against(opponent: Player, words: str, games: int = 200) -> Measure:
    return score_against(
        opponent, words, games=games, at_once=40, num_simulations=SIMULATIONS, opening_plies=(0, 4)
    )
