"""The search promotes neither ranks nor dtypes, so that it runs in projects that forbid both."""

import functools

import jax
import pytest

from jzero import search
from tests.helpers import search_options as options

SETTINGS = {"rank": (jax.numpy_rank_promotion, "raise"), "dtype": (jax.numpy_dtype_promotion, "strict")}


def search_all(name, keys):
    return options.SEARCHES[name](jax.random.key(0), options.root(keys))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", options.SEARCHES)
def test_nothing_is_promoted(name, setting):
    forbid, value = SETTINGS[setting]
    keys = jax.random.split(jax.random.key(3), options.B)
    with forbid(value):
        jax.eval_shape(functools.partial(search_all, name), keys)


@pytest.mark.parametrize("setting", SETTINGS)
def test_kernels_promote_nothing(setting):
    """They are traced when a program is lowered."""
    forbid, value = SETTINGS[setting]
    keys = jax.random.split(jax.random.key(3), options.B)
    with forbid(value), search.engine("kernels"):
        jax.jit(functools.partial(search_all, "gumbel")).lower(keys)
