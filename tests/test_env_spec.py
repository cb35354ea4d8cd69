"""What is read of an environment, against what is known of it."""

import dataclasses

import jax
import numpy as np
import pytest

import jzero
from tests.helpers.env_examples import Aim


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("tic_tac_toe", {"num_players": 2, "num_actions": 9, "values_by_seat": False, "fingerprints": True}),
        ("connect_four", {"num_values": 1, "alternates": True, "chance": False, "draws": True}),
        ("quoridor?size=5&walls=3", {"num_players": 2, "hidden_information": False, "external": False}),
        (
            "blob?players=4&cards=4",
            {"num_values": 4, "values_by_seat": True, "resamples": True, "reveals": True},
        ),
        ("2048", {"num_players": 1, "chance": True, "num_actions": 4}),
        ("backgammon", {"num_players": 2, "chance": True}),
    ],
)
def test_the_games_of_this_repository(name, facts):
    spec = jzero.describe(jzero.make(name), name)
    assert spec.name == name
    assert {fact: getattr(spec, fact) for fact in facts} == facts
    seen = jzero.observe_batch(spec.env, jzero.init_batch(spec.env, jax.random.key(0), 1))
    shapes = jax.tree.map(lambda x: (x.shape[1:], x.dtype), seen)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), spec.observation) == shapes


def test_continuous_actions():
    aim = jzero.describe(Aim())
    assert (aim.num_actions, aim.action_size) == (0, Aim().action_size)
    assert aim.name == "Aim"
    assert not aim.chance


def test_an_environment_is_read_once():
    env = jzero.make("tic_tac_toe")
    assert jzero.describe(env) is jzero.describe(env)
    assert np.shape(jzero.describe(env).seen(jax.random.key(0)))[0] == 1


def test_an_environment_without_a_hash_is_refused():
    @dataclasses.dataclass
    class NoHash:
        num_players: int = 1

    with pytest.raises(ValueError, match=r"'NoHash' has no hash, .*frozen=True"):
        jzero.describe(NoHash())
