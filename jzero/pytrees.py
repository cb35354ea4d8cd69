"""Names for pytrees of arrays in signatures, which Python can only type as `Any`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

PyTree: TypeAlias = Any
"""A pytree of arrays, or of their shapes and dtypes."""
Params: TypeAlias = Any
"""Weights of a network."""
OneState: TypeAlias = Any
"""An environment's state, `jzero.env.State`."""
States: TypeAlias = Any
"""Environment states, every leaf [B, ...]."""
Observation: TypeAlias = Any
"""Output of `observe`, every leaf with a batch axis."""
Embedding: TypeAlias = Any
"""A model's state of a node, every leaf [B, ...]."""
Json: TypeAlias = dict[str, Any]
"""A JSON object: a request, an answer, a line of a file."""
Record: TypeAlias = Mapping[str, Any]
"""Content of a run's file, as read from JSON."""
