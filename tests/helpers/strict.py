"""What JAX is told in projects that forbid promotion."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def no_promotion() -> Iterator[None]:
    """Neither ranks nor dtypes are promoted."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
