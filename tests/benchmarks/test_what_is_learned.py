"""How a learned model is helped by the rules of its game."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.algorithms.muzero import make_learned
from jzero.env import init_batch, observe_batch, step_batch
from jzero.env_spec import describe
from jzero.models.learned import learned_model
from jzero.registry import make
from jzero.run.build import build_network
from tests.helpers.tiny import REPOSITORY, tiny

GAMES = 8


@pytest.fixture
def helping(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "experiments" / "benchmarks")
    return importlib.import_module("what_is_learned")


@pytest.fixture
def spec():
    return describe(make("tic_tac_toe"))


@pytest.fixture
def learned(spec):
    train = tiny(algorithm="gumbel_muzero")
    return make_learned(spec, build_network(spec, train), train)


def opinions(spec, learned):
    """Random weights, so that no two positions look alike."""
    observation = observe_batch(spec.env, init_batch(spec.env, jax.random.key(0), 1))
    shapes = jax.eval_shape(learned.network.init, jax.random.key(0), observation)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), shapes)


def after_moves(env, moves):
    states = init_batch(env, jax.random.key(0), GAMES)
    for move in moves:
        states = step_batch(env, states, jnp.full(GAMES, move), jax.random.key(0))
    return states


def search_step(model, params, states, action):
    root = model.root(params, states)
    return model.recurrent(params, jax.random.key(0), jnp.full(GAMES, action), root.embedding)


def test_with_all_help_a_node_is_its_position_represented_anew(helping, spec, learned):
    params = opinions(spec, learned)
    model = helping.helped(spec, learned, rewards=True, ends=True, anew=True)
    found, (after, _) = search_step(model, params, after_moves(spec.env, [0, 3]), 1)
    root = learned_model(spec, learned).root(params, after)
    np.testing.assert_allclose(found.value, root.value, rtol=1e-5)
    np.testing.assert_allclose(
        jax.nn.softmax(found.prior_logits), jax.nn.softmax(root.prior_logits), rtol=1e-5
    )


def test_rewards_and_ends_are_the_games(helping, spec, learned):
    params = opinions(spec, learned)
    model = helping.helped(spec, learned, rewards=True, ends=True, anew=False)
    states = after_moves(spec.env, [0, 3, 1, 4])
    won, _ = search_step(model, params, states, 2)
    np.testing.assert_array_equal(won.reward, np.ones(GAMES))
    np.testing.assert_array_equal(won.discount, np.zeros(GAMES))
    on, _ = search_step(model, params, states, 8)
    np.testing.assert_array_equal(on.reward, np.zeros(GAMES))
    np.testing.assert_array_equal(on.discount, -np.ones(GAMES))


def test_without_that_help_they_are_the_models(helping, spec, learned):
    params = opinions(spec, learned)
    states = after_moves(spec.env, [0, 3, 1, 4])
    plain, _ = search_step(learned_model(spec, learned), params, states, 8)
    found, _ = search_step(
        helping.helped(spec, learned, rewards=False, ends=False, anew=False), params, states, 8
    )
    for name in ("reward", "discount", "value"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-5)
    shares = np.asarray(jax.nn.softmax(found.prior_logits))
    assert (shares[:, [0, 1, 3, 4, 8]] == 0).all()
    assert (np.asarray(jax.nn.softmax(plain.prior_logits))[:, [0, 1, 3, 4, 8]] > 0).all()
