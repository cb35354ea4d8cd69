"""Signs, terminals and masks of the simulator model, and the search's use of them. Axes: B states, A actions."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe

from jzero import search
from jzero.env import init_batch, is_finished, step_batch
from jzero.models.plan import SearchSettings, make_planner
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import Race, planned, simulator, uniform_apply

KEY = jax.random.key(0)


def race_apply(params, observation):
    """Logits and values that tell positions apart; `params` scales them."""
    position = jnp.argmax(observation, axis=-1).astype(jnp.float32)
    return params * jnp.stack([position, 2 * position, -position], axis=-1), params * position / 10


@functools.cache
def stepper(env):
    return quick_jit(env.step)


def after(env, history):
    """The state after some actions."""
    state = env.init(KEY)
    for action in history:
        state = stepper(env)(state, action, KEY)
    return state


def batch(states):
    """Every leaf [B, ...], on the host."""
    return jax.tree.map(lambda *x: np.stack(x), *states)


@functools.cache
def recurrent(env, discount=1.0):
    """The compiled step of the model of `race_apply`; values of three players: `test_hidden_information`."""
    return quick_jit(simulator(env, race_apply, discount).recurrent)


@pytest.mark.parametrize(
    ("players", "history", "action", "reward", "discount"),
    [
        (2, [], 0, 0.0, -0.5),  # the other player moves next
        (2, [], 1, -0.25, 0.5),  # the same player again
        (2, [0], 1, -0.25, 0.5),  # ... also for player 1
        (2, [0, 0, 0], 0, 1.0, 0.0),  # player 1 wins: a reward for the mover, nothing after it
        (2, [0, 0], 2, 0.0, -0.5),  # standing still
        (2, [0, 0, 1], 1, 0.75, 0.0),
        (2, [], 2, -1.0, 0.0),  # illegal: lost by the mover
        (2, [0, 2, 2, 2, 2], 2, 0.0, -0.5),  # cut short: not terminal, so its value counts
        (1, [], 0, 0.0, 0.5),  # one player is always the mover
        (1, [], 1, -0.25, 0.5),
        (1, [0, 0, 0], 1, 0.75, 0.0),
    ],
)
def test_reward_and_discount_are_the_movers(players, history, action, reward, discount):
    env = Race(num_players=players)
    output, reached = recurrent(env, 0.5)(1.0, KEY, np.array([action]), batch([after(env, history)]))
    assert float(output.reward[0]) == reward
    assert float(output.discount[0]) == discount
    expected = after(env, [*history, action])
    for found, wanted in zip(jax.tree.leaves(reached), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(found[0], wanted)
    # Policy and value are the network's of the state after the action, for its own mover.
    position = float(expected.position)
    np.testing.assert_allclose(output.value, [position / 10], rtol=1e-6)
    if expected.legal_action_mask.all():
        np.testing.assert_allclose(output.prior_logits, [[position, 2 * position, -position]])


def test_a_truncated_edge_keeps_its_discount_and_says_so_in_the_state():
    env = Race()
    output, reached = recurrent(env)(1.0, KEY, np.array([2]), batch([after(env, [0, 2, 2, 2, 2])]))
    assert bool(reached.truncated[0])
    assert not bool(reached.terminated[0])
    assert float(output.discount[0]) == -1.0


def test_illegal_actions_have_no_mass_but_a_finished_row_stays_finite():
    env = TicTacToe()
    states = batch([after(env, [0, 3, 1, 4])] * 2)
    model = simulator(env, uniform_apply)
    root = quick_jit(model.root)(None, states)
    for logits in root.prior_logits:
        assert np.flatnonzero(np.isneginf(logits)).tolist() == [0, 1, 3, 4]
    output, _ = quick_jit(model.recurrent)(None, KEY, np.array([2, 5]), states)  # row 0 ends the game
    assert np.isfinite(output.prior_logits[0]).all()
    assert np.flatnonzero(np.isneginf(output.prior_logits[1])).tolist() == [0, 1, 3, 4, 5]
    assert output.discount.tolist() == [0.0, -1.0]
    assert output.reward.tolist() == [1.0, 0.0]


def test_the_root_is_the_network_on_the_movers_view():
    env = Race()
    states = batch([after(env, history) for history in ([], [0, 1], [0, 0, 2])])
    root = simulator(env, race_apply).root(2.0, states)
    np.testing.assert_allclose(root.value, [0.0, 0.4, 0.4])
    np.testing.assert_allclose(root.prior_logits[1], [4, 8, -4])
    assert np.isneginf(root.prior_logits[0]).tolist() == [False, False, True]
    assert root.embedding is states


@functools.cache
def planner(policy, env_class, explore=False, simulations=40):
    env = env_class()
    apply = uniform_apply if env_class is TicTacToe else race_apply
    model = simulator(env, apply)
    config = SearchSettings(policy=policy)
    return env, quick_jit(
        lambda params, key, states: planned(
            config, model, params, key, states, num_simulations=simulations, explore=explore
        )
    )


POSITIONS = {
    "player 0 wins at 2": ([0, 3, 1, 4], [2], 1.0),
    "player 1 wins at 5": ([0, 3, 1, 4, 8], [5], 1.0),
    "player 1 must block 2": ([0, 4, 1], [2], None),
    "player 1 has lost to a double threat": ([0, 1, 4, 2, 3], [5, 6, 7, 8], -1.0),
}


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_the_search_wins_and_blocks_for_both_players(policy):
    env, run = planner(policy, TicTacToe)
    states = []
    for history, _, _ in POSITIONS.values():
        states.append(after(env, history))
        assert not is_finished(states[-1])
    found = run(None, KEY, batch(states))
    for row, (name, (_, best, value)) in enumerate(POSITIONS.items()):
        assert int(found.action[row]) in best, name
        legal = np.asarray(states[row].legal_action_mask)
        assert not np.asarray(found.policy)[row][~legal].any()
        np.testing.assert_allclose(found.policy[row].sum(), 1, atol=1e-5)
        np.testing.assert_allclose(found.prior[row], legal / legal.sum(), atol=1e-6)
        if value is not None:
            assert float(found.qvalue[row]) * value > 0.7, name
            assert float(found.value[row]) * value > 0.3, name


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_values_of_one_player_add_up_along_the_way(policy):
    env, run = planner(policy, functools.partial(Race, num_players=1, goal=2))
    found = run(0.0, KEY, batch([after(env, [0]), after(env, [0, 2])]))
    # Stepping (action 0) earns 1 at once, or 0.75 with action 1.
    assert found.action.tolist() == [0, 0]
    np.testing.assert_allclose(found.qvalue, 1.0)


def test_noise_is_for_self_play_only():
    env, quiet = planner("gumbel", TicTacToe, simulations=8)
    _, noisy = planner("gumbel", TicTacToe, explore=True, simulations=8)
    states = init_batch(env, KEY, 64)
    first, second = (quiet(None, jax.random.key(seed), states) for seed in (1, 2))
    assert first.action.tolist() == second.action.tolist() == [int(first.action[0])] * 64
    first, second = (noisy(None, jax.random.key(seed), states) for seed in (1, 2))
    assert len(set(first.action.tolist())) > 5
    assert (first.action != second.action).mean() > 0.7


def test_forced_playouts_are_for_self_play_and_leave_the_policys_target():
    settings = SearchSettings(policy="puct", num_simulations=48, dirichlet_fraction=0.0, forced_playouts=2.0)
    env, apply, params = linear_connect_four()
    model = simulator(env, apply)
    states = init_batch(env, KEY, 4)
    root, invalid = model.root(params, states), ~states.legal_action_mask

    def found(settings, explore):
        plan = make_planner(settings, model).plan
        return quick_jit(functools.partial(plan, params, KEY, root, invalid, explore=explore))()

    plain = found(dataclasses.replace(settings, forced_playouts=0.0), explore=True)
    forcing, playing = (found(settings, explore=explore) for explore in (True, False))
    np.testing.assert_array_equal(playing.visits, plain.visits)
    assert (forcing.visits != plain.visits).any()
    shares = forcing.visits / forcing.visits.sum(axis=-1, keepdims=True)
    assert (forcing.policy < shares - 0.01).any(), "visits that were only forced are in the target"
    np.testing.assert_allclose(forcing.policy.sum(axis=-1), 1.0, atol=1e-6)


def linear_connect_four():
    """(Connect Four, a linear network for it, its random weights)."""
    env = ConnectFour()

    def apply(params, observation):
        flat = observation.reshape(observation.shape[0], -1)
        return flat @ params["policy"], jnp.tanh(flat @ params["value"])

    width = math.prod(env.observe(env.init(KEY)).shape)
    policy = jax.random.normal(jax.random.key(1), (width, env.num_actions))
    value = 0.3 * jax.random.normal(jax.random.key(2), (width,))
    return env, apply, {"policy": policy, "value": value}


@pytest.mark.slow
def test_a_cache_changes_no_search_of_connect_four():
    """Openings of one ply, so that many games meet the same positions."""
    env, apply, params = linear_connect_four()
    model = simulator(env, apply)
    cache = model.cache
    states = jax.vmap(lambda a: env.step(env.init(jax.random.key(0)), a, jax.random.key(0)))(
        jnp.arange(14) % 7
    )

    def search_all(recurrent, model_state):
        root = model.root(params, states)
        args = (params, jax.random.key(0), root, recurrent, 40)
        return search.muzero_policy(*args, dirichlet_fraction=0.0, model_state=model_state).search_tree

    plain = quick_jit(lambda: search_all(model.recurrent, None))()
    cached = quick_jit(lambda: search_all(cache.recurrent_fn, cache.empty(2**12, params, states)))()
    np.testing.assert_array_equal(cached.children_visits, plain.children_visits)
    np.testing.assert_allclose(cached.node_values, plain.node_values, atol=1e-5)
    state = cached.model_state
    assert int(state.shared) >= 0.4 * int(state.asked), "every opening is there twice"


def test_a_cache_needs_a_fingerprint():
    model = simulator(Race(), race_apply)
    assert model.cache is None
    with pytest.raises(ValueError, match=r"search.cache is 8; it needs .* with fingerprint\(state\)"):
        make_planner(SearchSettings(cache=8), model)


@pytest.mark.slow
def test_a_tree_of_environment_states_is_reused():
    """PUCT that goes on below two moves is one search from there with all visits."""
    env, apply, params = linear_connect_four()
    model, states, key = simulator(env, apply), init_batch(env, KEY, 1), jax.random.key(0)

    @functools.partial(quick_jit, static_argnums=1)
    def run(states, num_simulations, tree=None):
        args = (params, key, model.root(params, states), model.recurrent, num_simulations)
        room = None if tree is not None else 257
        return search.muzero_policy(*args, dirichlet_fraction=0.0, temperature=0.0, tree=tree, num_nodes=room)

    first = run(states, 64)
    kept = search.subtree(first.search_tree, first.action)
    states = step_batch(env, states, first.action, key)
    reply = jnp.argmax(kept.summary().visit_counts, axis=-1)
    kept = search.subtree(kept, reply)
    states = step_batch(env, states, reply, key)
    earlier = int(kept.node_visits[0, 0]) - 1
    assert earlier > 3
    again, whole = run(states, 32, kept), run(states, 32 + earlier)
    np.testing.assert_array_equal(
        again.search_tree.summary().visit_counts, whole.search_tree.summary().visit_counts
    )
