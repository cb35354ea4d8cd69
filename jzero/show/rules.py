"""One game at a time: first state, next state, names of actions, pictures, places to click.

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
        if path and self.spec.resamples:
            state = self._resample(state, np.uint32(seed))
        states = [state]
        for ply, action in enumerate(path, 1):
            if self.spec.external or action not in self.legal(states[-1]):
                break
            states.append(self.after(states[-1], action, seed, ply))
        return states

    def over(self, state: OneState) -> bool:
        """Whether the game has ended."""
        return bool(is_finished(state))

    def mover(self, state: OneState) -> int:
        """The player to move."""
        return int(state.current_player)

    def legal(self, state: OneState) -> list[int]:
        """The legal actions; none when the game is over."""
        return [] if self.over(state) else np.flatnonzero(np.asarray(state.legal_action_mask)).tolist()

    def name_of(self, state: OneState, action: int) -> str:
        """What players call the action; its number where the environment has no names."""
        return self.env.action_name(state, action) if self.spec.names_actions else str(action)

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

        Args:
            state: the state.
            viewer: the player who looks; None for somebody who may see everything.
            imagined: the state was not reached, so its end does not turn the cards.
        """
        if not self.spec.draws:
            return ""
        if not self._hides(state, viewer, imagined):
            return self.env.svg(state)
        return self.env.svg_for(state, viewer) if self.spec.draws_for else ""

    def _hides(self, state: OneState, viewer: int | None, imagined: bool = False) -> bool:
        """Whether this viewer may not see all of the state."""
        return viewer is not None and self.spec.hidden_information and (imagined or not self.over(state))

    def board(self, state: OneState, viewer: int | None, *, imagined: bool = False) -> dict[str, Any]:
        """The picture as a data URL with its box [x, y, width, height] and the places to click; {} without one."""
        svg = self.picture(state, viewer, imagined=imagined)
        if not svg:
            return {}
        areas = self.env.areas(state) if self.spec.places and not self.over(state) else {}
        return {"url": data_url(svg), "box": box(svg), "areas": {str(a): list(r) for a, r in areas.items()}}

    def text(self, state: OneState, viewer: int | None) -> str:
        """The position in words for a terminal; which moves there are where the environment has no words."""
        hides = self._hides(state, viewer)
        if self.spec.writes and not hides:
            return self.env.text(state)
        if self.spec.writes_for and hides:
            return self.env.text_for(state, viewer)
        names = list(self.names(state).values())
        mover = "" if self.over(state) else f"player {self.mover(state) + 1} to move: "
        return mover + ", ".join(names)

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


def outcome(reward: list[float], mover_names: list[str]) -> str:
    """How a finished game ended, in words."""
    if len(reward) == 1:
        return f"return {reward[0]:.4g}"
    best = [name for name, earned in zip(mover_names, reward, strict=True) if earned == max(reward)]
    if len(best) == len(reward):
        return "a draw"
    won = f"{' and '.join(best)} {'wins' if len(best) == 1 else 'win'}"
    if len(reward) == 2 and sorted(reward) == [-1.0, 1.0]:
        return won
    return f"{won}: {', '.join(f'{earned:.4g}' for earned in reward)}"
