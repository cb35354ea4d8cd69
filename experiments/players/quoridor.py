r"""Opponents for Quoridor: shortest path, minimax, OpenSpiel's MCTS.

    python -m jzero match runs/quoridor/20261121-101500:64 experiments.players.quoridor:greedy \
        experiments.players.quoridor:minimax "experiments.players.quoridor:mcts?simulations=1000"

Run this from the repository's top folder; the last player needs `pip install -e ".[test]"`.

Functions take one state, seen by the player to move. Axes: N rows and columns, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jzero_envs.quoridor import Quoridor, QuoridorState

from jzero.evaluate.engines import open_spiel_mcts
from jzero.evaluate.minimax import minimax_player
from jzero.evaluate.turns import Player, as_player


def distances(env: Quoridor, state: QuoridorState) -> jax.Array:
    """i32[2]: moves from the mover's and from the opponent's pawn to its goal, pawns ignored."""
    return env.way_lengths(state).reshape(2, -1)[jnp.arange(2), state.pawns]


def heuristic(env: Quoridor, state: QuoridorState) -> jax.Array:
    """f32[] in (-1, 1): the mover's lead in moves; a wall in hand counts a hundredth of a move."""
    own, other = distances(env, state)
    walls = state.walls_left.astype(jnp.float32)
    return (other - own + (walls[0] - walls[1]) / 100) / (env.size**2 + env.walls / 100)


def order(env: Quoridor, state: QuoridorState) -> jax.Array:
    """f32[A]: pawn moves first, nearest to the goal first; then walls, nearest to the opponent first."""
    size = env.size
    walks = size**2 - env.way_lengths(state)[0].ravel()
    anchors = np.stack(np.divmod(np.arange((size - 1) ** 2), size - 1)) + 0.5
    pawn = jnp.stack(jnp.divmod(state.pawns[1].astype(jnp.int32), size))
    walls = -jnp.abs(anchors - pawn[:, None]).sum(axis=0)
    return jnp.concatenate([walks.astype(jnp.float32), walls, walls])


def greedy_action(env: Quoridor, state: QuoridorState, key: jax.Array) -> jax.Array:
    """i32[]: the pawn move that leaves the shortest path; breaks ties at random."""
    cells = env.size**2
    length = jnp.where(state.legal_action_mask[:cells], env.way_lengths(state)[0].ravel(), cells + 1)
    return jax.random.categorical(key, jnp.where(length == length.min(), 0.0, -jnp.inf)).astype(jnp.int32)


def greedy(env: Quoridor) -> Player:
    """Walks along a shortest path and never places a wall."""

    def act(states: QuoridorState, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, states.terminated.shape[0])
        return jax.vmap(partial(greedy_action, env))(states, keys)

    return as_player(act)


def minimax(env: Quoridor, depth: int | None = None) -> Player:
    """Searches `depth` plies and compares path lengths; breaks ties at random."""
    return minimax_player(env, partial(heuristic, env), depth or default_depth(env), partial(order, env))


def default_depth(env: Quoridor) -> int:
    """4 plies; 2 on boards larger than 5 x 5, where 4 take too long on a CPU."""
    return 4 if env.size <= 5 else 2


def mcts(env: Quoridor, simulations: int = 1000, seed: int = 0) -> Player:
    """OpenSpiel's UCT with random rollouts.

    Raises:
        ValueError: games may be longer than OpenSpiel's 4 N^2 plies.
    """
    if env.ply_limit > 4 * env.size**2:
        raise ValueError(
            f"max_plies is {env.ply_limit}; OpenSpiel ends a game after {4 * env.size**2} plies: use at most that"
        )
    name = f"quoridor(board_size={env.size},wall_count={env.walls})"
    return open_spiel_mcts(name, simulations, seed, translate=partial(open_spiel_actions, env))


def open_spiel_actions(env: Quoridor, history: Sequence[int]) -> list[int]:
    """A game's actions in OpenSpiel's numbers: x + (2 N - 1) y on a board whose odd rows and columns are walls.

    A pawn move has the number of the same move from the cell (1, 1), a straight jump that of the step.
    """
    size, width = env.size, 2 * env.size - 1
    pawns = [(size - 1, size // 2), (0, size // 2)]
    translated = []
    for ply, action in enumerate(history):
        mover = ply % 2
        drawn = int(action if mover == 0 else env.turn[action])  # on the board with player 0 at the bottom
        if drawn < size**2:
            cell = divmod(drawn, size)
            down, right = cell[0] - pawns[mover][0], cell[1] - pawns[mover][1]
            if 0 in (down, right):
                down, right = np.sign(down), np.sign(right)
            pawns[mover] = cell
            x, y = 2 + 2 * right, 2 + 2 * down
        else:
            vertical, anchor = divmod(drawn - size**2, (size - 1) ** 2)
            row, column = divmod(anchor, size - 1)
            x, y = (2 * column + 1, 2 * row) if vertical else (2 * column, 2 * row + 1)
        translated.append(int(x + width * y))
    return translated
