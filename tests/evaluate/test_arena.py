"""Matches: known results of scripted players, fair pairing, and who is asked what."""

import jax
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import Tally, mean_interval, play_match, random_player
from tests.helpers.players import PickGame, Table, highest_player, lowest_player, perfect_policy
from tests.oracles import connect_four_solver, tic_tac_toe

KEY = jax.random.key(0)
TTT = TicTacToe()
FOUR = ConnectFour()


def test_lowest_against_lowest_the_first_mover_wins_every_game():
    result = play_match(TTT, lowest_player, lowest_player, num_games=10, key=KEY)
    assert (result.wins, result.draws, result.losses) == (5, 0, 5)
    assert result.by_seat == (Tally(5, 0, 0), Tally(0, 0, 5))
    assert result.outcomes.tolist() == [1, -1] * 5
    assert result.histories == [[0, 1, 2, 3, 4, 5, 6]] * 10
    assert result.score == 0.5
    assert result.distinct_games == 1


def test_scripted_games_are_the_ones_played_by_hand():
    result = play_match(TTT, lowest_player, highest_player, num_games=2, key=KEY)
    assert result.histories == [[0, 8, 1, 7, 2], [8, 0, 7, 1, 6]]
    assert result.by_seat == (Tally(1, 0, 0), Tally(0, 0, 1))


def test_perfect_players_draw():
    perfect = Table(perfect_policy()).as_player()
    result = play_match(TTT, perfect, perfect, num_games=4, key=KEY)
    assert (result.wins, result.draws, result.losses, result.score) == (0, 4, 0, 0.5)


def test_perfect_player_never_loses_to_random_play_from_either_seat():
    perfect = Table(perfect_policy()).as_player()
    result = play_match(TTT, perfect, random_player(TTT), num_games=200, key=KEY)
    assert result.losses == 0
    assert result.score > 0.85
    mirrored = play_match(TTT, random_player(TTT), perfect, num_games=200, key=KEY)
    assert mirrored.wins == 0
    assert mirrored.score < 0.15


def test_outcomes_agree_with_the_rules_replayed():
    result = play_match(
        FOUR, random_player(FOUR), random_player(FOUR), num_games=40, key=KEY, opening_plies=(0, 4)
    )
    for game, (moves, outcome) in enumerate(zip(result.histories, result.outcomes, strict=True)):
        for ply in range(1, len(moves) + 1):
            won = connect_four_solver.wins(connect_four_solver.board_after(moves[:ply]), moves[ply - 1])
            assert won == (ply == len(moves) and outcome != 0)
        last_mover_is_player = (len(moves) - 1) % 2 == game % 2
        assert outcome in ([1] if last_mover_is_player else [-1]) or len(moves) == 42
    assert result.wins == (result.outcomes == 1).sum()
    assert result.score == pytest.approx((result.outcomes + 1).mean() / 2)


def test_random_tic_tac_toe_has_its_known_first_mover_advantage():
    result = play_match(TTT, random_player(TTT), random_player(TTT), num_games=4000, key=KEY)
    first = result.by_seat[0]
    # Exact shares of uniform random play: 0.5849 the first mover wins, 0.1270 draws. Three standard errors.
    assert first.wins / 2000 == pytest.approx(0.5849, abs=0.033)
    assert first.draws / 2000 == pytest.approx(0.1270, abs=0.023)
    assert result.score == pytest.approx(0.5, abs=0.024)


def test_pairs_share_their_opening_and_pairs_differ():
    openings = []

    def recorder(turn):
        openings.extend(tuple(turn.histories[row]) for row in np.flatnonzero(turn.rows))
        return lowest_player(turn)

    result = play_match(FOUR, recorder, lowest_player, num_games=40, key=KEY, opening_plies=(2, 4))
    lengths = set()
    for even, odd in zip(result.histories[::2], result.histories[1::2], strict=True):
        # Both games are played by the same script from there on, so equal openings mean equal games.
        assert even == odd
        starts = [start for start in openings if list(start) == even[: len(start)]]
        lengths.add(min(map(len, starts)))
    assert lengths <= {2, 3, 4}
    assert len(lengths) == 3
    assert result.distinct_games > 15
    assert result.score == 0.5  # equal scripts, seats swapped
    assert set(result.outcomes[::2] + result.outcomes[1::2]) == {0}


def test_openings_stop_before_they_end_the_game():
    result = play_match(TTT, lowest_player, lowest_player, num_games=400, key=KEY, opening_plies=9)
    asked = []

    def recorder(turn):
        asked.extend(turn.rows.tolist())
        return lowest_player(turn)

    play_match(TTT, recorder, recorder, num_games=400, key=KEY, opening_plies=9)
    assert sum(asked) >= 400  # a move was left in every game
    for moves in result.histories:
        board = (0,) * 9
        for cell in moves:
            assert not tic_tac_toe.lost(board)
            board = tic_tac_toe.after(board, cell)
        assert tic_tac_toe.lost(board) or not tic_tac_toe.empty_cells(board)


def test_each_player_is_asked_once_a_ply_for_its_own_turns():
    calls = {"player": [], "opponent": []}

    def spy(name):
        def play(turn):
            calls[name].append(turn)
            return lowest_player(turn)

        return play

    play_match(TTT, spy("player"), spy("opponent"), num_games=12, key=KEY)
    assert len(calls["player"]) == len(calls["opponent"]) == 7  # the games last seven plies
    for turns in calls.values():
        for ply, turn in enumerate(turns):
            assert turn.rows.shape == (6,)
            assert turn.rows.all()
            assert [len(history) for history in turn.histories] == [ply] * 6
            assert np.asarray(turn.states.current_player).tolist() == [ply % 2] * 6
            assert turn.states.board.shape == (6, 9)
    keys = [tuple(jax.random.key_data(turn.key).tolist()) for turns in calls.values() for turn in turns]
    assert len(set(keys)) == len(keys)


def test_turn_states_are_those_of_its_histories():
    def check(turn):
        for row in np.flatnonzero(turn.rows):
            board = (0,) * 9
            for cell in turn.histories[row]:
                board = tic_tac_toe.after(board, cell)
            assert tuple(np.asarray(turn.states.board[row]).tolist()) == board
        return random_player(TTT)(turn)

    play_match(TTT, check, check, num_games=10, key=KEY, opening_plies=(0, 4))


def test_same_key_same_match_other_key_other_match():
    def match(seed):
        key = jax.random.key(seed)
        return play_match(
            FOUR, random_player(FOUR), lowest_player, num_games=40, key=key, opening_plies=(0, 4)
        )

    assert match(3).histories == match(3).histories
    assert match(3).histories != match(4).histories


def test_interval_takes_pairs_as_units():
    result = play_match(FOUR, random_player(FOUR), lowest_player, num_games=40, key=KEY, opening_plies=4)
    pairs = (result.outcomes.reshape(-1, 2).mean(axis=1) + 1) / 2
    assert result.interval == mean_interval(pairs)
    assert result.interval[0] <= result.score <= result.interval[1]


def test_games_where_a_player_moves_twice():
    def two(turn):
        return np.full(len(turn.rows), 2)

    def one(turn):
        return np.full(len(turn.rows), 1)

    result = play_match(PickGame(), two, one, num_games=32, key=KEY)
    assert (result.wins, result.losses) == (32, 0)
    # Chance decides who begins, the same player in both games of a pair: each side begins one of them.
    assert result.by_seat == (Tally(16, 0, 0), Tally(16, 0, 0))
    assert {tuple(history) for history in result.histories} == {(2, 2, 1, 1), (1, 1, 2, 2)}


def test_seats_are_counted_by_who_moves_first_not_by_player_number():
    def two_if_first(turn):
        return np.array([2 if len(history) < 2 else 1 for history in turn.histories])

    result = play_match(PickGame(), two_if_first, two_if_first, num_games=32, key=KEY)
    assert result.by_seat == (Tally(16, 0, 0), Tally(0, 0, 16))
    assert 0 < (result.outcomes[::2] == 1).sum() < 16  # player 0 is not always the first mover


def test_pairs_share_chance():
    def one(turn):
        return np.full(len(turn.rows), 1)

    # The bonus decides the game for player 0 in both games of a pair, or in neither.
    result = play_match(PickGame(bonus=1.0), one, one, num_games=64, key=KEY)
    pairs = result.outcomes.reshape(-1, 2)
    assert {tuple(pair) for pair in pairs.tolist()} == {(1, -1), (0, 0)}


def test_random_player_is_uniform_over_legal_actions():
    counts = np.zeros(9)

    def count(turn):
        actions = random_player(TTT)(turn)
        if len(turn.histories[0]) == 1:
            np.add.at(counts, actions[turn.rows], 1)
        return actions

    play_match(TTT, lowest_player, count, num_games=3200, key=KEY)
    replies = counts[1:]  # in 1,600 games the opponent answers cell 0
    assert counts[0] == 0
    assert replies.sum() == 1600
    # Chi-square with 7 degrees of freedom: 24.3 is exceeded once in a thousand.
    assert ((replies - 200) ** 2 / 200).sum() < 24.3


@pytest.mark.parametrize("action", [0, 9, -1])
def test_illegal_action_is_an_error_that_names_the_player(action):
    def stubborn(turn):
        return np.full(len(turn.rows), action)

    with pytest.raises(ValueError, match=rf"opponent chose action {action} after \[.*\]"):
        play_match(TTT, lowest_player, stubborn, num_games=2, key=KEY)


def test_malformed_arguments_are_explained():
    with pytest.raises(ValueError, match=r"num_games: expected an even number > 0.*got 3"):
        play_match(TTT, lowest_player, lowest_player, num_games=3, key=KEY)
    with pytest.raises(ValueError, match=r"opening_plies: .*got \(4, 2\)"):
        play_match(TTT, lowest_player, lowest_player, num_games=2, key=KEY, opening_plies=(4, 2))
    solo = PickGame()
    solo.num_players = 1
    with pytest.raises(ValueError, match="env: a match needs a game of 2 players"):
        play_match(solo, lowest_player, lowest_player, num_games=2, key=KEY)
