"""Exhaustive expectimax: what a position is worth to those who play it perfectly.

Works on any game given as Python functions; one number a player, who each maximise their own.
"""

from collections.abc import Callable, Hashable
from functools import cache
from typing import NamedTuple


class Outcome(NamedTuple):
    """What may follow an action."""

    probability: float
    rewards: tuple[float, ...]
    """One a player."""
    state: Hashable


class Game(NamedTuple):
    """Rules."""

    mover: Callable[[Hashable], int]
    moves: Callable[[Hashable], dict[int, list[Outcome]]]
    """The legal actions; none where the game is over."""
    num_players: int = 1


def solve(game: Game) -> tuple[Callable, Callable]:
    """(values, qvalues): state -> a number a player; state -> action -> such numbers. For games that always end."""

    @cache
    def values(state: Hashable) -> tuple[float, ...]:
        found = qvalues(state)
        if not found:
            return (0.0,) * game.num_players
        return max(found.values(), key=lambda q: q[game.mover(state)])

    @cache
    def qvalues(state: Hashable) -> dict[int, tuple[float, ...]]:
        return {action: _mean(outcomes, values) for action, outcomes in game.moves(state).items()}

    return values, qvalues


def _mean(outcomes: list[Outcome], values: Callable) -> tuple[float, ...]:
    players = range(len(outcomes[0].rewards))
    worth = [(o.probability, o.rewards, values(o.state)) for o in outcomes]
    return tuple(
        float(sum(chance * (rewards[p] + later[p]) for chance, rewards, later in worth)) for p in players
    )
