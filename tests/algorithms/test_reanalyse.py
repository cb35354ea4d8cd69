"""AlphaZero's positions that are searched again, against searches of states made from the games' actions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.algorithms.alphazero import AlphaZeroSettings
from jzero.algorithms.reanalyse import number_searched
from jzero.models.plan import SearchSettings
from jzero.optimizer import make_optimizer
from jzero.program import make_program
from jzero.registry import make
from jzero.replay import draw
from jzero.run.build import build_algorithm
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import planned, same_bits, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

QUIET = SearchSettings(policy="puct", num_simulations=32, dirichlet_fraction=0.0)
"""A search that finds the same each time."""
CONFIG = tiny(search=QUIET, reanalyse=0.25, augment=False, opening_plies=0, replay_plies=12)


def played(config):
    """(algorithm, ring of a few plies of games from their first ply on)."""
    env = make(config.env)
    algorithm = build_algorithm(env, config)
    program = make_program(env, algorithm, make_optimizer(config), config)
    state, _ = program.play(program.init())
    state, _ = program.play(state)
    return algorithm, state


@functools.cache
def reanalysed():
    """(algorithm, other weights, ring, ring afterwards, batch, which plies were drawn)."""
    algorithm, state = played(CONFIG)
    params = jax.tree.map(
        lambda x: x + 0.3 * jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), state.params
    )
    key, ring = jax.random.key(5), state.replay
    after, found = quick_jit(algorithm.batch, static_argnums=3)(params, ring, key, 16)
    return algorithm, params, ring, after, found, draw(ring, key, 16, correction=0.0)


def states_by_age(ring):
    """The states [R][B] of the ring's plies, by playing the actions on record from the first."""
    env, step = TicTacToe(), jax.jit(TicTacToe().step)
    actions, ended = np.asarray(ring.plies.action), np.asarray(ring.plies.ended)
    held, lanes = int(ring.held), actions.shape[1]
    assert held == int(ring.head)  # nothing was overwritten
    table = [[None] * lanes for _ in range(held)]
    for lane in range(lanes):
        state = env.init(jax.random.key(0))
        for ply in range(held):
            table[ply][lane] = state
            state = step(state, actions[ply, lane], jax.random.key(0))
            if ended[ply, lane]:
                state = env.init(jax.random.key(0))
    return table


def test_what_is_searched_again_is_what_a_search_of_that_state_finds():
    algorithm, params, ring, after, found, drawn = reanalysed()
    table = states_by_age(ring)
    chosen = [(int(age), int(lane)) for age, lane in zip(drawn.age[:4], drawn.lane[:4], strict=True)]
    states = jax.tree.map(lambda *x: jnp.stack(x), *(table[age][lane] for age, lane in chosen))
    searched = quick_jit(
        lambda params, states: planned(QUIET, algorithm.model, params, jax.random.key(9), states)
    )(params, states)
    touched, told_apart = np.zeros(ring.targets.shape, bool), False
    for row, (age, lane) in enumerate(chosen):
        touched[age, lane] = True
        np.testing.assert_allclose(after.plies.policy[age, lane], searched.policy[row], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(after.plies.value[age, lane], searched.value[row], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found.policy[row], after.plies.policy[age, lane])
        action = ring.plies.action[age, lane]
        tried = searched.visits[row, action] > 0
        told_apart |= bool(tried & (searched.qvalues[row, action] != searched.qvalues[row, 0]))
        qvalue = searched.qvalues[row, action] if tried else searched.value[row]
        np.testing.assert_allclose(after.plies.qvalue[age, lane], qvalue, rtol=1e-4, atol=1e-5)
    assert told_apart  # a Q-value of another action would be seen
    assert np.mean(np.asarray(after.plies.policy != ring.plies.policy)[touched]) > 0.1
    assert (np.asarray(after.plies.policy_weight)[touched] == 1).all()
    for name in ("policy", "value", "qvalue", "policy_weight"):
        now, before = (np.asarray(getattr(x.plies, name)) for x in (after, ring))
        np.testing.assert_array_equal(now[~touched], before[~touched])
    kept = {name: getattr(ring.plies, name) for name in ("policy", "value", "qvalue", "policy_weight")}
    assert same_bits(after._replace(plies=after.plies._replace(**kept)), ring)


def test_a_batch_is_the_same_as_without_but_for_the_new_policies():
    _, params, ring, _, found, _ = reanalysed()
    without = build_algorithm(TicTacToe(), dataclasses.replace(CONFIG, reanalyse=0.0))
    _, state = played(dataclasses.replace(CONFIG, reanalyse=0.0))
    same, other = quick_jit(without.batch, static_argnums=3)(params, state.replay, jax.random.key(5), 16)
    assert same_bits(same, state.replay)
    assert same_bits(found._replace(policy=()), other._replace(policy=()))
    np.testing.assert_array_equal(found.policy[4:], other.policy[4:])
    assert without.searched_again(16) == 0
    # The replay of one that searches nothing again keeps less than a state.
    small, whole = (sum(x.nbytes for x in jax.tree.leaves(ring.plies.position)) for ring in (same, ring))
    assert small < whole


def test_a_share_is_rounded_and_never_nothing():
    found = [number_searched(share, 10) for share in (0.0, 0.001, 0.14, 0.16, 1.0)]
    assert found == [0, 1, 1, 2, 10]
    with pytest.raises(ValueError, match=r"reanalyse is 1\.5"):
        AlphaZeroSettings(reanalyse=1.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"search": SearchSettings(num_simulations=4, cache=64)},
        {"search": SearchSettings(num_simulations=4, reuse=True), "surprise": 0.5},
        {"env": "blob?players=3&cards=2", "search": SearchSettings(num_simulations=2, worlds=2)},
        {"env": "2048", "td_lookahead": 3},
        {"full_search_fraction": 0.5, "fast_simulations": 2},
    ],
    ids=["cache", "reuse", "worlds", "chance", "caps"],
)
def test_it_works_with_every_kind_of_search(changes):
    config = tiny(**({"reanalyse": 0.5, "opening_plies": 0} | changes))
    env = make(config.env)
    algorithm = build_algorithm(env, config)
    program = make_program(env, algorithm, make_optimizer(config), config)
    state, _ = program.play(program.init())
    state, _ = program.play(state)
    before = np.asarray(state.replay.plies.value)
    state, metrics = program.learn(state)
    assert np.isfinite([float(metric.total) for metric in metrics.values()]).all()
    assert (np.asarray(state.replay.plies.value) != before).any()
