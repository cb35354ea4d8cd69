"""Gomoku against OpenSpiel, against the plain rules, and on every line there is."""

from operator import attrgetter
from xml.etree import ElementTree

import jax
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jzero_envs.gomoku import Gomoku

from jzero import check_env
from tests.helpers.playing import (
    Batched,
    assert_any_actions_are_safe,
    assert_fingerprints_tell_apart,
    assert_same_game,
    assert_symmetry_keeps_games,
    compile_run,
    state_after,
)
from tests.oracles.gomoku import gomoku

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = Gomoku(size=5)
BATCHED, SHOWN = Batched(SMALL), Batched(Gomoku(size=5, lines=True))
LENGTH = 27
RUN = compile_run(SMALL)


def state_with(env, own, other=()):
    """The first state, but with these stones; cells are (row, column) with row 0 on top."""
    first = env.init(None)
    words, mask = np.zeros(first.stones.shape, np.uint32), np.ones(env.num_actions, bool)
    for side, cells in enumerate((own, other)):
        for row, column in cells:
            word, bit = divmod((env.size + 1) * row + column, 32)
            words[side, word] |= np.uint32(1 << bit)
            mask[env.size * row + column] = False
    return first._replace(stones=words, legal_action_mask=mask)


def step_all(env, states, actions):
    return Batched(env).step(jax.tree.map(lambda *leaves: np.stack(leaves), *states), np.array(actions))


@pytest.mark.parametrize(
    ("size", "games"),
    [(5, 24), pytest.param(6, 1000, marks=pytest.mark.slow), pytest.param(9, 100, marks=pytest.mark.slow)],
)
def test_random_games_follow_the_rules(size, games):
    assert assert_same_game(Batched(Gomoku(size=size)), gomoku(size), games, seed=1) > 10 * games


@pytest.mark.parametrize(
    ("size", "games"),
    [
        (9, 12),
        *(
            pytest.param(size, games, marks=pytest.mark.slow)
            for size, games in ((7, 2000), (15, 1000), (19, 300))
        ),
    ],
)
def test_random_games_are_open_spiels(size, games):
    referee = pyspiel.load_game(f"gomoku(size={size})").new_initial_state
    assert assert_same_game(Batched(Gomoku(size=size)), referee, games, seed=2) > 20 * games


def test_check_env_finds_nothing():
    check_env(SMALL)


@pytest.mark.parametrize("size", [6, pytest.param(15, marks=pytest.mark.slow)])
def test_every_line_wins_and_four_of_its_stones_do_not(size):
    env = Gomoku(size=size)
    states, actions, wins = [], [], []
    for line in gomoku(size).lines():
        for number, (row, column) in enumerate(line):
            rest = {*line} - {(row, column)}
            for blocked in (set(), {line[number - 1]}):
                states.append(state_with(env, own=rest - blocked, other=blocked))
                actions.append(size * row + column)
                wins.append(not blocked)
    after = step_all(env, states, actions)
    assert sum(wins) == 5 * len(gomoku(size).lines())
    assert (after.terminated == wins).all()
    assert (after.rewards == np.where(np.array(wins)[:, None], [1.0, -1.0], 0.0)).all()


@pytest.mark.parametrize("size", [5, 7])
def test_open_lines_are_counted_at_every_cell(size):
    env, rng = Gomoku(size=size, lines=True), np.random.default_rng(5)
    states, expected = [], []
    for _ in range(40):
        stones = rng.choice([0, 1, -1], (size, size), p=[0.6, 0.2, 0.2])
        sides = [list(map(tuple, np.argwhere(stones == side))) for side in (1, -1)]
        states.append(state_with(env, *sides))
        through = np.zeros((size, size, 4, 2, 5), int)  # by cell, direction, side and number of stones
        for line in gomoku(size).lines():
            held = [sum(cell in side for cell in line) for side in sides]
            (row, column), *_, (last_row, last_column) = sorted(line)
            direction = (row == last_row) + 2 * (column == last_column) + 3 * (last_column < column)
            for side in (0, 1):
                if not held[1 - side] and held[side] < 5:
                    for cell in line:
                        through[(*cell, direction, side, held[side])] += 1
        shares = [(through >= least).mean(2)[..., 1:] for least in (1, 2)]
        planes = [
            stones == 1,
            stones == -1,
            *(share[..., i, k] for i in (0, 1) for share in shares for k in range(4)),
        ]
        expected.append(np.stack(planes, axis=-1))
    found = Batched(env).observe(jax.tree.map(lambda *leaves: np.stack(leaves), *states))
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert {0.25, 0.5, 0.75} < set(np.unique(expected))


def test_lines_do_not_run_round_the_edge():
    """At an edge a line goes on at the opposite one, on the same row or the next."""
    env = Gomoku(size=6)
    lines = {frozenset(line) for line in gomoku(6).lines()}
    states, actions = [], []
    for row, column in np.ndindex(6, 6):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            for shift in (-1, 0, 1):
                cells = [(row + i * down, column + i * right) for i in range(5)]
                cells = [((r + shift * (c // 6)) % 6, c % 6) for r, c in cells]
                if frozenset(cells) not in lines:
                    states.append(state_with(env, own=cells[:-1]))
                    actions.append(6 * cells[-1][0] + cells[-1][1])
    assert len(states) > 200
    assert not step_all(env, states, actions).terminated.any()


def test_six_in_a_row_win_too():
    env = Gomoku(size=7)
    state = state_with(env, own=[(3, column) for column in (0, 1, 2, 4, 5)])
    assert step_all(env, [state], [3 * 7 + 3]).terminated.all()


def test_a_full_board_without_a_line_is_a_draw():
    rows = ["XXOXX", "OOXOO", "XXOXX", "OOXOO", "XXOX."]
    own, other = ([divmod(5 * r + c, 5) for r in range(5) for c in range(5) if rows[r][c] == x] for x in "XO")
    after = step_all(SMALL, [state_with(SMALL, own, other)], [24])
    assert after.terminated.all()
    assert not after.rewards.any()


@given(
    st.sampled_from([(0, 24), (-2, 26)]).flatmap(
        lambda ends: st.lists(st.integers(*ends), min_size=LENGTH, max_size=LENGTH)
    )
)
@settings(max_examples=40, deadline=None)
def test_illegal_actions_lose_and_finished_games_stay(actions):
    assert_any_actions_are_safe(RUN, gomoku(5), actions)


@pytest.mark.parametrize("number", range(7))
def test_a_turned_or_mirrored_board_is_the_same_game(number):
    symmetries = SHOWN.env.symmetries
    assert len(symmetries) == 7
    assert_symmetry_keeps_games(SHOWN, symmetries[number], num_games=16, seed=3)


def test_fingerprints_tell_positions_apart():
    assert assert_fingerprints_tell_apart(BATCHED, attrgetter("stones"), num_games=64, seed=4) > 1_000


@pytest.mark.parametrize(("size", "count"), [(9, 119), (15, 303)])
def test_a_state_takes_as_many_bytes_as_it_says(size, count):
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(Gomoku(size=size).init(None))) == count


def test_the_picture_shows_stones_and_the_line_that_wins():
    state = state_after(RUN, [0, 5, 1, 6, 2, 7, 3, 8, 4], length=LENGTH)
    assert state.terminated
    drawing = ElementTree.fromstring(SMALL.svg(state))
    fills = [circle.get("fill") for circle in drawing.iter("{http://www.w3.org/2000/svg}circle")]
    assert {fill: fills.count(fill) for fill in fills} == {"#0f172a": 5, "#dc2626": 5, "#f8fafc": 4}
    assert SMALL.text(state).splitlines()[:2] == [" 5 X X X X X", " 4 O O O O ."]
    assert SMALL.outcome_features(state, 0).ravel().tolist() == [1] * 5 + [-1] * 4 + [0] * 16
    assert SMALL.action_name(state, 0) == "a5"
    assert SMALL.action_name(state, 23) == "d1"
    assert SMALL.areas(state)[23] == ((60, 80, 20, 20),)


@pytest.mark.parametrize("size", [4, 20, "9"])
def test_sizes_out_of_range_are_named(size):
    with pytest.raises(ValueError, match=rf"Gomoku: size is {size!r}; expected an int from 5 to 19"):
        Gomoku(size=size)
