"""One game as a stack of states: play, take back, begin anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env
from jzero.pytrees import States


class Position(NamedTuple):
    """A position of the game."""

    states: States
    """The environment's state, as a batch of one."""
    actions: tuple[int, ...] = ()
    """What was played since the position before it: one action, or a pass of the other player before it."""


class Game:
    """The positions of a game, the newest last. Every step is one compiled program."""

    def __init__(self, env: Env, key: jax.Array | None = None) -> None:
        """A first position of `env`, by `key` where the environment draws one."""
        key = jax.random.key(0) if key is None else key
        self.env = env
        self._step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, None)))
        self._key = key
        self._first: States = jax.tree.map(lambda x: x[None], jax.jit(env.init)(key))
        self.positions = [Position(self._first)]

    @property
    def states(self) -> States:
        """The newest state, as a batch of one."""
        return self.positions[-1].states

    @property
    def state(self) -> Any:
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

    def begin(self, state: Any = None) -> None:
        """A new game, from `state` or from the environment's first one."""
        first = self._first if state is None else jax.tree.map(lambda x: jnp.asarray(x)[None], state)
        self.positions = [Position(first)]

    def after(self, action: int, states: States | None = None) -> States:
        """The states that `action` leads to, from the newest or from `states`; nothing is played."""
        return self._step(
            self.states if states is None else states, jnp.full(1, action, jnp.int32), self._key
        )

    def play(self, *actions: int, states: States | None = None) -> None:
        """Plays actions as one move, from the newest position or from `states`; legality is the caller's care."""
        states = self.states if states is None else states
        for action in actions:
            states = self.after(action, states)
        self.positions.append(Position(states, actions))

    def undo(self) -> bool:
        """Takes the last move back; False where there is none."""
        if len(self.positions) == 1:
            return False
        self.positions.pop()
        return True


def row(states: States) -> Any:
    """The one state of a batch, on the host."""
    return jax.tree.map(lambda x: np.asarray(x)[0], states)
