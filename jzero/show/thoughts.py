"""A search of one position as JSON: bars and an expected line.

A thought is

    {"mover": seat, "simulations": number, "value": [P], "action": the agent's, "policy": {action: share},
     "variation": [action], "unfolds": whether its tree has branches to show,
     "actions": [{"action", "name", "prior", "visits", "q": number or None}], the most visited first}

Axes: A actions, P players. Continuous actions are indices of the root's candidates.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from jzero.analysis import Analysis
from jzero.pytrees import Json, OneState
from jzero.show.boards import vector_name
from jzero.show.branches import unfolds
from jzero.show.rules import Rules

SHOWN = 40
"""Largest number of actions of a thought, and of children of a node."""


def thought_of(rules: Rules, state: OneState, found: Analysis, row: int, shown: int = SHOWN) -> Json:
    """The thought of one row of an analysis, with at most `shown` actions.

    Args:
        rules: rules of the game.
        state: the row's state, unfinished.
        found: the analysis; a large one is faster on the host (`on_host`).
        row: row of the batch.
        shown: number of actions to list.
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
        "variation": _showable(rules, variation),
        "unfolds": unfolds(rules, found),
        "actions": _bars(rules, state, one.prior, one.visits, of_mover(one.qvalues, mover), names, shown),
    }


def policy_alone(rules: Rules, state: OneState, prior: np.ndarray, value: np.ndarray) -> Json:
    """The thought of a network without search: its policy f32[A] and value f32[] or [P]."""
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


def _showable(rules: Rules, variation: list[int]) -> list[int]:
    """The part of a line that may and can be shown: an emulator cannot look ahead."""
    if rules.spec.external:
        return []
    # A later move of a line would show what hidden things it depends on.
    return variation[:1] if rules.spec.hidden_information else variation


def _bars(
    rules: Rules,
    state: OneState,
    prior: np.ndarray,
    visits: np.ndarray,
    qvalues: np.ndarray,
    names: dict[int, str],
    shown: int,
) -> list[Json]:
    """The actions with the most visits, or the highest prior."""
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


def by_seat(value: np.ndarray, mover: int, num_players: int) -> list[float]:
    """Values [P] by seat, from a value [] for the player to move or values [P] by seat."""
    if np.ndim(value):
        return [float(x) for x in value]
    return [float(value) if seat == mover else -float(value) for seat in range(num_players)]


def of_mover(values: np.ndarray, mover: int) -> np.ndarray:
    """Values [A] of the player to move, from values [A] or [A, P] by seat."""
    return values[:, mover] if values.ndim == 2 else values
