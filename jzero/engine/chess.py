"""What UCI needs of a chess game: pgx's on 8 x 8, and Gardner's minichess on 5 x 5, whose actions UCI's moves name.

What decides is pgx's rules: a third repetition (of the position with its right to capture en passant, whether a
pawn could or not), 100 plies without a capture or a pawn's move, too little material, and 512 plies (256 on 5 x 5)
are draws at once, without a claim.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from jzero.env import Env

SIDES = {64 * 73: 8, 25 * 49: 5}
"""Number of actions -> squares of a side."""


def side_of(env: Env, state: Any) -> int:
    """Squares of a side.

    Raises:
        ValueError: the states are not those of one of pgx's chess games.
    """
    of_pgx = hasattr(state, "_board") or hasattr(getattr(state, "_x", None), "castling_rights")
    if env.num_actions not in SIDES or not of_pgx or not hasattr(env, "action_name"):
        raise ValueError(
            f"env is {getattr(env, 'name', type(env).__name__)!r}; UCI plays chess, with the states of pgx's: "
            "give a run of pgx:chess or pgx:gardner_chess"
        )
    return SIDES[env.num_actions]


def is_black(state: Any) -> bool:
    """Whether black is to move."""
    return bool(state._turn if hasattr(state, "_turn") else state._x.color)


def to_uci(env: Env, action: int, state: Any) -> str:
    """What UCI calls an action in a state: the environment's name of it."""
    return cast(Any, env).action_name(state, action)


def legal_moves(env: Env, state: Any, mask: np.ndarray) -> dict[str, int]:
    """The actions of a mask bool[A] by their names."""
    return {to_uci(env, action, state): action for action in np.flatnonzero(mask).tolist()}
