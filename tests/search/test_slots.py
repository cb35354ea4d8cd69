"""Nodes with many tried edges, and priors that are equal: where keeping edges in slots could go wrong."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import TreeArrays, quick_jit

A, N, B = 48, 120, 3


def run(module, policy, tables, roots, num_simulations=N, value_scale=0.005, **options):
    """Two considered actions at the root, so that a Gumbel search has half of its visits below each."""
    if policy == "gumbel_muzero_policy":
        transform = functools.partial(
            module.qtransform_completed_by_mix_value, epsilon=1e-8, value_scale=value_scale
        )
        options = {"qtransform": transform, "max_num_considered_actions": 2, "gumbel_scale": 0.0} | options
    else:
        transform = functools.partial(module.qtransform_by_min_max, min_value=-9.0, max_value=9.0)
        options = {"qtransform": transform, "dirichlet_fraction": 0.0, "pb_c_init": 3.0} | options

    @quick_jit
    def search_all(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        search_policy = getattr(module, policy)
        return search_policy(
            tables, jax.random.key(0), root, tables_lib.recurrent_fn, num_simulations, **options
        )

    return search_all(jax.tree.map(jnp.asarray, tables), roots)


def assert_same_tree(ours, theirs):
    for name in TreeArrays._fields:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("spread", "value_scale", "widest"), [(0.02, 0.005, 48), (1.0, 0.05, 23), (1.0, 0.1, 11)]
)
def test_wide_nodes_equal_those_of_mctx(spread, value_scale, widest):
    """Nearly flat priors: nodes below the root use up to several times as many slots as a hop first looks at."""
    tables = tables_lib.random_tables(1, A, discounts=(0.9,))
    tables = tables._replace(prior_logits=spread * tables.prior_logits, reward=0.1 * tables.reward)
    roots = tables_lib.random_roots(1, tables, B)
    ours, theirs = (
        TreeArrays.of(run(module, "gumbel_muzero_policy", tables, roots, value_scale=value_scale).search_tree)
        for module in (search, mctx)
    )
    assert (ours.children_visits[:, 1:] > 0).sum(-1).max() == widest, "the case must be wide"
    assert_same_tree(ours, theirs)


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy"])
def test_equal_priors_are_tried_from_the_lowest_action_on(policy):
    tables = tables_lib.random_tables(2, 6, discounts=(0.9,))
    levels = np.random.default_rng(0).integers(0, 2, tables.prior_logits.shape)
    tables = tables._replace(prior_logits=levels.astype(np.float32))
    roots = tables_lib.random_roots(2, tables, 16)
    tree = TreeArrays.of(run(search, policy, tables, roots, 60).search_tree)
    for row, node in np.argwhere(tree.node_visits > 1):
        if policy == "gumbel_muzero_policy" and node == 0:
            continue  # two actions are considered there, in turn
        children = tree.children_index[row, node]
        logits = tree.children_prior_logits[row, node]
        order = np.lexsort((np.arange(6), -logits))
        tried = np.argsort(np.where(children >= 0, children, 10**6), kind="stable")[: (children >= 0).sum()]
        np.testing.assert_array_equal(tried, order[: len(tried)])


def test_equal_priors_give_the_tree_of_mctx():
    """Gumbel search has no noise at its hops, so even ties fall alike."""
    tables = tables_lib.random_tables(3, 6, discounts=(-1.0,))
    tables = tables._replace(prior_logits=np.zeros_like(tables.prior_logits))
    roots = tables_lib.random_roots(3, tables, 16)
    ours, theirs = (
        TreeArrays.of(run(module, "gumbel_muzero_policy", tables, roots, 40).search_tree)
        for module in (search, mctx)
    )
    assert_same_tree(ours, theirs)


def test_a_transform_of_ones_own_sees_every_action():
    """The same formula written by a user and built in gives the same tree."""

    def own(tree, node_index):
        visits = tree.children_visits[node_index]
        assert visits.shape == (7,)
        return jnp.where(visits > 0, (tree.qvalues(node_index) + 9.0) / 18.0, 0.0)

    tables = tables_lib.random_tables(4, 7, discounts=(-1.0,), share_illegal=0.3)
    roots = tables_lib.random_roots(4, tables, 16)
    built_in, by_user = (
        TreeArrays.of(run(search, "muzero_policy", tables, roots, 40, **options).search_tree)
        for options in ({}, {"qtransform": own})
    )
    assert_same_tree(by_user, built_in)


@pytest.mark.slow
def test_transforms_read_a_finished_tree_as_those_of_mctx_do():
    tables = tables_lib.random_tables(5, 7, discounts=(-1.0,))
    roots = tables_lib.random_roots(5, tables, 16)
    found = []
    for module in (search, mctx):
        tree = run(module, "gumbel_muzero_policy", tables, roots, 40).search_tree
        transform = functools.partial(module.qtransform_completed_by_mix_value, epsilon=1e-8)
        for_each = jax.vmap(transform, in_axes=(0, None))
        found.append([for_each(tree, 0), for_each(tree, 3), tree.qvalues(jnp.full(16, 3))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
