"""The root network as ONNX, made with jax2onnx, for ONNX Runtime and others."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

from jzero.export.missing import needs
from jzero.export.root import RootNetwork, random_observations
from jzero.pytrees import PyTree

BOUND = 1e-4
"""Largest allowed difference of a probability or a value from JAX."""
OUTPUTS = ["policy", "value"]
LEFT_OUT = (
    "remove_redundant_transpose_reduce_ir",
    "remove_redundant_transpose_add_forests_ir",
    "remove_redundant_transpose_pairs_ir",
)
"""jax2onnx's passes that remove transpositions: for some towers they produce a model with wrong axes. ONNX Runtime
removes transpositions itself."""


class _Input(NamedTuple):
    """An input with any number of rows, in jax2onnx's format."""

    shape: tuple[int | str, ...]
    dtype: Any


def write_onnx(net: RootNetwork, path: Path) -> tuple[float, float]:
    """Writes the model and compares it with JAX on positions of random play, for one and for many rows.

    Its inputs are the leaves of the observation, with the names of `input_names`; its outputs are "policy" and
    "value".

    Returns:
      the largest differences of a probability and of a value.

    Raises:
      ValueError: an extra is missing; jax2onnx or ONNX Runtime does not support this network; or the results differ
        by more than `BOUND`.
    """
    needs("jax2onnx", "onnx", "onnxruntime")
    content = convert(net)
    found = compare(net, content, random_observations(net, 64))
    if not max(found) <= BOUND:
        raise ValueError(
            f"the ONNX model differs from JAX by {found[0]:.1e} in the policy and {found[1]:.1e} in the value, "
            f"more than {BOUND:g}; nothing was written: use --stablehlo"
        )
    path.write_bytes(content)
    return found


def input_names(net: RootNetwork) -> list[str]:
    """Names of the inputs: "observation", or with several leaves "observation/0", "observation/board" and so on."""
    paths = [path for path, _ in jax.tree.flatten_with_path(net.observation)[0]]
    return [
        "/".join(["observation", *(jax.tree_util.keystr((key,), simple=True) for key in path)])
        for path in paths
    ]


def convert(net: RootNetwork) -> bytes:
    """The serialised model.

    Raises:
      ValueError: jax2onnx cannot convert it.
    """
    from jax2onnx import to_onnx

    leaves, treedef = jax.tree.flatten(net.observation)
    inputs: Any = [_Input(("B", *leaf.shape), leaf.dtype) for leaf in leaves]
    try:
        with _quiet(), _without_passes():
            model: Any = to_onnx(
                lambda *leaves: net.apply(treedef.unflatten(leaves)),
                inputs,
                model_name="jzero",
                input_names=input_names(net),
                output_names=OUTPUTS,
            )
        return model.SerializeToString()
    except Exception as error:  # jax2onnx raises many kinds
        raise _unsupported(error) from error


def session(content: bytes) -> Any:
    """An ONNX Runtime session of a model, on the CPU.

    Raises:
      ValueError: it cannot run the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a module without a base class
        raise _unsupported(error) from error


def compare(
    net: RootNetwork, content: bytes, observation: PyTree, batches: Sequence[int] = (1, 64)
) -> tuple[float, float]:
    """Largest differences of policy and value from JAX on rows [B, F], in batches of each of these sizes."""
    model, names = session(content), input_names(net)
    leaves = jax.tree.leaves(observation)
    expected = jax.device_get(jax.jit(net.apply)(observation))
    worst = np.zeros(2)
    for size in batches:
        for start in range(0, len(leaves[0]), size):
            rows = [np.asarray(leaf[start : start + size]) for leaf in leaves]
            try:
                found = model.run(OUTPUTS, dict(zip(names, rows, strict=True)))
            except Exception as error:  # as above
                raise _unsupported(error) from error
            for i, (one, other) in enumerate(zip(found, expected, strict=True)):
                gap = np.abs(one - other[start : start + size]).max()
                worst[i] = np.maximum(worst[i], gap)  # a NaN stays
    return float(worst[0]), float(worst[1])


def _unsupported(error: Exception) -> ValueError:
    return ValueError(
        "this network cannot be exported as ONNX, unlike MLPs and residual towers in float32: use --stablehlo. "
        f"Cause: {type(error).__name__}: {error}"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the output and the logs of jax2onnx."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _without_passes() -> Iterator[None]:
    """Disables jax2onnx's passes in `LEFT_OUT`, if this version has them."""
    from jax2onnx.converter import ir_optimizations

    with contextlib.ExitStack() as stack:
        for name in LEFT_OUT:
            if hasattr(ir_optimizations, name):
                stack.enter_context(mock.patch.object(ir_optimizations, name, return_value=None))
        yield
