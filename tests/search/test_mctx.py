"""The search equals mctx: signatures, whole trees of random games, and the golden trees in mctx's wheel."""

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
from scipy.special import softmax

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import summary_of

POLICIES = ["muzero_policy", "gumbel_muzero_policy"]
TRANSFORMS = [
    "qtransform_by_min_max",
    "qtransform_by_parent_and_siblings",
    "qtransform_completed_by_mix_value",
]


@dataclass(frozen=True)
class Case:
    """A batch of random games."""

    policy: str
    num_actions: int
    num_simulations: int
    batch_size: int
    seed: int  # such that the closest decision of all games is clear in single precision
    discounts: tuple[float, ...]
    mask_root: bool = False
    share_illegal: float = 0.0  # of interior actions
    noisy_model: bool = False
    max_depth: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


NO_NOISE = {"muzero_policy": {"dirichlet_fraction": 0.0}, "gumbel_muzero_policy": {"gumbel_scale": 0.0}}
CASES = [
    Case(
        policy,
        num_actions=3,
        num_simulations=12,
        batch_size=64,
        seed=0,
        discounts=(-1.0,),
        noisy_model=True,
        options={"qtransform": qtransform},
    )
    for policy, qtransform in [
        ("muzero_policy", functools.partial(mctx.qtransform_by_min_max, min_value=-2.0, max_value=2.0)),
        ("gumbel_muzero_policy", mctx.qtransform_completed_by_mix_value),
    ]
]
for policy in POLICIES:
    CASES += [
        Case(
            policy,
            num_actions=7,
            num_simulations=50,
            batch_size=48,
            seed=0,
            discounts=(-1.0, 1.0, 0.9),
            mask_root=True,
            options=NO_NOISE[policy],
        ),
        Case(
            policy,
            num_actions=20,
            num_simulations=40,
            batch_size=32,
            seed=0,
            discounts=(0.997,),
            mask_root=True,
            share_illegal=0.4,
            max_depth=3,
            options=NO_NOISE[policy]
            | (
                {"pb_c_init": 2.0, "pb_c_base": 100.0}
                if policy == "muzero_policy"
                else {"max_num_considered_actions": 6}
            ),
        ),
    ]


def test_every_name_of_mctx_is_here():
    assert search.__version__ == mctx.__version__
    assert set(mctx.__all__) <= set(search.__all__)
    assert all(hasattr(search, name) for name in search.__all__)


def test_types_serve_as_annotations_as_those_of_mctx_do():
    """Programs evaluate these when they are imported."""
    for module in (search, mctx):
        assert module.Tree[module.GumbelMuZeroExtraData]
        assert module.PolicyOutput[module.GumbelMuZeroExtraData]
        assert module.RecurrentFn | None
    tables, roots = _few_games()
    root = tables_lib.jax_root(tables, roots)
    policy = functools.partial(search.gumbel_muzero_policy, recurrent_fn=tables_lib.recurrent_fn)
    output = jax.eval_shape(lambda key: policy(tables, key, root, num_simulations=2), jax.random.key(0))
    assert isinstance(output.search_tree.extra_data, mctx.GumbelMuZeroExtraData)


def test_a_search_by_action_selections_of_the_user_is_that_of_mctx():
    """`search.search` with a selection of ours, which calls one of mctx and one of our transforms."""
    tables, roots = _few_games()

    def run(module: ModuleType) -> mctx.Tree:
        def least_visited(rng_key, tree, node_index):
            del rng_key
            return jnp.argmin(tree.children_visits[node_index]).astype(jnp.int32)

        transform = functools.partial(module.qtransform_by_min_max, min_value=-2.0, max_value=2.0)
        interior = functools.partial(module.muzero_action_selection, qtransform=transform)
        return tables_lib.quick_jit(
            lambda: module.search(
                tables,
                jax.random.key(1),
                root=tables_lib.jax_root(tables, roots),
                recurrent_fn=tables_lib.recurrent_fn,
                root_action_selection_fn=least_visited,
                interior_action_selection_fn=interior,
                num_simulations=12,
            )
        )()

    ours, theirs = (tables_lib.TreeArrays.of(run(module)) for module in (search, mctx))
    assert ours.children_visits[:, 0].tolist() == [[3, 3, 3, 3]] * len(roots)
    for array, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-6)


def _search_few(
    module: ModuleType, policy: str, num_simulations: int = 3, **options: Any
) -> mctx.PolicyOutput:
    tables, roots = _few_games()

    def search_all() -> mctx.PolicyOutput:
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(1), root, tables_lib.recurrent_fn, num_simulations)
        return getattr(module, policy)(*args, **NO_NOISE[policy], **options)

    return tables_lib.quick_jit(search_all)()


@pytest.mark.parametrize("policy", [POLICIES[0], pytest.param(POLICIES[1], marks=pytest.mark.slow)])
def test_a_loop_of_the_user_carries_a_key_and_a_tree(policy):
    visits = []

    def loop(lower: int, upper: int, body: Callable, carry: tuple) -> tuple:
        for simulation in range(lower, upper):
            key, tree = body(simulation, carry)
            visits.append(tree.node_visits.shape)
            carry = key, tree
        return carry

    ours, theirs = (_search_few(module, policy, loop_fn=loop) for module in (search, mctx))
    assert visits == [(3, 4)] * 6
    np.testing.assert_array_equal(ours.action, theirs.action)
    expected = _found_few(search, policy)
    np.testing.assert_array_equal(ours.search_tree.children, expected.search_tree.children)


@pytest.mark.parametrize("dtype", [None, jnp.int32, jnp.int8, jnp.float32, bool])
def test_the_mask_of_the_root_is_kept_as_it_was_given(dtype):
    mask = None if dtype is None else jnp.asarray([[0, 1, 0, 0]] * 3, dtype)
    tables, roots = _few_games()
    ours, theirs = (
        jax.eval_shape(
            lambda module=module: (
                module.muzero_policy(
                    tables,
                    jax.random.key(0),
                    tables_lib.jax_root(tables, roots),
                    tables_lib.recurrent_fn,
                    2,
                    mask,
                ).search_tree.root_invalid_actions
            )
        )
        for module in (search, mctx)
    )
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape


def test_no_considered_action_is_one():
    """As in mctx: the best by noise and prior gets every visit."""
    found, expected = (
        _search_few(module, "gumbel_muzero_policy", max_num_considered_actions=0) for module in (search, mctx)
    )
    visits = [summary_of(output.search_tree).visit_counts.tolist() for output in (found, expected)]
    assert visits[0] == visits[1]
    assert {3.0} == {max(row) for row in visits[0]}
    assert found.action.tolist() == expected.action.tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_depth_of_0_is_1(policy):
    """As in mctx, which follows an edge before it compares."""
    trees = [_search_few(module, policy, max_depth=0).search_tree for module in (search, mctx)]
    assert summary_of(trees[0]).visit_counts.tolist() == summary_of(trees[1]).visit_counts.tolist()
    assert int(trees[0].children_visits[:, 1:].sum()) == 0


def test_q_values_of_several_nodes_per_game_are_those_of_mctx():
    ours, theirs = (_found_few(module, "muzero_policy").search_tree for module in (search, mctx))
    nodes = jnp.array([[0, 1], [2, 0], [3, 1]])
    found = ours.qvalues(nodes)
    assert found.shape == (3, 2, 4)
    np.testing.assert_allclose(found, theirs.qvalues(nodes), atol=1e-5)


def test_a_loss_of_the_trees_prior_is_finite_where_an_action_is_illegal():
    """As in mctx, whose mask is a finite number."""
    invalid = jnp.arange(4)[None] == jnp.arange(3)[:, None]
    losses = []
    for module in (search, mctx):
        found = _search_few(module, "gumbel_muzero_policy", invalid_actions=invalid)
        prior = jax.nn.log_softmax(found.search_tree.children_prior_logits[:, 0])
        losses.append(-(found.action_weights * prior).sum(axis=-1))
    assert jnp.isfinite(losses[0]).all()
    np.testing.assert_allclose(*losses, atol=1e-5)


def test_an_embedding_is_broadcast_to_that_of_the_root():
    def model(params, key, action, state):
        value = jnp.sin(state[:, 0] + action)
        step = mctx.RecurrentFnOutput(
            reward=value,
            discount=jnp.full(3, 0.9),
            prior_logits=jnp.cos(value[:, None] + jnp.arange(4.0)),
            value=value,
        )
        return step, 1 + value[:, None]

    prior = jnp.tile(jnp.sin(jnp.arange(4.0)), (3, 1))
    root = mctx.RootFnOutput(prior_logits=prior, value=jnp.zeros(3), embedding=jnp.ones((3, 2)))
    trees = [
        module.muzero_policy((), jax.random.key(0), root, model, 6, dirichlet_fraction=0.0).search_tree
        for module in (search, mctx)
    ]
    np.testing.assert_allclose(trees[0].embeddings, trees[1].embeddings, atol=1e-6)


def test_fields_of_a_tree_are_replaced_as_in_mctx():
    ours, theirs = (_found_few(module, "muzero_policy").search_tree for module in (search, mctx))
    smaller = ours.replace(embeddings=None)
    assert isinstance(smaller, search.Tree)
    assert smaller.embeddings is None
    rewards = jnp.ones_like(theirs.children_rewards)
    summaries = [summary_of(tree.replace(children_rewards=rewards)) for tree in (ours, theirs)]
    np.testing.assert_allclose(summaries[0].qvalues, summaries[1].qvalues, atol=1e-5)
    for tree in (ours, theirs):
        with pytest.raises(ValueError, match="visit_counts"):
            tree.replace(visit_counts=rewards)


def _few_games() -> tuple[tables_lib.Tables, jax.Array]:
    """Random tables of four actions, and i32[3] states of them."""
    tables = tables_lib.random_tables(0, 4)
    return jax.tree.map(jnp.asarray, tables), jnp.asarray(tables_lib.random_roots(0, tables, 3))


@functools.cache
def _found_few(module: ModuleType, policy: str) -> mctx.PolicyOutput:
    """`_search_few` without options."""
    return _search_few(module, policy)


@pytest.mark.parametrize("name", POLICIES + TRANSFORMS)
def test_signature_is_that_of_mctx(name):
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (search, mctx))
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(ours[parameter].kind == theirs[parameter].kind for parameter in theirs)
    more = [p for parameter, p in ours.items() if parameter not in theirs]
    assert all(p.kind == p.VAR_KEYWORD or p.default is not p.empty for p in more)
    assert len(more) <= 1 + (name in TRANSFORMS)
    differ = {parameter for parameter in theirs if ours[parameter].default != theirs[parameter].default}
    # The default transforms are our own; the epsilon of ours is larger on purpose.
    assert differ <= {"qtransform", "epsilon"}


@pytest.mark.parametrize("name", ["muzero_policy", "gumbel_muzero_policy"])
def test_an_option_that_is_unknown_is_named_with_those_there_are(name):
    with pytest.raises(
        TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'leafs'; .* leaves, "
    ):
        _search_few(search, name, leafs=2)


def test_gumbel_has_no_virtual_visits():
    with pytest.raises(TypeError, match="unexpected keyword argument 'virtual'"):
        _search_few(search, "gumbel_muzero_policy", virtual="loss")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.policy}-{case.num_actions}")
def test_tree_equals_that_of_mctx(case):
    """Same keys, so the same noise at the root and in the model."""
    tables = tables_lib.random_tables(
        case.seed, case.num_actions, discounts=case.discounts, share_illegal=case.share_illegal
    )
    roots = tables_lib.random_roots(case.seed, tables, case.batch_size)
    invalid = tables_lib.random_invalid_actions(case.seed, tables, roots) if case.mask_root else None

    def recurrent_fn(tables, rng_key, action, state):
        step, state = tables_lib.recurrent_fn(tables, rng_key, action, state)
        noise = jax.random.normal(rng_key, action.shape) if case.noisy_model else 0.0
        return step.replace(reward=step.reward + noise), state

    def run(module: ModuleType) -> mctx.PolicyOutput:
        options = dict(case.options)
        if case.policy == "gumbel_muzero_policy":
            transform = functools.partial(module.qtransform_completed_by_mix_value, epsilon=1e-8)
            options.setdefault("qtransform", transform)
        policy = functools.partial(getattr(module, case.policy), **options)

        @tables_lib.quick_jit
        def search_all(tables, roots, invalid):
            root = tables_lib.jax_root(tables, roots)
            key = jax.random.key(5)
            return policy(tables, key, root, recurrent_fn, case.num_simulations, invalid, case.max_depth)

        return search_all(jax.tree.map(jnp.asarray, tables), roots, invalid)

    _assert_equal(run(search), run(mctx))


@pytest.mark.slow
@pytest.mark.parametrize("max_depth", [None, 5])
@pytest.mark.parametrize("num_simulations", [1, 32, 256])
@pytest.mark.parametrize("num_actions", [2, 30, 400])
@pytest.mark.parametrize("policy", POLICIES)
def test_tree_equals_that_of_mctx_on_a_grid(policy, num_actions, num_simulations, max_depth):
    case = Case(
        policy,
        num_actions,
        num_simulations,
        batch_size=6,
        seed=num_actions + num_simulations,
        discounts=(-1.0,) if max_depth is None else (0.997, -1.0, 0.5),
        mask_root=True,
        share_illegal=0.0 if max_depth is None else 0.3,
        max_depth=max_depth,
        options=NO_NOISE[policy],
    )
    test_tree_equals_that_of_mctx(case)


@pytest.mark.parametrize(
    "name",
    [
        "muzero",
        pytest.param("muzero_qtransform", marks=pytest.mark.slow),
        "gumbel_muzero",
        pytest.param("gumbel_muzero_reward", marks=pytest.mark.slow),
    ],
)
def test_golden_trees_of_mctx(name):
    data = resources.files("mctx") / "_src" / "tests" / "test_data" / f"{name}_tree.json"
    golden = json.loads(data.read_text())
    ours, theirs = (_search_golden(golden, module) for module in (search, mctx))
    _assert_golden(tables_lib.TreeArrays.of(ours.search_tree), 0, golden["tree"])
    # The file holds the first game only; the others have one and two legal actions.
    _assert_equal(ours, theirs)


def _assert_equal(ours: mctx.PolicyOutput, theirs: mctx.PolicyOutput) -> None:
    """Whole trees: topology and visits are equal, values to 1e-5."""
    assert isinstance(ours, mctx.PolicyOutput)
    mine, reference = (tables_lib.TreeArrays.of(output.search_tree) for output in (ours, theirs))
    for name in tables_lib.TreeArrays._fields:
        array, expected = getattr(mine, name), getattr(reference, name)
        if "prior_logits" in name:  # mctx marks illegal actions by a finite logit
            array, expected = softmax(array, axis=-1), softmax(expected, axis=-1)
        if expected.dtype == np.int32:
            np.testing.assert_array_equal(array, expected, err_msg=name)
        else:
            np.testing.assert_allclose(array, expected, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(ours.search_tree.embeddings, theirs.search_tree.embeddings)
    summaries = [summary_of(output.search_tree) for output in (ours, theirs)]
    for name in ["visit_counts", "visit_probs", "value", "qvalues"]:
        array, expected = (getattr(found, name) for found in summaries)
        np.testing.assert_allclose(array, expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(ours.action_weights, theirs.action_weights, atol=1e-4)
    np.testing.assert_array_equal(ours.action, theirs.action)
    assert ours.search_tree.num_simulations == theirs.search_tree.num_simulations
    assert ours.search_tree.num_actions == theirs.search_tree.num_actions


# With other rounding than that of XLA's default code, which tests/conftest.py turns off, other trees grow.
golden_jit = functools.partial(
    tables_lib.quick_jit,
    compiler_options={"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else None,
)


def _search_golden(golden: dict, module: ModuleType) -> mctx.PolicyOutput:
    """The search that a golden file describes, of three games: all, one and two actions legal."""
    config = dict(golden["algorithm_config"])
    transform = functools.partial(
        getattr(module, config.pop("qtransform")), **config.pop("qtransform_kwargs", {})
    )
    num_actions = len(golden["tree"]["child_stats"])
    with jax.threefry_partitionable(False):  # as when the files were written
        key = jax.random.PRNGKey(0)
        embedding = jnp.stack([key, jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)])
        prior_logits, value, _ = _hash_model(embedding, num_actions)
        return golden_jit(
            functools.partial(
                getattr(module, f"{golden['algorithm']}_policy"),
                recurrent_fn=_hash_recurrent_fn(num_actions, **golden["env_config"]),
                num_simulations=golden["tree"]["visit"] - 1,
                qtransform=transform,
                **config,
            )
        )(
            (),
            jax.random.PRNGKey(1),
            mctx.RootFnOutput(prior_logits=prior_logits, value=value, embedding=embedding),
            invalid_actions=np.arange(num_actions) >= np.array([[num_actions], [1], [2]]),
        )


def _hash_model(keys: jax.Array, num_actions: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Prior logits [B, A], value [B] and reward [B] of the states that `keys` u32[B, 2] stand for."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        policy_key, value_key, reward_key = jax.random.split(key, 3)
        value, reward = (jax.random.uniform(k, minval=-1.0, maxval=1.0) for k in (value_key, reward_key))
        return jax.random.normal(policy_key, (num_actions,)), value, reward

    return jax.vmap(one)(keys)


def _hash_recurrent_fn(num_actions: int, *, discount: float, zero_reward: bool) -> Callable:
    """The model of mctx's own tests: a state is a random key, and each action one of its splits."""

    def recurrent_fn(params, rng_key, action, keys):
        del params, rng_key
        keys = jax.vmap(lambda key, action: jax.random.split(key, num_actions)[action])(keys, action)
        prior_logits, value, reward = _hash_model(keys, num_actions)
        step = mctx.RecurrentFnOutput(
            reward=jnp.where(zero_reward, 0.0, reward),
            discount=jnp.full_like(value, discount),
            prior_logits=prior_logits,
            value=value,
        )
        return step, keys

    return recurrent_fn


def _assert_golden(tree: tables_lib.TreeArrays, index: int, golden: dict) -> None:
    """Compares node `index` of game 0 and all below it with nested records."""
    assert tree.node_visits[0, index] == golden["visit"]
    assert index == golden["evaluation_index"]
    assert abs(tree.node_values[0, index] - golden["value_view"]) < 1e-5
    assert abs(tree.raw_values[0, index] - golden["raw_value_view"]) < 1e-5
    prior = softmax(tree.children_prior_logits[0, index])
    np.testing.assert_allclose(prior, [child["prior"] for child in golden["child_stats"]], atol=1e-5)
    for action, child in enumerate(golden["child_stats"]):
        child_index = tree.children_index[0, index, action]
        assert child["action"] == action
        assert (child_index >= 0) == ("visit" in child)
        if child_index >= 0:
            assert abs(tree.children_rewards[0, index, action] - child["reward"]) < 1e-5
            _assert_golden(tree, child_index, child)
