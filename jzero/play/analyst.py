"""What an agent thinks of a position, for people: searches of growing size, bars, and the tree.

Axes: A actions, N nodes, P players.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.agent import Agent, Analysis
from jzero.play.rules import Rules
from jzero.pytrees import OneState, PyTree

LEVELS = (0, 16, 64, 400, 1600)
"""Simulations that a player may choose from; a search of one level shows those below on its way."""
SHOWN = 40
"""Actions with bars, and children of a node."""
TREES = 8
"""Trees that are kept to be unfolded."""


class Tree(NamedTuple):
    """What the page unfolds of a search's tree, as arrays of the host."""

    children: np.ndarray  # i32[N, A] nodes, -1 where there is none
    visits: np.ndarray  # i32[N, A]
    qvalues: np.ndarray  # f32[N, A] for the player to move at the node
    priors: np.ndarray  # f32[N, A]


class Analyst:
    """One agent's opinions."""

    def __init__(self, agent: Agent, rules: Rules) -> None:
        self._agent, self._rules = agent, rules
        self._trees: OrderedDict[tuple[str, int], Tree] = OrderedDict()

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
                yield self._policy_alone(state, np.asarray(prior)[0], np.asarray(value)[0])
            else:
                yield self._opinion(state, place, level, self._agent.analyse(states, key, level))

    def children(self, place: tuple[str, int], path: Sequence[int]) -> list[dict[str, Any]]:
        """Children of the node that the actions `path` lead to, by visits; [] where nothing was searched."""
        tree = self._trees.get(place)
        node = 0
        for action in path:
            node = (
                -1
                if tree is None or not 0 <= action < tree.children.shape[1]
                else tree.children[node, action]
            )
            if node < 0:
                return []
        if tree is None:
            return []
        visits = tree.visits[node]
        order = [int(a) for a in np.argsort(-visits, kind="stable")[:SHOWN] if visits[a] > 0]
        return [
            {
                "action": action,
                "visits": int(visits[action]),
                "q": float(tree.qvalues[node, action]),
                "prior": float(tree.priors[node, action]),
                "more": bool(
                    tree.children[node, action] >= 0 and tree.visits[tree.children[node, action]].any()
                ),
            }
            for action in order
        ]

    def _opinion(
        self, state: OneState, place: tuple[str, int], level: int, found: Analysis
    ) -> dict[str, Any]:
        one = jax.tree.map(lambda x: np.asarray(x)[0], found._replace(tree=()))
        variation = [int(action) for action in one.principal_variation if action >= 0]
        unfolds = found.tree != () and one.principal_variation.shape[0] > 1
        if unfolds:
            self._keep(place, found.tree)
        mover = self._rules.mover(state)
        return self._said(state, one.prior, one.visits, of_mover(one.qvalues, mover)) | {
            "simulations": level,
            "value": by_seat(one.value, mover, self._rules.spec.num_players),
            "action": int(one.action),
            "policy": {str(a): float(one.policy[a]) for a in np.flatnonzero(one.policy > 0.0005).tolist()},
            "variation": variation,
            "unfolds": unfolds,
        }

    def _policy_alone(self, state: OneState, prior: np.ndarray, value: np.ndarray) -> dict[str, Any]:
        nothing = np.zeros_like(prior)
        legal = np.asarray(state.legal_action_mask)
        best = int(np.argmax(np.where(legal, prior, -1.0)))
        return self._said(state, prior, nothing, nothing) | {
            "simulations": 0,
            "value": by_seat(value, self._rules.mover(state), self._rules.spec.num_players),
            "action": best,
            "policy": {},
            "variation": [best],
            "unfolds": False,
        }

    def _said(
        self, state: OneState, prior: np.ndarray, visits: np.ndarray, qvalues: np.ndarray
    ) -> dict[str, Any]:
        """The bars: the actions of most visits, or of the highest prior."""
        legal = self._rules.legal(state)
        order = sorted(legal, key=lambda action: (-visits[action], -prior[action]))[:SHOWN]
        mover = self._rules.mover(state)
        return {
            "mover": mover,
            "actions": [
                {
                    "action": action,
                    "name": self._rules.name_of(state, action),
                    "prior": float(prior[action]),
                    "visits": float(visits[action]),
                    "q": float(qvalues[action]) if visits[action] > 0 else None,
                }
                for action in order
            ],
        }

    def _keep(self, place: tuple[str, int], tree: PyTree) -> None:
        children, visits, logits, qvalues = (np.asarray(x)[0] for x in _read(tree))
        weights = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
        priors = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
        self._trees[place] = Tree(children, visits, qvalues, priors)
        self._trees.move_to_end(place)
        while len(self._trees) > TREES:
            self._trees.popitem(last=False)


@jax.jit
def _read(tree: PyTree) -> tuple[jax.Array, ...]:
    """Children, visits, prior logits and Q-values [1, N, A] of a tree."""
    nodes = jnp.arange(tree.num_simulations + 1, dtype=jnp.int32)
    qvalues = jax.vmap(lambda node: tree.qvalues(node), out_axes=1)(nodes)
    return tree.children_index, tree.children_visits, tree.children_prior_logits, qvalues


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def by_seat(value: np.ndarray, mover: int, num_players: int) -> list[float]:
    """[P] of a value [] for the player to move, or [P] by seat."""
    if np.ndim(value):
        return [float(x) for x in value]
    return [float(value) if seat == mover else -float(value) for seat in range(num_players)]


def of_mover(values: np.ndarray, mover: int) -> np.ndarray:
    """Values [A] of the player to move, of values [A] or [A, P] by seat."""
    return values[:, mover] if values.ndim == 2 else values
