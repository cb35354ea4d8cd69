"""The engine of a search: which code it becomes, by platform, and that JAX's transformations go through it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jzero import search
from jzero.search import engines


def times(factor):
    def kernel(x, *, interpret):
        del interpret
        return {"product": x * factor}

    return kernel


def by_engine(kernel, y=2.0):
    """`y * x`, by the operations; the kernel's factor shows which of them ran."""
    return lambda x: engines.choose(kernel, lambda x: {"product": x * y}, x)["product"]


def lowered_for_cuda(function, *arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def test_a_cpu_runs_the_operations_and_is_forced_to_run_the_kernel():
    function, x = by_engine(times(5.0)), jnp.arange(3.0)
    np.testing.assert_array_equal(jax.jit(function)(x), 2 * x)
    np.testing.assert_array_equal(function(x), 2 * x)
    with search.engine("kernels"):
        np.testing.assert_array_equal(jax.jit(function)(x), 5 * x)
    with search.engine("walk"):
        np.testing.assert_array_equal(jax.jit(function)(x), 2 * x)


def test_a_jitted_function_is_traced_anew_where_the_engine_differs():
    function, x = jax.jit(by_engine(times(5.0))), jnp.arange(3.0)
    np.testing.assert_array_equal(function(x), 2 * x)
    with search.engine("kernels"):
        np.testing.assert_array_equal(function(x), 5 * x)
    np.testing.assert_array_equal(function(x), 2 * x)


def test_a_program_for_cuda_has_the_kernel():
    text = lowered_for_cuda(by_engine(times(5.0)), jnp.arange(3.0))
    assert "5.0" in text
    assert "2.0" not in text
    with search.engine("walk"):
        assert "2.0" in lowered_for_cuda(by_engine(times(5.0)), jnp.arange(3.0))


def test_a_kernel_that_cannot_be_lowered_falls_back_with_one_warning_that_names_the_cause():
    def broken(x, *, interpret):
        raise NotImplementedError("no such instruction")

    engines._warn_once.cache_clear()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        text = lowered_for_cuda(by_engine(broken), jnp.arange(3.0))
        lowered_for_cuda(by_engine(broken), jnp.arange(4.0))
    assert "2.0" in text
    (one,) = [str(warning.message) for warning in seen if "GPU kernels" in str(warning.message)]
    assert one.endswith("NotImplementedError: no such instruction")
    with search.engine("kernels"), pytest.raises(NotImplementedError):
        lowered_for_cuda(by_engine(broken), jnp.arange(3.0))


@pytest.mark.parametrize("name", ["auto", "kernels"])
def test_vmap_grad_and_shard_map_go_through(name):
    x = jnp.arange(6.0).reshape(2, 3)
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))

    @jax.jit
    def all_of_them(x, y):
        function = by_engine(times(2.0), y)  # the operations close over a traced value
        sharded = jax.shard_map(
            lambda x: by_engine(times(2.0))(x), mesh=mesh, in_specs=P("devices"), out_specs=P("devices")
        )
        return jax.vmap(function)(x), jax.jvp(function, (x,), (jnp.ones_like(x),))[1], sharded(x)

    with search.engine(name):
        mapped, slope, sharded = all_of_them(x, 2.0)
    np.testing.assert_array_equal(mapped, 2 * x)
    np.testing.assert_array_equal(slope, jnp.full_like(x, 2))
    np.testing.assert_array_equal(sharded, 2 * x)


def test_hops_end_where_the_loop_does():
    """Up to `HOPS` hops are made after the end; they must not matter."""

    def count(limit):
        def hop(carry, on):
            number, total = carry
            return number + 1, total + jnp.where(on, number, 0)

        return engines.hop_while(lambda carry: carry[0] < limit, hop, (jnp.int32(0), jnp.int32(0)))[1]

    for limit in (0, 1, engines.HOPS, 3 * engines.HOPS + 1):
        assert jax.jit(count)(limit) == limit * (limit - 1) // 2
        with search.engine("kernels"):
            assert jax.jit(count)(limit) == limit * (limit - 1) // 2


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine is 'fast'; it must be one of 'auto', 'walk', 'kernels'"):
        search.engine("fast")
