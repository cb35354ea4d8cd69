"""Further losses: their targets against a slow walk through the games, and that they reach the network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour

from jzero.algorithms import auxiliary
from jzero.algorithms.alphazero import alphazero
from jzero.algorithms.auxiliary import AuxiliarySettings
from jzero.env_spec import describe
from jzero.metrics import read
from jzero.networks import from_flax
from jzero.networks.make import make_network
from jzero.program import make_mesh
from jzero.registry import make
from jzero.replay import Draw
from jzero.run.build import build_algorithm, build_network, build_program
from tests.helpers.tiny import tiny

ALL = AuxiliarySettings(reply=0.15, outcome=0.5, short_values=0.25, horizons=(2, 8))
CONFIG = tiny(
    env="connect_four", auxiliary=ALL, games=8, plies=16, replay_plies=48, opening_plies=0, td_lambda=1.0
)


@functools.cache
def played():
    """After four iterations, more plies than the ring holds: the state, the program and the algorithm."""
    env = make(CONFIG.env)
    program = build_program(env, CONFIG, make_mesh(jax.devices()[:1]))
    state = program.init()
    for _ in range(4):
        state, _ = program.play(state)
    return state, program, build_algorithm(env, CONFIG)


@functools.cache
def all_targets():
    """The further targets of every ply of the ring, [R, B] in time order, and the ring's plies likewise."""
    state, _, _ = played()
    capacity, lanes = state.replay.targets.shape
    age, lane = (jnp.asarray(x.ravel(), jnp.int32) for x in np.mgrid[:capacity, :lanes])
    rows = state.replay.rows(jnp.arange(capacity))
    plies = jax.tree.map(lambda x: np.asarray(x[rows]), state.replay.plies)
    drawn = Draw(age, lane, jnp.ones(age.size))
    first = jnp.zeros(age.size, jnp.int32)
    found = auxiliary.targets(describe(make(CONFIG.env)), ALL, state.replay, drawn, first)
    return plies, jax.tree.map(lambda x: np.asarray(x).reshape(capacity, lanes, *x.shape[1:]), found)


def test_a_reply_is_the_policy_of_the_next_ply_of_the_same_game():
    plies, found = all_targets()
    np.testing.assert_array_equal(found.reply[:-1], plies.policy[1:])
    np.testing.assert_array_equal(found.reply_weight[:-1], ~plies.ended[:-1])
    assert not found.reply_weight[-1].any()
    assert plies.ended[:-1].sum() > 8


def test_an_outcome_is_the_last_board_of_the_game():
    """As the first player sees it: `all_targets` asks for that player everywhere."""
    plies, found = all_targets()
    for lane in range(plies.ended.shape[1]):
        ends = np.flatnonzero(plies.ended[:, lane])
        for at in range(len(plies.ended)):
            later = ends[ends >= at]
            assert found.outcome_weight[at, lane] == bool(later.size)
            if later.size:
                np.testing.assert_array_equal(
                    found.outcome[at, lane], plies.outcome[later[0], lane, 0], err_msg=f"{at} {lane}"
                )


def test_outcome_features_are_seen_by_each_player():
    env = ConnectFour()
    state = env.init(jax.random.key(0))
    for column in (3, 3, 4):
        state = env.step(state, column, jax.random.key(0))
    first, second = (np.asarray(env.outcome_features(state, player))[..., 0] for player in (0, 1))
    expected = np.zeros((6, 7))
    expected[5, 3], expected[4, 3], expected[5, 4] = 1, -1, 1
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, -expected)
    np.testing.assert_array_equal(np.asarray(env.observe(state)) @ [1, -1], second)


def test_short_values_are_returns_with_a_lambda_of_the_horizon():
    """The backward recursion of TD(lambda), ply by ply, in games that have ended."""
    plies, found = all_targets()
    for column, horizon in enumerate(ALL.horizons):
        keep = 1 - 1 / horizon
        for lane in range(plies.ended.shape[1]):
            last = np.flatnonzero(plies.ended[:, lane])[-1]
            target = None
            for at in range(last, -1, -1):
                target = plies.reward[at, lane] + (
                    0.0
                    if plies.ended[at, lane]
                    else plies.discount[at, lane] * ((1 - keep) * plies.value[at + 1, lane] + keep * target)
                )
                assert found.short_values[at, lane, column] == pytest.approx(target, abs=1e-5)


def test_the_further_heads_learn_and_the_search_does_not_read_them():
    state, program, algorithm = played()
    before = jax.tree.map(np.asarray, state.params)
    state, metrics = program.learn(jax.tree.map(jnp.copy, state))
    assert {"reply_loss", "outcome_loss", "short_values_loss"} <= read(metrics).keys()
    for head in ("reply", "outcome", "short_values"):
        changed = jax.tree.map(
            lambda old, new: np.abs(old - new).max(), before["params"][head], state.params["params"][head]
        )
        assert max(jax.tree.leaves(changed)) > 1e-4, head
    states = state.games.states
    spoiled = {"params": dict(before["params"])}
    for head in ("reply", "outcome", "short_values"):
        spoiled["params"][head] = jax.tree.map(lambda x: x * np.nan, before["params"][head])
    root, other = (algorithm.model.root(params, states) for params in (before, spoiled))
    np.testing.assert_array_equal(root.value, other.value)
    np.testing.assert_array_equal(root.prior_logits, other.prior_logits)


def loss_of(outputs, image=None, **wanted):
    """The further losses of given outputs, by name."""
    spec = describe(make(CONFIG.env))
    network = build_network(spec, CONFIG)
    settings = dataclasses.replace(AuxiliarySettings(), **dict.fromkeys(outputs, 1.0))
    size = next(iter(outputs.values())).shape[0]
    total, parts = auxiliary.losses(
        spec, network, settings, outputs, auxiliary.Auxiliary(**wanted), jnp.ones(size), (), image
    )
    assert float(total) == pytest.approx(sum(float(part.value) for part in parts.values()), abs=1e-5)
    return parts


def test_a_perfect_guess_has_no_loss_in_either_image():
    """Outcome and reply are turned with the board."""
    rng = np.random.default_rng(0)
    image = jnp.asarray([0, 1, 1, 0])
    board = rng.integers(-1, 2, (4, 6, 7, 1)).astype(np.int8)
    policy = rng.dirichlet(np.ones(7), 4).astype(np.float32)
    mirror = np.asarray(image == 1)
    turned = np.where(mirror[:, None, None, None], board[:, :, ::-1], board).reshape(4, -1)
    swapped = np.where(mirror[:, None], policy[:, ::-1], policy)
    parts = loss_of(
        {"outcome": jnp.arctanh(jnp.asarray(turned) * 0.999999), "reply": jnp.log(swapped)},
        image,
        outcome=jnp.asarray(board),
        outcome_weight=jnp.ones(4),
        reply=jnp.asarray(policy),
        reply_weight=jnp.ones(4),
    )
    assert float(parts["outcome_loss"].value) == pytest.approx(0, abs=1e-6)
    assert float(parts["reply_loss"].value) == pytest.approx(0, abs=1e-5)
    wrong = loss_of(
        {"outcome": jnp.zeros((4, 42)), "reply": jnp.zeros((4, 7))},
        image,
        outcome=jnp.asarray(board),
        outcome_weight=jnp.asarray([1.0, 1, 0, 1]),
        reply=jnp.asarray(policy),
        reply_weight=jnp.ones(4),
    )
    squares = (board.reshape(4, -1).astype(float) ** 2).mean(1)[[0, 1, 3]]
    assert float(wrong["outcome_loss"].value) == pytest.approx(squares.mean(), rel=1e-5)
    assert float(wrong["reply_loss"].value) > 0.1


def test_what_cannot_be_asked_for_is_refused():
    spec = describe(make("tic_tac_toe"))
    with pytest.raises(ValueError, match=r"auxiliary.outcome is 0.5; 'tic_tac_toe' has no outcome_features"):
        build_algorithm(make("tic_tac_toe"), tiny(auxiliary=AuxiliarySettings(outcome=0.5)))
    network = from_flax(make_network(CONFIG.network, spec.num_actions))
    with pytest.raises(ValueError, match=r"auxiliary asks for reply; the network .* has no heads"):
        alphazero(spec, network, tiny(auxiliary=AuxiliarySettings(reply=0.1)))
    with pytest.raises(ValueError, match=r"auxiliary.horizons is empty"):
        AuxiliarySettings(short_values=0.1, horizons=())
