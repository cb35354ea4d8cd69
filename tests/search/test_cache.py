"""The evaluation cache changes no result, counts rightly, and calls the network for packed misses only."""

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import quick_jit

B, N = 64, 40
POLICIES = {
    "muzero_policy": {"dirichlet_fraction": 0.0},
    "gumbel_muzero_policy": {},
}


def advance(tables, key, action, state):
    del key
    return tables.reward[state, action], tables.discount[state, action], tables.successor[state, action]


def evaluate(tables, state):
    return tables.prior_logits[state], tables.value[state]


def fingerprint(state):
    return jnp.stack([state, 7 * state + 1], axis=-1).astype(jnp.uint32)


CACHE = search.EvaluationCache(fingerprint, advance, evaluate)


def game(num_states: int = 300):
    tables = tables_lib.random_tables(
        0, 6, num_states=num_states, discounts=(-1.0,), share_terminal=0.1, share_illegal=0.2
    )
    return tables, tables_lib.random_roots(0, tables, B)


@pytest.mark.parametrize(("leaves", "size"), [(1, 2**20), (8, 2**20), (1, 16)])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_search_with_a_cache_finds_the_same_tree(policy, leaves, size):
    tables, roots = game()

    @quick_jit
    def run(tables, roots, table):
        model = tables_lib.recurrent_fn if table is None else CACHE.recurrent_fn
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, model, N)
        return getattr(search, policy)(
            *args, **POLICIES[policy], leaves=leaves, model_state=table
        ).search_tree

    tables = jax.tree.map(jnp.asarray, tables)
    plain = run(tables, roots, None)
    first = run(tables, roots, CACHE.empty(size, tables, jnp.asarray(roots)))
    second = run(tables, roots, first.model_state)
    for tree in (first, second):
        # Of terminals only the network would know more: nobody asks it.
        for name in ("node_visits", "node_values", "parents", "children_index", "children_visits"):
            np.testing.assert_allclose(getattr(tree, name), getattr(plain, name), atol=1e-5, err_msg=name)
    cold, warm = first.model_state, second.model_state
    if size > 16:  # large enough that nothing is pushed out
        assert int(warm.hits) - int(cold.hits) == int(cold.asked), "the second search knows every position"
    assert 0 < int(cold.hits) < int(cold.asked)


def test_counters_are_those_of_a_dictionary():
    """One call after another, each of a batch with repeats; a table so large that nothing is pushed out."""
    rng = np.random.default_rng(0)
    tables, _ = game()
    tables = jax.tree.map(jnp.asarray, tables)
    table, known, hits, shared, asked = CACHE.empty(2**20, tables, jnp.arange(3)), set(), 0, 0, 0
    lookup = quick_jit(CACHE.lookup)
    for _ in range(30):
        states, wanted = rng.integers(300, size=B), rng.random(B) < 0.8
        logits, values, table = lookup(tables, jnp.asarray(states), jnp.asarray(wanted), table)
        np.testing.assert_array_equal(values, np.where(wanted, tables.value[states], 0.0))
        expected = np.where(wanted[:, None], np.asarray(tables.prior_logits)[states], 0.0)
        np.testing.assert_array_equal(logits, expected)
        asked += wanted.sum()
        hits += sum(state in known for state in states[wanted])
        new = [state for state in states[wanted] if state not in known]
        shared += len(new) - len(set(new))
        known.update(new)
    assert (int(table.asked), int(table.hits), int(table.shared)) == (asked, hits, shared)


def test_a_small_table_forgets_but_stays_right():
    tables, _ = game()
    tables = jax.tree.map(jnp.asarray, tables)
    table, rng = CACHE.empty(4, tables, jnp.arange(3)), np.random.default_rng(1)
    lookup = quick_jit(CACHE.lookup)
    for _ in range(30):
        states = rng.integers(300, size=B)
        _, values, table = lookup(tables, jnp.asarray(states), jnp.ones(B, bool), table)
        np.testing.assert_array_equal(values, tables.value[states])
    assert 0 < int(table.hits) < 30 * B / 2


def test_size_is_a_power_of_two():
    tables, _ = game()
    with pytest.raises(ValueError, match=r"size is 100; it must be a power of two, e\.g\. 128"):
        CACHE.empty(100, tables, jnp.arange(3))


def test_hits_are_not_evaluated():
    """Only a quarter of the batch goes through the network where a quarter misses."""
    sizes = []

    def spy(tables, state):
        jax.debug.callback(lambda n: sizes.append(int(n)), state.shape[0])
        return evaluate(tables, state)

    tables, _ = game()
    tables = jax.tree.map(jnp.asarray, tables)
    cache = search.EvaluationCache(fingerprint, advance, spy)
    states = jnp.arange(B)
    _, _, table = cache.lookup(tables, states, states >= B // 4, cache.empty(2**16, tables, states))
    _, _, table = cache.lookup(tables, states, states >= 0, table)
    _, _, table = cache.lookup(tables, states, states >= 0, table)
    jax.effects_barrier()
    assert sizes == [3 * B // 4, B // 4], "then nothing"
    assert int(table.hits) == 3 * B // 4 + B
    assert isinstance(cache.recurrent_fn(tables, None, states % 6, states, table)[0], mctx.RecurrentFnOutput)
