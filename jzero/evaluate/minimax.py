"""Depth-limited minimax with alpha-beta pruning (Knuth and Moore 1975), for many positions side by side.

Every row is a lane with an explicit stack of `depth` levels. A step of the loop plays one move in each unfinished
lane: the next position is pushed, or evaluated, and its value moves up through all finished levels. The loop ends
with the slowest lane.

All values in a stack are player 0's, whoever moves: player 0 raises alpha, player 1 lowers beta, and a level is cut
when they meet. So players may move twice in a row.

Axes: B rows, D levels (depth), A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import Env, is_finished
from jzero.evaluate.turns import Player, as_player
from jzero.pytrees import OneState, States

PLY_LOSS = 2.0**-20
"""Decay of a result per ply, so that wins come soon and losses late; exact in float32."""
HEURISTIC_LIMIT = 1 - 2.0**-10
"""Bound on absolute heuristic values: less than any win within `MAX_DEPTH` plies."""
MAX_DEPTH = 64

Minimax = Callable[[States, jax.Array], tuple[jax.Array, jax.Array]]
"""(states [B], key) -> (actions i32[B], values f32[B])."""


class _Lane(NamedTuple):
    """One row's search. Level 0 holds the position itself."""

    level: jax.Array  # i32[]: where the next move is played; -1 when done
    states: Any  # [D, ...]
    untried: jax.Array  # f32[D, A]: the order's priorities; -inf for illegal actions and those tried
    alpha: jax.Array  # f32[D]: what player 0 has for certain
    beta: jax.Array  # f32[D]: what player 1 has for certain
    trying: jax.Array  # i32[]: the action at level 0 whose value is being found
    action: jax.Array  # i32[]: the best one so far


def minimax(
    env: Env,
    heuristic: Callable[[States], jax.Array],
    depth: int,
    order: Callable[[States], jax.Array] | None = None,
) -> Minimax:
    """Makes the compiled search `(states [B], key) -> (actions i32[B], values f32[B])`.

    A value is for the player to move in the row's state: the heuristic `depth` plies ahead, or the reward of the
    step that ends the game, less 2^-20 per ply until then. The key only breaks ties, uniformly. Finished rows get
    an arbitrary action and the value 0.

    Args:
        env: a two-player zero-sum game without chance, whose reward comes at the last step and is in [-1, 1]. A
            truncated game is worth that step's reward; 0 is a draw.
        heuristic: state -> value f32[] for the player to move, in (-1, 1); clipped to 2^-10 less than a win.
        depth: plies, > 0.
        order: state -> finite priorities f32[A] of its actions; the largest is tried first. A good order saves time
            and changes no value.

    Raises:
        ValueError: `env` does not have two players, or `depth` is out of range.
    """
    if env.num_players != 2:
        raise ValueError(f"env: minimax needs a game of 2 players, this one has {env.num_players}")
    if not 0 < depth <= MAX_DEPTH:
        raise ValueError(f"depth: expected a number of plies from 1 to {MAX_DEPTH}, got {depth}")

    def priorities(state: OneState) -> jax.Array:
        """f32[A]: the order's, -inf for illegal actions."""
        chosen = jnp.zeros(env.num_actions) if order is None else order(state)
        return jnp.where(state.legal_action_mask, chosen, -jnp.inf).astype(jnp.float32)

    def start(state: OneState) -> _Lane:
        return _Lane(
            level=jnp.where(is_finished(state), -1, 0).astype(jnp.int32),
            states=jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (depth, *leaf.shape)), state),
            untried=jnp.broadcast_to(priorities(state), (depth, env.num_actions)),
            alpha=jnp.full(depth, -jnp.inf),
            beta=jnp.full(depth, jnp.inf),
            trying=jnp.int32(0),
            action=jnp.int32(0),
        )

    def advance(lane: _Lane, noise: jax.Array) -> _Lane:
        """Plays one move; `noise` f32[A] breaks ties between actions."""
        level = lane.level
        action = lane.untried[level].argmax().astype(jnp.int32)
        parent = jax.tree.map(lambda leaf: leaf[level], lane.states)
        child = env.step(parent, action, jax.random.key(0))
        over = is_finished(child)
        outcome = child.rewards[0] * (1 - PLY_LOSS * (level + 1))
        limited = jnp.clip(heuristic(child), -HEURISTIC_LIMIT, HEURISTIC_LIMIT)
        value = jnp.where(over, outcome, jnp.where(child.current_player == 0, limited, -limited))

        working = level >= 0
        leaf = over | (level + 1 == depth)
        tried = jnp.where(working, level, depth)
        lane = lane._replace(
            untried=lane.untried.at[tried, action].set(-jnp.inf, mode="drop"),
            trying=jnp.where(level == 0, action, lane.trying),
        )
        lane = _push(lane, working & ~leaf, child, priorities(child))
        return _carry_up(lane, working & leaf, value, noise)

    @jax.jit
    def search(states: States, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise = jax.random.uniform(key, states.legal_action_mask.shape)
        lanes = jax.lax.while_loop(
            lambda lanes: (lanes.level >= 0).any(),
            lambda lanes: jax.vmap(advance)(lanes, noise),
            jax.vmap(start)(states),
        )
        best = jnp.where(states.current_player == 0, lanes.alpha[:, 0], -lanes.beta[:, 0])
        return lanes.action, jnp.where(is_finished(states), 0.0, best)

    return search


def _push(lane: _Lane, pushed: jax.Array, child: OneState, untried: jax.Array) -> _Lane:
    """The lane with `child` and its actions' priorities f32[A] on top, if `pushed` (bool[])."""
    depth = lane.alpha.shape[0]
    below = jnp.where(pushed, lane.level + 1, depth)  # a write beyond the stack is dropped
    # Under level 0 the window is a little wider than what is certain: a value equal to the best one is then exact
    # and no mere bound, so that ties are ties.
    slack = jnp.where(lane.level == 0, PLY_LOSS, 0.0)

    def write(stack: jax.Array, row: jax.Array) -> jax.Array:
        return stack.at[below].set(row, mode="drop")

    return lane._replace(
        level=lane.level + pushed,
        states=jax.tree.map(write, lane.states, child),
        untried=write(lane.untried, untried),
        alpha=write(lane.alpha, lane.alpha[lane.level] - slack),
        beta=write(lane.beta, lane.beta[lane.level] + slack),
    )


def _carry_up(lane: _Lane, valued: jax.Array, value: jax.Array, noise: jax.Array) -> _Lane:
    """If `valued` (bool[]), player 0's `value` of the last move goes to its level and, from each finished level, to
    the one above.
    """
    level, action, alpha, beta = lane.level, lane.action, lane.alpha, lane.beta
    exhausted = (lane.untried == -jnp.inf).all(axis=-1)
    for at in reversed(range(alpha.shape[0])):
        here = valued & (level == at)
        first = lane.states.current_player[at] == 0
        if at == 0:
            gain = jnp.where(first, value - alpha[0], beta[0] - value)
            better = (gain > 0) | ((gain == 0) & (noise[lane.trying] > noise[action]))
            action = jnp.where(here & better, lane.trying, action)
        alpha = alpha.at[at].max(jnp.where(here & first, value, -jnp.inf))
        beta = beta.at[at].min(jnp.where(here & ~first, value, jnp.inf))
        done = here & (exhausted[at] | (alpha[at] >= beta[at]))
        value = jnp.where(done, jnp.where(first, alpha[at], beta[at]), value)
        level = jnp.where(done, at - 1, level)
        valued = valued & (done | ~here)
    return lane._replace(level=level, action=action, alpha=alpha, beta=beta)


def minimax_player(
    env: Env,
    heuristic: Callable[[States], jax.Array],
    depth: int,
    order: Callable[[States], jax.Array] | None = None,
) -> Player:
    """The player that plays the actions of `minimax`; the arguments are the same."""
    search = minimax(env, heuristic, depth, order)
    return as_player(lambda states, key: search(states, key)[0])
