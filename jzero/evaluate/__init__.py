"""Measures of strength: matches, ratings, exhaustive proofs, test positions, known opponents."""

from jzero.evaluate.arena import MatchResult, Tally, play_match
from jzero.evaluate.engines import BitBullyProcess, bitbully_player, open_spiel_mcts, random_player
from jzero.evaluate.exact import ExactResult, SeatProof, prove_never_loses
from jzero.evaluate.gtp import GtpError, GtpProcess, gnu_go, gtp_player
from jzero.evaluate.minimax import minimax_player
from jzero.evaluate.players import Opponent, agent_player, open_opponent
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
from jzero.evaluate.table import TableResult, play_tables
from jzero.evaluate.turns import Player, Turn, as_player

__all__ = [
    "ILLEGAL",
    "BitBullyProcess",
    "ExactResult",
    "GtpError",
    "GtpProcess",
    "MatchResult",
    "Opponent",
    "Player",
    "PlyScore",
    "PositionScore",
    "PositionSet",
    "Ratings",
    "SeatProof",
    "TableResult",
    "Tally",
    "Turn",
    "agent_player",
    "as_player",
    "bitbully_player",
    "bradley_terry",
    "gnu_go",
    "grade_actions",
    "gtp_player",
    "load_positions",
    "make_position_set",
    "mean_interval",
    "minimax_player",
    "open_opponent",
    "open_spiel_mcts",
    "play_match",
    "play_tables",
    "positions_states",
    "prove_never_loses",
    "random_player",
    "score_positions",
    "wilson_interval",
]
