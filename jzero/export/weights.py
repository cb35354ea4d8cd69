"""Weights as safetensors with flat names, for any framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jzero.export.missing import needs
from jzero.pytrees import Params


def flat(params: Params) -> dict[str, np.ndarray]:
    """Arrays by path, such as "params/body/Dense_0/kernel"."""
    leaves, _ = jax.tree.flatten_with_path(jax.device_get(params))
    return {"/".join(map(_name, path)): np.ascontiguousarray(leaf) for path, leaf in leaves}


def write_weights(params: Params, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes weights, with metadata as text.

    Raises:
      ValueError: safetensors is not installed.
    """
    needs("safetensors")
    from safetensors.numpy import save_file

    save_file(flat(params), path, dict(metadata))


def _name(key: object) -> str:
    """The text of a path entry: a dictionary key, a list index or an attribute name."""
    for kind in ("key", "name", "idx"):
        if hasattr(key, kind):
            return str(getattr(key, kind))
    return str(key)
