"""XLand-MiniGrid's grid worlds against XLand-MiniGrid itself."""

import sys

import numpy as np
import pytest

from jzero import check_env, make
from jzero.env_spec import describe
from jzero.models.simulator import check_hidden
from tests.helpers.originals import compare, train_once

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def xminigrid():
    return pytest.importorskip("xminigrid", exc_type=ImportError)


def compare_with(xminigrid, name, options="", *, num_games=16, num_plies=120, **settings):
    own, params = xminigrid.make(name, **settings)

    def reset(key):
        first = own.reset(params, key)
        return first, first.observation

    def step(now, action, key):
        after = own.step(params, now, action)
        ended = after.step_type == 2
        return after, after.observation, after.reward, ended & (after.discount == 0), ended

    return compare(make(f"xminigrid:{name}{options}"), reset, step, num_games=num_games, num_plies=num_plies)


def test_empty_is_xland_minigrids_own(xminigrid):
    compared = compare_with(xminigrid, "MiniGrid-Empty-5x5")
    assert (compared.seen.dtype, compared.seen.shape[2:]) == (np.uint8, (7, 7, 2))
    assert compared.states.terminated[-1].sum() > 4
    assert compared.states.truncated.argmax(axis=0).max() == 100
    won = compared.states.rewards[compared.states.rewards > 0]
    assert won.size == compared.states.terminated[-1].sum()
    assert ((won > 0.1) & (won < 1)).all()


def test_parameters_may_stand_in_the_name(xminigrid):
    compared = compare_with(
        xminigrid,
        "MiniGrid-DoorKey-5x5",
        "?max_steps=9&view_size=5",
        num_games=4,
        num_plies=12,
        max_steps=9,
        view_size=5,
    )
    assert compared.seen.shape[2:] == (5, 5, 2)
    assert compared.states.truncated.argmax(axis=0).tolist() == [9] * 4


def test_check_env_finds_nothing(xminigrid):
    check_env(make("xminigrid:MiniGrid-Empty-5x5"), num_games=4, max_plies=20)


@pytest.mark.slow
def test_check_env_finds_nothing_in_any_game(xminigrid):
    for name in xminigrid.registered_environments():
        check_env(make(f"xminigrid:{name}"), num_games=2, max_plies=6)


def test_alphazero_is_refused_since_the_view_is_partial(xminigrid):
    with pytest.raises(ValueError, match="hidden from the player to move"):
        check_hidden(describe(make("xminigrid:MiniGrid-Empty-5x5")))


def test_muzero_learns_in_it(xminigrid):
    assert train_once(make("xminigrid:MiniGrid-Empty-5x5"))["loss"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "MiniGrid-Emty-5x5",
            "unknown environment of XLand-MiniGrid 'MiniGrid-Emty-5x5': did you mean 'MiniGrid-Empt",
        ),
        (
            "MiniGrid-Empty-5x5?max_step=3",
            "unknown parameter of .*'MiniGrid-Empty-5x5' 'max_step': did you mean 'max_s",
        ),
    ],
)
def test_wrong_names_and_parameters_are_errors(xminigrid, name, message):
    with pytest.raises(ValueError, match=message):
        make(f"xminigrid:{name}")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "xminigrid", None)
    with pytest.raises(ImportError, match="pip install xminigrid"):
        make("xminigrid:MiniGrid-Empty-5x5")
