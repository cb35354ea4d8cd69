"""The players of 2048 that need no training."""

from functools import partial

import jax
import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048

from experiments.players.game_2048 import expectimax, greedy
from jzero.env import init_batch, random_actions, step_batch
from jzero.evaluate import Turn, random_player
from jzero.evaluate.encounters import play_encounter
from jzero.evaluate.expectimax import expectimax_qvalues

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_greedy_looks_at_one_move_and_expectimax_at_more():
    env, key = Game2048(3), jax.random.key(0)
    states = init_batch(env, key, 256)
    step = jax.jit(lambda states, key: step_batch(env, states, random_actions(states, key), key))
    for ply in range(12):
        states = step(states, jax.random.fold_in(key, ply))

    def best(depth):
        worth = partial(expectimax_qvalues, env, depth=depth, afterstate_value=lambda after: after.rewards[0])
        qvalues = np.asarray(jax.jit(jax.vmap(worth))(states))
        return np.isclose(qvalues, qvalues.max(axis=1, keepdims=True))

    going = ~np.asarray(states.terminated)
    turn = Turn(states, [[]] * 256, going, key)
    rows, best_of = np.flatnonzero(going), {1: best(1), 2: best(2)}
    assert not (best_of[1] & best_of[2]).any(axis=1)[rows].all()  # there is something to tell them apart
    for player, depth in ((greedy(env), 1), (expectimax(env, depth=2), 2), (expectimax(env), 2)):
        assert best_of[depth][rows, player(turn)[rows]].all()


@pytest.mark.slow
def test_looking_further_ahead_scores_more():
    env = Game2048(3)
    options = {"games": 40, "opening_plies": (0, 0), "seed": 0}
    values = [
        play_encounter(env, "returns", player, None, **options)["value"]
        for player in (random_player(env), greedy(env), expectimax(env, depth=2))
    ]
    assert values[0] < values[1] < values[2]
