"""States may hold keys of `jax.random.key`: every search treats them like the numbers that they stand for."""

import jax
import numpy as np
import pytest

from tests.helpers import search_options as options
from tests.helpers.search_tables import quick_jit


@pytest.mark.parametrize("name", options.SEARCHES)
def test_a_search_takes_keys_in_its_states(name):
    keys = jax.random.split(jax.random.key(3), options.B)
    found = jax.eval_shape(lambda keys: options.SEARCHES[name](jax.random.key(0), options.root(keys)), keys)
    assert keys.dtype in {leaf.dtype for leaf in jax.tree.leaves(found.search_tree.embeddings)}


@pytest.mark.parametrize("name", ["muzero", "gumbel-reused", "gumbel-leaves", "stochastic", "chance"])
def test_a_search_with_keys_in_its_states_is_that_with_their_data(name):
    def search_all(keys):
        output = options.SEARCHES[name](jax.random.key(0), options.root(keys))
        return output.action_weights, output.search_tree

    keys = jax.random.split(jax.random.key(3), options.B)
    weights, tree = quick_jit(search_all)(keys)
    expected_weights, expected = quick_jit(search_all)(jax.random.key_data(keys))
    np.testing.assert_array_equal(weights, expected_weights)
    np.testing.assert_array_equal(tree.children, expected.children)

    def data(leaf):
        return jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    found = jax.tree.map(data, tree.embeddings)
    jax.tree.map(np.testing.assert_array_equal, found, expected.embeddings)
