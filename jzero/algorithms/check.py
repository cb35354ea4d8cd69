"""The form of a loss: what it returns is checked while it is traced."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jzero.algorithms.algorithm import Algorithm
from jzero.metrics import Mean, Metrics
from jzero.pytrees import Params, PyTree


def check_loss(algorithm: Algorithm, state: PyTree, num_samples: int) -> None:
    """Traces the loss, so that what is wrong with it is said before any game is played.

    Args:
      algorithm: the algorithm.
      state: shapes and dtypes of the state, `Program.abstract`.
      num_samples: S.

    Raises:
      ValueError: the loss returns something else than `Algorithm.loss` says.
    """

    def traced(state: PyTree) -> PyTree:
        progress = jnp.float32(0)
        _, batch = algorithm.batch(state.averaged, state.replay, state.key, num_samples, progress)
        return checked(algorithm.loss)(state.params, batch, state.key)

    jax.eval_shape(traced, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state))


def checked(loss: Callable) -> Callable:
    """The loss; raises ValueError when it is traced if its results are not those of `Algorithm.loss`."""
    form = "expected (loss f32[], (metrics, priorities)), such as `return total, (metrics, ())`"

    def checked(params: Params, batch: PyTree, key: jax.Array) -> tuple[jax.Array, tuple[Metrics, PyTree]]:
        found = loss(params, batch, key)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(f"loss returns {_words(found)}; {form}")
        total, rest = found
        if jnp.shape(total) != () or not jnp.issubdtype(jnp.result_type(total), jnp.floating):
            raise ValueError(
                f"loss returns {_words(total)} as its loss; {form}: take a mean over the samples"
            )
        if (
            not isinstance(rest, tuple)
            or isinstance(rest, Mean)
            or len(rest) != 2
            or not isinstance(rest[0], dict)
        ):
            raise ValueError(f"loss returns {_words(rest)} next to its loss; {form}")
        for name, metric in rest[0].items():
            if not isinstance(metric, Mean):
                raise ValueError(
                    f"loss: metrics[{name!r}] is {_words(metric)}; expected jzero.metrics.Mean: write "
                    "jzero.metrics.one(x) for a number, or jzero.metrics.mean(values, weights) for samples"
                )
            if any(jnp.shape(part) != () for part in metric):
                raise ValueError(
                    f"loss: metrics[{name!r}] is Mean({', '.join(map(_words, metric))}); expected Mean(float32[], "
                    "float32[]): sum over the samples, as jzero.metrics.mean does"
                )
        return total, rest

    return checked


def _words(found: PyTree) -> str:
    """Shape and dtype as text, or a tuple's parts."""
    if isinstance(found, tuple) and not hasattr(found, "_fields"):
        return f"({', '.join(map(_words, found))})"
    dtype, shape = getattr(found, "dtype", None), getattr(found, "shape", ())
    return type(found).__name__ if dtype is None else f"{dtype}[{','.join(map(str, shape))}]"
