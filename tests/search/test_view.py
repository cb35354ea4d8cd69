"""A user's transform of Q-values sees the tree and the node that mctx shows it."""

import dataclasses
import functools
from types import ModuleType
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from jzero.search import layout, puct
from jzero.search.fallback import tells_untried_apart
from jzero.search.view import TreeView
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import TreeArrays, quick_jit

A, B, N = 4, 12, 24
QUIET = {
    "muzero_policy": {"dirichlet_fraction": 0.0, "pb_c_init": 0.3},
    "gumbel_muzero_policy": {"gumbel_scale": 0.0, "max_num_considered_actions": 3},
}
FIELDS = [
    name for name in TreeArrays._fields if name != "children_prior_logits"
]  # logits are equal up to a number that is added to all


def bounded(x: Any) -> jax.Array:
    """A number of about 1 whatever a field holds."""
    return jnp.sum(jnp.cos(jnp.asarray(x, jnp.float32)))


def by_index(tree: Any, node: Any) -> jax.Array:
    return jnp.where(node == 0, 1.0, -jnp.sin(jnp.float32(node)))


def by_rows(tree: Any, node: Any) -> jax.Array:
    """Reads each field of the node, its parent and the root, in the ways that are found row by row."""
    parent = jnp.maximum(tree.parents[node], 0)
    total = jnp.sin(jnp.float32(tree.embeddings[node])) + tree.num_actions + tree.num_simulations
    for weight, name in enumerate(FIELDS, 1):
        field = getattr(tree, name)
        total += weight * (bounded(field[node]) - bounded(field[parent]) + bounded(field[np.int32(0)]))
    illegal = tree.root_invalid_actions.astype(bool) & (node == tree.ROOT_INDEX)
    logits = tree.children_prior_logits[node]
    legal = jnp.sum(jnp.where(illegal, 1.0, jax.nn.softmax(logits)) * jnp.isfinite(logits))
    reached = tree.children_visits[parent, jnp.maximum(tree.action_from_parent[node], 0)]
    return jnp.sin(total + legal + reached + bounded(tree.qvalues(parent)))


def by_arrays(tree: Any, node: Any) -> jax.Array:
    """Does with fields what arrays alone can: bounds of a tree, several nodes at once, branches, changes."""
    exists = tree.node_visits > 0
    low = jnp.min(jnp.where(exists, tree.node_values, jnp.inf))
    high = jnp.where(exists, tree.node_values, -jnp.inf).max()
    children = jnp.maximum(tree.children_index[node], 0)
    changed = tree.replace(children_rewards=tree.children_rewards + 1.0)
    branch = jax.lax.cond(
        node == 0,
        lambda tree: jnp.float32(tree.node_visits[node]),
        lambda tree: bounded(tree.qvalues(node)),
        changed,
    )
    return jnp.sin(high - low + bounded(tree.node_visits[children]) + branch)


def with_gumbel(tree: Any, node: Any) -> jax.Array:
    return by_rows(tree, node) + bounded(tree.extra_data.root_gumbel)


SCALES = [by_index, by_rows, by_arrays]


@dataclasses.dataclass
class Scaled:
    """Q-values of visited actions times `scale` of the tree and the node; others 0.1. Cannot be hashed."""

    scale: Any

    def __call__(self, tree: Any, node_index: Any) -> jax.Array:
        visited = tree.children_visits[node_index] > 0
        return jnp.where(visited, self.scale(tree, node_index) * tree.qvalues(node_index), 0.1)


def run(module: ModuleType, policy: str, transform: Any, **options: Any) -> mctx.PolicyOutput:
    tables = tables_lib.random_tables(1, A)
    roots = tables_lib.random_roots(1, tables, B)
    invalid = jnp.asarray(tables_lib.random_invalid_actions(1, tables, roots))

    @quick_jit
    def search_all(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, N, invalid)
        return getattr(module, policy)(*args, qtransform=transform, **QUIET[policy], **options)

    return search_all(jax.tree.map(jnp.asarray, tables), jnp.asarray(roots))


def assert_same_search(ours: mctx.PolicyOutput, theirs: mctx.PolicyOutput) -> None:
    mine, reference = (TreeArrays.of(output.search_tree) for output in (ours, theirs))
    np.testing.assert_array_equal(mine.children_visits, reference.children_visits)
    np.testing.assert_allclose(mine.node_values, reference.node_values, atol=1e-5)
    np.testing.assert_allclose(ours.action_weights, theirs.action_weights, atol=1e-4)
    np.testing.assert_array_equal(ours.action, theirs.action)


@functools.cache
def plain_trees() -> tuple[Any, Any]:
    """Our tree and mctx's after the same search, where one action at least is illegal at some roots."""
    plain = functools.partial(mctx.qtransform_by_min_max, min_value=-2.0, max_value=2.0)
    return tuple(run(module, "muzero_policy", plain).search_tree for module in (search, mctx))


@pytest.mark.parametrize("at_hand", [True, False], ids=["at-hand", "elsewhere"])
def test_each_field_of_each_node_is_that_of_mctx(at_hand):
    ours, theirs = plain_trees()

    def fields(tree: Any, node: jax.Array) -> dict[str, jax.Array]:
        view = TreeView(tree, node, tree.nodes[node], tree.children[node], A)
        index = node if at_hand else jnp.maximum(node, 0)
        found = {name: getattr(view, name)[index] for name in TreeArrays._fields}
        return found | {"qvalues": view.qvalues(index)}

    nodes = jnp.arange(N + 1)
    found = quick_jit(jax.vmap(lambda tree: jax.vmap(functools.partial(fields, tree))(nodes)))(ours)
    expected = {name: getattr(theirs, name) for name in TreeArrays._fields}
    expected["qvalues"] = jax.vmap(theirs.qvalues, in_axes=1, out_axes=1)(jnp.tile(nodes, (B, 1)))
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        if name == "children_prior_logits":
            np.testing.assert_array_equal(found[name] < -1e30, array < -1e30)
            array, found[name] = jax.nn.softmax(array), jax.nn.softmax(found[name])
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)


def test_a_tree_becomes_that_of_mctx():
    ours, theirs = plain_trees()
    dense = ours.to_mctx()
    assert type(dense) is mctx.Tree
    for name in [*FIELDS, "embeddings", "root_invalid_actions"]:
        np.testing.assert_allclose(getattr(dense, name), getattr(theirs, name), atol=1e-5, err_msg=name)
    changed = dense.replace(children_rewards=dense.children_rewards + 1.0)
    np.testing.assert_allclose(changed.qvalues(jnp.zeros(B, int)), dense.summary().qvalues + 1.0, atol=1e-6)


def test_trees_of_a_mapped_policy_are_read_as_those_of_one():
    tables = tables_lib.random_tables(1, A)
    root = tables_lib.jax_root(tables, tables_lib.random_roots(1, tables, B))
    tables, root = jax.tree.map(jnp.asarray, (tables, root))

    def one_search(key: jax.Array) -> search.Tree:
        return search.muzero_policy(tables, key, root, tables_lib.recurrent_fn, N).search_tree

    trees = quick_jit(jax.vmap(one_search))(jax.random.split(jax.random.key(0), 2))
    each = [jax.tree.map(lambda x, i=i: x[i], trees) for i in range(2)]
    nodes = jnp.arange(2 * B).reshape(2, B) % (N + 1)
    reads = {name: functools.partial(lambda name, tree, node: getattr(tree, name), name) for name in FIELDS}
    reads |= {
        "qvalues": lambda tree, node: tree.qvalues(node),
        "of the root": lambda tree, node: tree.qvalues(0),
        "summary": lambda tree, node: tree.summary(),
        "whole": lambda tree, node: tree.to_mctx(),
    }
    for name, read in reads.items():
        expected = jax.tree.map(lambda *x: jnp.stack(x), *map(read, each, nodes))
        chex.assert_trees_all_equal(read(trees, nodes), expected, custom_message=name)
    assert not np.array_equal(each[0].children_visits, each[1].children_visits)


def test_a_field_is_traced_once(monkeypatch):
    """Outside of `jit` it is one compiled program, not many."""
    tree, _ = plain_trees()
    for again in (False, True):
        for name in FIELDS:
            getattr(tree, name)
        assert tree.summary().qvalues.tolist() == tree.qvalues(0).tolist()
        if not again:
            monkeypatch.setattr(layout, "by_action", None)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.__name__)
def test_a_search_by_a_users_transform_is_that_of_mctx(scale, monkeypatch):
    monkeypatch.setattr(puct, "by_mctx", lambda *_: False)  # also where it reads embeddings
    assert_same_search(*(run(module, "muzero_policy", Scaled(scale)) for module in (search, mctx)))


def test_a_gumbel_search_by_a_users_transform_is_that_of_mctx():
    transform = Scaled(with_gumbel)
    assert_same_search(*(run(module, "gumbel_muzero_policy", transform) for module in (search, mctx)))


def bonus(tree: Any, node: Any) -> jax.Array:
    """Untried actions are worth more, the greater their number."""
    return jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), 0.3 * jnp.arange(A))


def by_prior(tree: Any, node: Any) -> jax.Array:
    found = mctx.qtransform_completed_by_mix_value(tree, node)
    return found + jnp.where(
        tree.children_visits[node] > 0, 0.0, jax.nn.softmax(tree.children_prior_logits[node])
    )


def only_elsewhere(tree: Any, node: Any) -> jax.Array:
    """Tells untried actions apart below the root alone."""
    return jnp.where(node == 0, jnp.float32(tree.children_visits[node] > 0), bonus(tree, node))


@pytest.mark.parametrize("transform", [bonus, by_prior, only_elsewhere])
@pytest.mark.parametrize("policy", list(QUIET))
def test_a_transform_that_tells_untried_actions_apart_searches_as_in_mctx(transform, policy):
    ours, theirs = (run(module, policy, transform) for module in (search, mctx))
    assert type(ours.search_tree) is mctx.Tree
    assert_same_search(ours, theirs)


@pytest.mark.parametrize("policy", list(QUIET))
def test_such_a_transform_is_refused_with_what_mctx_lacks(policy):
    with pytest.raises(
        ValueError, match=r"untried actions of a node different values.* no leaves, max_bytes"
    ):
        run(search, policy, bonus, leaves=2, max_bytes=10**9)


def test_a_transform_of_traced_values_searches_as_in_mctx():
    tables = tables_lib.random_tables(1, A)
    root = tables_lib.jax_root(tables, tables_lib.random_roots(1, tables, B))
    tables, root = jax.tree.map(jnp.asarray, (tables, root))

    def found(module: ModuleType) -> mctx.PolicyOutput:
        @quick_jit
        def one_search(scale):
            args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, N)
            transform = lambda tree, node: scale * bonus(tree, node)  # noqa: E731
            return module.muzero_policy(*args, qtransform=transform, **QUIET["muzero_policy"])

        return one_search(jnp.float32(0.5))

    assert_same_search(found(search), found(mctx))


ROOT = mctx.RootFnOutput(
    prior_logits=jnp.zeros((B, A)), value=jnp.zeros(B), embedding=jnp.zeros(B, jnp.int32)
)


@pytest.mark.parametrize("transform", [*map(Scaled, SCALES), mctx.qtransform_by_parent_and_siblings])
def test_other_transforms_search_without_mctx(transform):
    """A transform that reads embeddings may tell untried actions apart, which random ones need not show."""
    reads = transform == Scaled(by_rows)
    assert tells_untried_apart(transform, ROOT) is (None if reads else False)


def masked(tree: Any, node: Any) -> jax.Array:
    """An embedding says which actions are legal."""
    found = mctx.qtransform_by_parent_and_siblings(tree, node)
    return jnp.where(tree.embeddings["legal"][node], found, -10.0)


def learned(tree: Any, node: Any) -> jax.Array:
    """An embedding says what untried actions are worth."""
    return jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), tree.embeddings["worth"][node])


def rarely(tree: Any, node: Any) -> jax.Array:
    """Few states tell anything apart."""
    found = jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), 0.0)
    return found + jnp.where(tree.embeddings["state"][node] > 20, 0.1 * jnp.arange(A, dtype=jnp.float32), 0.0)


def noisy(tree: Any, node: Any) -> jax.Array:
    """Gumbel's noise of the root tells them apart in every node."""
    return jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), tree.extra_data.root_gumbel)


@pytest.mark.parametrize(
    ("policy", "transform"),
    [(policy, transform) for policy in QUIET for transform in (masked, learned, rarely)]
    + [("gumbel_muzero_policy", noisy)],
)
def test_what_a_tree_keeps_may_tell_untried_actions_apart(policy, transform):
    states = jnp.arange(B, dtype=jnp.int32)

    def embedded(state):
        waves = jnp.sin(3.0 * state[:, None] + jnp.arange(A, dtype=jnp.float32))
        return {"state": state, "legal": waves > -0.5, "worth": waves}

    def recurrent_fn(params, key, action, embedding):
        state = (5 * embedding["state"] + action + 1) % 29
        waves = embedded(state)["worth"]
        step = mctx.RecurrentFnOutput(
            reward=waves[:, 0], discount=jnp.full(B, 0.9), prior_logits=jnp.cos(2 * waves), value=waves[:, 1]
        )
        return step, embedded(state)

    root = mctx.RootFnOutput(prior_logits=jnp.zeros((B, A)), value=jnp.zeros(B), embedding=embedded(states))
    options = QUIET[policy] | ({"gumbel_scale": 1.0} if transform is noisy else {})

    def found(module: ModuleType) -> mctx.PolicyOutput:
        return quick_jit(
            lambda: getattr(module, policy)(
                (), jax.random.key(0), root, recurrent_fn, N, qtransform=transform, **options
            )
        )()

    assert_same_search(found(search), found(mctx))


def test_a_transform_may_mark_illegal_actions_by_another_value():
    """It speaks for untried actions by the value of one that is legal."""

    def transform(tree: Any, node_index: Any) -> jax.Array:
        illegal = tree.root_invalid_actions.astype(bool) & (node_index == 0)
        return jnp.where(illegal, 7.0, Scaled(by_index)(tree, node_index))

    assert_same_search(*(run(module, "muzero_policy", transform) for module in (search, mctx)))


@pytest.mark.parametrize("transform", [Scaled(by_rows), mctx.qtransform_completed_by_mix_value])
def test_rows_are_enough_for_most_transforms(transform):
    """None of these needs the whole tree, which is slow to build."""

    def one(tree: Any, node: jax.Array) -> jax.Array:
        return transform(TreeView(tree, node, tree.nodes[0], tree.children[0], A), node)

    found = jax.eval_shape(jax.vmap(one), plain_trees()[0], jnp.zeros(B, jnp.int32))
    assert found.shape == (B, A)


def test_a_field_that_mctx_lacks_is_named():
    with pytest.raises(AttributeError, match="visit_counts"):
        run(search, "muzero_policy", lambda tree, node: tree.visit_counts[node])


@pytest.mark.parametrize("virtual", ["loss", "mean"])
def test_descents_under_way_are_seen_however_a_node_is_read(virtual):
    def copied(tree: Any, node: Any) -> jax.Array:
        return Scaled(by_index)(tree, node + jnp.int32(0))

    found, expected = (
        run(search, "muzero_policy", transform, leaves=4, virtual=virtual).search_tree.children_visits
        for transform in (copied, Scaled(by_index))
    )
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, plain_trees()[0].children_visits)


def test_a_transform_sees_no_edges_of_chance():
    """In a stochastic search as in mctx; and with explicit chance, where a state follows each afterstate."""
    outcomes = 2

    def transform(tree: Any, node: Any) -> jax.Array:
        assert tree.num_actions == A
        assert tree.root_invalid_actions.shape == tree.qvalues(node).shape == (A,)
        return Scaled(by_index)(tree, node) * bounded(tree.children_prior_logits[node])

    def decide(params, key, action, state):
        logits = jnp.tile(jnp.array([0.3, 0.0]), (len(action), 1))
        return mctx.DecisionRecurrentFnOutput(
            chance_logits=logits, afterstate_value=jnp.cos(state)
        ), state + action

    def resolve(params, key, outcome, state):
        logits = jnp.sin(jnp.arange(A) + state[:, None])
        return mctx.ChanceRecurrentFnOutput(
            action_logits=logits,
            value=jnp.sin(state),
            reward=0.1 * outcome,
            discount=jnp.full(len(outcome), 0.9),
        ), 2.0 * state - outcome

    state = jnp.arange(B, dtype=jnp.float32)
    root = mctx.RootFnOutput(
        prior_logits=jnp.sin(jnp.arange(A) + state[:, None]), value=state / B, embedding=state
    )

    def stochastic(module: ModuleType) -> mctx.PolicyOutput:
        args = ((), jax.random.key(0), root, decide, resolve, N)
        options = {"dirichlet_fraction": 0.0, "temperature": 0.0}
        return quick_jit(lambda: module.stochastic_muzero_policy(*args, qtransform=transform, **options))()

    assert_same_search(stochastic(search), stochastic(mctx))

    def step(params, key, outcome, state):
        found, state = resolve(params, key, outcome, state)
        return mctx.RecurrentFnOutput(
            reward=found.reward, discount=found.discount, prior_logits=found.action_logits, value=found.value
        ), state

    def afterstates(params, key, action, state):
        return jnp.zeros((B, outcomes)), state + action

    def reads_states(tree: Any, node: Any) -> jax.Array:
        return transform(tree, node) + 0.0 * tree.embeddings[node]

    for policy in (search.muzero_policy, search.gumbel_muzero_policy):
        explicit = functools.partial(search.with_chance(policy, afterstates), qtransform=reads_states)
        found = jax.eval_shape(functools.partial(explicit, (), jax.random.key(0), root, step, N))
        assert found.action_weights.shape == (B, A)
