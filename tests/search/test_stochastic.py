"""Search with chance nodes equals mctx's and the oracle's; each model is called for its own rows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from jzero import search
from jzero.search.packed import call_packed
from tests.oracles import search as oracle
from tests.search.tables import TreeArrays, quick_jit

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


def run(module, tables, roots, num_simulations, **options):
    @quick_jit
    def search_all(tables, roots):
        root = mctx.RootFnOutput(
            prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
        )
        args = (tables, jax.random.key(0), root, decision_fn, chance_fn, num_simulations)
        return module.stochastic_muzero_policy(*args, dirichlet_fraction=0.0, temperature=0.0, **options)

    return search_all(jax.tree.map(jnp.asarray, tables), roots)


def test_stochastic_policy_equals_that_of_mctx():
    tables = random_chance_tables(0)
    roots = np.random.default_rng(1).integers(S, size=48)
    invalid = jnp.asarray(np.arange(A) == (roots % A)[:, None])
    ours, theirs = (run(module, tables, roots, 60, invalid_actions=invalid) for module in (search, mctx))
    np.testing.assert_allclose(ours.action_weights, theirs.action_weights, atol=1e-6)
    np.testing.assert_array_equal(ours.action, theirs.action)
    ours, theirs = (TreeArrays.of(output.search_tree) for output in (ours, theirs))
    for name in ("node_visits", "node_values", "children_visits", "children_values", "parents"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5, err_msg=name)


def test_stochastic_policy_equals_the_oracle():
    tables = random_chance_tables(2, share_terminal=0.2)
    roots = np.random.default_rng(3).integers(S, size=150)
    summary = run(search, tables, roots, 48).search_tree.summary()

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
