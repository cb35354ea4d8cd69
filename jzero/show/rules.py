"""One game at a time: initial state, next state, names of actions, pictures, places to click.

A path is a sequence of edges: actions and, with explicit chance (`jzero.env.ChanceEnv`), outcomes with indices from
A on, each after its action. Between the two is an afterstate.

Axes: A actions, P players.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast
from xml.etree import ElementTree

import jax
import numpy as np

from jzero.env import Env, is_finished, seeded_key
from jzero.env_spec import describe
from jzero.pytrees import Json, OneState, PyTree
from jzero.show.boards import data_url
from jzero.show.frames import frame, numbers

MAX_NAMED = 512
"""Largest number of legal actions to list by name."""


class Rules:
    """Functions to play an environment by hand. Chance follows from a game's seed and the ply."""

    def __init__(self, env: Env, name: str) -> None:
        self.spec = describe(env, name)
        self.env = game = cast(Any, env)
        self._init = jax.jit(lambda seed: env.init(seeded_key(seed, 0)))
        self._step = jax.jit(lambda state, action, seed, ply: env.step(state, action, seeded_key(seed, ply)))
        self._resample = jax.jit(lambda state, seed: game.resample(state, seeded_key(seed, 0)))
        self._decide = jax.jit(lambda state, action: game.decide(state, action))
        self._observe = jax.jit(env.observe)
        self._resolve = jax.jit(lambda state, outcome: game.resolve(state, outcome))

    def first(self, seed: int) -> PyTree:
        """The initial state of the game with this seed."""
        return self._init(np.uint32(seed))

    def after(self, state: OneState, action: int, seed: int, ply: int) -> PyTree:
        """The state after the game's action number `ply`, counted from 1."""
        return self._step(state, np.int32(action), np.uint32(seed), np.int32(ply))

    def imagine(self, state: OneState, path: Sequence[int], seed: int) -> list[PyTree]:
        """The states [number of actions + 1] along hypothetical actions; fewer if one is illegal.

        An emulator cannot return to a state, so it gives only the first one. Hidden information and chance are
        resampled with the seed, so they reveal no more than the player to move knows.
        """
        return self.follow(self.redrawn(state, seed) if path else state, path, seed)

    def redrawn(self, state: OneState, seed: int) -> PyTree:
        """The state with its hidden information resampled, if there is any."""
        return self._resample(state, np.uint32(seed)) if self.spec.resamples else state

    def follow(self, state: OneState, path: Sequence[int], seed: int) -> list[PyTree]:
        """The states [number of edges + 1] along a path from the true state; fewer as in `imagine`.

        Chance that the path does not name is sampled with the seed; after its last action it is open.
        """
        states, between = [state], False
        for ply, edge in enumerate(path, 1):
            if self.spec.external or not self.begins_at(states[-1], edge, between=between):
                break
            between = not between and self.spec.chance and (ply == len(path) or self.is_outcome(path[ply]))
            states.append(self.along(states[-1], edge, seed, ply, decides=between))
        return states

    def is_outcome(self, edge: int) -> bool:
        """Whether an edge is an outcome of chance."""
        return self.spec.chance and edge >= self.spec.num_actions

    def along(self, state: OneState, edge: int, seed: int, ply: int, *, decides: bool) -> PyTree:
        """The state after an edge; after an action that only `decides` the afterstate."""
        if self.is_outcome(edge):
            return self._resolve(state, np.int32(edge - self.spec.num_actions))
        return self._decide(state, np.int32(edge)) if decides else self.after(state, edge, seed, ply)

    def begins_at(self, state: OneState, edge: int, *, between: bool) -> bool:
        """Whether the edge exists: after an action (`between`) a possible outcome, else a legal action."""
        if not between:
            return edge in self.legal(state)
        outcome = edge - self.spec.num_actions
        logits = np.asarray(cast(Any, self.env).chance_logits(state))
        return 0 <= outcome < len(logits) and bool(logits[outcome] > -np.inf)

    def over(self, state: OneState) -> bool:
        """Whether the game has ended."""
        return bool(is_finished(state))

    def mover(self, state: OneState) -> int:
        """The player to move."""
        return int(state.current_player)

    def legal(self, state: OneState) -> list[int]:
        """The legal actions; none when the game is over."""
        return [] if self.over(state) else np.flatnonzero(np.asarray(state.legal_action_mask)).tolist()

    def name_of(self, state: OneState, edge: int) -> str:
        """The name of the action or the outcome; its index if the environment has no names."""
        if self.is_outcome(edge):
            outcome = edge - self.spec.num_actions
            return self.env.outcome_name(state, outcome) if self.spec.names_outcomes else f"chance {outcome}"
        return self.env.action_name(state, edge) if self.spec.names_actions else str(edge)

    def names(self, state: OneState) -> dict[int, str]:
        """Names of the first `MAX_NAMED` legal actions."""
        return {action: self.name_of(state, action) for action in self.legal(state)[:MAX_NAMED]}

    def action_called(self, state: OneState, name: str) -> int:
        """The legal action with this name, ignoring case.

        Raises:
            ValueError: there is none.
        """
        wanted = name.strip().casefold()
        for action in self.legal(state):
            if wanted in (self.name_of(state, action).casefold(), str(action)):
                return action
        raise ValueError(f"{name.strip()!r} is not a legal move here")

    def picture(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> str:
        """The picture, as one player sees it if information is hidden; "" if there is none.

        For a single-player environment without pictures it is the observation, if that is a picture or a grid.

        Args:
            state: the state.
            viewer: the player who looks; None shows everything.
            imagined: the state is hypothetical, so its end does not reveal the cards.
        """
        if not self.spec.draws:
            return frame(self._observe(state)) if self.spec.num_players == 1 else ""
        if not self._hides(state, viewer, imagined):
            return self.env.svg(state)
        return self.env.svg_for(state, viewer) if self.spec.draws_for else ""

    def _hides(self, state: OneState, viewer: int | None, imagined: bool = False) -> bool:
        """Whether this viewer may not see all of the state."""
        return viewer is not None and self.spec.hidden_information and (imagined or not self.over(state))

    def board(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> Json:
        """The picture as a data URL, its box [x, y, width, height] and the places to click; else text ("text")."""
        svg = self.picture(state, viewer, imagined=imagined)
        if not svg:
            return {"text": self.text(state, viewer, imagined=imagined)}
        areas = self.env.areas(state) if self.spec.places and not self.over(state) else {}
        return {"url": data_url(svg), "box": box(svg), "areas": {str(a): list(r) for a, r in areas.items()}}

    def text(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> str:
        """The position as text, as one player sees it; by default the observation or the legal moves."""
        hides = self._hides(state, viewer, imagined)
        if self.spec.writes and not hides:
            return self.env.text(state)
        if self.spec.writes_for and hides:
            return self.env.text_for(state, viewer)
        if self.spec.num_players == 1:
            return numbers(self._observe(state))
        if self.over(state):
            return ""
        # What another player may do would show what it holds.
        names = [] if hides and viewer != self.mover(state) else list(self.names(state).values())
        return f"player {self.mover(state) + 1} to move" + f": {', '.join(names)}" * bool(names)

    def reward(self, states: list[PyTree]) -> list[float]:
        """Return of each player [P] over the states of a game."""
        earned = np.sum([np.asarray(state.rewards, np.float64) for state in states], axis=0)
        return [float(x) for x in np.atleast_1d(earned)]


@functools.lru_cache(maxsize=256)
def box(svg: str) -> list[float]:
    """x, y, width, height of a picture's view box; a square by default."""
    try:
        root = ElementTree.fromstring(svg)
        view = root.get("viewBox", "").replace(",", " ").split()
        sides = view or ["0", "0", root.get("width", ""), root.get("height", "")]
        return [float(side.removesuffix("px")) for side in sides]
    except (ElementTree.ParseError, ValueError):
        return [0.0, 0.0, 100.0, 100.0]


def points(earned: float) -> str:
    """A return with up to four decimal places: 0.25, 12,345."""
    return f"{round(earned, 4):,.10g}"


def outcome(reward: list[float], mover_names: list[str]) -> str:
    """The outcome of a finished game as text."""
    if len(reward) == 1:
        return f"return {points(reward[0])}"
    best = [name for name, earned in zip(mover_names, reward, strict=True) if earned == max(reward)]
    if len(best) == len(reward):
        return "a draw"
    won = f"{' and '.join(best)} {'wins' if len(best) == 1 else 'win'}"
    if len(reward) == 2 and sorted(reward) == [-1.0, 1.0]:
        return won
    return f"{won}: {', '.join(map(points, reward))}"
