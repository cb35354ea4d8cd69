"""The exhaustive proof against a plain recursive walk, and what it must catch."""

import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import prove_never_loses
from tests.helpers.players import PickGame, Table, perfect_policy, tic_tac_toe_policy
from tests.oracles import tic_tac_toe as oracle

TTT = TicTacToe()
EMPTY = (0,) * 9


def counted(policy, seat):
    """(wins, draws, losses) and the number of distinct positions to move in, by the plain walk."""
    games = oracle.all_games(policy.__getitem__, seat)
    asked = {_board(actions[:ply]) for _, actions in games for ply in range(seat, len(actions), 2)}
    results = [result for result, _ in games]
    return tuple(results.count(result) for result in (1, 0, -1)), len(asked)


def _board(actions):
    board = EMPTY
    for cell in actions:
        board = oracle.after(board, cell)
    return board


def assert_equals_plain_walk(result, policy):
    for seat, proof in enumerate(result.seats):
        games, positions = counted(policy, seat)
        assert (proof.wins, proof.draws, proof.losses) == games
        assert proof.positions == positions
        assert (proof.lost_game is None) == (proof.losses == 0)


def test_minimax_is_proved_never_to_lose():
    policy = perfect_policy()
    result = prove_never_loses(TTT, Table(policy))
    assert result.never_loses
    assert result.losses == 0
    assert_equals_plain_walk(result, policy)
    assert result.wins == sum(seat.wins for seat in result.seats) > 0
    assert result.draws > 0


def test_one_planted_blunder_is_caught_with_a_game_that_shows_it():
    # As second player, answer a corner by an edge cell: every other position is played perfectly.
    policy = perfect_policy() | {oracle.after(EMPTY, 0): 1}
    result = prove_never_loses(TTT, Table(policy))
    assert not result.never_loses
    assert_equals_plain_walk(result, policy)
    assert result.seats[0].losses == 0
    lost = result.seats[1].lost_game
    assert lost[:2] == (0, 1)
    assert oracle.lost(_board(lost))
    assert len(lost) % 2 == 1  # the last move was the opponent's, who moved first
    assert all(policy[_board(lost[:ply])] == lost[ply] for ply in range(1, len(lost), 2))


@pytest.mark.parametrize("weak_seat", [0, 1])
def test_perfect_in_one_seat_only_is_caught_in_the_other(weak_seat):
    def choose(board):
        seat = sum(map(abs, board)) % 2
        return oracle.empty_cells(board)[0] if seat == weak_seat else oracle.best_moves(board)[0]

    policy = tic_tac_toe_policy(choose)
    result = prove_never_loses(TTT, Table(policy))
    assert_equals_plain_walk(result, policy)
    assert result.seats[weak_seat].losses > 0
    assert result.seats[1 - weak_seat].losses == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_random_policies_are_counted_as_by_the_plain_walk(seed):
    rng = np.random.default_rng(seed)
    policy = tic_tac_toe_policy(lambda board: int(rng.choice(oracle.empty_cells(board))))
    result = prove_never_loses(TTT, Table(policy))
    assert not result.never_loses
    assert_equals_plain_walk(result, policy)


def test_rewards_along_the_way_decide_the_game():
    # Always picking 2 loses to nothing, and draws with the one line 2, 2 out of the opponent's nine.
    result = prove_never_loses(PickGame(), lambda states: np.full(len(states.ply), 2))
    assert [(seat.wins, seat.draws, seat.losses) for seat in result.seats] == [(8, 1, 0)] * 2
    # Always picking 1 earns 2: wins against sums 0 and 1 (3 lines), draws with 2 (3), loses to 3 and 4 (3).
    result = prove_never_loses(PickGame(), lambda states: np.full(len(states.ply), 1))
    assert [(seat.wins, seat.draws, seat.losses) for seat in result.seats] == [(3, 3, 3)] * 2


def test_the_policy_is_called_with_one_batch_size_and_it_does_not_matter_which():
    table = Table(perfect_policy())
    shapes = set()

    def act(states):
        shapes.add(states.board.shape)
        return table(states)

    assert prove_never_loses(TTT, act, batch_size=7) == prove_never_loses(TTT, table)
    assert shapes == {(7, 9)}


def test_an_illegal_action_is_an_error():
    with pytest.raises(ValueError, match=r"act chose action 0 after \[0, \d\]; the legal actions are"):
        prove_never_loses(TTT, lambda states: np.zeros(len(states.board), np.int32))


def test_limits_are_explained():
    with pytest.raises(ValueError, match="max_positions: more than 10 distinct positions after"):
        prove_never_loses(TTT, Table(perfect_policy()), max_positions=10)
    with pytest.raises(ValueError, match="batch_size"):
        prove_never_loses(TTT, Table(perfect_policy()), batch_size=0)
    solo = PickGame()
    solo.num_players = 1
    with pytest.raises(ValueError, match="2 players"):
        prove_never_loses(solo, Table(perfect_policy()))


def test_games_from_openings_are_those_of_all_games_that_begin_so():
    rng = np.random.default_rng(1)
    policy = tic_tac_toe_policy(lambda board: int(rng.choice(oracle.empty_cells(board))))
    openings = [(4, 0), (0, 4), (2, 1)]
    result = prove_never_loses(TTT, Table(policy), openings=openings, seats=(1,))
    (proof,) = result.seats
    expected = np.zeros(3, int)
    for opening in openings:
        policy = policy | {_board(opening[:1]): opening[1]}
        games = [
            result
            for result, actions in oracle.all_games(policy.__getitem__, 1)
            if tuple(actions[:2]) == opening
        ]
        expected += [games.count(result) for result in (1, 0, -1)]
    assert (proof.wins, proof.draws, proof.losses) == tuple(expected)
    assert proof.lost_game is None or proof.lost_game[:2] in openings


def test_openings_are_checked():
    act = Table(perfect_policy())
    for openings in ((), ((0,), (1, 2))):
        with pytest.raises(ValueError, match="openings: expected one or more of the same length"):
            prove_never_loses(TTT, act, openings=openings)
    with pytest.raises(ValueError, match="openings chose action 4 after"):
        prove_never_loses(TTT, act, openings=[(4, 4)])
    with pytest.raises(ValueError, match=r"openings: \[0, 3, 1, 4, 2\] ends the game"):
        prove_never_loses(TTT, act, openings=[(0, 3, 1, 4, 2)])


def test_openings_that_meet_are_one_position():
    table = Table(perfect_policy())
    (once,) = prove_never_loses(TTT, table, openings=[(0, 1, 2)], seats=(0,)).seats
    (twice,) = prove_never_loses(TTT, table, openings=[(0, 1, 2), (2, 1, 0)], seats=(0,)).seats
    assert twice.positions == once.positions > 0
    assert twice.wins == 2 * once.wins
    (reply,) = prove_never_loses(TTT, table, openings=[(0, 1), (0, 1)], seats=(0,)).seats
    assert reply.positions == prove_never_loses(TTT, table, openings=[(0, 1)], seats=(0,)).positions


def test_a_walk_may_end_at_the_first_ply_with_a_loss():
    policy = perfect_policy() | {oracle.after(EMPTY, 0): 1}
    whole, cut = (prove_never_loses(TTT, Table(policy), until_lost=until).seats for until in (False, True))
    assert cut[0] == whole[0], "no game is lost there"
    assert cut[1].lost_game == whole[1].lost_game
    assert 0 < cut[1].losses <= whole[1].losses
    assert 0 < cut[1].positions < whole[1].positions
