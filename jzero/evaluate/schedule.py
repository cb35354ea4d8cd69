"""The encounters of a match: all pairs of players, or neighbouring checkpoints of a run."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, permutations
from typing import Literal, NamedTuple

from jzero.evaluate.strength import Contest

Pairs = Literal["all", "neighbours"]
ALL_UP_TO = 10
"""Players up to which all pairs meet by default: 45 encounters."""
REACH = 2
"""Later checkpoints that each checkpoint meets, so that one lucky encounter does not move all later ratings."""


class Rung(NamedTuple):
    """A checkpoint's place on the ladder of its run."""

    ladder: Hashable
    """Identifies the ladder: the run, with the simulations per move."""
    iteration: int


def encounters(
    contest: Contest,
    names: Sequence[str],
    num_players: int,
    *,
    rungs: Sequence[Rung | None] = (),
    pairs: Pairs | None = None,
) -> list[tuple[str, str | None]]:
    """(player, opponent) of each encounter; the opponent is None with "returns".

    At tables of more than two, it matters who sits alone, so each pair of players meets twice.

    Args:
        contest: how players are compared.
        names: names of the players.
        num_players: players of the game.
        rungs: rung of each player; None for an opponent. By default all are None.
        pairs: "neighbours": see `neighbours`. None: "all" up to `ALL_UP_TO` players.
    """
    if contest == "returns":
        return [(name, None) for name in names]
    pairs = pairs or ("all" if len(names) <= ALL_UP_TO else "neighbours")
    order = permutations if contest == "tables" and num_players > 2 else combinations
    chosen = order(range(len(names)), 2)
    if pairs == "neighbours" and rungs:
        close = neighbours(rungs)
        chosen = (pair for pair in chosen if frozenset(pair) in close)
    return [(names[one], names[other]) for one, other in chosen]


def neighbours(rungs: Sequence[Rung | None]) -> set[frozenset[int]]:
    """The pairs of players that meet; a chain of games joins any two players.

    A checkpoint meets the next `REACH` on its ladder, the last of each ladder meet each other, and an opponent
    meets everyone.
    """
    ladders: dict[Hashable, list[int]] = {}
    for player, rung in enumerate(rungs):
        if rung is not None:
            ladders.setdefault(rung.ladder, []).append(player)
    ordered = [sorted(ladder, key=lambda player: rungs[player] or ()) for ladder in ladders.values()]
    met = {frozenset(pair) for pair in combinations([ladder[-1] for ladder in ordered], 2)}
    for ladder in ordered:
        for place, player in enumerate(ladder):
            met |= {frozenset((player, later)) for later in ladder[place + 1 : place + 1 + REACH]}
    anchors = [player for player, rung in enumerate(rungs) if rung is None]
    return met | {frozenset((anchor, o)) for anchor in anchors for o in range(len(rungs)) if o != anchor}
