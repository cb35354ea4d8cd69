"""An agent's analysis of a position: searches of growing size, and the trees of the latest ones."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jzero.agent import Agent
from jzero.pytrees import Json, OneState, PyTree
from jzero.show.branches import Searched
from jzero.show.rules import Rules
from jzero.show.thoughts import SHOWN, policy_alone, thought_of

LEVELS = (0, 16, 64, 400, 1600)
"""Choices for the number of simulations; an analysis at one level shows the smaller levels first."""
TREES = 8
"""Trees that are kept for unfolding."""


class Analyst:
    """One agent's analyses."""

    def __init__(self, agent: Agent, rules: Rules) -> None:
        self._agent, self._rules = agent, rules
        self._trees: OrderedDict[tuple[str, int], Searched] = OrderedDict()

    def levels(self, simulations: int) -> list[int]:
        """The sizes of the searches up to this number of simulations."""
        spec = self._rules.spec
        if spec.action_size or simulations == 0:
            return [0]
        return [level for level in LEVELS if 0 < level <= simulations]

    def think(
        self, state: OneState, place: tuple[str, int], simulations: int, key: jax.Array
    ) -> Iterator[Json]:
        """Yields the results of growing searches of a state.

        Args:
            state: one unfinished state.
            place: the game and its ply, the key of the tree for `children`.
            simulations: simulations of the last search; 0 for the policy without search.
            key: random key of the search.
        """
        states = jax.tree.map(lambda x: np.asarray(x)[None] if not _is_key(x) else x[None], state)
        for level in self.levels(simulations):
            if level == 0:
                prior, value = self._agent.evaluate(states)
                yield policy_alone(self._rules, state, np.asarray(prior)[0], np.asarray(value)[0])
            else:
                found = self._agent.analyse(states, key, level)
                thought = thought_of(self._rules, state, found, 0) | {"simulations": level}
                if thought["unfolds"]:
                    searched = Searched(found, 0)
                    self._keep(place, searched)
                    thought["variation"] = searched.line(thought["variation"])
                yield thought | {"worlds": found.worlds}

    def children(self, state: OneState, place: tuple[str, int], path: Sequence[int], seed: int) -> list[Json]:
        """Children of the node at the end of `path`, by visits, with their names; [] without a search."""
        searched = self._trees.get(place)
        if searched is None:
            return []
        return [
            {
                "action": child.action,
                "name": name,
                "visits": child.visits,
                "q": child.qvalue,
                "prior": child.prior,
                "chance": searched.is_chance(self._rules, child.action),
                "more": bool(searched.branches.below(child.node)),
            }
            for child, name in itertools.islice(searched.below(self._rules, state, path, seed), SHOWN)
        ]

    def walk(
        self, state: OneState, place: tuple[str, int], path: Sequence[int], seed: int
    ) -> tuple[list[PyTree], list[str]]:
        """The states along a path from a place and the names of its edges, as in `Searched.walk`."""
        searched = self._trees.get(place)
        if searched is not None:
            return searched.walk(self._rules, state, path, seed)
        states = self._rules.imagine(state, path, seed)
        return states, [self._rules.name_of(*move) for move in zip(states[:-1], path, strict=False)]

    def _keep(self, place: tuple[str, int], tree: Searched) -> None:
        self._trees[place] = tree
        self._trees.move_to_end(place)
        while len(self._trees) > TREES:
            self._trees.popitem(last=False)


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
