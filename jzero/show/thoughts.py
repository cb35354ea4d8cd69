"""What a search thinks of one position, in numbers that JSON keeps: bars, a line, and the branches of its tree.

A thought is

    {"mover": seat, "simulations": number, "value": [P], "action": the agent's, "policy": {action: share},
     "variation": [action], "unfolds": whether its tree has branches to show,
     "actions": [{"action", "name", "prior", "visits", "q": number or None}], the most visited first}

Axes: B rows, A actions, N nodes, P players. Continuous actions are counted by the root's candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.analysis import Analysis
from jzero.pytrees import OneState
from jzero.search import Tree, layout
from jzero.show.rules import Rules

SHOWN = 40
"""Actions of a thought, and children of a node."""


def thought_of(
    rules: Rules, state: OneState, found: Analysis, row: int, shown: int = SHOWN
) -> dict[str, Any]:
    """What an analysis thinks of the state in one of its rows; at most `shown` actions.

    Args:
        rules: of the game.
        state: the row's state, which is not finished.
        found: the analysis; a large one is faster on the host (`on_host`).
        row: of the batch.
        shown: actions that are listed.
    """
    one = jax.tree.map(lambda x: np.asarray(x[row]), dataclasses.replace(found, tree=(), states=()))
    mover = rules.mover(state)
    variation = [int(action) for action in one.principal_variation if action >= 0]
    if rules.spec.action_size:
        chosen = int(np.argmin(np.abs(one.candidates - one.action).sum(axis=-1)))
        names = {index: vector_name(vector) for index, vector in enumerate(one.candidates)}
    else:
        chosen, names = int(one.action), {}
    return {
        "mover": mover,
        "simulations": round(float(one.visits.sum())),
        "value": by_seat(one.value, mover, rules.spec.num_players),
        "action": chosen,
        "policy": {str(a): float(one.policy[a]) for a in np.flatnonzero(one.policy > 0.0005).tolist()},
        # A later move of a line would show what hidden things it depends on.
        "variation": variation[:1] if rules.spec.hidden_information else variation,
        "unfolds": unfolds(rules, found),
        "actions": _bars(rules, state, one.prior, one.visits, of_mover(one.qvalues, mover), names, shown),
    }


def policy_alone(rules: Rules, state: OneState, prior: np.ndarray, value: np.ndarray) -> dict[str, Any]:
    """The thought of a network without a search: its policy f32[A] and value f32[] or [P]."""
    nothing = np.zeros_like(prior)
    best = int(np.argmax(np.where(np.asarray(state.legal_action_mask), prior, -1.0)))
    mover = rules.mover(state)
    return {
        "mover": mover,
        "simulations": 0,
        "value": by_seat(value, mover, rules.spec.num_players),
        "action": best,
        "policy": {},
        "variation": [best],
        "unfolds": False,
        "actions": _bars(rules, state, prior, nothing, nothing, {}, SHOWN),
    }


def _bars(
    rules: Rules,
    state: OneState,
    prior: np.ndarray,
    visits: np.ndarray,
    qvalues: np.ndarray,
    names: dict[int, str],
    shown: int,
) -> list[dict[str, Any]]:
    """The actions of most visits, or of the highest prior."""
    order = sorted(names or rules.legal(state), key=lambda action: (-visits[action], -prior[action]))[:shown]
    return [
        {
            "action": action,
            "name": names.get(action) or rules.name_of(state, action),
            "prior": float(prior[action]),
            "visits": float(visits[action]),
            "q": float(qvalues[action]) if visits[action] > 0 else None,
        }
        for action in order
    ]


def vector_name(vector: np.ndarray) -> str:
    """A continuous action in short."""
    return f"({', '.join(f'{number:.2f}' for number in vector)})"


def by_seat(value: np.ndarray, mover: int, num_players: int) -> list[float]:
    """[P] of a value [] for the player to move, or [P] by seat."""
    if np.ndim(value):
        return [float(x) for x in value]
    return [float(value) if seat == mover else -float(value) for seat in range(num_players)]


def of_mover(values: np.ndarray, mover: int) -> np.ndarray:
    """Values [A] of the player to move, of values [A] or [A, P] by seat."""
    return values[:, mover] if values.ndim == 2 else values


def unfolds(rules: Rules, found: Analysis) -> bool:
    """Whether the tree's edges are moves that may be shown: not chance, candidates, or guesses of hidden things.

    An emulator cannot show where they lead.
    """
    spec = rules.spec
    one_kind = found.principal_variation.shape[-1] == getattr(found.tree, "num_simulations", 0) > 1
    return one_kind and not (spec.hidden_information or spec.action_size or spec.external)


class Branch(NamedTuple):
    """A child in a tree."""

    node: int
    action: int
    visits: int
    qvalue: float
    """For the player to move at its parent."""
    prior: float


class Branches:
    """The tree of one position's search on the host: children by visits."""

    def __init__(self, tree: Tree, row: int = 0) -> None:
        """The tree in one row of `tree`."""
        parents, actions, visits, qvalues, priors = jax.device_get(_edges(tree, row))
        # A parent has as many visits as its child or more, and a lower number: it comes first.
        self._order: list[int] = np.argsort(-visits, kind="stable")[: np.count_nonzero(visits)].tolist()
        self._children: dict[int, list[Branch]] = {}
        for node in self._order:
            branch = Branch(
                node, int(actions[node]), int(visits[node]), float(qvalues[node]), float(priors[node])
            )
            self._children.setdefault(int(parents[node]), []).append(branch)

    def most_visited(self, count: int) -> set[int]:
        """The nodes of most visits, each with all above it but the root."""
        return set(self._order[:count])

    def below(self, node: int) -> list[Branch]:
        """The children of a node, the most visited first."""
        return self._children.get(node, [])

    def at(self, path: Sequence[int]) -> int:
        """The node that actions lead to from the root; -1 where there is none."""
        node = 0
        for action in path:
            node = next((child.node for child in self.below(node) if child.action == action), -1)
        return node


@jax.jit
def _edges(tree: Tree, row: int) -> tuple[jax.Array, ...]:
    """Of the edge to each node: its parent and action i32[N], visits i32[N], Q-value and prior f32[N]."""
    nodes, children = tree.nodes[row], tree.children[row]
    parents = nodes[:, layout.PARENT].astype(jnp.int32)
    above = jnp.maximum(parents, 0)
    slots = children[above]  # [N, S, fields]
    here = layout.child_nodes(slots) == jnp.arange(nodes.shape[0], dtype=jnp.int32)[:, None]
    here = here & (parents >= 0)[:, None]

    def of_edge(field: int) -> jax.Array:
        return jnp.sum(jnp.where(here, slots[..., field], 0.0), axis=-1)

    priors = jnp.exp(of_edge(layout.PRIOR) - nodes[above, layout.PRIOR_MASS])
    actions = nodes[:, layout.ACTION].astype(jnp.int32)
    return parents, actions, of_edge(layout.VISITS).astype(jnp.int32), of_edge(layout.QVALUE), priors
