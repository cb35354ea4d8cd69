"""What pytrees of arrays are called in signatures. Python's types say no more of them than `Any`."""

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
"""What `observe` gives, every leaf with a batch axis."""
Embedding: TypeAlias = Any
"""What a model keeps of a node, every leaf [B, ...]."""
Record: TypeAlias = Mapping[str, Any]
"""What a file of a run holds, as read from JSON."""
