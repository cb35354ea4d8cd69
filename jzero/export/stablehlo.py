"""The root network as StableHLO, which `jax.export` loads without jzero, for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from jax import export

from jzero.export.missing import needs
from jzero.export.root import RootNetwork

PLATFORMS = ("cpu", "cuda", "tpu")


def write_stablehlo(net: RootNetwork, path: Path, platforms: Sequence[str] = PLATFORMS) -> None:
    """Writes the serialised program, lowered for these platforms, with a symbolic number of rows.

    Raises:
      ValueError: flatbuffers, which jax.export needs, is not installed; or the network cannot be lowered for a
        platform or for a symbolic number of rows.
    """
    needs("flatbuffers")
    (rows,) = export.symbolic_shape("b")
    inputs = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape), x.dtype), net.observation)
    try:
        found = export.export(jax.jit(net.apply), platforms=platforms)(inputs)
        content = found.serialize()
    except Exception as error:  # a network may raise anything where it is traced
        raise ValueError(
            f"this network cannot be exported as StableHLO for {', '.join(platforms)} and any number of rows: "
            f"{type(error).__name__}: {error}"
        ) from error
    path.write_bytes(content)
