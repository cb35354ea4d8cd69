"""The perfect player of Hex: its solver against plain enumeration, against every reply, and published openings."""

from functools import cache

import jax
import numpy as np
import pytest
from jzero_envs.gomoku import Gomoku
from jzero_envs.hex import Hex

from experiments.players.hex import perfect, stones_of
from experiments.players.hex_solver import HexSolver, members
from jzero.evaluate import Turn, play_match, random_player
from tests.helpers.playing import Batched, random_games
from tests.oracles import hex as oracle

pytestmark = pytest.mark.usefixtures("quick_compilation")


def positions(size, num_games, seed):
    """(stones, player to move) of all unfinished positions of random games, each once."""
    env = Hex(size=size)
    drawn = jax.jit(jax.vmap(lambda state: env.outcome_features(state, 0).ravel()))
    found = set()
    for states, _ in random_games(Batched(env), num_games, seed):
        going = ~states.terminated
        for board, player in zip(np.asarray(drawn(states))[going], states.current_player[going], strict=True):
            found.add((stones_of(board), int(player)))
    return sorted(found)


def by_enumeration(stones, player, size):
    return oracle.mover_wins(stones[player], stones[1 - player], size, player)


@pytest.mark.parametrize(
    ("size", "games", "played", "at_least"),
    [
        (3, 48, 0, 150),
        (4, 48, 6, 150),
        pytest.param(4, 300, 0, 2000, marks=pytest.mark.slow),
        pytest.param(5, 300, 13, 1000, marks=pytest.mark.slow),
    ],
)
def test_verdicts_are_those_of_trying_everything(size, games, played, at_least):
    """Of positions after at least so many moves were `played`."""
    solver, found = HexSolver(size), positions(size, games, seed=size)
    found = [(stones, player) for stones, player in found if sum(map(int.bit_count, stones)) >= played]
    assert len(found) >= at_least
    verdicts = [solver.mover_wins(stones, player) for stones, player in found]
    assert verdicts == [by_enumeration(stones, player, size) for stones, player in found]
    assert {*verdicts} == {True, False}


def after(stones, player, cell):
    return tuple(side | (1 << cell) * (p == player) for p, side in enumerate(stones))


def loses_to_nobody(solver, stones, player):
    """Whether `player`, who is to move and takes the solver's first winning move, beats every line of replies."""
    size = solver.size

    @cache
    def wins(stones):
        empty = members((1 << size**2) - 1 & ~(stones[0] | stones[1]))
        move = next((cell for cell in empty if solver.wins_with(stones, player, cell)), None)
        if move is None:
            return False
        now = after(stones, player, move)
        if oracle.bits_join(now[player], size, player):
            return True
        empty = members((1 << size**2) - 1 & ~(now[0] | now[1]))
        replies = [after(now, 1 - player, cell) for cell in empty]
        lost = any(oracle.bits_join(reply[1 - player], size, 1 - player) for reply in replies)
        return not lost and all(map(wins, replies))

    return wins(stones)


@pytest.mark.parametrize("size", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_first_player_beats_every_line_of_replies(size):
    assert loses_to_nobody(HexSolver(size), (0, 0), 0)


def test_first_moves_that_win_on_small_boards():
    """On 4 x 4 the short diagonal alone; on no board the acute corner, a1 (https://www.hexwiki.net)."""
    assert HexSolver(2).winning_moves((0, 0), 0) == [1, 2]
    assert HexSolver(3).winning_moves((0, 0), 0) == [2, 3, 4, 5, 6]
    assert HexSolver(4).winning_moves((0, 0), 0) == [3, 6, 9, 12]  # the slow tests try everything
    assert HexSolver(5).wins_with((0, 0), 0, 12)


@pytest.mark.slow
def test_first_moves_on_4x4_are_those_of_trying_everything():
    won = [cell for cell in range(16) if not by_enumeration((1 << cell, 0), 1, 4)]
    assert won == HexSolver(4).winning_moves((0, 0), 0)


@pytest.mark.slow
def test_first_moves_on_5x5_are_won_by_whom_the_solver_says():
    """a1 and b1 lose on every board (https://www.hexwiki.net/index.php/Open_problems); the middle wins here."""
    solver = HexSolver(5)
    openings = solver.winning_moves((0, 0), 0)
    assert openings == [4, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 20]
    rng = np.random.default_rng(0)
    for cell in range(25):
        stones, mover, winner = (1 << cell, 0), 1, 0 if cell in openings else 1
        while not any(oracle.bits_join(stones[p], 5, p) for p in range(2)):
            moves = list(members((1 << 25) - 1 & ~(stones[0] | stones[1])))
            if mover == winner:
                move = next(cell for cell in moves if solver.wins_with(stones, mover, cell))
            else:
                move = solver.hardest_move(stones, mover) if rng.random() < 0.5 else int(rng.choice(moves))
            stones, mover = after(stones, mover, move), 1 - mover
        assert mover == 1 - winner


def test_the_perfect_player_wins_from_the_empty_board():
    env = Hex(size=4)
    result = play_match(env, perfect(env), random_player(env), num_games=8, key=jax.random.key(0))
    assert result.by_seat[0].wins == 4
    assert result.score > 0.8


def test_with_the_swap_the_second_player_wins_whatever_comes_first():
    env = Hex(size=3, swap=True)
    batched, player, rng = Batched(env), perfect(env), np.random.default_rng(0)
    for first in range(9):
        states, returns = batched.step(batched.init(4), np.full(4, first)), 0
        while not states.terminated.all():
            second = (states.current_player == 1) & ~states.terminated
            moves = states.legal_action_mask * rng.random(states.legal_action_mask.shape)
            turn = Turn(states, [[]] * 4, second, jax.random.key(first))
            states = batched.step(states, np.where(second, player(turn), moves.argmax(axis=1)))
            returns += states.rewards[:, 1]
        assert (returns == 1).all()


@pytest.mark.parametrize("env", [Hex(size=6), Gomoku(size=5)])
def test_other_games_and_larger_boards_are_refused(env):
    with pytest.raises(
        ValueError, match=r"expected Hex on at most 5 x 5: use hex\?size=5, or the player rollouts"
    ):
        perfect(env)
