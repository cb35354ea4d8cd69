"""What the replay keeps of positions is what learning reads of them, in fewer bytes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.algorithms.alphazero import position_of
from jzero.algorithms.unrolled import recorder_of
from jzero.env import init_batch
from jzero.env_spec import describe
from jzero.record import MAX_POLICY, Position, TopPolicy, make_recorder, pack_policy, unpack_policy
from jzero.registry import make
from tests.helpers.search_tables import quick_jit

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


def num_bytes(tree, rows):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) // rows


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("tic_tac_toe", 16),
        ("connect_four", 60),
        ("blob?players=3&cards=2", 400),
        ("quoridor?size=5&walls=3", 120),
        ("2048", 80),
        ("gymnax:CartPole-v1", 32),
        ("pgx:go_9x9", 1500),
    ],
)
@pytest.mark.parametrize("learned", [False, True], ids=["alphazero", "learned"])
def test_positions_come_back_as_they_were_read(name, most, learned):
    if name.startswith("gymnax:"):
        pytest.importorskip("gymnax")
    env = make(name)
    spec = describe(env, name)
    if learned:
        recorder, read = recorder_of(spec), lambda s: Position(env.observe(s), s.legal_action_mask)
    else:
        read = functools.partial(position_of, spec)
        recorder = make_recorder(env, read)
    states = quick_jit(functools.partial(init_batch, env, batch_size=5))(KEY)
    kept = quick_jit(recorder.pack)(states)
    found, expected = quick_jit(recorder.unpack)(kept), quick_jit(jax.vmap(read))(states)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert num_bytes(kept, 5) <= min(most, num_bytes(states, 5))
    # With further leading axes too: plies by lanes.
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), kept)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[1], y), recorder.unpack(twice), expected)


class Large(NamedTuple):
    board: jax.Array
    legal_action_mask: jax.Array
    hashes: jax.Array
    current_player: jax.Array


class LargeGame:
    """Its state is large; its observation is made of a small part, or is a small part of a large one."""

    num_actions, num_players = 20, 2

    def __init__(self, sees):
        self.sees = sees

    def init(self, key):
        return Large(
            board=jax.random.randint(key, (10, 10), 0, 9),
            legal_action_mask=jax.random.bernoulli(key, 0.5, (20,)),
            hashes=jnp.arange(1000),
            current_player=jnp.int32(1),
        )

    def observe(self, state):
        if self.sees == "board":
            return jax.nn.one_hot(state.board, 9)
        return state.hashes[:3].astype(jnp.uint8) + state.board[0, 0].astype(jnp.uint8)


@pytest.mark.parametrize(("sees", "expected"), [("board", 400 + 3), ("hashes", 3 + 3)])
def test_the_smaller_of_what_is_read_and_what_it_is_made_of_is_kept(sees, expected):
    env = LargeGame(sees)
    recorder = make_recorder(env, lambda state: Position(env.observe(state), state.legal_action_mask))
    states = init_batch(env, KEY, 4)
    kept = recorder.pack(states)
    assert num_bytes(kept, 4) == expected
    found = recorder.unpack(kept)
    np.testing.assert_array_equal(found.seen, jax.vmap(env.observe)(states))
    np.testing.assert_array_equal(found.legal, states.legal_action_mask)


@pytest.mark.parametrize("num_actions", [7, 2 * MAX_POLICY - 1, 5000])
def test_policies_come_back_but_for_the_tail_of_long_ones(num_actions):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3.0, size=(6, num_actions))
    logits[:3, 200:] = -np.inf  # few legal actions
    policy = np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32)))
    kept = pack_policy(jnp.asarray(policy))
    found = np.asarray(unpack_policy(kept, num_actions))
    if num_actions < 2 * MAX_POLICY:
        np.testing.assert_array_equal(found, policy)
        return
    assert isinstance(kept, TopPolicy)
    assert num_bytes(kept, 6) == MAX_POLICY * 6
    np.testing.assert_allclose(found[:3], policy[:3], rtol=1e-5, atol=0)
    largest = np.sort(policy[3:], axis=-1)[:, -MAX_POLICY:].sum(-1, keepdims=True)
    expected = np.where(found[3:] > 0, policy[3:] / largest, 0)
    np.testing.assert_allclose(found[3:], expected, rtol=1e-5)
    assert ((found > 0).sum(-1) == np.minimum(MAX_POLICY, (policy > 0).sum(-1))).all()
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
