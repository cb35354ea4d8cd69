"""XLA's CPU compiler writes the tree in place: no simulation copies one of its arrays."""

import re

import jax
import jax.numpy as jnp
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib

B, A, N = 16, 9, 12
BOUNDS = {"edge_bounds": (B, N + 1, A, 2)}
SHAPES = {"nodes": (B, N + 1, 12), "children": (B, N + 1, A, 4), "open_priors": (B, N + 1, A)}


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("policy", "solve"),
    [
        (search.muzero_policy, False),
        (search.gumbel_muzero_policy, False),
        pytest.param(search.gumbel_muzero_policy, True, marks=pytest.mark.slow),
    ],
)
def test_no_array_of_the_tree_is_copied(policy, solve):
    tables = jax.tree.map(jnp.asarray, tables_lib.random_tables(0, A))

    def search_all(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        output = policy(tables, jax.random.key(0), root, tables_lib.recurrent_fn, N, solve=solve)
        return output.action, output.search_tree.summary().visit_counts

    text = jax.jit(search_all).lower(tables, jnp.zeros(B, jnp.int32)).compile().as_text()
    for name, shape in (SHAPES | (BOUNDS if solve else {})).items():
        array = re.escape(f"f32[{','.join(map(str, shape))}]")
        assert re.search(array, text), name
        assert not re.search(rf"= {array}\S* copy\(", text), name
