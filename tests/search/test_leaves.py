"""Several leaves at a time equal the oracle's parallel search, and one at a time the sequential search."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.oracles import search as oracle
from tests.search.test_oracle import Case, check, mixed, random_game, run, siblings
from tests.search.test_slots import assert_same_tree

PUCT = {
    "one by one": (Case(5, 32, 40, siblings(epsilon=0.1)), 1),
    "two": (Case(5, 32, 200, siblings(epsilon=0.1)), 2),
    "eight": (Case(5, 40, 200, siblings(epsilon=0.1), share_terminal=0.1, share_illegal=0.2), 8),
    "all at once": (Case(9, 16, 100, siblings(epsilon=0.1), share_illegal=0.4), 16),
    "max_depth": (Case(4, 48, 100, siblings(epsilon=0.1), max_depth=3, share_terminal=0.1), 4),
}
GUMBEL = {
    "one by one": (Case(5, 32, 40, mixed(epsilon=0.01)), 1),
    "pairs": (Case(6, 32, 200, mixed(epsilon=0.01), options={"max_num_considered_actions": 4}), 2),
    "whole rounds": (Case(20, 32, 200, mixed(epsilon=0.01), share_illegal=0.5), 16),
    "fewer legal actions": (Case(9, 40, 200, mixed(epsilon=0.01), share_illegal=0.7, share_terminal=0.2), 8),
    "max_depth": (Case(6, 48, 100, mixed(epsilon=0.01), max_depth=2), 5),
}


@pytest.mark.parametrize("virtual", ["visit", "loss", "mean"])
@pytest.mark.parametrize("name", PUCT)
def test_parallel_puct_equals_the_oracle(name, virtual):
    case, leaves = PUCT[name]
    tables, roots, invalid = random_game(case)
    output = run(
        search.muzero_policy, case, dirichlet_fraction=0.0, temperature=0.0, leaves=leaves, virtual=virtual
    )
    model = tables_lib.python_model(tables)
    check(
        output,
        [
            oracle.puct_search(
                tables_lib.python_root(tables, state),
                model,
                case.num_simulations,
                illegal=invalid[row].tolist(),
                max_depth=case.max_depth,
                qtransform=case.transform.reference,
                leaves=leaves,
                virtual=virtual,
            )
            for row, state in enumerate(roots)
        ],
    )


@pytest.mark.parametrize("name", GUMBEL)
def test_rounds_of_gumbel_equal_the_oracle(name):
    case, leaves = GUMBEL[name]
    tables, roots, invalid = random_game(case)
    output = run(search.gumbel_muzero_policy, case, leaves=leaves)
    gumbel = np.asarray(output.search_tree.extra_data.root_gumbel)
    model = tables_lib.python_model(tables)
    check(
        output,
        [
            oracle.gumbel_search(
                tables_lib.python_root(tables, state),
                model,
                case.num_simulations,
                gumbel=gumbel[row].tolist(),
                illegal=invalid[row].tolist(),
                max_depth=case.max_depth,
                qtransform=case.transform.reference,
                leaves=leaves,
                **case.options,
            )
            for row, state in enumerate(roots)
        ],
    )


@pytest.mark.parametrize("leaves", [2, 16])
def test_rounds_visit_what_mctx_visits_where_values_do_not_reorder_them(leaves):
    """With a value scale of 0 a round's order is fixed before it begins."""
    tables = tables_lib.random_tables(11, 12, discounts=(-1.0,))
    roots = tables_lib.random_roots(11, tables, 32)

    def run(module, **options):
        transform = functools.partial(module.qtransform_completed_by_mix_value, value_scale=0.0)

        @tables_lib.quick_jit
        def search_all(tables, roots):
            return module.gumbel_muzero_policy(
                tables,
                jax.random.key(0),
                tables_lib.jax_root(tables, roots),
                tables_lib.recurrent_fn,
                50,
                qtransform=transform,
                **options,
            )

        output = search_all(jax.tree.map(jnp.asarray, tables), roots)
        return tables_lib.summary_of(output.search_tree).visit_counts

    np.testing.assert_array_equal(run(search, leaves=leaves), run(mctx))


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy"])
def test_rows_of_a_parallel_search_do_not_see_each_other(policy):
    case = Case(9, 16, 24, siblings() if policy == "muzero_policy" else mixed(), share_illegal=0.5)
    tables, roots, invalid = random_game(case)

    @tables_lib.quick_jit
    def search_all(tables, roots, invalid):
        quiet = {"dirichlet_fraction": 0.0} if policy == "muzero_policy" else {"gumbel_scale": 0.0}
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, case.num_simulations, invalid)
        return getattr(search, policy)(*args, leaves=4, **quiet).search_tree

    tables = jax.tree.map(jnp.asarray, tables)
    order = np.random.default_rng(0).permutation(len(roots))
    whole = search_all(tables, roots, invalid)
    permuted = search_all(tables, roots[order], invalid[order])
    taken = jax.tree.map(lambda x: x[order], whole)
    assert_same_tree(permuted, taken)
