"""Small environments that keep every rule of the protocol, for tests to use and to break."""

import dataclasses
import itertools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, certainty, forfeit, is_finished, keep_finished, step_by_chance


class PilesState(NamedTuple):
    piles: jax.Array  # i32[2]
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class TwoPiles:
    """Nim with two piles of three: take one or two from a pile; whoever takes the last one wins.

    Actions: one from the left pile, two from the left, one from the right, two from the right.
    """

    num_actions = 4
    num_players = 2
    symmetries = (Symmetry(observation=lambda piles: piles[::-1], action=np.array([2, 3, 0, 1])),)

    def init(self, key):
        return PilesState(
            piles=jnp.array([3, 3]),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(4, bool),
            rewards=jnp.zeros(2),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state, action, key):
        next_state = self.take(state, action, key)
        return keep_finished(state, forfeit(state, ~state.legal_action_mask[action], next_state))

    def take(self, state, action, key):
        piles = state.piles.at[action // 2].add(-(action % 2 + 1))
        over = (piles == 0).all()
        mover = jnp.arange(2) == state.current_player
        return PilesState(
            piles=piles,
            current_player=1 - state.current_player,
            legal_action_mask=(piles[:, None] > jnp.arange(2)).reshape(4),
            rewards=jnp.where(over, jnp.where(mover, 1.0, -1.0), 0.0),
            terminated=over,
            truncated=state.truncated,
        )

    def observe(self, state):
        return state.piles.astype(jnp.float32)

    def fingerprint(self, state):
        return jnp.stack([state.piles[0] + 8 * state.piles[1], state.current_player]).astype(jnp.uint32)

    def svg(self, state):
        return f"<svg><text>{state.piles}</text></svg>"


class Emulator(TwoPiles):
    """TwoPiles as if it went on outside of its states: what a step gives depends on how many there were."""

    external = True

    def __init__(self):
        self.steps = itertools.count()

    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(piles=after.piles + next(self.steps))


def roll(key):
    return (jax.random.bits(key) % 3 + 1).astype(jnp.int32)


class Dice:
    """One player adds dice until the sum reaches 6 (won, terminated) or three plies are over (truncated)."""

    num_actions = 2
    num_players = 1

    @chex.dataclass(frozen=True)
    class State:
        total: jax.Array
        ply: jax.Array
        noise: jax.Array  # a key of the random number generator, so that check_env meets one in a state
        current_player: jax.Array
        legal_action_mask: jax.Array
        rewards: jax.Array
        terminated: jax.Array
        truncated: jax.Array

    def init(self, key):
        false, noise = jnp.bool_(False), jax.random.fold_in(key, 1)
        return self.State(
            total=roll(key) - 1,
            ply=jnp.int32(0),
            noise=noise,
            current_player=jnp.int32(0),
            legal_action_mask=jnp.array([True, False]),
            rewards=jnp.zeros(1),
            terminated=false,
            truncated=false,
        )

    def step(self, state, action, key):
        total, ply = state.total + roll(key), state.ply + 1
        next_state = state.replace(
            total=total,
            ply=ply,
            rewards=jnp.where(total >= 6, 1.0, 0.0)[None],
            terminated=total >= 6,
            truncated=(ply == 3) & (total < 6),
        )
        return keep_finished(state, next_state)

    def observe(self, state):
        return {"total": state.total, "ply": state.ply}


class DiceState(NamedTuple):
    position: jax.Array  # i32[P]
    action: jax.Array  # i32[] the last one
    ply: jax.Array  # i32[]
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


@dataclasses.dataclass(frozen=True)
class DiceRace:
    """Players run to `goal`; who arrives wins, and after `limit` plies nobody does.

    Actions: 0 one step, and the turn passes; 1 throw a die (0, 2 or 3 steps), and the turn passes; 2 throw it for
    one step less at the price of 1/8, and move again unless it came to -1 (illegal at the start). With more than
    two players only the winner earns anything.
    """

    num_players: int = 2
    goal: int = 4
    limit: int = 6
    num_actions = 3
    num_outcomes = 3
    alternates = False  # action 2 moves again
    steps = (0, 2, 3)
    chances = (0.5, 0.3, 0.2)

    def init(self, key):
        return DiceState(
            position=jnp.zeros(self.num_players, jnp.int32),
            action=jnp.int32(0),
            ply=jnp.int32(0),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.array([True, True, False]),
            rewards=jnp.zeros(self.num_players),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state, action, key):
        return step_by_chance(self, state, action, key)

    def shares(self, player):
        others = -1.0 if self.num_players == 2 else 0.0
        return jnp.where(jnp.arange(self.num_players) == player, 1.0, others)

    def decide(self, state, action):
        price = jnp.where(action == 2, -0.125, 0.0)
        after = state._replace(
            action=action, ply=state.ply + 1, rewards=price * self.shares(state.current_player)
        )
        return keep_finished(state, forfeit(state, ~state.legal_action_mask[action], after))

    def chance_logits(self, after):
        thrown = (after.action > 0) & ~is_finished(after)
        return jnp.where(thrown, jnp.log(jnp.array(self.chances)), certainty(3))

    def resolve(self, after, outcome):
        mover, steps = after.current_player, jnp.array(self.steps)[outcome]
        steps = jnp.stack([1, steps, steps - 1])[after.action]
        place = jnp.maximum(after.position[mover] + steps, 0)
        won = place >= self.goal
        again = (after.action == 2) & (steps >= 0)
        player = jnp.where(again, mover, (mover + 1) % self.num_players)
        position = after.position.at[mover].set(place)
        state = after._replace(
            position=position,
            current_player=player,
            legal_action_mask=jnp.array([True, True, False]).at[2].set(position[player] > 0),
            rewards=after.rewards + won * self.shares(mover),
            terminated=won | (after.ply >= self.limit),
        )
        return jax.tree.map(lambda old, new: jnp.where(is_finished(after), old, new), after, state)

    def observe(self, state):
        own = jnp.roll(state.position, -state.current_player)
        return jnp.append(own, state.ply).astype(jnp.float32)


class AimState(NamedTuple):
    goal: jax.Array  # f32[2] the action that earns the most
    ply: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


@dataclasses.dataclass(frozen=True)
class Aim:
    """Continuous actions f32[2]: a shot earns minus the squared distance from the goal, which is seen and moves.

    It ends after `length` shots; half of the games, those with a goal to the right, are cut short there.
    """

    length: int = 2
    action_size = 2
    num_players = 1

    def init(self, key):
        no = jnp.bool_(False)
        return AimState(_goal(key), jnp.int32(0), jnp.int32(0), jnp.ones(1, bool), jnp.zeros(1), no, no)

    def step(self, state, action, key):
        error = jnp.sum((jnp.clip(action, -1, 1) - state.goal) ** 2)
        over, right = state.ply + 1 >= self.length, state.goal[0] > 0
        after = state._replace(
            goal=_goal(key),
            ply=state.ply + 1,
            rewards=-error[None],
            terminated=over & ~right,
            truncated=over & right,
        )
        return keep_finished(state, after)

    def observe(self, state):
        return state.goal


def _goal(key):
    return jax.random.uniform(key, (2,), minval=-0.8, maxval=0.8)
