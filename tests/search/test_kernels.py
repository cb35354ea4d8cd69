"""The GPU kernels build the trees that the walk builds, here interpreted on a CPU.

Visits and children are equal, values to 1e-6: sums over slots are taken in another order.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import search
from jzero.search import layout
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import quick_jit

BATCH = 16
siblings = functools.partial(functools.partial, search.qtransform_by_parent_and_siblings)
bounds = functools.partial(functools.partial, search.qtransform_by_min_max, min_value=-2.0, max_value=3.0)
mixed = functools.partial(functools.partial, search.qtransform_completed_by_mix_value)


@dataclass(frozen=True)
class Case:
    """One compiled search of random trees."""

    policy: Callable
    num_actions: int
    num_simulations: int
    options: dict[str, Any] = field(default_factory=dict)
    share_terminal: float = 0.1
    share_illegal: float = 0.3
    invalid: bool = True  # root actions are masked too
    dtype: Any = jnp.float32
    traced: int | None = None  # so many simulations of at most `num_simulations`
    reuse: bool = False
    players: int = 1
    wide: bool = False  # embeddings of several leaves
    outcomes: int = 0  # of chance after each action
    solve: bool = False


PUCT, GUMBEL = search.muzero_policy, search.gumbel_muzero_policy
QUICK = {
    "puct, bfloat16": Case(
        PUCT, 7, 16, {"max_depth": 3, "qtransform": siblings(fpu=0.3)}, dtype=jnp.bfloat16, traced=13
    ),
    "puct, three players": Case(PUCT, 6, 16, players=3),
    "gumbel, reuse, leaves of a state": Case(GUMBEL, 5, 12, reuse=True, wide=True),
    "gumbel, chance": Case(GUMBEL, 4, 12, outcomes=3),
    "gumbel, proofs": Case(GUMBEL, 5, 24, share_terminal=0.3, solve=True),
    "gumbel, leaves": Case(GUMBEL, 6, 16, {"leaves": 3, "max_num_considered_actions": 4}, share_terminal=0.2),
    "puct, proofs at once": Case(PUCT, 2, 2, share_terminal=0.6, solve=True),
}
CASES = QUICK | {
    "puct": Case(PUCT, 7, 24, {"qtransform": siblings()}),
    "puct, sure games": Case(PUCT, 5, 24, share_terminal=0.0, share_illegal=0.0, invalid=False),
    "puct, many ends": Case(PUCT, 3, 40, share_terminal=0.4),
    "puct, one action": Case(PUCT, 1, 8),
    "puct, max depth": Case(PUCT, 6, 32, {"max_depth": 3}),
    "puct, constants": Case(PUCT, 9, 24, {"pb_c_init": 3.0, "pb_c_base": 50.0}),
    "puct, bounds": Case(PUCT, 6, 24, {"qtransform": bounds()}),
    "puct, mean of the known": Case(PUCT, 6, 24, {"qtransform": bounds(fpu="mean")}),
    "puct, reduction": Case(PUCT, 6, 24, {"qtransform": siblings(fpu=0.3)}),
    "puct, wide": Case(PUCT, 40, 48, {"pb_c_init": 4.0}),
    "puct, reuse": Case(PUCT, 7, 16, reuse=True),
    "puct, chance": Case(PUCT, 4, 16, outcomes=3),
    "puct, proofs of wide trees": Case(PUCT, 40, 48, {"pb_c_init": 4.0}, share_terminal=0.4, solve=True),
    "puct, proofs and reuse": Case(PUCT, 5, 24, share_terminal=0.3, solve=True, reuse=True),
    "puct, forced": Case(PUCT, 7, 24, {"forced": 2.0}),
    "puct, leaves": Case(PUCT, 7, 24, {"leaves": 4}),
    "puct, leaves and virtual losses": Case(
        PUCT, 5, 24, {"leaves": 4, "virtual": "loss"}, share_terminal=0.2
    ),
    "puct, leaves, three players": Case(PUCT, 5, 24, {"leaves": 3, "virtual": "mean"}, players=3),
    "puct, leaves and chance": Case(PUCT, 4, 16, {"leaves": 4}, outcomes=3),
    "puct, leaves and proofs": Case(PUCT, 4, 24, {"leaves": 3}, share_terminal=0.3, solve=True),
    "gumbel, leaves and proofs": Case(GUMBEL, 5, 24, {"leaves": 8}, share_terminal=0.3, solve=True),
    "gumbel, leaves and reuse": Case(GUMBEL, 5, 16, {"leaves": 4}, reuse=True),
    "gumbel, leaves, depth": Case(GUMBEL, 6, 24, {"leaves": 4, "max_depth": 2}, traced=19),
    "puct, own transform": Case(
        PUCT, 7, 24, {"qtransform": lambda tree, node: tree.qvalues(node) * (tree.children_visits[node] > 0)}
    ),
    "gumbel": Case(GUMBEL, 7, 24),
    "gumbel, sure games": Case(GUMBEL, 5, 24, share_terminal=0.0, share_illegal=0.0, invalid=False),
    "gumbel, many ends": Case(GUMBEL, 3, 40, share_terminal=0.4),
    "gumbel, one action": Case(GUMBEL, 1, 8),
    "gumbel, max depth": Case(GUMBEL, 6, 32, {"max_depth": 3}),
    "gumbel, wide": Case(
        GUMBEL, 40, 32, {"max_num_considered_actions": 2, "qtransform": mixed(value_scale=0.005)}
    ),
    "gumbel, few considered": Case(GUMBEL, 9, 24, {"max_num_considered_actions": 2}),
    "gumbel, raw values": Case(
        GUMBEL,
        9,
        24,
        {"qtransform": mixed(rescale_values=False, use_mixed_value=False, maxvisit_init=10.0)},
    ),
    "gumbel, bfloat16": Case(GUMBEL, 7, 24, dtype=jnp.bfloat16),
    "gumbel, traced": Case(GUMBEL, 7, 24, traced=17),
    "gumbel, two players": Case(GUMBEL, 6, 24, players=2),
    "puct, proofs": Case(PUCT, 3, 24, share_terminal=0.2, solve=True),
    "gumbel, proofs of few": Case(
        GUMBEL, 9, 40, {"max_num_considered_actions": 2}, share_terminal=0.3, solve=True
    ),
    "gumbel, proofs and reuse": Case(GUMBEL, 5, 16, share_terminal=0.3, solve=True, reuse=True),
}


def make_search(case: Case) -> Callable:
    """`(tables, roots, invalid, key, num_simulations) -> PolicyOutput`."""

    def widen(state: jax.Array) -> Any:
        if not case.wide:
            return state
        halves = jnp.stack([state % 7, state // 7], axis=-1).astype(jnp.uint8)
        big = jnp.broadcast_to((state % 3)[:, None, None], (*state.shape, 30, 50)).astype(jnp.float16)
        return {"number": state, "odd": state % 2 == 1, "halves": halves, "big": big, "nothing": big[:, :0]}

    def narrow(embedding: Any) -> jax.Array:
        return embedding["number"] if case.wide else embedding

    def by_player(value: jax.Array, state: jax.Array) -> jax.Array:
        """[B], or values [B, P] of the players."""
        if case.players == 1:
            return value.astype(case.dtype)
        others = jnp.sin(state[:, None] * jnp.arange(1, case.players + 1))
        return (value[:, None] * others).astype(case.dtype)

    def model(tables: Any, key: jax.Array, action: jax.Array, embedding: Any) -> tuple[Any, Any]:
        step, after = tables_lib.recurrent_fn(tables, key, action, narrow(embedding))
        discount = step.discount if case.players == 1 else jnp.abs(step.discount)
        step = dataclasses.replace(
            step,
            reward=by_player(step.reward, after),
            value=by_player(step.value, after),
            discount=discount.astype(case.dtype),
            prior_logits=step.prior_logits.astype(case.dtype),
        )
        return step, widen(after)

    def decide(
        tables: Any, key: jax.Array, action: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """An afterstate is a state too; its outcomes are its actions."""
        after = tables.successor[state, action]
        after = jnp.where(after == len(tables.value) - 1, state, after)
        return 2.0 * jnp.sin(after[:, None] * jnp.arange(1.0, case.outcomes + 1)), after

    def search_all(tables: Any, roots: jax.Array, invalid: Any, key: jax.Array, num_simulations: Any) -> Any:
        options = dict(case.options)
        if case.traced is not None:
            options["max_num_simulations"] = case.num_simulations
        else:
            num_simulations = case.num_simulations
        if case.players > 1:
            options["to_play"] = lambda embedding: narrow(embedding) % case.players
        if case.reuse:
            options["num_nodes"] = 2 * case.num_simulations + 1
        if case.solve:
            options["solve"] = True

        policy = search.with_chance(case.policy, decide) if case.outcomes else case.policy

        def run(states: jax.Array, invalid: Any, tree: Any = None) -> search.PolicyOutput:
            root = tables_lib.jax_root(tables, states)
            root = root.replace(value=by_player(root.value, states), embedding=widen(states))
            return policy(tables, key, root, model, num_simulations, invalid, tree=tree, **options)

        output = run(roots, invalid)
        if case.reuse:
            kept = search.subtree(output.search_tree, output.action)
            after = tables.successor[roots, output.action]
            # A game that has ended begins anew.
            after = jnp.where(after == len(tables.value) - 1, roots, after)
            output = run(after, None, kept)
        return output

    return search_all


def with_results_at_the_end(tables: tables_lib.Tables) -> tables_lib.Tables:
    """A game in turns, won, drawn or lost at its end; one edge in 50 has a reward on the way, so proves nothing."""
    ends, result = tables.discount == 0, np.rint(1.5 * tables.reward).clip(-1, 1)
    reward = np.where(ends | (np.abs(tables.reward) > 0.98), result, 0.0).astype(np.float32)
    return tables._replace(reward=reward, discount=np.where(ends, 0.0, -1.0).astype(np.float32))


def inputs(case: Case, seed: int) -> tuple:
    tables = tables_lib.random_tables(
        seed, case.num_actions, share_terminal=case.share_terminal, share_illegal=case.share_illegal
    )
    if case.solve:
        tables = with_results_at_the_end(tables)
    roots = tables_lib.random_roots(seed, tables, BATCH)
    invalid = tables_lib.random_invalid_actions(seed, tables, roots) if case.invalid else None
    if invalid is not None:
        invalid[seed % BATCH] = True  # nothing is legal there
    tables = jax.tree.map(jnp.asarray, tables)
    return tables, jnp.asarray(roots), invalid, jax.random.key(seed), jnp.int32(case.traced or 0)


def check(case: Case, seeds: range) -> None:
    searches = {}
    for name in ("walk", "kernels"):
        with search.engine(name):
            searches[name] = quick_jit(make_search(case)).lower(*inputs(case, 0)).compile()
    for seed in seeds:
        walk, kernels = (searches[name](*inputs(case, seed)) for name in ("walk", "kernels"))
        assert_same(walk.search_tree, kernels.search_tree)
        np.testing.assert_array_equal(walk.action, kernels.action)
        np.testing.assert_allclose(walk.action_weights, kernels.action_weights, atol=1e-5)


def assert_same(walk: search.Tree, kernels: search.Tree) -> None:
    """Equal visits and children; values to 1e-6."""
    exact = [
        layout.NODE_VISITS,
        layout.PARENT,
        layout.ACTION,
        layout.NUM_CHILDREN,
        layout.OPEN_ACTION,
    ]
    np.testing.assert_array_equal(walk.nodes[..., exact], kernels.nodes[..., exact])
    exact = [layout.CHILD, layout.VISITS]
    np.testing.assert_array_equal(walk.children[..., exact], kernels.children[..., exact])
    for name in ("nodes", "children", "open_priors"):
        ours, theirs = np.asarray(getattr(walk, name)), np.asarray(getattr(kernels, name))
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-6, err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, walk.embeddings, kernels.embeddings)
    jax.tree.map(np.testing.assert_array_equal, walk.edge_bounds, kernels.edge_bounds)


@pytest.mark.parametrize("name", QUICK)
def test_kernels_build_the_trees_of_the_walk(name):
    check(CASES[name], range(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_kernels_build_the_trees_of_the_walk_in_many_games(name):
    check(CASES[name], range(10, 10 + 200 // BATCH))
