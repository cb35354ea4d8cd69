"""UCI's view of pgx's chess on 8 x 8 and Gardner's minichess on 5 x 5: the moves of actions.

pgx's rules apply: a third repetition (positions include the en passant right, even if no pawn could use it), 100
plies without a capture or pawn move, insufficient material, and 512 plies (256 on 5 x 5) are immediate draws,
without a claim.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from jzero.env import Env
from jzero.pytrees import OneState

SIDES = {64 * 73: 8, 25 * 49: 5}
"""Number of actions -> squares per side."""


def side_of(env: Env, state: OneState) -> int:
    """Squares per side.

    Raises:
        ValueError: the states do not belong to one of pgx's chess games.
    """
    of_pgx = hasattr(state, "_board") or hasattr(getattr(state, "_x", None), "castling_rights")
    if env.num_actions not in SIDES or not of_pgx or not hasattr(env, "action_name"):
        raise ValueError(
            f"env is {getattr(env, 'name', type(env).__name__)!r}; UCI needs pgx's chess: give a run of pgx:chess "
            "or pgx:gardner_chess"
        )
    return SIDES[env.num_actions]


def is_black(state: OneState) -> bool:
    """Whether black is to move."""
    return bool(state._turn if hasattr(state, "_turn") else state._x.color)


def to_uci(env: Env, action: int, state: OneState) -> str:
    """UCI's name of an action in a state: the environment's name."""
    return cast(Any, env).action_name(state, action)


def legal_moves(env: Env, state: OneState, mask: np.ndarray) -> dict[str, int]:
    """The actions of a mask bool[A] by their names."""
    return {to_uci(env, action, state): action for action in np.flatnonzero(mask).tolist()}
