"""The player of Gomoku that sees threats: moves that must be found, wins that hold against every answer."""

import jax
import numpy as np
import pytest
from jzero_envs.gomoku import Gomoku
from jzero_envs.hex import Hex

from experiments.players.gomoku import DEPTH, Position, choose, sequence_of_fours, threats
from jzero.evaluate import play_match, random_player
from tests.oracles.gomoku import gomoku

pytestmark = pytest.mark.usefixtures("quick_compilation")


def position_of(text):
    """X is side 0, O side 1."""
    rows = text.split()
    stones = np.array([{"X": 1, "O": -1, ".": 0}[mark] for row in rows for mark in row])
    return Position(len(rows), stones)


def name(cell, size=9):
    return f"{'abcdefghi'[cell % size]}{size - cell // size}"


def chosen(text):
    """All cells that are chosen, over many noises."""
    rng = np.random.default_rng(0)
    return {name(choose(position_of(text), DEPTH, rng.random(81))) for _ in range(8)}


EMPTY = ". . . . . . . . .".replace(" ", "") + "\n"


def board(*rows):
    """The rows from the third on of a board of 9 x 9."""
    return EMPTY * 2 + "\n".join(rows) + "\n" + EMPTY * (7 - len(rows))


CASES = {
    "completes five": (board("OOOO.....", "XXX.X...."), {"d6"}),
    "stops five": (board("OO.OO....", "XXX......"), {"c7"}),
    "stops five with a stone between": (board("X.OOOO.X.", ".........", "..XXX...."), {"b7", "g7"}),
    "makes an open four": (board("..XXX....", "..OO....."), {"b7", "f7"}),
    "blocks an open three": (board("..OOO....", "..XX....."), {"b7", "f7"}),
    "blocks a broken open three": (board("..OO.O...", "..XX....."), {"b7", "e7", "g7"}),
    "makes a four and an open three that crosses it": (
        board("OXXX.....", "....X....", "....X....", "....O...."),
        {"e7"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_finds_the_move(case):
    text, moves = CASES[case]
    found = chosen(text)
    assert found
    assert found <= moves, found


def test_a_long_sequence_of_fours_is_found_and_its_first_move_played():
    """Two fours are not enough: the second one's answer has to be drawn away first."""
    text = board("O.XXX....", ".....X...", "O....X..O", "......O..", ".....O...")
    position = position_of(text)
    line = sequence_of_fours(position, 0, DEPTH)
    assert line
    assert chosen(text) == {name(line[0])}


def random_position(size, seed, stones_each):
    """Stones of both sides on random cells; one may be about to have five, or have it."""
    cells = np.random.default_rng(seed).permutation(size**2)
    stones = np.zeros(size**2, int)
    stones[cells[:stones_each]], stones[cells[stones_each : 2 * stones_each]] = 1, -1
    return Position(size, stones)


def wins_by_fours(stones, depth, size):
    """Whether the side 1 wins by fours alone, by the rules: every answer to a threat of five is tried."""
    found = [[size * r + c for r, c in line] for line in gomoku(size).lines()]

    def five(player):
        return any(all(stones[cell] == player for cell in line) for line in found)

    def with_stone(cell, player, question):
        stones[cell] = player
        answer = question()
        stones[cell] = 0
        return answer

    def empty():
        return [cell for cell in range(size**2) if stones[cell] == 0]

    def attack(depth):
        if any(with_stone(cell, 1, lambda: five(1)) for cell in empty()):
            return True
        return depth > 0 and any(with_stone(cell, 1, lambda: defend(depth)) for cell in empty())

    def defend(depth):
        ends = [cell for cell in empty() if with_stone(cell, 1, lambda: five(1))]
        if not ends or any(with_stone(cell, -1, lambda: five(-1)) for cell in empty()):
            return False  # no four, or five of the other side comes first
        return len(ends) > 1 or with_stone(ends[0], -1, lambda: attack(depth - 1))

    return attack(depth)


@pytest.mark.parametrize("seeds", [range(55, 67), pytest.param(range(1000), marks=pytest.mark.slow)], ids=len)
def test_wins_by_fours_are_those_of_trying_everything(seeds):
    found = []
    for seed in seeds:
        position = random_position(7, seed, 11)
        if (position.counts == 5).any():
            continue
        before = position.stones.copy(), position.counts.copy()
        found.append(bool(sequence_of_fours(position, 0, 2)))
        assert (position.stones == before[0]).all()
        assert (position.counts == before[1]).all()
        assert found[-1] == wins_by_fours(position.stones.tolist(), 2, 7)
    assert 0.1 < np.mean(found) < 0.9


def test_it_beats_random_play():
    env = Gomoku(size=7)
    result = play_match(env, threats(env), random_player(env), num_games=8, key=jax.random.key(0))
    assert result.score == 1


def test_other_games_are_refused():
    with pytest.raises(ValueError, match=r"expected Gomoku: use gomoku\?size=9, or the player rollouts"):
        threats(Hex(size=5))
