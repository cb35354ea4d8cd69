"""Search with chance nodes equals mctx's and the oracle's, whatever rows each model is called for."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from jzero.search.packed import call_packed
from tests.helpers.search_tables import TreeArrays, quick_jit, summary_of
from tests.oracles import search as oracle

S, A, C = 200, 5, 4


class ChanceTables(NamedTuple):
    """A random game with dice: an action leads to an afterstate, an outcome from there to a state."""

    afterstate: np.ndarray  # i32[S, A]
    chance_logits: np.ndarray  # f32[S, C] of afterstates; -inf where an outcome cannot happen
    afterstate_value: np.ndarray  # f32[S]
    successor: np.ndarray  # i32[S, C]
    reward: np.ndarray  # f32[S, C]
    discount: np.ndarray  # f32[S, C]; 0 where the game ends
    prior_logits: np.ndarray  # f32[S, A]
    value: np.ndarray  # f32[S]


def random_chance_tables(seed: int, share_terminal: float = 0.0) -> ChanceTables:
    rng = np.random.default_rng(seed)
    impossible = rng.random((S, C)) < 0.2
    impossible[np.arange(S), rng.integers(C, size=S)] = False
    ends = rng.random((S, C)) < share_terminal
    return ChanceTables(
        rng.integers(S, size=(S, A)).astype(np.int32),
        np.where(impossible, -np.inf, rng.standard_normal((S, C))).astype(np.float32),
        rng.uniform(-1, 1, S).astype(np.float32),
        rng.integers(S, size=(S, C)).astype(np.int32),
        rng.uniform(-1, 1, (S, C)).astype(np.float32),
        np.where(ends, 0.0, rng.choice([-1.0, 0.97], (S, C))).astype(np.float32),
        rng.standard_normal((S, A)).astype(np.float32),
        rng.uniform(-1, 1, S).astype(np.float32),
    )


def decision_fn(tables, key, action, state):
    after = tables.afterstate[state, action]
    return mctx.DecisionRecurrentFnOutput(
        chance_logits=tables.chance_logits[after], afterstate_value=tables.afterstate_value[after]
    ), {"after": after}


def chance_fn(tables, key, outcome, after):
    after = after["after"]
    state = tables.successor[after, outcome]
    return mctx.ChanceRecurrentFnOutput(
        action_logits=tables.prior_logits[state],
        value=tables.value[state],
        reward=tables.reward[after, outcome],
        discount=tables.discount[after, outcome],
    ), state


QUIET = {"dirichlet_fraction": 0.0, "temperature": 0.0}


def run(module, tables, roots, num_simulations, models=(decision_fn, chance_fn), **options):
    @quick_jit
    def search_all(tables, roots):
        root = mctx.RootFnOutput(
            prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
        )
        args = (tables, jax.random.key(0), root, *models, num_simulations)
        return module.stochastic_muzero_policy(*args, **options)

    return search_all(jax.tree.map(jnp.asarray, tables), roots)


def assert_same_search(ours, theirs):
    np.testing.assert_allclose(ours.action_weights, theirs.action_weights, atol=1e-6)
    np.testing.assert_array_equal(ours.action, theirs.action)
    ours, theirs = (TreeArrays.of(output.search_tree) for output in (ours, theirs))
    for name in ("node_visits", "node_values", "children_visits", "children_values", "parents"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5, err_msg=name)


@pytest.mark.parametrize("packed", [False, True], ids=["all-rows", "packed"])
def test_stochastic_policy_equals_that_of_mctx(packed):
    tables = random_chance_tables(0)
    roots = np.random.default_rng(1).integers(S, size=48)
    invalid = jnp.asarray(np.arange(A) == (roots % A)[:, None])
    expected = run(mctx, tables, roots, 60, invalid_actions=invalid, **QUIET)
    found = run(search, tables, roots, 60, invalid_actions=invalid, packed=packed, **QUIET)
    assert_same_search(found, expected)


def test_a_key_draws_the_noise_and_the_actions_of_mctx_and_models_know_the_batch():
    """Both models hold an array and draw by a key of each game, as those of mctx may."""
    tables = random_chance_tables(9)
    roots = np.random.default_rng(9).integers(S, size=40)
    scale = jnp.linspace(0.5, 1.0, len(roots))

    def noise(key):
        return scale * jax.vmap(jax.random.normal)(jax.random.split(key, len(roots)))

    def decide(tables, key, action, state):
        step, after = decision_fn(tables, key, action, state)
        assert action.shape == roots.shape
        return step.replace(afterstate_value=step.afterstate_value + noise(key)), after

    def resolve(tables, key, outcome, after):
        step, state = chance_fn(tables, key, outcome, after)
        assert outcome.shape == roots.shape
        return step.replace(reward=step.reward + noise(key)), state

    found, expected = (run(module, tables, roots, 24, (decide, resolve)) for module in (search, mctx))
    assert_same_search(found, expected)
    assert (np.asarray(found.action) != np.argmax(found.action_weights, axis=-1)).any()


def test_parameters_may_hold_functions_and_names():
    """As those of equinox's networks do."""
    tables = random_chance_tables(3)
    roots = np.random.default_rng(3).integers(S, size=8)
    parameters = {"name": "net", "activation": jnp.tanh}

    def decide(parameters, key, action, state):
        step, after = decision_fn(tables, key, action, state)
        return step.replace(afterstate_value=parameters["activation"](step.afterstate_value)), after

    def resolve(parameters, key, outcome, after):
        assert parameters["name"] == "net"
        return chance_fn(tables, key, outcome, after)

    root = mctx.RootFnOutput(
        prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=jnp.asarray(roots)
    )
    args = (parameters, jax.random.key(0), root, decide, resolve, 16)
    tables = jax.tree.map(jnp.asarray, tables)
    assert_same_search(
        *(quick_jit(lambda m=m: m.stochastic_muzero_policy(*args, **QUIET))() for m in (search, mctx))
    )


def test_a_model_may_create_its_parameters_at_its_first_call():
    """As Haiku's modules do: they must not be made in another trace than the one that uses them."""
    tables = jax.tree.map(jnp.asarray, random_chance_tables(4))
    roots = jnp.asarray(np.random.default_rng(4).integers(S, size=8))

    def found(module):
        made = {}

        @quick_jit
        def searched(scale):
            def decide(params, key, action, state):
                step, after = decision_fn(tables, key, action, state)
                factor = made.setdefault("factor", jnp.sin(scale))
                return step.replace(afterstate_value=factor * step.afterstate_value), after

            def resolve(params, key, outcome, after):
                return chance_fn(tables, key, outcome, after)

            root = mctx.RootFnOutput(
                prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
            )
            args = (None, jax.random.key(0), root, decide, resolve, 16)
            return module.stochastic_muzero_policy(*args, **QUIET)

        return searched(jnp.float32(0.5))

    assert_same_search(found(search), found(mctx))


def test_stochastic_policy_equals_the_oracle():
    tables = random_chance_tables(2, share_terminal=0.2)
    roots = np.random.default_rng(3).integers(S, size=150)
    summary = summary_of(run(search, tables, roots, 48, **QUIET).search_tree)

    def decide(state: int, action: int) -> oracle.Afterstate:
        after = int(tables.afterstate[state, action])
        logits = tables.chance_logits[after].tolist()
        return oracle.Afterstate(logits, float(tables.afterstate_value[after]), after)

    def resolve(after: int, outcome: int) -> oracle.Step:
        state = int(tables.successor[after, outcome])
        edge = float(tables.reward[after, outcome]), float(tables.discount[after, outcome])
        return oracle.Step(*edge, tables.prior_logits[state].tolist(), float(tables.value[state]), state)

    compared = 0
    for row, state in enumerate(roots):
        root = oracle.Root(tables.prior_logits[state].tolist(), float(tables.value[state]), int(state))
        result = oracle.stochastic_search(root, decide, resolve, 48)
        if result.margin < 1e-6:
            continue
        compared += 1
        visits = [result.root.count(action) for action in range(A)]
        assert np.asarray(summary.visit_counts[row]).tolist() == visits
        assert float(summary.value[row]) == pytest.approx(result.root.value, abs=1e-5)
        for action in result.root.children:
            assert float(summary.qvalues[row, action]) == pytest.approx(result.root.q(action), abs=1e-5)
    assert compared > 130


PADDING = [-np.inf] * C  # the tree has A + C edges a node


def explicit_decide(tables, key, action, node):
    state, _ = node
    after = tables.afterstate[state, action]
    return tables.chance_logits[after], (state, after)


def explicit_resolve(tables, key, outcome, node):
    _, after = node
    state = tables.successor[after, outcome]
    step = mctx.RecurrentFnOutput(
        reward=tables.reward[after, outcome],
        discount=tables.discount[after, outcome],
        prior_logits=tables.prior_logits[state],
        value=tables.value[state],
    )
    return step, (state, jnp.zeros_like(after))


def run_with_chance(policy, tables, roots, num_simulations, **options):
    @quick_jit
    def search_all(tables, roots):
        root = mctx.RootFnOutput(
            prior_logits=tables.prior_logits[roots],
            value=tables.value[roots],
            embedding=(roots, jnp.zeros_like(roots)),
        )
        args = (tables, jax.random.key(0), root, explicit_resolve, num_simulations)
        return search.with_chance(policy, explicit_decide)(*args, **options)

    return search_all(jax.tree.map(jnp.asarray, tables), roots)


def python_chance(tables):
    def decide(state, action):
        after = int(tables.afterstate[state, action])
        return oracle.Afterstate(tables.chance_logits[after].tolist(), np.nan, after)

    def resolve(after, outcome):
        state = int(tables.successor[after, outcome])
        edge = float(tables.reward[after, outcome]), float(tables.discount[after, outcome])
        logits = tables.prior_logits[state].tolist() + PADDING
        return oracle.Step(*edge, logits, float(tables.value[state]), state)

    return decide, resolve


POLICIES = {
    "puct": (search.muzero_policy, {"dirichlet_fraction": 0.0, "temperature": 0.0}),
    "gumbel": (
        search.gumbel_muzero_policy,
        {
            "gumbel_scale": 0.0,
            "max_num_considered_actions": 4,
            "qtransform": functools.partial(search.qtransform_completed_by_mix_value, epsilon=1e-8),
        },
    ),
}


@pytest.mark.parametrize(
    ("name", "max_depth", "leaves"),
    [
        ("puct", None, 1),
        ("gumbel", None, 4),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("puct", 2, 1), ("puct", None, 4), ("gumbel", None, 1)]
        ),
    ],
)
def test_explicit_chance_equals_the_oracle(name, max_depth, leaves):
    tables = random_chance_tables(4, share_terminal=0.2)
    roots = np.random.default_rng(5).integers(S, size=100)
    invalid = np.arange(A) == (roots % (2 * A))[:, None]  # in half of the rows an action
    policy, options = POLICIES[name]
    num_simulations = 40
    options = options | {"invalid_actions": invalid, "max_depth": max_depth, "leaves": leaves}
    output = run_with_chance(policy, tables, roots, num_simulations, **options)
    summary = summary_of(output.search_tree)
    decide, resolve = python_chance(tables)
    compared = 0
    for row, state in enumerate(roots):
        root = oracle.Root(
            tables.prior_logits[state].tolist() + PADDING, float(tables.value[state]), int(state)
        )
        options = {
            "illegal": [*invalid[row], *[True] * C],
            "decision_model": decide,
            "max_depth": max_depth and 2 * max_depth,
            "leaves": leaves,
        }
        if name == "gumbel":
            options |= {"gumbel": [0.0] * (A + C), "max_num_considered_actions": 4}
            result = oracle.gumbel_search(root, resolve, num_simulations, **options)
        else:
            result = oracle.puct_search(root, resolve, num_simulations, **options)
        if result.margin < 1e-6:
            continue
        compared += 1
        visits = [result.root.count(action) for action in range(A)]
        assert np.asarray(summary.visit_counts[row]).tolist() == visits
        assert float(summary.value[row]) == pytest.approx(result.root.value, abs=1e-5)
        np.testing.assert_allclose(output.action_weights[row], result.action_weights[:A], atol=1e-4)
        for action in result.root.children:
            assert float(summary.qvalues[row, action]) == pytest.approx(result.root.q(action), abs=1e-5)
    assert compared > 85


def test_every_simulation_with_chance_evaluates_a_state_of_its_own():
    tables = random_chance_tables(6)
    roots = np.arange(32)
    tree = run_with_chance(*POLICIES["puct"][:1], tables, roots, 30, dirichlet_fraction=0.0).search_tree
    assert tree.nodes.shape[1] == 61
    number, edge = np.arange(61), np.asarray(tree.action_from_parent)
    assert (edge[:, number % 2 == 1] < A).all(), "odd nodes are afterstates, or do not exist"
    states = edge[:, (number % 2 == 0) & (number > 0)]
    assert ((states >= A) & (states < A + C)).all(), "every even node is a state that an outcome leads to"
    exists = edge >= 0
    assert (np.asarray(tree.node_visits)[exists] > 0).all()


def test_what_a_search_with_chance_refuses():
    tables = random_chance_tables(8)
    tree = run_with_chance(search.muzero_policy, tables, np.arange(4), 4).search_tree
    with pytest.raises(ValueError, match="tree is set"):
        run_with_chance(search.muzero_policy, tables, np.arange(4), 4, tree=tree)
    other = search.with_chance(search.muzero_policy, lambda *args: (jnp.zeros((4, C)), jnp.zeros(4)))
    root = mctx.RootFnOutput(prior_logits=jnp.zeros((4, A)), value=jnp.zeros(4), embedding=jnp.arange(4))
    with pytest.raises(ValueError, match="structure, shapes and dtypes of the embedding"):
        other(None, jax.random.key(0), root, explicit_resolve, 4)
    other = search.with_chance(search.muzero_policy, lambda *args: (jnp.zeros(4), jnp.arange(4)))
    with pytest.raises(ValueError, match=r"must be \[4, C\]"):
        other(None, jax.random.key(0), root, explicit_resolve, 4)


@pytest.mark.parametrize("num_wanted", [0, 1, 5, 6, 11, 16, 23])
def test_packed_rows_get_what_they_get_alone(num_wanted):
    rng = np.random.default_rng(num_wanted)
    wanted = np.zeros(23, bool)
    wanted[rng.choice(23, num_wanted, replace=False)] = True
    rows = {"x": rng.standard_normal((23, 3)).astype(np.float32), "y": np.arange(23)}
    seen = []

    def model(rows):
        seen.append(len(rows["y"]))
        return {"sum": rows["x"].sum(-1), "next": rows["y"] + 1}

    found = call_packed(model, jnp.asarray(wanted), jax.tree.map(jnp.asarray, rows))
    np.testing.assert_allclose(found["sum"], np.where(wanted, rows["x"].sum(-1), 0.0), rtol=1e-6)
    np.testing.assert_array_equal(found["next"], np.where(wanted, rows["y"] + 1, 0))
    assert set(seen) == {23, 18, 12, 6}, "a quarter, a half, three quarters or all of the batch"
