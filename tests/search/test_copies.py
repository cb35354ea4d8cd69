"""XLA's CPU compiler writes the tree in place: no simulation copies one of its arrays."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from jzero import search
from tests.helpers import search_tables as tables_lib

A, N, CELLS = 9, 12, 50


def compiled_text(policy, batch_size, solve=False):
    """A search of states that hold a board beside their place in the tables."""
    tables = jax.tree.map(jnp.asarray, tables_lib.random_tables(0, A))

    def recurrent_fn(tables, key, action, embedding):
        place, board = embedding
        step, place = tables_lib.recurrent_fn(tables, key, action, place)
        board = jnp.where(jnp.arange(CELLS) == action[:, None], board.sum(axis=1, keepdims=True), board + 1)
        logits = step.prior_logits + 1e-3 * board[:, :A]
        return dataclasses.replace(step, prior_logits=logits), (place, board)

    def search_all(tables, roots):
        root = tables_lib.jax_root(tables, roots)
        board = jnp.zeros((batch_size, CELLS)) + roots[:, None]
        root = dataclasses.replace(root, embedding=(root.embedding, board))
        output = policy(tables, jax.random.key(0), root, recurrent_fn, N, solve=solve)
        return output.action, output.search_tree.summary().visit_counts

    return jax.jit(search_all).lower(tables, jnp.zeros(batch_size, jnp.int32)).compile().as_text()


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("policy", "batch_size", "solve"),
    [
        (search.muzero_policy, 16, False),
        (search.gumbel_muzero_policy, 16, False),
        (search.gumbel_muzero_policy, 1, False),
        pytest.param(search.gumbel_muzero_policy, 16, True, marks=pytest.mark.slow),
    ],
)
def test_no_array_of_the_tree_is_copied(policy, batch_size, solve):
    text = compiled_text(policy, batch_size, solve)
    shapes = {"nodes": (12,), "children": (A, 4), "open_priors": (A,), "states": (CELLS,)}
    if solve:
        shapes["edge_bounds"] = (A, 2)
    for name, row in shapes.items():
        array = re.escape(f"f32[{','.join(map(str, (batch_size, N + 1, *row)))}]")
        assert re.search(array, text), name
        if name != "nodes" or batch_size > 1:  # of a single game they are copied: 48 bytes a node
            assert not re.search(rf"= {array}\S* copy\(", text), name
