"""The independent opponents: strength, determinism, exact values, and life without them installed."""

import importlib.util
import random
import subprocess
import sys

import jax
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import (
    ILLEGAL,
    BitBullyProcess,
    Turn,
    bitbully_player,
    open_spiel_mcts,
    play_match,
    random_player,
)
from tests.helpers.players import Table, lowest_player, perfect_policy
from tests.oracles import connect_four_solver as oracle

KEY = jax.random.key(0)
FOUR = ConnectFour()

needs_open_spiel = pytest.mark.skipif(importlib.util.find_spec("pyspiel") is None, reason="needs open-spiel")
# find_spec, not importorskip: BitBully must not be imported here.
needs_bitbully = pytest.mark.skipif(importlib.util.find_spec("bitbully") is None, reason="needs bitbully")


@pytest.fixture(scope="module")
def solver():
    with BitBullyProcess() as process:
        yield process


def random_games(count: int, plies: range) -> list[list[int]]:
    """Unfinished games of random moves."""
    rng = random.Random(0)
    games = []
    while len(games) < count:
        moves = []
        for _ in range(rng.choice(plies)):
            board = oracle.board_after(moves)
            columns = oracle.open_columns(board)
            safe = [c for c in columns if not oracle.wins(oracle.drop(board, c, len(moves) % 2), c)]
            if not safe:
                break
            moves.append(rng.choice(safe))
        else:
            games.append(moves)
    return games


@needs_bitbully
def test_bitbully_values_equal_a_brute_force_solution(solver):
    games = random_games(60, range(28, 42))
    scores = solver.score_moves(games)
    for moves, row in zip(games, scores, strict=True):
        board = oracle.board_after(moves)
        for column in range(7):
            if column in oracle.open_columns(board):
                assert np.sign(row[column]) == oracle.value_of_move(board, column)
            else:
                assert row[column] == ILLEGAL


@needs_bitbully
def test_bitbully_is_consistent_where_its_opening_book_ends(solver):
    games = random_games(25, range(9, 15))
    scores = solver.score_moves(games)
    for moves, row in zip(games, scores, strict=True):
        after = [[*moves, column] for column in np.flatnonzero(row != ILLEGAL)]
        replies = np.sign(solver.score_moves(after).max(axis=1))
        for game, reply in zip(after, replies, strict=True):
            if oracle.wins(oracle.board_after(game), game[-1]):
                assert np.sign(row[game[-1]]) == 1
            else:
                assert np.sign(row[game[-1]]) == -reply


@needs_bitbully
def test_bitbully_knows_the_first_move(solver):
    assert np.sign(solver.score_moves([[]])).tolist() == [[-1, -1, 0, 1, 0, -1, -1]]


@needs_bitbully
def test_bitbully_offers_no_move_in_a_finished_game(solver):
    assert (solver.score_moves([[0, 1, 0, 1, 0, 1, 0]]) == ILLEGAL).all()
    assert solver.score_moves([]).shape == (0, 7)


@needs_bitbully
def test_bitbully_player_wins_every_game_it_begins(solver):
    perfect = bitbully_player(solver)
    result = play_match(FOUR, perfect, random_player(FOUR), num_games=8, key=KEY)
    assert result.by_seat[0] == (4, 0, 0)
    assert result.wins >= 7
    against_itself = play_match(FOUR, perfect, perfect, num_games=2, key=KEY)
    assert against_itself.outcomes.tolist() == [1, -1]  # the first mover wins
    assert {len(game) for game in against_itself.histories} == {41}  # by its last stone


@needs_bitbully
def test_bitbully_stays_out_of_this_process_and_ends_with_its_block():
    with BitBullyProcess() as process:
        process.score_moves([[3]])
        child = process._process
    assert not {name for name in sys.modules if name.startswith("bitbully")}
    assert child.poll() is not None
    with pytest.raises(RuntimeError, match="the BitBully process has ended"):
        process.score_moves([[3]])
    process.close()


@needs_bitbully
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bitbully_dying_is_an_error_not_a_hang():
    with BitBullyProcess() as process, pytest.raises(RuntimeError, match=r"died on \[\[0, 0, 0"):
        process.score_moves([[0] * 9])


@needs_open_spiel
def test_a_game_that_open_spiel_does_not_have_is_told_with_what_to_do():
    with pytest.raises(ValueError, match=r"OpenSpiel has no game 'dots:Dots' .*such as rollouts"):
        open_spiel_mcts("dots:Dots", 10)


def test_open_spiel_mcts_beats_random_play():
    mcts = open_spiel_mcts("connect_four", num_simulations=100)
    result = play_match(FOUR, mcts, random_player(FOUR), num_games=20, key=KEY)
    assert result.wins >= 18
    assert result.interval[0] > 0.6


@needs_open_spiel
def test_open_spiel_mcts_holds_its_own_against_perfect_tic_tac_toe():
    mcts = open_spiel_mcts("tic_tac_toe", num_simulations=1000)
    perfect = Table(perfect_policy()).as_player()
    result = play_match(TicTacToe(), mcts, perfect, num_games=10, key=KEY)
    assert (result.wins, result.draws) == (0, 10)


@needs_open_spiel
def test_open_spiel_mcts_repeats_itself_given_key_and_seed_and_varies_otherwise():
    def games(key, seed):
        mcts = open_spiel_mcts("connect_four", 20, seed)
        return play_match(FOUR, mcts, lowest_player, num_games=6, key=jax.random.key(key)).histories

    first = games(key=0, seed=0)
    assert first == games(key=0, seed=0)
    assert first != games(key=1, seed=0)
    assert first != games(key=0, seed=1)
    assert len(set(map(tuple, first))) > 2  # its games differ within one match too


@needs_open_spiel
def test_open_spiel_mcts_plays_only_the_rows_asked_for():
    rows = np.array([False, True, False])
    # Rows not asked for may hold finished games: playing on would be an error.
    histories = [[0, 1, 0, 1, 0, 1, 0], [3, 3, 2, 2, 4, 4], [0, 1, 0, 1, 0, 1, 0]]
    actions = open_spiel_mcts("connect_four", 200)(Turn(states_after(histories), histories, rows, KEY))
    assert actions[1] in (1, 5)  # completes four in a row


@needs_open_spiel
def test_open_spiel_mcts_plays_a_game_whose_actions_have_other_numbers():
    # A mirrored Connect Four whose second player's columns are not mirrored.
    def translate(history):
        return [6 - action if ply % 2 == 0 else action for ply, action in enumerate(history)]

    histories = [[1, 0, 1, 0, 1, 0], [1, 5, 2, 5, 6, 5, 6]]  # completes four in a row, in either seat
    states = states_after(translate(history) for history in histories)
    mcts = open_spiel_mcts("connect_four", 200, translate=translate)
    assert mcts(Turn(states, histories, np.ones(2, bool), KEY)).tolist() == [1, 5]


def states_after(histories):
    """The states [N] of games of Connect Four."""

    def state_after(moves):
        state = FOUR.init(KEY)
        for move in moves:
            state = FOUR.step(state, move, KEY)
        return state

    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(state_after, histories))


@pytest.mark.parametrize("build", [BitBullyProcess, lambda: open_spiel_mcts("connect_four", 10)])
def test_a_missing_extra_is_one_line_with_the_command(build, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'is not installed; run: pip install "jzero\[test\]"$') as error:
        build()
    assert "\n" not in str(error.value)


def test_importing_the_package_loads_no_game_and_no_extra():
    code = (
        "import sys, jzero.evaluate; "
        "print([m for m in sys.modules if m.split('.')[0] in ('envs', 'pyspiel', 'open_spiel', 'bitbully')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
