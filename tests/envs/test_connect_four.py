"""Connect Four against OpenSpiel, against the plain rules, and on every line there is."""

from xml.etree import ElementTree

import jax
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jzero_envs.connect_four import ConnectFour

from jzero import check_env
from tests.helpers.playing import (
    Batched,
    assert_any_actions_are_safe,
    assert_same_game,
    assert_symmetry_keeps_games,
    compile_run,
    random_games,
    state_after,
)
from tests.oracles import games as oracle

ENV = ConnectFour()
BATCHED = Batched(ENV)
RUN = compile_run(ENV)


def state_with(own=(), other=()):
    """The first state, but with these stones; cells are (row, column) with row 0 on top."""

    def words(cells):
        bits = sum(1 << (8 * (5 - row) + column) for row, column in cells)
        return [bits & 0xFFFFFFFF, bits >> 32]

    return ENV.init(None)._replace(stones=np.array([words(own), words(other)], np.uint32))


def step_all(states, actions):
    return BATCHED.step(jax.tree.map(lambda *leaves: np.stack(leaves), *states), np.array(actions))


def play(actions):
    return state_after(RUN, actions, length=44)


@pytest.mark.parametrize(
    "referee",
    [oracle.ConnectFour, pyspiel.load_game("connect_four").new_initial_state],
    ids=["rules", "openspiel"],
)
def test_random_games_agree(referee):
    assert assert_same_game(BATCHED, referee, num_games=256, seed=1) > 4_000


def test_check_env_finds_nothing():
    check_env(ENV)


def test_every_line_wins_and_three_of_its_stones_do_not():
    states, columns, wins = [], [], []
    for line in oracle.ConnectFour.lines():
        for row, column in line:
            rest = {cell for cell in line if cell != (row, column)}
            if (row - 1, column) in rest:
                continue  # of an upright line only the top stone can be the last
            support = {(r, column) for r in range(row + 1, 6)} - rest
            for blocked in (set(), *({cell} for cell in rest)):
                states.append(state_with(own=rest - blocked, other=support | blocked))
                columns.append(column)
                wins.append(not blocked)
    after = step_all(states, columns)
    assert sum(wins) == 48 * 4 + 21
    assert (after.terminated == wins).all()
    assert (after.rewards == np.where(np.array(wins)[:, None], [1.0, -1.0], 0.0)).all()


def test_lines_do_not_run_round_the_edge():
    lines = {frozenset(line) for line in oracle.ConnectFour.lines()}
    states, columns = [], []
    for row in range(6):
        for column in range(7):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                # At an edge go on at the opposite one, on the same row or the next.
                for shift in (-1, 0, 1):
                    cells = [(row + i * down, column + i * right) for i in range(4)]
                    cells = [((r + shift * (c // 7)) % 6, c % 7) for r, c in cells]
                    if len(set(cells)) < 4 or frozenset(cells) in lines:
                        continue
                    last = max(cells[0], cells[-1])
                    rest = [cell for cell in cells if cell != last]
                    below = [(r, last[1]) for r in range(last[0] + 1, 6) if (r, last[1]) not in rest]
                    states.append(state_with(own=rest, other=below))
                    columns.append(last[1])
    assert len(states) > 100
    assert not step_all(states, columns).terminated.any()


def test_a_full_board_without_a_line_is_a_draw():
    actions = [int(column) for column in "451433520640056356655043216260102242143131"]
    assert oracle.replay(oracle.ConnectFour, actions).winner() is None
    assert not play(actions[:-1]).terminated
    state = play(actions)
    assert state.terminated
    assert state.rewards.tolist() == [0.0, 0.0]
    assert not state.legal_action_mask.any()


@given(
    st.sampled_from([(0, 6), (-2, 8)]).flatmap(
        lambda ends: st.lists(st.integers(*ends), min_size=44, max_size=44)
    )
)
@settings(max_examples=150, deadline=None)
def test_illegal_actions_lose_and_finished_games_stay(actions):
    assert_any_actions_are_safe(RUN, oracle.ConnectFour, actions)


def test_an_overfull_column_loses_and_keeps_the_board():
    full, after = play([0] * 6), play([0] * 7)
    assert not full.legal_action_mask[0]
    assert full.legal_action_mask[1:].all()
    assert after.terminated
    assert after.rewards.tolist() == [-1.0, 1.0]
    assert (after.stones == full.stones).all()
    assert after.current_player == full.current_player


def test_the_mirror_image_is_the_same_game():
    (mirror,) = ENV.symmetries
    assert mirror.action.tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert_symmetry_keeps_games(BATCHED, mirror, num_games=256, seed=2)


def test_row_0_of_the_observation_is_the_top():
    seen = np.asarray(jax.jit(ENV.observe)(play([3, 2, 3])))
    assert seen.shape == (6, 7, 2)
    assert seen.dtype == np.float32
    assert np.argwhere(seen[..., 1]).tolist() == [[4, 3], [5, 3]]  # player 0's; player 1 is to move
    assert np.argwhere(seen[..., 0]).tolist() == [[5, 2]]


def test_fingerprints_tell_positions_apart():
    fingerprint = jax.jit(jax.vmap(ENV.fingerprint))
    codes = {}
    for states, _ in random_games(BATCHED, num_games=256, seed=3):
        for code, stones, player, over in zip(
            np.asarray(fingerprint(states)),
            states.stones,
            states.current_player,
            states.terminated,
            strict=True,
        ):
            codes.setdefault(code.tobytes(), set()).add((stones.tobytes(), int(player), bool(over)))
    assert len(codes) > 3_000
    assert all(len(positions) == 1 for positions in codes.values())
    assert len(set.union(*codes.values())) == len(codes)
    # The same stones, but the game lost by an illegal action.
    few = jax.tree.map(lambda *leaves: np.stack(leaves), play([0] * 7), play([0] * 6))
    lost, full = np.asarray(fingerprint(few))
    assert (lost != full).any()


def test_a_state_takes_37_bytes():
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(ENV.init(None))) == 37


def test_svg_shows_the_stones_and_rings_the_winning_line():
    colours = {"#dc2626": 4, "#facc15": 3, "#eff6ff": 35, "none": 4}
    drawing = ElementTree.fromstring(ENV.svg(play([3, 0, 3, 0, 3, 0, 3])))
    fills = [circle.get("fill") for circle in drawing.iter("{http://www.w3.org/2000/svg}circle")]
    assert {colour: fills.count(colour) for colour in colours} == colours
    assert ENV.svg(ENV.init(None)).count("<circle") == 42
