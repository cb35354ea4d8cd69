"""How strong a player is: matches, ratings, exhaustive proofs, test positions, known opponents."""

from jzero.evaluate.arena import MatchResult, Player, Tally, Turn, play_match
from jzero.evaluate.engines import BitBullyProcess, bitbully_player, open_spiel_mcts, random_player
from jzero.evaluate.exact import ExactResult, SeatProof, prove_never_loses
from jzero.evaluate.positions import (
    ILLEGAL,
    PlyScore,
    PositionScore,
    PositionSet,
    grade_actions,
    load_positions,
    make_position_set,
    positions_states,
    score_positions,
)
from jzero.evaluate.rating import Ratings, bradley_terry, mean_interval, wilson_interval

__all__ = [
    "ILLEGAL",
    "BitBullyProcess",
    "ExactResult",
    "MatchResult",
    "Player",
    "PlyScore",
    "PositionScore",
    "PositionSet",
    "Ratings",
    "SeatProof",
    "Tally",
    "Turn",
    "bitbully_player",
    "bradley_terry",
    "grade_actions",
    "load_positions",
    "make_position_set",
    "mean_interval",
    "open_spiel_mcts",
    "play_match",
    "positions_states",
    "prove_never_loses",
    "random_player",
    "score_positions",
    "wilson_interval",
]
