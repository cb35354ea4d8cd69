"""Hex against the plain rules, OpenSpiel and pgx."""

from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jzero_envs.hex import Hex

from jzero import check_env
from jzero.env import random_actions
from tests.helpers.playing import (
    Batched,
    assert_any_actions_are_safe,
    assert_fingerprints_tell_apart,
    assert_same_game,
    assert_symmetry_keeps_games,
    compile_run,
    state_after,
)
from tests.oracles import hex as oracle

pgx = pytest.importorskip("pgx", exc_type=ImportError)
pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = Hex(size=3, swap=True)
RUN = compile_run(SMALL)


class OpenSpiel:
    """OpenSpiel's state, whose actions are cells of the board as it is drawn."""

    def __init__(self, env):
        self.env = env
        self.state = pyspiel.load_game(f"hex(board_size={env.size})").new_initial_state()

    def __getattr__(self, name):
        return getattr(self.state, name)

    def drawn(self, action):
        return int(self.env.turn[action]) if self.state.current_player() else action

    def legal_actions(self):
        return sorted(self.drawn(action) for action in self.state.legal_actions())

    def apply_action(self, action):
        self.state.apply_action(self.drawn(action))


@pytest.mark.parametrize(
    ("size", "swap", "games"),
    [
        (2, True, 64),
        (4, True, 32),
        pytest.param(4, False, 1000, marks=pytest.mark.slow),
        pytest.param(7, True, 1000, marks=pytest.mark.slow),
        pytest.param(11, True, 100, marks=pytest.mark.slow),
        pytest.param(13, False, 40, marks=pytest.mark.slow),
        pytest.param(19, True, 20, marks=pytest.mark.slow),
    ],
)
def test_random_games_follow_the_rules(size, swap, games):
    batched = Batched(Hex(size=size, swap=swap))
    assert assert_same_game(batched, lambda: oracle.Hex(size, swap), games, seed=1) > games * size


@pytest.mark.parametrize(
    ("size", "games"),
    [(7, 12), pytest.param(6, 1000, marks=pytest.mark.slow), pytest.param(11, 100, marks=pytest.mark.slow)],
)
def test_random_games_are_open_spiels(size, games):
    env = Hex(size=size)
    assert assert_same_game(Batched(env), lambda: OpenSpiel(env), games, seed=2) > games * size


@pytest.mark.parametrize("games", [16, pytest.param(700, marks=pytest.mark.slow)])
def test_it_is_pgxs_game_with_the_second_players_actions_transposed(games):
    env, other = Hex(swap=True), pgx.make("hex")
    turn = jnp.asarray(env.turn)

    def ply(states, key):
        now, theirs = states
        actions = random_actions(now, key)
        # In half of the games that may, the second player swaps.
        swaps = now.legal_action_mask[:, -1] & (jnp.arange(games) % 2 == 0)
        actions = jnp.where(swaps, env.size**2, actions)
        drawn = jnp.where(now.current_player == 0, actions, turn[actions])
        masks = jnp.where(
            (now.current_player == 0)[:, None], now.legal_action_mask, now.legal_action_mask[:, turn]
        )
        seat = theirs.current_player ^ now.current_player
        rewards = jnp.where(seat[:, None] == 0, theirs.rewards, theirs.rewards[:, ::-1])
        same = (masks == theirs.legal_action_mask).all(axis=1) | now.terminated
        same &= (now.terminated == theirs.terminated) & (now.rewards == rewards).all(axis=1)
        same &= (env_stones(now) == pgx_stones(theirs)).all(axis=1) | now.terminated
        going = ~now.terminated
        after = jax.vmap(env.step, in_axes=(0, 0, None))(now, actions, key)
        return (after, jax.vmap(other.step)(theirs, drawn)), (same, going, swaps)

    def env_stones(states):
        return jax.vmap(lambda state: env.outcome_features(state, 0).ravel())(states).astype(jnp.int32)

    def pgx_stones(states):
        sign = 1 - 2 * (states._x.step_count % 2)
        return jnp.sign(states._x.board) * sign[:, None]

    @jax.jit
    def compare(key):
        keys = jax.random.split(key, games)
        states = jax.vmap(env.init)(keys), jax.vmap(other.init)(keys)
        states, seen = jax.lax.scan(ply, states, jax.random.split(key, env.size**2 + 2))
        return states[0].terminated, seen

    over, (same, going, swaps) = jax.tree.map(np.asarray, compare(jax.random.key(0)))
    assert over.all()
    assert same.all()
    assert swaps.sum() == games / 2
    assert going.sum() > (50_000 if games > 600 else 1_000)


def test_check_env_finds_nothing():
    check_env(SMALL)


@given(
    st.sampled_from([(0, 9), (-2, 11)]).flatmap(
        lambda ends: st.lists(st.integers(*ends), min_size=12, max_size=12)
    )
)
@settings(max_examples=100, deadline=None)
def test_illegal_actions_lose_and_finished_games_stay(actions):
    assert_any_actions_are_safe(RUN, lambda: oracle.Hex(3, swap=True), actions)


def test_a_half_turn_is_the_same_game():
    (half_turn,) = SMALL.symmetries
    assert half_turn.action.tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0, 9]
    assert_symmetry_keeps_games(Batched(SMALL), half_turn, num_games=128, seed=3)


def test_the_mover_goes_from_row_0_to_the_last():
    """Both players see the same where each has begun in its own top left corner."""
    first, second = (
        np.asarray(SMALL.observe(state_after(RUN, actions, length=12))) for actions in ([0, 8], [8, 0, 1])
    )
    assert np.argwhere(first[..., 0]).tolist() == [[0, 0]]
    assert np.argwhere(first[..., 1]).tolist() == [[2, 2]]
    assert np.argwhere(second[..., 0]).tolist() == [[0, 0]]
    assert np.argwhere(second[..., 1]).tolist() == [[1, 0], [2, 2]]
    assert not first[..., 2].any()


def test_the_swap_takes_over_the_first_stone():
    before, after = (state_after(RUN, actions, length=12) for actions in ([1], [1, 9]))
    assert before.legal_action_mask.tolist() == [True] * 3 + [False] + [True] * 6
    assert SMALL.outcome_features(before, 0).ravel().tolist() == [0, 1] + [0] * 7
    assert SMALL.outcome_features(after, 0).ravel().tolist() == [0, 0, 0, -1] + [0] * 5
    assert (SMALL.observe(before)[..., 2] == 1).all()
    assert not SMALL.observe(after)[..., 2].any()
    assert (SMALL.fingerprint(before) != SMALL.fingerprint(after)).any()


def test_fingerprints_tell_positions_apart():
    def stones(states):
        return np.sign(states.board)

    assert assert_fingerprints_tell_apart(Batched(SMALL), stones, num_games=128, seed=4) > 500


@pytest.mark.parametrize(("size", "count"), [(5, 64), (11, 256), (13, 521)])
def test_a_state_takes_as_many_bytes_as_it_says(size, count):
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(Hex(size=size).init(None))) == count


def test_the_picture_shows_stones_and_the_chain_that_wins():
    state = state_after(RUN, [1, 0, 4, 1, 7], length=12)
    assert state.terminated
    drawing = ElementTree.fromstring(SMALL.svg(state))
    circles = list(drawing.iter("{http://www.w3.org/2000/svg}circle"))
    fills = [circle.get("fill") for circle in circles]
    assert {fill: fills.count(fill) for fill in fills} == {"#dc2626": 3, "#2563eb": 2, "#fff": 3}
    assert SMALL.text(state).splitlines() == ["   a b c", " 1 O X .", "  2 O X .", "   3 . X ."]
    assert SMALL.outcome_features(state, 0).ravel().tolist() == [-1, 1, 0, -1, 1, 0, 0, 1, 0]
    # The second player sees the board transposed, as it plays it.
    assert SMALL.outcome_features(state, 1).ravel().tolist() == [1, 1, 0, -1, -1, -1, 0, 0, 0]


def test_places_and_names_are_those_of_the_picture():
    first, second = (state_after(RUN, actions, length=12) for actions in ([1, 0], [1]))
    names = [[SMALL.action_name(state, action) for action in range(10)] for state in (first, second)]
    assert names[0] == ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3", "swap"]
    assert [names[1][a] for a in SMALL.turn] == names[0]
    places = [SMALL.areas(state) for state in (first, second)]
    assert places[0] == {action: places[1][int(SMALL.turn[action])] for action in range(10)}
    assert "swap" in SMALL.svg(second)
    assert "swap" not in SMALL.svg(first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, r"Hex: size is 1; expected an int from 2 to 19; leave it out for size=11"),
        ({"size": 20}, r"Hex: size is 20"),
        ({"size": 5.0}, r"Hex: size is 5\.0"),
        ({"swap": 1}, r"Hex: swap is 1; expected True or False"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Hex(**options)
