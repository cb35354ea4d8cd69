"""The committed Connect Four positions, and scores on them that are known beforehand."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import (
    ILLEGAL,
    grade_actions,
    load_positions,
    make_position_set,
    positions_states,
    score_positions,
    wilson_interval,
)
from jzero.evaluate.measures import keeps_value
from tests.oracles import connect_four_solver as oracle

DATA = Path(__file__).parents[2] / "experiments" / "data"
FILE, DEV_FILE = DATA / "connect_four_positions.json", DATA / "connect_four_positions_dev.json"
FOUR = ConnectFour()


@pytest.fixture(scope="module")
def positions():
    return load_positions(FILE)


@pytest.fixture(scope="module")
def states(positions):
    return jax.device_get(positions_states(FOUR, positions))


def play_by_table(states, actions):
    """A function of states that looks its action up by the stones."""
    table = {stones.tobytes(): action for stones, action in zip(states.stones, actions, strict=True)}
    return lambda batch: jnp.array([table[stones.tobytes()] for stones in np.asarray(batch.stones)])


def distinct_up_to_mirroring(positions):
    boards = [oracle.board_after(moves) for moves in positions.histories]
    return {min(board, board[::-1]) for board in boards}


def test_the_two_sets_have_their_size_and_share_no_position(positions):
    dev = load_positions(DEV_FILE)
    seen, dev_seen = distinct_up_to_mirroring(positions), distinct_up_to_mirroring(dev)
    assert (len(positions.plies), len(dev.plies)) == (1000, 500)
    assert (len(seen), len(dev_seen)) == (1000, 500)
    assert not seen & dev_seen
    assert FILE.stat().st_size < 200_000


def test_plies_are_spread_evenly_from_0_to_33(positions):
    counts = np.bincount(positions.plies, minlength=34)
    assert len(counts) == 34
    assert counts.min() >= 1
    assert counts[3:].max() - counts[3:].min() <= 1


def test_every_position_is_unfinished_and_some_move_loses_value(positions, states):
    assert not states.terminated.any()
    legal = positions.values != ILLEGAL
    np.testing.assert_array_equal(states.legal_action_mask, legal)
    assert set(positions.values[legal].tolist()) == {-1, 0, 1}
    assert (legal & ~positions.keeps_value).any(axis=1).all()


def test_states_are_those_of_the_moves(positions, states):
    boards = np.asarray(jax.vmap(FOUR.observe)(states))
    for moves, planes in zip(positions.histories[::10], boards[::10], strict=True):
        for column, stones in enumerate(oracle.board_after(moves)):
            own = [stone == len(moves) % 2 for stone in stones] + [False] * (6 - len(stones))
            other = [stone != len(moves) % 2 for stone in stones] + [False] * (6 - len(stones))
            assert planes[::-1, column].tolist() == list(map(list, zip(own, other, strict=True)))


@pytest.mark.parametrize("file", [FILE, DEV_FILE])
def test_late_values_equal_a_brute_force_solution(file):
    positions = load_positions(file)
    late = np.flatnonzero(positions.plies >= 30)
    assert len(late) > 50
    for row in late:
        board = oracle.board_after(positions.histories[row])
        solved = np.full(7, ILLEGAL)
        for column in oracle.open_columns(board):
            solved[column] = oracle.value_of_move(board, column)
        assert positions.values[row].tolist() == solved.tolist()


def test_best_moves_score_one_and_worst_moves_zero(positions, states):
    best = positions.values.argmax(axis=1)
    worst = np.where(positions.values == ILLEGAL, 2, positions.values).argmin(axis=1)
    perfect = score_positions(FOUR, play_by_table(states, best), positions)
    hopeless = score_positions(FOUR, play_by_table(states, worst), positions)
    assert (perfect.score, perfect.low, perfect.high) == (1.0, *wilson_interval(1000, 1000))
    assert (hopeless.score, hopeless.low, hopeless.high) == (0.0, *wilson_interval(0, 1000))
    assert perfect.count == 1000


def test_a_measurement_tells_of_each_set_in_all_and_by_ply(tmp_path, positions, states):
    """Of two sets, all positions and the first 20 of them, with the worst moves but in those of ply 0."""
    content = json.loads(FILE.read_text())
    few = tmp_path / "few.json"
    few.write_text(json.dumps(content | {"name": "a few", "positions": content["positions"][:20]}))
    worst = np.where(positions.values == ILLEGAL, 2, positions.values).argmin(axis=1)
    worst[:1] = positions.values[:1].argmax(axis=1)
    play = play_by_table(states, worst)
    agent = SimpleNamespace(act=lambda states, key, num_simulations: play(states))
    found = keeps_value(FILE, few, num_simulations=5)(FOUR)(agent)
    whole = [part for part in found.parts if part.kind == "after moves that keep the value"]
    groups = ["all", *(f"plies {first} to {first + 7}" for first in (0, 8, 16, 24, 32))]
    assert [part.group for part in whole] == groups
    assert (found.value, found.low, found.high) == whole[0][2:] == (0.001, *wilson_interval(1, 1000))
    assert sum(part.value > 0 for part in whole) == 2
    first = next(part for part in found.parts if part.kind == "a few")
    assert first[1:] == ("all", 0.05, *wilson_interval(1, 20))
    assert str(found).endswith("; a few 0.050 [0.009, 0.236]")


def test_random_play_scores_the_mean_share_of_keeping_moves(positions):
    legal = (positions.values != ILLEGAL).sum(axis=1)
    shares = (positions.keeps_value).sum(axis=1) / legal
    assert shares.mean() == pytest.approx(0.404, abs=0.001)
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(20):
        noise = rng.random(positions.values.shape) * (positions.values != ILLEGAL)
        scores.append(grade_actions(positions, noise.argmax(axis=1)).score)
    standard_error = np.sqrt((shares * (1 - shares)).mean() / 1000 / 20)
    assert np.mean(scores) == pytest.approx(shares.mean(), abs=3 * standard_error)


def test_batches_have_one_size_and_do_not_change_the_score(positions):
    shapes = set()

    @jax.jit
    def lowest(batch):
        shapes.add(batch.legal_action_mask.shape)
        return batch.legal_action_mask.argmax(axis=-1)

    small = score_positions(FOUR, lowest, positions, batch_size=37)
    large = score_positions(FOUR, lowest, positions, batch_size=1024)
    assert small == large
    assert shapes == {(37, 7), (1024, 7)}


def test_scores_by_ply_add_up(positions):
    actions = (positions.values != ILLEGAL).argmax(axis=1)
    score = grade_actions(positions, actions, plies_per_bin=10)
    assert [(part.first, part.last) for part in score.by_ply] == [(0, 9), (10, 19), (20, 29), (30, 39)]
    assert sum(part.count for part in score.by_ply) == 1000
    assert sum(part.count * part.score for part in score.by_ply) == pytest.approx(1000 * score.score)
    for part in score.by_ply:
        assert part.low <= part.score <= part.high
        assert (part.low, part.high) == wilson_interval(round(part.count * part.score), part.count)


def test_a_hand_made_set_is_graded_as_by_hand():
    tiny = make_position_set("any", [[], [1, 0]], np.array([[1, 0, -1], [-1, ILLEGAL, -1]], np.int8))
    assert tiny.histories == [[], [1, 0]]
    assert grade_actions(tiny, np.array([0, 2])).score == 1.0
    assert grade_actions(tiny, np.array([1, 0])).score == 0.5
    with pytest.raises(ValueError, match=r"act chose action 1 after \[1, 0\]"):
        grade_actions(tiny, np.array([0, 1]))


def test_positions_of_another_game_are_refused():
    with pytest.raises(ValueError, match="expected 9 values per position, got 7"):
        load_positions(FILE, TicTacToe())
    finished = make_position_set("connect_four", [[0, 1, 0, 1, 0, 1, 0]], np.zeros((1, 7), np.int8))
    with pytest.raises(ValueError, match=r"position 0 .* should be unfinished"):
        positions_states(FOUR, finished)


def test_malformed_files_are_refused(tmp_path):
    for content in ({}, {"game": "g", "positions": []}, {"game": "g", "positions": [{"moves": "0"}]}):
        (tmp_path / "positions.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="is not a file of positions"):
            load_positions(tmp_path / "positions.json")
