"""The search equals the plain-Python oracle, node by node, on thousands of random trees."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.oracles import search as oracle

CLEAR_LEAD = 1e-5  # two actions whose scores are closer may be ordered otherwise in single precision


class Transform(NamedTuple):
    """One transform of Q-values, twice."""

    ours: Callable
    reference: oracle.QTransform


def siblings(**options: Any) -> Transform:
    return Transform(
        functools.partial(search.qtransform_by_parent_and_siblings, **options),
        functools.partial(oracle.normalised_by_siblings, **options),
    )


def bounds(low: float, high: float) -> Transform:
    return Transform(
        functools.partial(search.qtransform_by_min_max, min_value=low, max_value=high),
        functools.partial(oracle.normalised_by_bounds, low=low, high=high),
    )


def urgent(low: float, high: float, fpu: str | float) -> Transform:
    """Untried actions are worth the mean of what is known, or the node's value less a reduction."""

    def reference(node: oracle.Node) -> list[float]:
        known, prior = [node.q(action) for action in node.children], oracle.softmax(node.prior_logits)
        if fpu == "mean":
            untried = (node.value + sum(known)) / (1 + len(known))
        else:
            untried = node.value - fpu * math.sqrt(sum(prior[action] for action in node.children))
        q = [node.q(action) if action in node.children else untried for action in node.actions]
        return [(x - low) / (high - low) for x in q]

    return Transform(
        functools.partial(search.qtransform_by_min_max, min_value=low, max_value=high, fpu=fpu), reference
    )


def mixed(**options: Any) -> Transform:
    return Transform(
        functools.partial(search.qtransform_completed_by_mix_value, **options),
        functools.partial(oracle.completed_by_mix_value, **options),
    )


@dataclass(frozen=True)
class Case:
    """One compiled search of `batch_size` random trees."""

    num_actions: int
    num_simulations: int
    batch_size: int
    transform: Transform
    max_depth: int | None = None
    share_terminal: float = 0.0
    share_illegal: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)  # of the policy and of the oracle alike
    gumbel_scale: float = 1.0


PUCT = {
    "one simulation": Case(2, 1, 100, siblings()),
    "plain": Case(5, 32, 500, siblings(epsilon=0.1)),
    "terminals": Case(3, 64, 250, siblings(), share_terminal=0.25),
    "illegal actions": Case(
        9, 40, 300, siblings(), share_illegal=0.5, options={"pb_c_init": 2.0, "pb_c_base": 50.0}
    ),
    "max_depth": Case(6, 48, 300, bounds(-2.0, 3.0), max_depth=3, share_terminal=0.1, share_illegal=0.3),
    "mean of the known": Case(6, 40, 200, urgent(-2.0, 3.0, "mean"), share_terminal=0.1, share_illegal=0.3),
    "forced": Case(6, 48, 300, siblings(epsilon=0.1), share_illegal=0.3, options={"forced": 2.0}),
    "reduced": Case(6, 40, 200, urgent(-2.0, 3.0, 0.4), share_terminal=0.1, share_illegal=0.3),
}
GUMBEL = {
    "one simulation": Case(2, 1, 100, mixed(epsilon=1e-8)),
    "plain": Case(5, 32, 500, mixed(epsilon=0.01), options={"max_num_considered_actions": 4}),
    "terminals": Case(3, 64, 250, mixed(epsilon=1e-8, value_scale=0.03), share_terminal=0.25),
    "illegal actions": Case(9, 40, 300, mixed(epsilon=1e-8), share_illegal=0.5, gumbel_scale=0.0),
    "max_depth": Case(
        6,
        48,
        300,
        mixed(rescale_values=False, use_mixed_value=False, maxvisit_init=10.0),
        max_depth=3,
        share_terminal=0.1,
        share_illegal=0.3,
    ),
}


@pytest.mark.parametrize("name", PUCT)
def test_muzero_policy_equals_the_oracle(name):
    case = PUCT[name]
    tables, roots, invalid = random_game(case)
    output = run(search.muzero_policy, case, dirichlet_fraction=0.0, temperature=0.0)
    model = tables_lib.python_model(tables)
    expected = [
        oracle.puct_search(
            tables_lib.python_root(tables, state),
            model,
            case.num_simulations,
            illegal=invalid[row].tolist(),
            max_depth=case.max_depth,
            qtransform=case.transform.reference,
            **case.options,
        )
        for row, state in enumerate(roots)
    ]
    check(output, expected)


@pytest.mark.parametrize("name", GUMBEL)
def test_gumbel_muzero_policy_equals_the_oracle(name):
    case = GUMBEL[name]
    tables, roots, invalid = random_game(case)
    output = run(search.gumbel_muzero_policy, case, gumbel_scale=case.gumbel_scale)
    gumbel = np.asarray(output.search_tree.extra_data.root_gumbel)
    assert np.std(gumbel) == pytest.approx(case.gumbel_scale * np.pi / np.sqrt(6), rel=0.2)
    model = tables_lib.python_model(tables)
    expected = [
        oracle.gumbel_search(
            tables_lib.python_root(tables, state),
            model,
            case.num_simulations,
            gumbel=gumbel[row].tolist(),
            illegal=invalid[row].tolist(),
            max_depth=case.max_depth,
            qtransform=case.transform.reference,
            **case.options,
        )
        for row, state in enumerate(roots)
    ]
    check(output, expected)


def random_game(case: Case) -> tuple[tables_lib.Tables, np.ndarray, np.ndarray]:
    """Tables, root states i32[B] and illegal root actions bool[B, A]."""
    tables = tables_lib.random_tables(
        case.num_simulations,
        case.num_actions,
        share_terminal=case.share_terminal,
        share_illegal=case.share_illegal,
    )
    roots = tables_lib.random_roots(1, tables, case.batch_size)
    return tables, roots, tables_lib.random_invalid_actions(2, tables, roots)


def run(policy: Callable, case: Case, **options: Any) -> search.PolicyOutput:
    tables, roots, invalid = random_game(case)

    @tables_lib.quick_jit
    def search_all(tables, roots, invalid):
        return policy(
            tables,
            jax.random.key(3),
            tables_lib.jax_root(tables, roots),
            tables_lib.recurrent_fn,
            case.num_simulations,
            invalid,
            case.max_depth,
            qtransform=case.transform.ours,
            **case.options,
            **options,
        )

    return search_all(jax.tree.map(jax.numpy.asarray, tables), roots, invalid)


def check(output: search.PolicyOutput, expected: list[oracle.Result]) -> None:
    """Compares every game in which no decision was a near tie: most of them."""
    tree = tables_lib.TreeArrays.of(output.search_tree)
    qvalues = tree.qvalues
    summary = jax.tree.map(np.asarray, tables_lib.summary_of(output.search_tree))
    clear = [row for row, result in enumerate(expected) if result.margin > CLEAR_LEAD]
    assert len(clear) > 0.95 * len(expected)
    for row in clear:
        result = expected[row]
        _check_subtree(tree, qvalues, row, 0, result.root, ())
        assert summary.value[row] == pytest.approx(result.root.value, abs=1e-5)
        for action in result.root.children:
            assert summary.qvalues[row, action] == pytest.approx(result.root.q(action), abs=1e-5)
        np.testing.assert_allclose(output.action_weights[row], result.action_weights, atol=1e-4)
        if result.action_margin > CLEAR_LEAD:
            assert output.action[row] == result.action


def _check_subtree(
    tree: tables_lib.TreeArrays,
    qvalues: np.ndarray,
    row: int,
    index: int,
    node: oracle.Node,
    path: tuple[int, ...],
) -> None:
    where = f"game {row}, after the actions {path}"
    assert tree.node_visits[row, index] == node.visits, where
    assert tree.children_visits[row, index].tolist() == [node.count(a) for a in node.actions], where
    if not node.terminal:
        assert abs(tree.node_values[row, index] - node.value) < 1e-5, where
        assert abs(tree.raw_values[row, index] - node.raw_value) < 1e-5, where
    for action, child in node.children.items():
        child_index = tree.children_index[row, index, action]
        assert tree.parents[row, child_index] == index, where
        assert tree.action_from_parent[row, child_index] == action, where
        assert abs(qvalues[row, index, action] - node.q(action)) < 1e-5, where
        _check_subtree(tree, qvalues, row, child_index, child, (*path, action))
