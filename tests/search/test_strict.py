"""The search promotes neither ranks nor dtypes, so that it runs in projects that forbid both."""

import jax
import pytest

from tests.search import options


@pytest.mark.parametrize("setting", ["rank", "dtype"])
@pytest.mark.parametrize("name", options.SEARCHES)
def test_nothing_is_promoted(name, setting):
    allowed = jax.numpy_rank_promotion("raise") if setting == "rank" else jax.numpy_dtype_promotion("strict")
    keys = jax.random.split(jax.random.key(3), options.B)
    with allowed:
        jax.eval_shape(lambda keys: options.SEARCHES[name](jax.random.key(0), options.root(keys)), keys)
