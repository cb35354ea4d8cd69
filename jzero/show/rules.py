"""One game at a time: first state, next state, names of actions, pictures, places to click.

A path is a line of edges: actions, and where chance is explicit (`jzero.env.ChanceEnv`) its outcomes, counted from
A on, each behind its action. Between the two is an afterstate.

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
from jzero.pytrees import OneState, PyTree
from jzero.show.boards import data_url
from jzero.show.frames import frame, numbers

MAX_NAMED = 512
"""Legal actions of a state that are listed by name."""


class Rules:
    """What is asked of an environment to play it by hand. Random things follow from a game's seed and the ply."""

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
        """The first state of the game of this seed."""
        return self._init(np.uint32(seed))

    def after(self, state: OneState, action: int, seed: int, ply: int) -> PyTree:
        """The state after the game's action number `ply`, from 1 on."""
        return self._step(state, np.int32(action), np.uint32(seed), np.int32(ply))

    def imagine(self, state: OneState, path: Sequence[int], seed: int) -> list[PyTree]:
        """The states [number of actions + 1] along actions that are not played; fewer where one is illegal.

        An emulator does not go back, so there the first state is all.
        Hidden things and chance are drawn anew by the seed: they tell no more than the player to move knows.
        """
        return self.follow(self.redrawn(state, seed) if path else state, path, seed)

    def redrawn(self, state: OneState, seed: int) -> PyTree:
        """The state with other hidden things, where there are any."""
        return self._resample(state, np.uint32(seed)) if self.spec.resamples else state

    def follow(self, state: OneState, path: Sequence[int], seed: int) -> list[PyTree]:
        """The states [number of edges + 1] along a path from a state, hidden things and all; fewer as in `imagine`.

        Chance that the path does not name is drawn by the seed; behind its last action it is still to come.
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
        """Whether there is such an edge: behind an action (`between`) a possible outcome, else a legal action."""
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
        """What players call the action, or the outcome; its number where the environment has no names."""
        if self.is_outcome(edge):
            outcome = edge - self.spec.num_actions
            return self.env.outcome_name(state, outcome) if self.spec.names_outcomes else f"chance {outcome}"
        return self.env.action_name(state, edge) if self.spec.names_actions else str(edge)

    def names(self, state: OneState) -> dict[int, str]:
        """Names of the first `MAX_NAMED` legal actions."""
        return {action: self.name_of(state, action) for action in self.legal(state)[:MAX_NAMED]}

    def action_called(self, state: OneState, name: str) -> int:
        """The legal action of this name, in any case.

        Raises:
            ValueError: there is none.
        """
        wanted = name.strip().casefold()
        for action in self.legal(state):
            if wanted in (self.name_of(state, action).casefold(), str(action)):
                return action
        raise ValueError(f"{name.strip()!r} is no legal move here")

    def picture(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> str:
        """The picture, for one player's eyes where information is hidden; "" where there is none.

        Of one player's environment that draws nothing it is the observation, where that is a picture or a grid.

        Args:
            state: the state.
            viewer: the player who looks; None for somebody who may see everything.
            imagined: the state was not reached, so its end does not turn the cards.
        """
        if not self.spec.draws:
            return frame(self._observe(state)) if self.spec.num_players == 1 else ""
        if not self._hides(state, viewer, imagined):
            return self.env.svg(state)
        return self.env.svg_for(state, viewer) if self.spec.draws_for else ""

    def _hides(self, state: OneState, viewer: int | None, imagined: bool = False) -> bool:
        """Whether this viewer may not see all of the state."""
        return viewer is not None and self.spec.hidden_information and (imagined or not self.over(state))

    def board(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> dict[str, Any]:
        """The picture as a data URL, its box [x, y, width, height] and the places to click; else words ("text")."""
        svg = self.picture(state, viewer, imagined=imagined)
        if not svg:
            return {"text": self.text(state, viewer, imagined=imagined)}
        areas = self.env.areas(state) if self.spec.places and not self.over(state) else {}
        return {"url": data_url(svg), "box": box(svg), "areas": {str(a): list(r) for a, r in areas.items()}}

    def text(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> str:
        """The position in words, for one player's eyes; by the observation or legal moves where there are none."""
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
        """What each player has earned [P] over the states of a game."""
        earned = np.sum([np.asarray(state.rewards, np.float64) for state in states], axis=0)
        return [float(x) for x in np.atleast_1d(earned)]


@functools.lru_cache(maxsize=256)
def box(svg: str) -> list[float]:
    """x, y, width, height of what a picture shows; a square where it does not say."""
    try:
        root = ElementTree.fromstring(svg)
        view = root.get("viewBox", "").replace(",", " ").split()
        sides = view or ["0", "0", root.get("width", ""), root.get("height", "")]
        return [float(side.removesuffix("px")) for side in sides]
    except (ElementTree.ParseError, ValueError):
        return [0.0, 0.0, 100.0, 100.0]


def points(earned: float) -> str:
    """What was earned, to four decimal places: 0.25, 12,345."""
    return f"{round(earned, 4):,.10g}"


def outcome(reward: list[float], mover_names: list[str]) -> str:
    """How a finished game ended, in words."""
    if len(reward) == 1:
        return f"return {points(reward[0])}"
    best = [name for name, earned in zip(mover_names, reward, strict=True) if earned == max(reward)]
    if len(best) == len(reward):
        return "a draw"
    won = f"{' and '.join(best)} {'wins' if len(best) == 1 else 'win'}"
    if len(reward) == 2 and sorted(reward) == [-1.0, 1.0]:
        return won
    return f"{won}: {', '.join(map(points, reward))}"
