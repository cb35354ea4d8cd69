"""Proven values: never false at any node and any number of simulations, complete in the end, and played."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import search
from jzero.search import arguments
from tests.helpers import search_tables as tables_lib
from tests.helpers.finite_games import action_values, finite_game
from tests.helpers.search_tables import quick_jit
from tests.oracles.games import tic_tac_toe_boards, tic_tac_toe_children, tic_tac_toe_value

POLICIES = {
    "puct": search.muzero_policy,
    "gumbel": search.gumbel_muzero_policy,
    "gumbel-few": functools.partial(search.gumbel_muzero_policy, max_num_considered_actions=2),
    "puct-leaves": functools.partial(search.muzero_policy, leaves=4),
    "gumbel-leaves": functools.partial(search.gumbel_muzero_policy, leaves=4),
}
LOWER, UPPER = 0, 1


class Found:
    """A search's result in NumPy, and what is true of it. Axes: B games, N nodes, A actions."""

    def __init__(self, values, roots, invalid, output, nodes, actions):
        self.truth = np.where(invalid, -np.inf, values[roots])  # f64[B, A]
        self.action, self.weights = np.asarray(output.action), np.asarray(output.action_weights)
        tree = output.search_tree
        self.value, self.nodes, self.actions = np.asarray(tree.node_values[:, 0]), nodes, actions
        of_node = values.max(axis=1)[np.asarray(tree.embeddings)]
        of_node[:, 0] = self.truth.max(axis=1)
        # Nothing follows the last state, where all finished games stand.
        self.of_node, self.exists = np.maximum(of_node, -1), np.asarray(tree.node_visits) > 0
        self.of_node[np.asarray(tree.embeddings) == len(values) - 1] = 0
        self.simulations = np.asarray(tree.summary().visit_counts).sum(1)

    @property
    def proven(self):
        return self.nodes[:, 0, LOWER] == self.nodes[:, 0, UPPER]

    def check(self, tolerance=0.0):
        """What holds after any number of simulations."""
        low, high = self.nodes[..., LOWER] - tolerance, self.nodes[..., UPPER] + tolerance
        assert ((low <= self.of_node) & (self.of_node <= high))[self.exists].all()
        legal, games = self.truth > -np.inf, np.arange(len(self.action))
        lower, upper = (np.where(legal, self.actions[..., end], -np.inf) for end in (LOWER, UPPER))
        assert ((lower - tolerance <= self.truth) & (self.truth <= upper + tolerance))[legal].all()
        assert legal[games, self.action].all()
        # What is surely worse than another action is neither played nor a target.
        surely_worse = upper < lower.max(1, keepdims=True)
        assert not surely_worse[games, self.action].any()
        assert (self.weights[surely_worse] == 0).all()
        np.testing.assert_allclose(self.weights.sum(1), 1, atol=1e-5)
        best = self.truth.max(1)
        kept = self.truth >= best[:, None] - tolerance
        assert kept[games, self.action][self.proven].all()
        assert (self.weights[self.proven[:, None] & ~kept] == 0).all()
        np.testing.assert_allclose(self.value[self.proven], best[self.proven], atol=tolerance)
        return self


def searcher(policy, tables, most, *, reuse=False):
    """(roots i32[B], invalid bool[B, A], number of simulations, seed) -> `Found`, compiled once."""
    arrays, values = jax.tree.map(jnp.asarray, tables), action_values(tables)

    @quick_jit
    def run(roots, invalid, number, key):
        def once(roots, invalid, number, **more):
            root = tables_lib.jax_root(arrays, roots)
            options = {"max_num_simulations": most, "solve": True, "invalid_actions": invalid}
            return POLICIES[policy](arrays, key, root, tables_lib.recurrent_fn, number, **options, **more)

        if reuse:
            before = once(roots, invalid, jnp.int32(most), num_nodes=most + 1 + most // 2)
            roots = arrays.successor[roots, before.action]
            invalid = jnp.isneginf(arrays.prior_logits[roots])
            output = once(roots, invalid, number, tree=search.subtree(before.search_tree, before.action))
        else:
            output = once(roots, invalid, number)
        tree = output.search_tree
        return roots, invalid, output, search.node_bounds(tree), search.action_bounds(tree)

    def found(roots, invalid, number, seed=0):
        result = run(roots, invalid, jnp.int32(number), jax.random.key(seed))
        roots, invalid, output, nodes, actions = result
        there = np.asarray(roots) < len(values) - 1  # the game goes on
        output, nodes, actions = jax.tree.map(lambda x: np.asarray(x)[there], (output, nodes, actions))
        return Found(values, np.asarray(roots)[there], np.asarray(invalid)[there], output, nodes, actions)

    return found


def games(seed, tables, batch_size):
    """Roots i32[B] of the first ply, and their illegal actions; some legal ones are forbidden too."""
    roots = np.random.default_rng(seed).integers(200, size=batch_size).astype(np.int32)
    return roots, tables_lib.random_invalid_actions(seed, tables, roots)


@pytest.mark.parametrize(("policy", "least"), [("puct", 0.65), ("gumbel", 0.99), ("gumbel-few", 0.6)])
def test_bounds_hold_at_every_node_and_small_games_are_proven(policy, least):
    tables = finite_game(0, 3, 4)
    run = searcher(policy, tables, 128)
    proven = []
    for number in (1, 2, 4, 9, 20, 128):
        found = run(*games(0, tables, 200), number).check()
        proven.append(found.proven.mean())
        assert (found.simulations == number).all()  # also those behind a proof
    assert 0 < proven[0] < 0.5
    assert proven[-1] >= least


@pytest.mark.slow
@pytest.mark.parametrize("discounts", [(-1.0,), (-1.0, 1.0), (-0.9, 0.9)], ids=str)
@pytest.mark.parametrize("num_actions", [2, 4, 12])
@pytest.mark.parametrize("policy", POLICIES)
def test_bounds_hold_in_thousands_of_games(policy, num_actions, discounts):
    tolerance = 0 if abs(discounts[0]) == 1 else 1e-6
    for seed in range(2):
        tables = finite_game(seed, num_actions, 6, discounts=discounts)
        run = searcher(policy, tables, 120)
        step = 4 if "leaves" in policy else 1
        for number in (step, 2 * step, 12, 20, 48, 120):
            found = run(*games(seed, tables, 300), number, seed).check(tolerance)
            assert (found.simulations == number).all()


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_larger_games_are_proven_with_enough_simulations(policy):
    tables = finite_game(2, 3, 5)
    found = searcher(policy, tables, 2000)(*games(2, tables, 200), 2000).check()
    assert found.proven.mean() > (0.99 if "gumbel" in policy else 0.8)


def tic_tac_toe():
    """All positions as tables, in the order of their plies; their boards and what these are worth to the mover."""
    boards = [board for board in tic_tac_toe_boards() if tic_tac_toe_children(board)]
    boards.sort(key=lambda board: -board.count(None))
    number, rng = {board: i for i, board in enumerate(boards)}, np.random.default_rng(0)
    shape = (len(boards) + 1, 9)
    tables = tables_lib.Tables(
        successor=np.full(shape, len(boards), np.int32),
        reward=np.zeros(shape, np.float32),
        discount=np.zeros(shape, np.float32),
        prior_logits=np.full(shape, -np.inf, np.float32),
        value=rng.uniform(-1, 1, shape[0]).astype(np.float32),
    )
    for board, i in number.items():
        sign = 1 if board.count(0) == board.count(1) else -1
        for action, after in tic_tac_toe_children(board).items():
            tables.prior_logits[i, action] = rng.standard_normal()
            if after in number:
                tables.successor[i, action], tables.discount[i, action] = number[after], -1
            else:
                tables.reward[i, action] = sign * tic_tac_toe_value(after)
    values = [tic_tac_toe_value(b) * (1 if b.count(0) == b.count(1) else -1) for b in boards]
    return tables, boards, np.array(values)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "least"), [("puct", 0.9), ("gumbel", 0.99)])
def test_tic_tac_toe_is_proven_as_by_brute_force(policy, least):
    tables, boards, values = tic_tac_toe()
    late = np.array([i for i, board in enumerate(boards) if board.count(None) <= 6], np.int32)
    roots = np.random.default_rng(0).choice(late, 500)
    run = searcher(policy, tables, 1000)
    for number in (1, 10, 50, 250, 1000):
        found = run(roots, np.isneginf(tables.prior_logits[roots]), number).check()
        np.testing.assert_array_equal(found.truth.max(axis=1), values[roots])
    assert found.proven.mean() > least


@pytest.mark.parametrize("policy", ["puct", pytest.param("gumbel", marks=pytest.mark.slow)])
def test_a_kept_tree_keeps_what_is_proven(policy):
    tables = finite_game(3, 4, 5)
    run = searcher(policy, tables, 40, reuse=True)
    roots, invalid = games(3, tables, 200)
    kept = run(roots, invalid, 1).check()
    assert kept.proven.mean() > 0.3  # 0.16 where the search begins anew
    assert run(roots, invalid, 40).check().proven.mean() > kept.proven.mean()


def step(params, key, action, state):
    """A game of two actions without an end whose first edge is (reward, discount) = `params`."""
    first, zero = (state == 0) & (action == 0), jnp.zeros(action.shape)
    output = search.RecurrentFnOutput(
        reward=jnp.where(first, params[0], zero),
        discount=jnp.where(first, params[1], -1.0),
        prior_logits=jnp.zeros((*action.shape, 2)),
        value=zero,
    )
    return output, 2 * state + 1 + action


ROOT = search.RootFnOutput(
    prior_logits=jnp.zeros((2, 2)), value=jnp.zeros(2), embedding=jnp.zeros(2, jnp.int32)
)


def test_nothing_is_proven_by_rewards_that_do_not_serve():
    run = quick_jit(
        lambda params: search.muzero_policy(params, jax.random.key(0), ROOT, step, 6, solve=True).search_tree
    )
    read = quick_jit(search.node_bounds)
    assert (read(run((1.0, 0.0)))[:, 0] == 1).all()
    for params in ((2.0, 0.0), (0.5, -1.0), (jnp.nan, 0.0), (0.0, 1.5)):
        tree = run(params)
        assert (read(tree)[:, 0, UPPER] == jnp.inf).all()
        message = (
            "returned NaN"
            if params[0] != params[0]
            else "solve is True, but recurrent_fn returned a reward before"
        )
        with pytest.raises(ValueError, match=rf"{message}.* after the actions \[0\] from the root"):
            arguments.check_tree(tree)


def test_searches_that_cannot_prove_are_refused():
    def run(policy, root=ROOT, **options):
        args = ((1.0, 0.0), jax.random.key(0), root, step, 2)
        return jax.eval_shape(lambda: policy(*args, **options)).search_tree

    assert run(search.muzero_policy).edge_bounds is None
    by_chance = search.with_chance(search.gumbel_muzero_policy, lambda p, k, a, s: (jnp.zeros((2, 2)), s))
    by_worlds = functools.partial(search.search_worlds, search.muzero_policy, num_worlds=2)
    kept = run(search.muzero_policy, num_nodes=5)
    players = {"root": ROOT.replace(value=jnp.zeros((2, 2))), "to_play": lambda state: state % 2}
    refused = [
        (search.muzero_policy, players, "solve is True with to_play; proofs need a two-player game"),
        (by_chance, {}, "solve is True with with_chance"),
        (by_worlds, {}, "solve is True with search_worlds; a proof in one world is not"),
        (search.muzero_policy, {"tree": kept}, "solve is True, but the reused tree is .* with solve=False"),
    ]
    for policy, options, message in refused:
        with pytest.raises(ValueError, match=message):
            run(policy, solve=True, **options)


def test_the_size_of_a_tree_with_bounds_is_known():
    tree = jax.eval_shape(
        lambda: search.muzero_policy((1.0, 0.0), jax.random.key(0), ROOT, step, 4, solve=True).search_tree
    )
    arrays = tree.nodes, tree.children, tree.open_priors, tree.edge_bounds, tree.embeddings
    expected = search.tree_nbytes(2, 2, 5, ROOT.embedding, solve=True)
    assert sum(x.size * x.dtype.itemsize for x in arrays) == expected
