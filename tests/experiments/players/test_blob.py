"""The players of Blob that need no training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob

from experiments.players.blob import rollouts, rule_based, rules
from jzero.env import init_batch, random_actions, step_batch
from jzero.evaluate import TableResult, as_player, play_tables

pytestmark = pytest.mark.usefixtures("quick_compilation")

PLAYERS = {"random": lambda env: random_actions, "rules": rules}


def visited(env, act, num_games, seed):
    """States [L, G] before every decision of rounds that `act` plays, and its actions [L, G]."""

    def decide(states, key):
        act_key, step_key = jax.random.split(key)
        actions = act(states, act_key)
        return step_batch(env, states, actions, step_key), (states, actions)

    @jax.jit
    def play(key):
        keys = jax.random.split(key, env.players * sum(1 + size for size in env.hand_sizes))
        return jax.lax.scan(decide, init_batch(env, key, num_games), keys)

    return jax.tree.map(np.asarray, play(jax.random.key(seed)))


@pytest.mark.parametrize("make", PLAYERS.values(), ids=PLAYERS)
@pytest.mark.parametrize("env", [Blob(), Blob(3, 13), Blob(8, 1), Blob(3, rounds=(2, 3))], ids=str)
def test_players_take_legal_actions_only(env, make):
    last, (states, actions) = visited(env, make(env), num_games=64, seed=0)
    assert np.take_along_axis(states.legal_action_mask, actions[..., None], axis=2).all()
    assert last.terminated.all()
    assert (last.rewards >= 0).all()


def test_random_players_take_every_legal_action():
    env = Blob(3, 1)
    states = init_batch(env, jax.random.key(0), 1)
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, 400, axis=0), states)
    actions = np.asarray(random_actions(many, jax.random.key(1)))
    assert np.bincount(actions, minlength=54)[52:].min() > 150


def test_rules_beat_random_players_clearly():
    env = Blob()
    by_rules, random = rule_based(env), as_player(random_actions)
    result = play_tables(env, by_rules, random, num_deals=125, key=jax.random.key(0))
    assert env.points * result.compare()[0] > 3
    made = TableResult((result.returns > 0).astype(float))
    assert made.own.mean() > 0.45
    assert made.others.mean() < 0.3


def test_rules_do_not_see_hidden_cards():
    env = Blob()
    act = rules(env)
    _, (states, _) = visited(env, act, num_games=64, seed=1)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)
    keys = jax.random.split(jax.random.key(2), len(flat.current_player))
    others = jax.jit(jax.vmap(env.resample))(flat, keys)
    assert (np.asarray(others.hands) != flat.hands).any(axis=(1, 2)).mean() > 0.8
    taken, of_others = (jax.jit(act)(states, jax.random.key(0)) for states in (flat, others))
    np.testing.assert_array_equal(taken, of_others)


def on_table(env, *, hands, trump, bids, tricks, trick, leader, mover):
    """A state of three players in the middle of a round; cards are numbers."""

    def words(cards):
        return [sum(1 << card % 26 for card in cards if card // 26 == word) for word in range(2)]

    state = env.init(jax.random.key(0))
    state = state._replace(
        hands=jnp.array([words(hand) for hand in hands], jnp.uint32),
        played=jnp.array([words([card] if card >= 0 else []) for card in trick], jnp.uint32),
        trick=jnp.array(trick, jnp.int8),
        bids=jnp.array(bids, jnp.int8),
        tricks=jnp.array(tricks, jnp.int8),
        leader=jnp.int8(leader),
        trump=jnp.int8(trump),
        current_player=jnp.int32(mover),
    )
    led = trick[leader] // 13
    mask = np.isin(np.arange(66), [c for c in hands[mover] if c // 13 == led] or hands[mover])
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf)[None], state._replace(legal_action_mask=jnp.array(mask))
    )


@pytest.mark.parametrize(
    ("hand", "bid", "expected"),
    [([9, 11, 12], 3, 9), ([2, 6, 9], 0, 6)],
    ids=["wins with the lowest card that wins", "ducks with the highest card that loses"],
)
def test_the_last_to_play_does_it_cheaply(hand, bid, expected):
    # Spades 5 and 9 are on the table, no trump; the mover has spades J, K, A, or 4, 8, J.
    env = Blob(3, 3)
    state = on_table(
        env,
        hands=[[30, 31], [32, 33], hand],
        trump=4,
        bids=[1, 1, bid],
        tricks=[0, 0, 0],
        trick=[3, 7, -1],
        leader=0,
        mover=2,
    )
    assert rules(env)(state, jax.random.key(0)).tolist() == [expected]


@pytest.mark.slow
def test_bids_follow_the_strength_of_the_hand():
    env = Blob(3, 3)
    states = [
        env.init(jax.random.key(0))._replace(
            hands=jnp.array([bits, [0, 0], [0, 0]], jnp.uint32),
            trump=jnp.int8(0),
            dealer=jnp.int8(2),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.arange(66) >= 52,
        )
        for bits in (
            [0b111 << 10, 0],
            [0, 0b111],
        )  # ace, king and queen of trumps; two, three and four of clubs
    ]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    assert (rules(env)(batch, jax.random.key(0)) - 52).tolist() == [3, 0]


@pytest.mark.slow
def test_search_with_random_rounds_beats_random_players():
    env = Blob(3, 2)
    result = play_tables(env, rollouts(env), as_player(random_actions), num_deals=40, key=jax.random.key(0))
    assert result.compare()[1] > 0
