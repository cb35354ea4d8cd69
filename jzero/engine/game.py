"""One game as a stack of states: play, undo, restart."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env
from jzero.pytrees import OneState, States


class Position(NamedTuple):
    """A position of the game."""

    states: States
    """The environment's state, as a batch of size 1."""
    actions: tuple[int, ...] = ()
    """Actions since the previous position: one action, perhaps after a pass of the other player."""


class Game:
    """The positions of a game, newest last. Every step is one compiled program."""

    def __init__(self, env: Env, key: jax.Array | None = None) -> None:
        """Starts at an initial position of `env`, for which the environment may use `key`."""
        key = jax.random.key(0) if key is None else key
        self.env = env
        self._step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))
        self._key = key
        self._first: States = jax.tree.map(lambda x: x[None], jax.jit(env.init)(key))
        self.positions = [Position(self._first)]

    @property
    def states(self) -> States:
        """The newest state, as a batch of size 1."""
        return self.positions[-1].states

    @property
    def state(self) -> OneState:
        """The newest state."""
        return row(self.states)

    @property
    def over(self) -> bool:
        """Whether the game has ended."""
        return bool(self.states.terminated[0] | self.states.truncated[0])

    @property
    def legal(self) -> np.ndarray:
        """bool[A]: the environment's mask."""
        return np.asarray(self.states.legal_action_mask[0])

    def begin(self, state: OneState | None = None) -> None:
        """Starts a new game, from `state` or the initial state."""
        first = self._first if state is None else jax.tree.map(lambda x: jnp.asarray(x)[None], state)
        self.positions = [Position(first)]

    def after(self, action: int, states: States | None = None) -> States:
        """The states after `action`, from the newest states or `states`; nothing is played."""
        return self._step(
            self.states if states is None else states, jnp.full(1, action, jnp.int32), self._key
        )

    def play(self, *actions: int, states: States | None = None) -> None:
        """Plays actions as one move, from the newest position or `states`; the caller ensures legality."""
        states = self.states if states is None else states
        for action in actions:
            states = self.after(action, states)
        self.positions.append(Position(states, actions))

    def undo(self) -> bool:
        """Takes the last move back; False if there is none."""
        if len(self.positions) == 1:
            return False
        self.positions.pop()
        return True


def row(states: States) -> OneState:
    """The one state of a batch, on the host."""
    return jax.tree.map(lambda x: np.asarray(x)[0], states)
