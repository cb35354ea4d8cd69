"""Expectimax over an environment equals exhaustive expectimax in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048

from jzero.evaluate.expectimax import expectimax_action, expectimax_qvalues
from tests.helpers.env_examples import DiceRace, TwoPiles
from tests.oracles import game_2048 as rules

KEY = jax.random.key(0)


def gain(after):
    return after.rewards[0]


def plain(board, depth):
    """Action -> the score that is expected of it and of the best moves after it, `depth` moves in all."""
    found = {}
    for action in rules.legal_actions(board):
        moved, score = rules.slide(board, action)
        if depth > 1:
            score += sum(
                float(chance) * max(plain(after, depth - 1).values(), default=0.0)
                for chance, after in rules.new_tiles(moved)
            )
        found[action] = score
    return found


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_qvalues_equal_those_of_plain_python(depth):
    env, rng = Game2048(2), np.random.default_rng(depth)
    boards = (rng.integers(1, 4, size=(40, 2, 2)) * (rng.random((40, 2, 2)) < 0.8)).astype(np.int8)
    tiles = [tuple(tuple(2**x if x else 0 for x in row) for row in board) for board in boards.tolist()]
    legal = np.array([[action in rules.legal_actions(board) for action in range(4)] for board in tiles])
    start = env.init(KEY)
    states = jax.vmap(lambda board, legal: start._replace(board=board, legal_action_mask=legal))(
        boards, legal
    )
    found = jax.jit(jax.vmap(lambda state: expectimax_qvalues(env, state, depth, gain)))(states)
    for row, board in enumerate(tiles):
        expected = plain(board, depth)
        assert np.flatnonzero(found[row] > -np.inf).tolist() == sorted(expected)
        for action, value in expected.items():
            assert float(found[row, action]) == pytest.approx(value, rel=1e-4, abs=1e-4)


def test_equals_are_chosen_at_random():
    env = Game2048(2)
    state = env.init(KEY)._replace(
        board=jnp.array([[1, 0], [0, 1]], jnp.int8), legal_action_mask=jnp.ones(4, bool)
    )
    keys = jax.random.split(KEY, 400)
    actions = jax.jit(jax.vmap(lambda key: expectimax_action(env, state, key, 1, gain)))(keys)
    assert np.bincount(actions, minlength=4).min() > 60


@pytest.mark.parametrize(
    ("env", "depth", "message"),
    [
        (DiceRace(2), 1, "DiceRace has 2 players"),
        (TwoPiles(), 1, "no explicit chance"),
        (Game2048(2), 0, "depth is 0"),
    ],
)
def test_what_it_is_not_for(env, depth, message):
    with pytest.raises(ValueError, match=message):
        expectimax_qvalues(env, env.init(KEY), depth, gain)
