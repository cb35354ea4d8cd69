"""What check_env says where an environment's function cannot be traced: the newcomer's mistakes, one a class."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048

from jzero import EnvError, check_env
from jzero.env import keep_finished
from jzero.registry import make
from tests.helpers.env_examples import TwoPiles

HERE = r"\(test_errors.py, line \d+: `{}`\)"


@dataclasses.dataclass
class Plain:
    piles: Any


class PlainState(TwoPiles):
    def init(self, key):
        return Plain(super().init(key).piles)


class DictState(TwoPiles):
    def init(self, key):
        return super().init(key)._asdict()


class IfOnAValue(TwoPiles):
    def step(self, state, action, key):
        return state if state.terminated else super().step(state, action, key)


class NumpyArray(TwoPiles):
    def observe(self, state):
        return np.asarray(state.piles)


class ListIndex(TwoPiles):
    def step(self, state, action, key):
        taken = [1, 2, 1, 2][action]
        return super().step(state, action + 0 * taken, key)


class IntOfAValue(TwoPiles):
    def step(self, state, action, key):
        return super().step(state, int(action), key)


class AsManyRowsAsStones(TwoPiles):
    def observe(self, state):
        return state.piles[state.piles > 0]


class Assignment(TwoPiles):
    def step(self, state, action, key):
        state.piles[0] = 1
        return super().step(state, action, key)


class KeepsATuple(TwoPiles):
    """Fails in a function of jzero.env: the line to name is the one that calls it."""

    def step(self, state, action, key):
        return keep_finished(state, (state, action))


class AnotherSignature(TwoPiles):
    def observe(self, state, player):
        return state.piles


class Text(TwoPiles):
    def observe(self, state):
        return {"piles": state.piles, "name": "two piles"}


@pytest.mark.parametrize(
    ("env", "call", "said"),
    [
        (
            PlainState,
            "init",
            r"returns a Plain, which is neither an array .* make a state a typing.NamedTuple",
        ),
        (DictState, "init", r"returns a dict without the fields current_player, .*: make a state a typing.N"),
        (
            IfOnAValue,
            "step",
            HERE.format(r"return state if state.terminated else super\(\).*") + ".*not with `if`",
        ),
        (NumpyArray, "observe", HERE.format(r"return np.asarray\(state.piles\)") + ": use jax.numpy"),
        (ListIndex, "step", HERE.format(r"taken = \[1, 2, 1, 2\]\[action\]") + ": index arrays"),
        (IntOfAValue, "step", HERE.format(r"return super.*int\(action\), key\)") + r": .* no int\(\)"),
        (AsManyRowsAsStones, "observe", HERE.format(".*") + ": no shape may depend on values: keep all"),
        (
            Assignment,
            "step",
            r"immutable.* x.at\[idx\].set\(y\).*" + HERE.format(r"state.piles\[0\] = 1") + "$",
        ),
        (KeepsATuple, "step", HERE.format(r"return keep_finished\(state, \(state, action\)\)") + "$"),
        (AnotherSignature, "observe", r"missing 1 required positional argument: 'player'$"),
        (Text, "observe", "returns a str, which is neither an array"),
    ],
)
def test_a_function_that_cannot_be_traced_is_one_line_with_its_place_and_what_to_do(env, call, said):
    with pytest.raises(EnvError, match=said) as caught:
        check_env(env())
    _, problem = str(caught.value).splitlines()
    assert problem.startswith(f"- {call}(")


class Remembers(TwoPiles):
    """Passes a first look, since each function is traced by itself there."""

    def step(self, state, action, key):
        self.last = state.piles
        return super().step(state, action, key)

    def observe(self, state):
        return super().observe(state) + self.last


class NoPicture(TwoPiles):
    def svg(self, state):
        return f"<svg>{state.board}</svg>"


class SameName(TwoPiles):
    def action_name(self, state, action):
        return "take"


class NoName(TwoPiles):
    def action_name(self, state, action):
        return state.names[action]


class SameOutcome(Game2048):
    def outcome_name(self, afterstate, outcome):
        return "a tile"


class NoOutcome(Game2048):
    def outcome_name(self, afterstate, outcome):
        return self.tiles[outcome]


class PointsToClick(TwoPiles):
    def areas(self, state):
        return {0: ((10, 10),)}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (SameName, r"action_name\(state, action\) does not return a different text for each legal action"),
        (NoName, r"- action_name\(state, action\) fails: AttributeError: .* 'names' "),
        (
            SameOutcome,
            r"outcome_name\(afterstate, outcome\) does not return a different text for each possible outcome",
        ),
        (NoOutcome, r"- outcome_name\(afterstate, outcome\) fails: AttributeError: .* 'tiles'"),
        (PointsToClick, r"- areas\(state\) does not return \{action: \(\(x, y, width, height\), ...\)\}"),
        (
            Remembers,
            r"- random play fails under jax.jit: UnexpectedTracerError: .*: keep nothing between calls",
        ),
        (NoPicture, r"- svg\(state\) fails: AttributeError: .* 'board' " + HERE.format(".*state.board.*")),
    ],
)
def test_what_fails_only_in_play_is_told_too(env, said):
    with pytest.raises(EnvError, match=said) as caught:
        check_env(env(), num_games=2, max_plies=8)
    assert len(str(caught.value).splitlines()) == 2


def test_a_class_in_place_of_an_environment_is_told():
    with pytest.raises(EnvError, match=r"got the class TwoPiles: pass an environment, TwoPiles\(\)"):
        check_env(TwoPiles)


@dataclasses.dataclass
class NotFrozen(TwoPiles):
    size: int = 3


def test_an_environment_without_a_hash_is_told_to_freeze():
    with pytest.raises(EnvError, match=r"it lacks a hash, .*@dataclass\(frozen=True\)"):
        check_env(NotFrozen())
    with pytest.raises(ValueError, match=r"NotFrozen' is not an environment: it lacks a hash, "):
        make("tests.check.test_errors:NotFrozen")


def test_numbers_of_python_are_as_good_as_arrays():
    class Numbers(TwoPiles):
        def init(self, key):
            return super().init(key)._replace(current_player=0, terminated=False, truncated=False)

    assert check_env(Numbers(), num_games=2, max_plies=8).finished == 2
