"""Depth-limited minimax by plain recursion, without cuts: slow, obvious, for any game as in `games.py`."""

from collections.abc import Callable
from copy import deepcopy

from tests.oracles.games import LineGame


def move_values(
    position: LineGame, heuristic: Callable[[LineGame], float], depth: int, ply: int = 0
) -> dict[int, float]:
    """What each action is worth to the player to move; `ply` moves lie between the root and `position`."""
    mover = position.current_player()
    values = {}
    for action in position.legal_actions():
        after = deepcopy(position)
        after.apply_action(action)
        if after.is_terminal():
            values[action] = after.returns()[mover] * (1 - (ply + 1) / 2**20)
        elif ply + 1 == depth:
            values[action] = heuristic(after) * (1 if after.current_player() == mover else -1)
        else:
            best = max(move_values(after, heuristic, depth, ply + 1).values())
            values[action] = best * (1 if after.current_player() == mover else -1)
    return values


def plies_to_end(value: float) -> int:
    """In how many plies the value of a win or a loss says that it comes."""
    return round((1 - abs(value)) * 2**20)
