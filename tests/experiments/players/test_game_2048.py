"""The players of 2048 that need no training, on boards where the best move is plain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048

from experiments.players.game_2048 import expectimax, greedy
from jzero.evaluate import Turn, random_player
from jzero.evaluate.encounters import play_encounter


def test_greedy_takes_what_scores_most_now():
    env = Game2048(2)
    state = jax.jit(env.init)(jax.random.key(0))
    board = jnp.array([[3, 3], [1, 1]], state.board.dtype)  # sideways scores 8 + 8 / 4, up and down nothing
    state = state._replace(
        board=board, legal_action_mask=env.init(jax.random.key(0)).legal_action_mask | True
    )
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * 32), state)
    actions = greedy(env)(Turn(states, [[]] * 32, np.ones(32, bool), jax.random.key(1)))
    scores = [float(env.decide(state, jnp.int32(action)).rewards[0]) for action in range(4)]
    best = {action for action in range(4) if scores[action] == max(scores)}
    assert len(best) == 2
    assert set(actions.tolist()) == best


@pytest.mark.slow
def test_looking_further_ahead_scores_more():
    env = Game2048(3)
    options = {"games": 40, "opening_plies": (0, 0), "seed": 0}
    values = [
        play_encounter(env, "returns", player, None, **options)["value"]
        for player in (random_player(env), greedy(env), expectimax(env, depth=2))
    ]
    assert values[0] < values[1] < values[2]
