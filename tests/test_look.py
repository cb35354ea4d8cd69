"""What random play shows of an environment is compared with what is known of the games."""

import math
from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import look as look_lib
from jzero.env import init_batch
from jzero.look import LOOKS, MOST_PLIES, SECONDS, Facts, look
from tests.helpers.env_examples import Aim, Dice, TwoPiles

pytestmark = pytest.mark.usefixtures("quick_compilation")


@cache
def expected_plies(board: tuple[int, ...] = (0,) * 9, mover: int = 1) -> float:
    """Mean plies of a random tic-tac-toe game from here, by enumeration."""
    lines = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
    if any(board[a] == board[b] == board[c] != 0 for a, b, c in lines) or all(board):
        return 0.0
    free = [i for i in range(9) if not board[i]]
    return 1 + sum(expected_plies((*board[:i], mover, *board[i + 1 :]), -mover) for i in free) / len(free)


def test_random_games_show_the_length_of_games():
    facts = look(TicTacToe())
    assert facts.longest == 9
    assert facts.plies == pytest.approx(expected_plies(), abs=0.7)
    assert facts.ended
    assert (facts.largest_reward, facts.largest_return) == (1, 1)
    assert facts.shapes == ((3, 3, 2),)
    assert facts.is_board
    assert facts.features == 18
    assert not any((facts.chance, facts.hides, facts.player_values))


def test_chance_is_seen_in_deals_and_in_dice():
    assert look(Dice()).chance
    assert not look(TwoPiles()).chance
    facts = look(Blob(players=3, cards=2))
    assert facts.chance
    assert facts.hides
    assert facts.player_values
    assert facts.plies == facts.longest == 9
    assert not facts.is_board


class Counting(Dice):
    """Shows how many plies, 0 to 3, are over, -50 for each, and a picture in bytes."""

    def observe(self, state):
        return {"count": -50 * state.ply, "picture": jnp.full((2, 2, 3), 255, jnp.uint8)}


def test_the_largest_number_of_an_observation_is_seen_except_bytes():
    assert look(TicTacToe()).largest_number <= 1
    assert look(Counting()).largest_number == 150


class SeldomBroken(Counting):
    """In one game of forty, a number is none."""

    def init(self, key):
        state = super().init(key)
        return state.replace(ply=jnp.where(jax.random.uniform(key) < 1 / 40, -1, state.ply))

    def step(self, state, action, key):
        after = super().step(state, action, key)
        broken = jnp.where(state.ply < 0, jnp.nan, after.rewards)
        return after.replace(rewards=broken)

    def observe(self, state):
        return super().observe(state) | {"share": jnp.log(state.ply + 1.0)}


def test_a_number_that_is_not_finite_is_seen_in_any_game():
    facts = look(SeldomBroken())
    assert math.isnan(facts.largest_reward)
    assert math.isinf(facts.largest_number)


def test_continuous_actions_are_played_too():
    facts = look(Aim(length=3))
    assert facts.longest == 3
    assert 2 < facts.largest_reward < 2 * 1.8**2  # the farthest shot from a goal at 0.8
    assert facts.shapes == ((2,),)


class Seats(TwoPiles):
    """Who moves first is drawn, as pgx does; what is seen is the mover's view."""

    def init(self, key):
        return super().init(key)._replace(current_player=jax.random.bernoulli(key).astype(jnp.int32))


def test_seats_that_are_drawn_are_no_chance():
    assert 0 < init_batch(Seats(), jax.random.key(0), LOOKS).current_player.sum() < LOOKS
    assert not look(Seats()).chance


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder that keeps what is seen."""
    monkeypatch.setattr(look_lib, "CACHE", tmp_path / "looks")
    monkeypatch.setattr(look_lib, "_known", {})
    return tmp_path / "looks"


def played(env) -> tuple[Facts, bool]:
    """The facts of an environment that this process has not seen yet, and whether games were played for them."""
    look_lib._known.clear()
    said = []
    return look(env, say=said.append), any("playing" in line for line in said)


def test_what_was_seen_is_kept_by_what_an_environment_computes(files):
    first, was_played = played(TwoPiles())
    assert was_played
    assert played(TwoPiles()) == (first, False)
    assert played(Seats())[1]
    assert len(list(files.iterdir())) == 2
    for content in ("", "[]", '{"chance": true}'):
        for path in files.iterdir():
            path.write_text(content)
        assert played(TwoPiles()) == (first, True)


def test_a_folder_that_cannot_be_written_is_no_error(files):
    files.write_text("a file")
    assert played(TwoPiles())[1]
    assert played(TwoPiles())[1]


class Endless(Dice):
    """Whatever the sum, nobody stops."""

    def step(self, state, action, key):
        no = jnp.bool_(False)
        return super().step(state, action, key).replace(terminated=no, truncated=no)


@cache
def compiled(env):
    """The two compiled functions of random games."""
    begin, key = partial(look_lib._begin, env), jax.random.key(0)
    go_on = jax.jit(partial(look_lib._go_on, env)).lower(jax.eval_shape(begin, key), key, jnp.int32(1))
    return jax.jit(begin).lower(key).compile(), go_on.compile()


def timed(env, monkeypatch, seconds_per_ply):
    """What was seen of random games, the seconds that it took and the plies of each call. Only plies take time."""
    begin, go_on = compiled(env)
    clock, calls = [0.0], []

    def play(games, key, plies):
        calls.append(int(plies))
        after = go_on(games, key, plies)
        clock[0] += seconds_per_ply * int(after.ply - games.ply)
        return after

    monkeypatch.setattr(look_lib, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return look_lib._play(begin, play, jax.random.key(0), lambda text: None), clock[0], calls


@pytest.mark.parametrize("seconds_per_ply", [0.1, 1.0, 3.0])
def test_slow_games_are_played_about_as_long_as_the_time_limit(monkeypatch, seconds_per_ply):
    seen, seconds, _ = timed(Endless(), monkeypatch, seconds_per_ply)
    assert SECONDS <= seconds < SECONDS + max(1.0, seconds_per_ply)
    assert seen.ended.all()
    assert (seen.plies == MOST_PLIES).all()


def test_what_is_seen_does_not_depend_on_the_speed(monkeypatch):
    fast, _, many = timed(TwoPiles(), monkeypatch, 0.0)
    slow, seconds, single = timed(TwoPiles(), monkeypatch, 0.12)
    assert seconds < SECONDS
    assert max(single) < max(many)
    jax.tree.map(np.testing.assert_array_equal, fast, slow)


def test_fast_games_are_played_in_few_calls(monkeypatch):
    assert timed(Endless(), monkeypatch, 0.0)[2][:8] == [1, 2, 4, 8, 16, 32, 32, 32]


def test_few_of_long_games_are_played(files, monkeypatch):
    said = []
    monkeypatch.setattr(look_lib, "ENOUGH_PLIES", 30)
    look(TwoPiles(), say=said.append)
    assert said[-1].startswith("8 random games")
