"""Scripted players and small games shared by the tests of this folder."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.evaluate import Player, Turn
from tests.oracles import tic_tac_toe as oracle


def lowest_player(turn: Turn) -> np.ndarray:
    """The legal action with the lowest number."""
    return np.asarray(turn.states.legal_action_mask).argmax(axis=1)


def highest_player(turn: Turn) -> np.ndarray:
    """The legal action with the highest number."""
    legal = np.asarray(turn.states.legal_action_mask)
    return legal.shape[1] - 1 - legal[:, ::-1].argmax(axis=1)


class Table:
    """A tic-tac-toe policy given as {board: cell}, usable inside jit as `act(states)`."""

    def __init__(self, policy: dict[oracle.Board, int]):
        self.policy = policy
        actions = np.zeros(3**9, np.int32)
        for board, cell in policy.items():
            actions[_code(np.array(board))] = cell
        self._actions = jnp.asarray(actions)

    def __call__(self, states) -> jax.Array:
        return self._actions[_code(states.board.astype(jnp.int32))]

    def as_player(self) -> Player:
        return lambda turn: np.asarray(self(turn.states))


def _code(board):
    return ((board + 1) * 3 ** np.arange(9)).sum(axis=-1)


def tic_tac_toe_policy(choose) -> dict[oracle.Board, int]:
    """{board: choose(board)} for all unfinished boards."""
    policy = {}

    def visit(board: oracle.Board) -> None:
        if board in policy or oracle.lost(board) or not oracle.empty_cells(board):
            return
        policy[board] = choose(board)
        for cell in oracle.empty_cells(board):
            visit(oracle.after(board, cell))

    visit((0,) * 9)
    return policy


def perfect_policy() -> dict[oracle.Board, int]:
    """The first of the best moves everywhere."""
    return tic_tac_toe_policy(lambda board: oracle.best_moves(board)[0])


class PickState(NamedTuple):
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    ply: jax.Array
    bonus: jax.Array


class PickGame:
    """A game without alternation: each player picks 0, 1 or 2 twice in a row and earns it.

    Chance picks who begins, and whether player 0 gets a bonus at the last move.
    """

    num_actions, num_players = 3, 2

    def __init__(self, bonus: float = 0.0):
        self.bonus = bonus

    def init(self, key):
        first = jax.random.randint(key, (), 0, 2)
        false = jnp.bool_(False)
        return PickState(first, jnp.ones(3, bool), jnp.zeros(2), false, false, jnp.int32(0), jnp.zeros(()))

    def step(self, state, action, key):
        ply = state.ply + 1
        own = jnp.arange(2) == state.current_player
        bonus = jnp.where(ply == 4, self.bonus * jax.random.bernoulli(key), 0.0)
        rewards = jnp.where(own, action, 0.0) + jnp.array([1.0, 0.0]) * bonus
        after = state._replace(
            current_player=jnp.where(ply == 2, 1 - state.current_player, state.current_player),
            rewards=rewards,
            terminated=ply >= 4,
            ply=ply,
            bonus=bonus,
        )
        still = state._replace(rewards=jnp.zeros(2))
        return jax.tree.map(lambda old, new: jnp.where(state.terminated, old, new), still, after)

    def observe(self, state):
        return state.ply
