"""Worlds of hidden information: an average of ordinary searches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib
from tests.helpers.search_tables import quick_jit, summary_of

GAMES, WORLDS, A, N = 6, 5, 4, 30


def game(seed: int = 0):
    tables = tables_lib.random_tables(seed, A, discounts=(-1.0,))
    return jax.tree.map(jnp.asarray, tables), tables_lib.random_roots(seed, tables, GAMES * WORLDS)


@pytest.mark.parametrize("policy", ["muzero_policy", "gumbel_muzero_policy"])
def test_results_are_averages_over_worlds(policy):
    tables, roots = game()
    quiet = {"dirichlet_fraction": 0.0} if policy == "muzero_policy" else {"gumbel_scale": 0.0}
    policy = getattr(search, policy)
    invalid = jnp.zeros((GAMES, A)).at[:, 0].set(1)

    @quick_jit
    def together(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        args = (policy, tables, jax.random.key(0), root, tables_lib.recurrent_fn, N, invalid)
        return search.search_worlds(*args, num_worlds=WORLDS, **quiet)

    @quick_jit
    def alone(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, N, invalid)
        return policy(*args, **quiet)

    found = together(tables, roots)
    summaries = []
    for world in range(WORLDS):
        output = alone(tables, roots[world::WORLDS])
        summaries.append(jax.tree.map(np.asarray, summary_of(output.search_tree)))
    visits = np.mean([summary.visit_counts for summary in summaries], axis=0)
    qvalues = np.zeros((GAMES, A))
    for game_index, action in np.ndindex(GAMES, A):
        known = [s.qvalues[game_index, action] for s in summaries if s.visit_counts[game_index, action] > 0]
        qvalues[game_index, action] = np.mean(known) if known else 0.0
    np.testing.assert_allclose(found.visit_counts, visits, atol=1e-5)
    np.testing.assert_allclose(found.qvalues, qvalues, atol=1e-5)
    np.testing.assert_allclose(found.value, np.mean([s.value for s in summaries], axis=0), atol=1e-5)
    np.testing.assert_array_equal(found.visit_counts[:, 0], 0)
    np.testing.assert_array_equal(found.action_weights[:, 0], 0)
    np.testing.assert_allclose(found.action_weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.action, np.argmax(found.action_weights, axis=-1))


def test_one_world_improves_its_prior_like_the_search_itself():
    tables, roots = game(1)
    root = tables_lib.jax_root(tables, roots)
    args = (tables, jax.random.key(0), root, tables_lib.recurrent_fn, N)
    policy = functools.partial(search.gumbel_muzero_policy, gumbel_scale=0.0)
    alone = quick_jit(lambda: policy(*args))()
    one = quick_jit(lambda: search.search_worlds(policy, *args, num_worlds=1))()
    np.testing.assert_allclose(one.action_weights, alone.action_weights, atol=1e-5)


def test_a_guess_is_not_taken_for_knowledge():
    """Heads or tails of a hidden coin against a sure thing: right in each world, wrong on average.

    Action 0 bets on heads, 1 on tails (+1 or -1.5), 2 takes 0.1. A search that sees the coin bets; worlds of
    both sides take the sure thing.
    """
    heads, tails, over = 0, 1, 2
    reward = np.array([[1.0, -1.5, 0.1], [-1.5, 1.0, 0.1], [0, 0, 0]], np.float32)
    tables = tables_lib.Tables(
        successor=np.full((3, 3), over, np.int32),
        reward=reward,
        discount=np.zeros((3, 3), np.float32),
        prior_logits=np.zeros((3, 3), np.float32),
        value=np.zeros(3, np.float32),
    )
    tables = jax.tree.map(jnp.asarray, tables)

    def policy(states, num_worlds):
        @quick_jit
        def run(states):
            root = tables_lib.jax_root(tables, states)
            args = (search.gumbel_muzero_policy, tables, jax.random.key(0), root, tables_lib.recurrent_fn, 12)
            return search.search_worlds(*args, num_worlds=num_worlds, gumbel_scale=0.0)

        return run(jnp.asarray(states))

    assert policy([heads, tails], 1).action.tolist() == [0, 1]
    both = policy([heads, tails, tails, heads], 4)
    np.testing.assert_allclose(both.qvalues[0], [-0.25, -0.25, 0.1], atol=1e-6)
    assert both.action.tolist() == [2]


def test_rows_must_be_whole_games():
    tables, roots = game()
    root = tables_lib.jax_root(tables, roots)
    args = (search.muzero_policy, tables, jax.random.key(0), root, tables_lib.recurrent_fn, N)
    with pytest.raises(ValueError, match="root has 30 rows, which is not a multiple of num_worlds 4"):
        search.search_worlds(*args, num_worlds=4)
