"""Tic-tac-toe: every one of its 5,478 positions, and random games against OpenSpiel."""

from xml.etree import ElementTree

import jax
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import check_env
from tests.helpers.playing import (
    Batched,
    assert_any_actions_are_safe,
    assert_same_game,
    assert_symmetry_keeps_games,
    compile_run,
    state_after,
)
from tests.oracles import games as oracle

ENV = TicTacToe()
BATCHED = Batched(ENV)
RUN = compile_run(ENV)
NUM_BOARDS = 5_478


def play(actions):
    return state_after(RUN, actions, length=11)


@pytest.fixture(scope="module")
def all_states():
    """Every reachable state once, board by board: {the oracle's board: state}."""
    width = 1520 * 9  # the widest ply has 1,520 positions
    found, frontier = {}, {(None,) * 9: jax.tree.map(lambda leaf: leaf[0], BATCHED.init(1))}
    while frontier:
        found |= frontier
        pairs = [(s, a) for s in frontier.values() for a in np.flatnonzero(s.legal_action_mask)]
        if not pairs:
            return found
        padded = pairs + [pairs[0]] * (width - len(pairs))
        states = jax.tree.map(lambda *leaves: np.stack(leaves), *(state for state, _ in padded))
        after = BATCHED.step(states, np.array([action for _, action in padded]))
        children = [jax.tree.map(lambda leaf, row=row: leaf[row], after) for row in range(len(pairs))]
        frontier = {board_of(child): child for child in children}
    return found


def board_of(state):
    """The oracle's board: cells 0 or 1, the player whose stone it is, or None."""
    mover = int(state.current_player)
    return tuple({0: None, 1: mover, -1: 1 - mover}[int(cell)] for cell in state.board)


def test_all_positions_are_reached_and_agree_with_the_rules(all_states):
    assert len(all_states) == NUM_BOARDS
    assert set(all_states) == oracle.tic_tac_toe_boards()
    for board, state in all_states.items():
        position = oracle.tic_tac_toe_position(board)
        assert state.current_player == position.mover
        assert state.terminated == position.is_terminal()
        assert state.rewards.tolist() == position.returns()
        assert np.flatnonzero(state.legal_action_mask).tolist() == position.legal_actions()


def test_the_oracle_knows_the_published_counts():
    boards = oracle.tic_tac_toe_boards()
    finished = [oracle.tic_tac_toe_position(board) for board in boards]
    finished = [position for position in finished if position.is_terminal()]
    outcomes = [position.returns()[0] for position in finished]
    assert (outcomes.count(1.0), outcomes.count(-1.0), outcomes.count(0.0)) == (626, 316, 16)
    assert oracle.tic_tac_toe_value((None,) * 9) == 0
    assert len(oracle.TicTacToe.lines()) == 8
    assert len(oracle.ConnectFour.lines()) == 69


def test_fingerprints_of_all_positions_differ(all_states):
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *all_states.values())
    fingerprint = jax.jit(jax.vmap(ENV.fingerprint))
    codes = np.asarray(fingerprint(states))
    assert codes.dtype == np.uint32
    assert len(np.unique(codes, axis=0)) == NUM_BOARDS
    few = jax.tree.map(lambda *leaves: np.stack(leaves), play([4, 4]), play([4]))
    lost, open_ = np.asarray(fingerprint(few))
    assert (lost != open_).any()


@pytest.mark.parametrize(
    "referee",
    [oracle.TicTacToe, pyspiel.load_game("tic_tac_toe").new_initial_state],
    ids=["rules", "openspiel"],
)
def test_random_games_agree(referee):
    assert assert_same_game(BATCHED, referee, num_games=256, seed=1) > 2_000


def test_check_env_finds_nothing():
    check_env(ENV)


@given(st.lists(st.integers(-2, 10), max_size=11) | st.permutations(range(9)))
@settings(max_examples=150, deadline=None)
def test_illegal_actions_lose_and_finished_games_stay(actions):
    padding = [0] * (11 - len(actions))
    assert_any_actions_are_safe(RUN, oracle.TicTacToe, [*actions, *padding])


def test_a_taken_cell_loses_and_keeps_the_board():
    before, after = play([4, 0]), play([4, 0, 0])
    assert after.terminated
    assert after.rewards.tolist() == [-1.0, 1.0]
    assert (after.board == before.board).all()


@pytest.mark.parametrize("index", range(7))
def test_symmetries_keep_the_game(index):
    assert_symmetry_keeps_games(BATCHED, ENV.symmetries[index], num_games=64, seed=2)


def test_the_seven_symmetries_and_the_identity_are_a_group():
    actions = {tuple(symmetry.action.tolist()) for symmetry in ENV.symmetries} | {tuple(range(9))}
    assert len(actions) == 8
    assert {tuple(a[b[cell]] for cell in range(9)) for a in actions for b in actions} == actions


def test_observation_shows_the_stones_from_the_mover():
    seen = np.asarray(jax.jit(ENV.observe)(play([2, 3, 4])))
    assert seen.shape == (3, 3, 2)
    assert seen.dtype == np.float32
    assert np.argwhere(seen[..., 0]).tolist() == [[1, 0]]
    assert np.argwhere(seen[..., 1]).tolist() == [[0, 2], [1, 1]]


def test_svg_shows_the_marks_and_tints_the_winning_line():
    svg = "{http://www.w3.org/2000/svg}"
    drawing = ElementTree.fromstring(ENV.svg(play([4, 0, 2, 1, 6])))
    strokes = [path.get("stroke") for path in drawing.iter(f"{svg}path")]
    assert strokes.count("#1d4ed8") == 3
    assert len(list(drawing.iter(f"{svg}circle"))) == 2
    assert [shape.get("fill") for shape in drawing.iter(f"{svg}rect")].count("#fde68a") == 3
