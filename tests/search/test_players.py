"""Values of several players: the oracle's max^n, and for two players the search with one value."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import quick_jit, summary_of
from tests.oracles import search as oracle
from tests.search.test_oracle import CLEAR_LEAD


class PlayerTables(NamedTuple):
    """A random game of P players; a state's number says who is to move."""

    successor: np.ndarray  # i32[S, A]
    reward: np.ndarray  # f32[S, A, P]
    discount: np.ndarray  # f32[S, A]
    prior_logits: np.ndarray  # f32[S, A]
    value: np.ndarray  # f32[S, P]


def random_player_tables(seed: int, num_players: int, num_actions: int) -> PlayerTables:
    tables = tables_lib.random_tables(seed, num_actions, discounts=(0.95,), share_terminal=0.1)
    rng = np.random.default_rng(seed)
    shape = (*tables.reward.shape, num_players)
    return PlayerTables(
        tables.successor,
        rng.uniform(-1, 1, shape).astype(np.float32),
        tables.discount,
        tables.prior_logits,
        rng.uniform(-1, 1, (len(tables.value), num_players)).astype(np.float32),
    )


def run(tables, roots, num_players, num_simulations, **options):
    @quick_jit
    def search_all(tables, roots):
        root = mctx.RootFnOutput(
            prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
        )
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, num_simulations)
        quiet = {"dirichlet_fraction": 0.0, "temperature": 0.0, "to_play": lambda state: state % num_players}
        return search.muzero_policy(*args, **quiet, **options)

    return search_all(jax.tree.map(jnp.asarray, tables), roots)


@pytest.mark.parametrize("num_players", [2, 3, 5])
def test_every_player_maximises_its_own_value_as_in_the_oracle(num_players):
    tables = random_player_tables(num_players, num_players, 4)
    roots = np.random.default_rng(0).integers(len(tables.value) - 1, size=150).astype(np.int32)
    tree = run(tables, roots, num_players, 40).search_tree
    summary, values = summary_of(tree), np.asarray(tree.player_values)

    def model(state: int, action: int) -> oracle.PlayersStep:
        after = int(tables.successor[state, action])
        return oracle.PlayersStep(
            tables.reward[state, action].tolist(),
            float(tables.discount[state, action]),
            tables.prior_logits[after].tolist(),
            tables.value[after].tolist(),
            after % num_players,
            after,
        )

    compared = 0
    for row, state in enumerate(roots):
        root = oracle.PlayersRoot(
            tables.prior_logits[state].tolist(), tables.value[state].tolist(), state % num_players, int(state)
        )
        result = oracle.maxn_search(root, model, 40)
        if result.margin < CLEAR_LEAD:
            continue
        compared += 1
        assert np.asarray(summary.visit_counts[row]).tolist() == [result.root.count(a) for a in range(4)]
        np.testing.assert_allclose(values[row, 0], result.root.value, atol=1e-5)
        mover = int(state) % num_players
        assert float(summary.value[row]) == pytest.approx(result.root.value[mover], abs=1e-5)
        for action in result.root.children:
            q = result.root.q(action)[mover]
            assert float(summary.qvalues[row, action]) == pytest.approx(q, abs=1e-5)
    assert compared > 130


@pytest.mark.parametrize("leaves", [1, 4])
def test_two_players_with_opposite_values_are_one_value_with_discount_minus_one(leaves):
    """Players alternate, so a state is given twice: once for each player to move."""
    one = tables_lib.random_tables(5, 4, discounts=(-1.0,), share_terminal=0.1)
    num_states = len(one.value)
    states = np.arange(2 * num_states)
    sign = np.where(states % 2 == 0, 1.0, -1.0).astype(np.float32)
    both = PlayerTables(
        successor=(2 * one.successor[states // 2] + 1 - (states % 2)[:, None]).astype(np.int32),
        reward=(sign[:, None] * one.reward[states // 2])[..., None] * np.array([1.0, -1.0], np.float32),
        discount=-one.discount[states // 2],
        prior_logits=one.prior_logits[states // 2],
        value=(sign * one.value[states // 2])[:, None] * np.array([1.0, -1.0], np.float32),
    )
    roots = tables_lib.random_roots(5, one, 64)

    @quick_jit
    def search_one(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, 48)
        return search.muzero_policy(*args, dirichlet_fraction=0.0, temperature=0.0, leaves=leaves)

    expected = summary_of(search_one(jax.tree.map(jnp.asarray, one), roots).search_tree)
    found = summary_of(run(both, 2 * roots, 2, 48, leaves=leaves).search_tree)
    np.testing.assert_array_equal(found.visit_counts, expected.visit_counts)
    np.testing.assert_allclose(found.qvalues, expected.qvalues, atol=1e-5)


@pytest.mark.slow
def test_a_tree_of_several_players_is_reused_with_all_their_values():
    tables = random_player_tables(7, 3, 4)
    roots = np.random.default_rng(0).integers(len(tables.value) - 1, size=100).astype(np.int32)
    first = run(tables, roots, 3, 40, num_nodes=57)
    kept = search.subtree(first.search_tree, first.action)
    successors = tables.successor[roots, np.asarray(first.action)]
    again = run(tables, successors, 3, 16, tree=kept)
    earlier = np.asarray(kept.node_visits[:, 0]) - 1
    common = np.bincount(earlier[(earlier > 0) & (successors < len(tables.value) - 1)]).argmax()
    rows = np.flatnonzero((earlier == common) & (successors < len(tables.value) - 1))
    assert len(rows) > 5
    whole = run(tables, successors[rows], 3, int(common) + 16)
    np.testing.assert_allclose(
        np.asarray(again.search_tree.player_values)[rows, 0],
        np.asarray(whole.search_tree.player_values)[:, 0],
        atol=1e-5,
    )


def test_values_of_several_players_go_through_the_cache_and_through_worlds():
    tables = random_player_tables(9, 3, 4)
    roots = np.random.default_rng(0).integers(len(tables.value) - 1, size=24).astype(np.int32)
    cache = search.EvaluationCache(
        lambda state: jnp.stack([state, state], axis=-1).astype(jnp.uint32),
        lambda t, key, a, s: (t.reward[s, a], t.discount[s, a], t.successor[s, a]),
        lambda t, s: (t.prior_logits[s], t.value[s]),
    )

    @quick_jit
    def both(tables, roots):
        root = search.RootFnOutput(
            prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
        )
        quiet = {"dirichlet_fraction": 0.0, "to_play": lambda state: state % 3}
        table = cache.empty(2**16, tables, roots)
        args = (tables, jax.random.key(0), root)
        cached = search.muzero_policy(*args, cache.recurrent_fn, 30, model_state=table, **quiet)
        plain = search.muzero_policy(*args, tables_lib.recurrent_fn, 30, **quiet)
        one_world = search.search_worlds(
            search.muzero_policy, *args, tables_lib.recurrent_fn, 30, num_worlds=1, **quiet
        )
        return cached.search_tree, plain.search_tree, one_world

    cached, plain, one_world = both(jax.tree.map(jnp.asarray, tables), roots)
    np.testing.assert_array_equal(cached.children_visits, plain.children_visits)
    np.testing.assert_allclose(cached.player_values[:, 0], plain.player_values[:, 0], atol=1e-6)
    assert int(cached.model_state.hits) > 0
    np.testing.assert_array_equal(one_world.visit_counts, plain.summary().visit_counts)
    np.testing.assert_allclose(one_world.value, plain.summary().value, atol=1e-6)
