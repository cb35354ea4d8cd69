"""What an agent thinks of a position: searches of growing size, and the trees of the last ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jzero.agent import Agent
from jzero.pytrees import OneState
from jzero.show.rules import Rules
from jzero.show.thoughts import SHOWN, Branches, policy_alone, thought_of, unfolds

LEVELS = (0, 16, 64, 400, 1600)
"""Simulations that a player may choose from; a search of one level shows those below on its way."""
TREES = 8
"""Trees that are kept to be unfolded."""


class Analyst:
    """One agent's opinions."""

    def __init__(self, agent: Agent, rules: Rules) -> None:
        self._agent, self._rules = agent, rules
        self._trees: OrderedDict[tuple[str, int], Branches] = OrderedDict()

    def levels(self, simulations: int) -> list[int]:
        """The searches that lead to one of so many simulations."""
        spec = self._rules.spec
        if spec.action_size or simulations == 0:
            return [0]
        return [level for level in LEVELS if 0 < level <= simulations]

    def think(
        self, state: OneState, place: tuple[str, int], simulations: int, key: jax.Array
    ) -> Iterator[dict[str, Any]]:
        """Opinions of a state, each of a larger search than the one before.

        Args:
            state: one state that is not finished.
            place: the game and its ply, by which `children` finds the tree again.
            simulations: of the last search; 0 for the policy alone.
            key: of the search.
        """
        states = jax.tree.map(lambda x: np.asarray(x)[None] if not _is_key(x) else x[None], state)
        for level in self.levels(simulations):
            if level == 0:
                prior, value = self._agent.evaluate(states)
                yield policy_alone(self._rules, state, np.asarray(prior)[0], np.asarray(value)[0])
            else:
                found = self._agent.analyse(states, key, level)
                if unfolds(self._rules, found):
                    self._keep(place, Branches(found.tree))
                yield thought_of(self._rules, state, found, 0) | {"simulations": level}

    def children(self, place: tuple[str, int], path: Sequence[int]) -> list[dict[str, Any]]:
        """Children of the node that the actions `path` lead to, by visits; [] where nothing was searched."""
        tree = self._trees.get(place)
        if tree is None:
            return []
        return [
            {
                "action": child.action,
                "visits": child.visits,
                "q": child.qvalue,
                "prior": child.prior,
                "more": bool(tree.below(child.node)),
            }
            for child in tree.below(tree.at(path))[:SHOWN]
        ]

    def _keep(self, place: tuple[str, int], tree: Branches) -> None:
        self._trees[place] = tree
        self._trees.move_to_end(place)
        while len(self._trees) > TREES:
            self._trees.popitem(last=False)


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
