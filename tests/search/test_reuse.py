"""A reused tree: the oracle's, the longer search's, and right when full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import search
from jzero.search import reuse
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import TreeArrays, quick_jit
from tests.oracles import search as oracle
from tests.search.test_oracle import Case, check, mixed, random_game, siblings
from tests.search.test_slots import assert_same_tree

QUIET = {"muzero_policy": {"dirichlet_fraction": 0.0, "temperature": 0.0}, "gumbel_muzero_policy": {}}


def first_and_second(policy, case, second, *, num_nodes, action=None):
    """A search, and one of the position that `action` (default: the one it chose) leads to, with its tree."""
    tables, roots, invalid = random_game(case)
    options = QUIET[policy] | {"qtransform": case.transform.ours}

    @quick_jit
    def search_twice(tables, roots, invalid):
        def run(key, states, num_simulations, **more):
            root = tables_lib.jax_root(tables, states)
            args = (tables, jax.random.key(key), root, tables_lib.recurrent_fn, num_simulations)
            return getattr(search, policy)(*args, **options, **more)

        before = run(0, roots, case.num_simulations, invalid_actions=invalid, num_nodes=num_nodes)
        played = before.action if action is None else action
        kept = reuse.subtree(before.search_tree, played)
        successors = tables.successor[roots, played]
        return before, kept, run(1, successors, second, tree=kept), played, successors

    return tables, roots, invalid, search_twice(jax.tree.map(jnp.asarray, tables), roots, invalid)


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy"])
def test_search_of_a_reused_tree_equals_the_oracle(policy):
    transform = siblings(epsilon=0.1) if policy == "muzero_policy" else mixed(epsilon=0.01)
    case = Case(6, 24, 300, transform, share_illegal=0.3, share_terminal=0.05)
    tables, roots, invalid, (before, kept, after, played, successors) = first_and_second(
        policy, case, 20, num_nodes=60
    )
    model = tables_lib.python_model(tables)
    expected, rows = [], []
    for row, state in enumerate(roots):
        root = tables_lib.python_root(tables, state)
        same = {"qtransform": transform.reference}
        if policy == "muzero_policy":
            first = oracle.puct_search(root, model, 24, illegal=invalid[row].tolist(), **same)
        else:
            gumbel = np.asarray(before.search_tree.extra_data.root_gumbel)[row].tolist()
            first = oracle.gumbel_search(
                root, model, 24, illegal=invalid[row].tolist(), gumbel=gumbel, **same
            )
        top = first.root.children[int(played[row])]
        if min(first.margin, first.action_margin) < 1e-5 or top.terminal:
            continue
        root = tables_lib.python_root(tables, int(successors[row]))
        if policy == "muzero_policy":
            result = oracle.puct_search(root, model, 20, top=top, **same)
        else:
            gumbel = np.asarray(after.search_tree.extra_data.root_gumbel)[row].tolist()
            result = oracle.gumbel_search(root, model, 20, gumbel=gumbel, top=top, **same)
        assert int(kept.node_visits[row, 0]) == top.visits
        expected.append(result)
        rows.append(row)
    assert len(rows) > 250
    check(jax.tree.map(lambda x: x[np.array(rows)], after), expected)


def test_a_puct_search_goes_on_as_if_it_had_begun_below():
    """Below an action PUCT does what a search from there does, so reuse equals one search with all visits."""
    case = Case(5, 40, 100, siblings(epsilon=0.1), share_terminal=0.05)
    tables, _, _, (_, kept, after, _, successors) = first_and_second("muzero_policy", case, 16, num_nodes=57)
    earlier = np.asarray(kept.node_visits[:, 0]) - 1
    rows = np.flatnonzero((earlier > 0) & np.asarray(successors < len(tables.value) - 1))
    assert len(rows) > 80
    assert earlier[rows].mean() > 8
    model = tables_lib.python_model(tables)
    whole = []
    for row in rows:
        root = tables_lib.python_root(tables, int(successors[row]))
        num_simulations = int(earlier[row]) + 16
        whole.append(oracle.puct_search(root, model, num_simulations, qtransform=case.transform.reference))
    check(jax.tree.map(lambda x: x[rows], after), whole)


def rebuilt(tree: TreeArrays, row: int, root: int) -> dict:
    """The subtree at `root` by hand: {actions from there: (visits, value, raw value, [Q of each action])}."""
    found, todo = {}, [(root, ())]
    while todo:
        node, path = todo.pop()
        statistics = tree.node_visits[row, node], tree.node_values[row, node], tree.raw_values[row, node]
        priors = tuple(tree.children_prior_logits[row, node])
        found[path] = (*statistics, tuple(tree.qvalues[row, node]), priors)
        for action, child in enumerate(tree.children_index[row, node]):
            if child >= 0:
                todo.append((child, (*path, action)))
    return found


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy"])
@pytest.mark.slow
def test_subtree_of_an_action_is_the_one_rebuilt_by_hand(policy):
    transform = siblings() if policy == "muzero_policy" else mixed()
    case = Case(5, 40, 30, transform, share_illegal=0.2, share_terminal=0.1)
    num_kept = 0
    for action in (0, 2, 4):
        played = jnp.full(case.batch_size, action)
        _, _, _, (before, kept, *_) = first_and_second(policy, case, 4, num_nodes=45, action=played)
        tree, kept = TreeArrays.of(before.search_tree), TreeArrays.of(kept)
        for row in range(case.batch_size):
            root = tree.children_index[row, 0, action]
            if root < 0:
                assert kept.node_visits[row].sum() == 0
                continue
            num_kept += 1
            assert rebuilt(kept, row, 0) == rebuilt(tree, row, root)
    assert num_kept > 40


def test_a_full_tree_drops_its_latest_nodes_and_still_counts_every_simulation():
    case = Case(3, 60, 64, siblings(epsilon=0.1))
    num_nodes, second = 61, 50
    _, _, _, (_, kept, after, *_) = first_and_second("muzero_policy", case, second, num_nodes=num_nodes)
    start = num_nodes - second
    visits = np.asarray(kept.node_visits)
    assert (visits[:, start:] > 0).any(axis=1).sum() > 32, "the case must overflow"
    tree = TreeArrays.of(after.search_tree)
    for row in range(case.batch_size):
        remaining = kept.children_visits[row, 0][kept.children_index[row, 0] < start].sum()
        assert tree.children_visits[row, 0].sum() == remaining + second
        assert tree.node_visits[row, 0] == 1 + remaining + second
        reached = np.zeros(num_nodes, bool)
        for node in range(num_nodes):
            children = tree.children_index[row, node]
            for action, child in enumerate(children):
                if child >= 0:
                    assert tree.parents[row, child] == node
                    assert tree.action_from_parent[row, child] == action
                    assert tree.children_visits[row, node, action] == tree.node_visits[row, child]
                    assert not reached[child]
                    reached[child] = True
        assert reached.sum() == (tree.parents[row] >= 0).sum()


def test_a_game_that_begins_anew_keeps_nothing():
    case = Case(5, 20, 16, siblings(epsilon=0.1))
    tables, roots, _ = random_game(case)

    @quick_jit
    def run(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, case.num_simulations)
        options = QUIET["muzero_policy"] | {"num_nodes": 41}
        first = search.muzero_policy(*args, **options)
        kept = reuse.subtree(first.search_tree, jnp.full(case.batch_size, -1))
        return first.search_tree, search.muzero_policy(*args, **options, tree=kept).search_tree

    first, second = run(jax.tree.map(jnp.asarray, tables), roots)
    assert_same_tree(TreeArrays.of(second), TreeArrays.of(first))


def test_noise_is_drawn_for_the_new_root_and_forgotten_below():
    """Priors of every kept node but the root are the model's, whatever noise the first search had at its root."""
    case = Case(6, 40, 50, siblings(epsilon=0.1))
    tables, roots, _ = random_game(case)

    @quick_jit
    def run(tables, roots):
        def policy(key, states, **options):
            root = tables_lib.jax_root(tables, states)
            args = (tables, jax.random.key(key), root, tables_lib.recurrent_fn, case.num_simulations)
            return search.muzero_policy(*args, dirichlet_fraction=0.5, num_nodes=81, **options)

        first = policy(0, roots)
        successors = tables.successor[roots, first.action]
        return policy(1, successors, tree=reuse.subtree(first.search_tree, first.action)), successors

    output, successors = run(jax.tree.map(jnp.asarray, tables), roots)
    tree = TreeArrays.of(output.search_tree)
    states = np.asarray(output.search_tree.embeddings)
    exists = tree.node_visits > 0
    exists[:, 0] = False
    difference = tree.children_prior_logits - tables.prior_logits[states]
    assert np.abs(difference[exists]).max() < 1e-5
    np.testing.assert_array_equal(states[:, 0], successors)
    at_root = jax.nn.softmax(tree.children_prior_logits[:, 0]) - jax.nn.softmax(
        tables.prior_logits[successors]
    )
    assert np.abs(np.asarray(at_root)).max(axis=1).min() > 0.01, "every root has its own noise"
