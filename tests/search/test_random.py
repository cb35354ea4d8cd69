"""What holds of every search, on searches drawn by hypothesis."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import TreeArrays, quick_jit
from tests.search.test_reuse import rebuilt

B = 12


@st.composite
def searches(draw) -> dict[str, Any]:
    """Arguments of one compiled search."""
    leaves = draw(st.sampled_from([1, 1, 2, 3, 5]))
    return {
        "policy": draw(st.sampled_from(["muzero_policy", "gumbel_muzero_policy"])),
        "num_actions": draw(st.integers(2, 40)),
        "num_simulations": leaves * draw(st.integers(1, 12)),
        "leaves": leaves,
        "virtual": draw(st.sampled_from(["visit", "loss", "mean"])),
        "spare_nodes": draw(st.integers(0, 20)),
        "max_depth": draw(st.sampled_from([None, None, 1, 2, 4])),
        "share_illegal": draw(st.sampled_from([0.0, 0.3, 0.9])),
        "share_terminal": draw(st.sampled_from([0.0, 0.3, 0.9])),
        "seed": draw(st.integers(0, 10**6)),
    }


def run(case: dict[str, Any]) -> tuple:
    """Tables, roots, what was illegal, and `(roots, invalid, played) -> (output, subtree of `played`)`."""
    tables = tables_lib.random_tables(
        case["seed"],
        case["num_actions"],
        num_states=100,
        share_illegal=case["share_illegal"],
        share_terminal=case["share_terminal"],
    )
    roots = tables_lib.random_roots(case["seed"], tables, B)
    invalid = tables_lib.random_invalid_actions(case["seed"], tables, roots)
    options = {"virtual": case["virtual"]} if case["policy"] == "muzero_policy" else {}
    quiet = {"dirichlet_fraction": 0.0} if case["policy"] == "muzero_policy" else {"gumbel_scale": 0.0}

    @quick_jit
    def search_all(tables, roots, invalid, played):
        output = getattr(search, case["policy"])(
            tables,
            jax.random.key(0),
            tables_lib.jax_root(tables, roots),
            tables_lib.recurrent_fn,
            case["num_simulations"],
            invalid,
            case["max_depth"],
            leaves=case["leaves"],
            num_nodes=case["num_simulations"] + 1 + case["spare_nodes"],
            **options,
            **quiet,
        )
        return output, search.subtree(output.search_tree, played)

    tables_on_device = jax.tree.map(jnp.asarray, tables)
    return tables, roots, invalid, lambda *args: search_all(tables_on_device, *args)


@settings(max_examples=14, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(searches())
@pytest.mark.slow
def test_every_search_keeps_its_promises(case):
    tables, roots, invalid, search_all = run(case)
    rng = np.random.default_rng(case["seed"])
    played = rng.integers(case["num_actions"], size=B)
    output, kept = search_all(roots, invalid, played)
    tree, states = TreeArrays.of(output.search_tree), np.asarray(output.search_tree.embeddings)

    # Every simulation counts, once, in every node on its way.
    assert (tree.children_visits[:, 0].sum(-1) == case["num_simulations"]).all()
    assert (tree.node_visits[:, 0] == 1 + case["num_simulations"]).all()
    below = np.argwhere(tree.parents >= 0)
    for row, node in below:
        parent, action = tree.parents[row, node], tree.action_from_parent[row, node]
        assert tree.children_index[row, parent, action] == node
        assert tree.children_visits[row, parent, action] == tree.node_visits[row, node]
        # It is the position that the model leads to, by a legal action, and nothing is below the end.
        assert states[row, node] == tables.successor[states[row, parent], action]
        assert tables.prior_logits[states[row, parent], action] > -np.inf
        assert parent > 0 or not invalid[row, action]
        assert (
            parent == 0
            or tree.children_discounts[row, tree.parents[row, parent]][tree.action_from_parent[row, parent]]
            != 0
        )
    weights = np.asarray(output.action_weights)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (weights[invalid] == 0).all()
    assert not invalid[np.arange(B), np.asarray(output.action)].any()

    # Rows do not see each other.
    order = rng.permutation(B)
    permuted, _ = search_all(roots[order], invalid[order], played[order])
    for name in ("node_visits", "parents", "children_visits"):
        np.testing.assert_array_equal(getattr(permuted.search_tree, name), getattr(tree, name)[order])

    # The subtree of an action is what hangs below it.
    kept = TreeArrays.of(kept)
    for row in range(B):
        root = tree.children_index[row, 0, played[row]]
        if root >= 0:
            assert rebuilt(kept, row, 0) == rebuilt(tree, row, root)
        else:
            assert kept.node_visits[row].sum() == 0
