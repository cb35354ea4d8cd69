"""The search promotes neither ranks nor dtypes, so that it runs in projects that forbid both."""

import functools

import jax
import pytest

from jzero import search
from tests.helpers import search_options as options
from tests.helpers.strict import no_promotion


def search_all(name, keys):
    return options.SEARCHES[name](jax.random.key(0), options.root(keys))


@pytest.mark.parametrize("name", options.SEARCHES)
def test_nothing_is_promoted(name):
    keys = jax.random.split(jax.random.key(3), options.B)
    with no_promotion():
        jax.eval_shape(functools.partial(search_all, name), keys)


def test_kernels_promote_nothing():
    """They are traced when a program is lowered."""
    keys = jax.random.split(jax.random.key(3), options.B)
    with no_promotion(), search.engine("kernels"):
        jax.jit(functools.partial(search_all, "gumbel")).lower(keys)
