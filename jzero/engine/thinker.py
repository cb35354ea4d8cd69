"""Searches of one position for a protocol: in the background, with growing numbers of simulations, within a time.

JAX runs a program asynchronously, so the controller can be polled during a search without a thread. A search that
is no longer needed runs to its end unread; the next one waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np

from jzero.agent import Agent
from jzero.analysis import Analysis, principal_variation
from jzero.pytrees import States

ROOMS = (32, 256)
"""Simulations of the smaller programs: a tree's capacity costs time even if unused."""
MAX_LINES = 32
"""Number of actions with lines in a finding."""
POLL = 0.005
"""Seconds between polls of the input."""
GROWTH = 3
"""Growth factor of simulations from one search of a position to the next."""


class Finding(NamedTuple):
    """The result of a search in one position."""

    simulations: int
    seconds: float
    action: int
    """The agent's choice."""
    value: float
    """Value -1 .. 1 for the player to move."""
    visits: np.ndarray
    """i32[A]"""
    qvalues: np.ndarray
    """f32[A] Q-values for the player to move; 0 if not visited."""
    prior: np.ndarray
    """f32[A] the network's policy."""
    lines: dict[int, list[int]]
    """Expected line starting with each of the most visited actions and the chosen one."""

    def ranked(self) -> list[int]:
        """The actions with a line: the choice first, then by decreasing visits and prior."""
        return sorted(self.lines, key=lambda a: (a != self.action, -self.visits[a], -self.prior[a]))


class Thinks(Protocol):
    """The interface of `Thinker`, which tests can replace."""

    most: int
    """Simulations of the largest search."""

    def begin(self, states: States, simulations: int) -> Pending:
        """Starts a search of a batch of size 1."""
        ...

    def number_for(self, seconds: float) -> int:
        """Simulations that fit into `seconds`, at least 1."""
        ...


class Pending(Protocol):
    """A running search."""

    def ready(self) -> bool:
        """Whether the search has ended."""
        ...

    def finding(self) -> Finding:
        """Waits for the search; returns its result."""
        ...

    def leave(self) -> None:
        """Abandons a search that takes too long, and lowers the estimate of the speed."""
        ...


class Thinker:
    """An agent's searches, compiled for a few tree sizes."""

    def __init__(self, agent: Agent, most: int, seed: int = 0) -> None:
        """Prepares searches of up to `most` simulations.

        Args:
            agent: an agent for a two-player game with a value for the player to move.
            most: simulations of the largest search, at least 1.
            seed: seed of the searches.

        Raises:
            ValueError: `most` is below 1.
        """
        if most < 1:
            raise ValueError(f"most is {most}; expected at least 1 simulation")
        self.agent, self.most = agent, most
        self._rooms = sorted({min(room, most) for room in (*ROOMS, most)})
        self._speeds: dict[int, float] = {}
        self._key = jax.random.key(seed)
        count = min(MAX_LINES, agent.env.num_actions)
        self._read = jax.jit(partial(_read, count))

    def warm_up(self, states: States) -> None:
        """Compiles every program and measures its speed; `states` is a batch of size 1."""
        for room in self._rooms:
            self._begin(states, 1, room).finding()
            self._begin(states, min(room, ROOMS[0]), room).finding()

    def begin(self, states: States, simulations: int) -> Search:
        """Starts a search of a batch of size 1, with at most `most` simulations."""
        simulations = max(1, min(simulations, self.most))
        return self._begin(states, simulations, next(room for room in self._rooms if room >= simulations))

    def number_for(self, seconds: float) -> int:
        """Simulations that fit into `seconds` at the speeds measured so far, at least 1."""
        return max(1, *(min(room, int(self._speeds.get(room, 1.0) * seconds)) for room in self._rooms))

    def _begin(self, states: States, simulations: int, room: int) -> Search:
        begun = time.monotonic()
        found = self.agent.analyse(states, self._key, simulations, max_num_simulations=room)
        return Search(self, self._read(found), simulations, room, begun)

    def measure(self, room: int, simulations: int, seconds: float) -> None:
        """Updates the speed estimate of a program: the new measurement, or its mean with the old if that is
        lower.
        """
        if simulations < min(room, ROOMS[0]) // 2:
            return  # says more about the start of a program
        new = simulations / max(1e-6, seconds)
        old = self._speeds.get(room, new)
        self._speeds[room] = min(new, 0.5 * (old + new))


class Search(NamedTuple):
    """A running search of a `Thinker`."""

    thinker: Thinker
    arrays: dict[str, jax.Array]
    simulations: int
    room: int
    begun: float

    def ready(self) -> bool:
        """Whether the search has ended."""
        return all(cast(Any, array).is_ready() for array in self.arrays.values())

    def leave(self) -> None:
        """Abandons a search that takes too long, and lowers the estimate of the speed."""
        self.thinker.measure(self.room, self.simulations, time.monotonic() - self.begun)

    def finding(self) -> Finding:
        """Waits for the search; returns its result."""
        found = jax.device_get(self.arrays)
        seconds = time.monotonic() - self.begun
        self.thinker.measure(self.room, self.simulations, seconds)
        lines = {
            int(action): [int(a) for a in line if a >= 0]
            for action, line in zip(found["actions"], found["lines"], strict=True)
            if line[0] >= 0
        }
        action = int(found["action"])
        lines.setdefault(action, [action])
        numbers = {name: found[name] for name in ("visits", "qvalues", "prior")}
        return Finding(self.simulations, seconds, action, float(found["value"]), **numbers, lines=lines)


def _read(count: int, found: Analysis) -> dict[str, jax.Array]:
    """The fields of a `Finding` from an analysis of one position; lines i32[count, L] of the most visited
    actions.
    """
    visits = found.visits[0]
    actions = jax.lax.top_k(visits, count)[1].astype(jnp.int32)
    follow = jax.vmap(lambda action: principal_variation(found.tree, action[None])[0])
    lines = follow(actions)
    return {
        "action": found.action[0],
        "value": found.value[0],
        "visits": visits.astype(jnp.int32),
        "qvalues": found.qvalues[0],
        "prior": found.prior[0],
        "actions": actions,
        "lines": lines,
    }


def think(
    thinker: Thinks,
    states: States,
    *,
    simulations: int | None = None,
    seconds: float | None = None,
    attend: Callable[[float], bool] = lambda seconds: time.sleep(seconds) or False,
) -> Iterator[Finding]:
    """Yields findings of one position from searches with growing numbers of simulations, each from scratch.

    There is at least one finding. The sequence ends with a search of `simulations`, when the time is up, after the
    largest search, or when `attend` returns true; a running search is then abandoned.

    Args:
        thinker: runs the searches.
        states: the position, a batch of size 1.
        simulations: simulations of the last search; None for the largest possible.
        seconds: time for all searches; None for no limit.
        attend: (seconds) -> bool; waits for the controller for at most this time, and returns whether to stop.
    """
    begun = time.monotonic()
    last = thinker.most if simulations is None else min(simulations, thinker.most)
    number = min(last, thinker.number_for(0.1 if seconds is None else min(0.1, seconds / 4)))
    yielded = False
    while True:
        pending, stop, late = thinker.begin(states, number), False, False
        while not stop and not pending.ready():
            late = seconds is not None and time.monotonic() - begun > seconds
            stop = attend(POLL) or late
        if stop and yielded:
            if late:
                pending.leave()
        else:
            yield pending.finding()
            yielded = True
        if stop or attend(0.0) or number >= last:
            return
        following = min(last, GROWTH * number)
        if seconds is not None:
            fits = thinker.number_for(seconds - (time.monotonic() - begun))
            # No time for another one behind it: it takes what is left.
            following = min(last, fits if fits < GROWTH * following else following)
        if following < last and following < 1.5 * number:
            return
        number = following
