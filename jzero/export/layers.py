"""This package's MLPs and residual towers as a list of layers, for a few lines of JavaScript.

Names of layers are those of `jzero.networks.towers` and `heads`. Axes: F inputs, O outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jzero.networks.make import NetworkSettings
from jzero.pytrees import Json, Record

Layer = Json
"""{"op": "dense", "conv", "norm", "relu", "flatten", "keep", "add" or "cells", "weights": [indices],
"groups": int}.

"keep" stores the features; "add" adds those stored last; "cells" adds a convolution of the first features to the
first outputs."""


class Layers(NamedTuple):
    """A policy and value network."""

    body: list[Layer]
    policy: list[Layer]
    value: list[Layer]
    tensors: list[np.ndarray]
    """f32: kernels [F, O] or [3, 3, F, O], biases and scales [O]."""


def layers_of(settings: NetworkSettings, params: Record) -> Layers:
    """The layers of a network with these settings; `params` are prepared, see `Network.prepare`.

    Raises:
      ValueError: the kind of network is not supported.
    """
    if settings.kind not in ("mlp", "resnet") or settings.value_limit != 1:
        raise ValueError(
            f"network.kind is {settings.kind!r} with value_limit {settings.value_limit:g}; expected mlp or resnet "
            "with value_limit 1, the networks that the page can compute"
        )
    writer = _Writer(settings)
    weights = params["params"]
    tower = writer.mlp if settings.kind == "mlp" else writer.resnet
    return Layers(
        body=tower(weights["body"]),
        policy=writer.policy(weights["policy"]),
        value=writer.head(weights["value"]),
        tensors=writer.tensors,
    )


class _Writer:
    """Collects the tensors of the layers that it makes."""

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        self.tensors: list[np.ndarray] = []
        self.normalises = settings.norm != "none"

    def mlp(self, weights: Record) -> list[Layer]:
        """`ResidualMLP`."""
        dense = "Dense" if self.normalises else "Standardised"
        layers = [{"op": "flatten"}, self._linear("dense", weights[f"{dense}_0"])]
        for i in range(self.settings.blocks):
            first, second = (self._linear("dense", weights[f"{dense}_{2 * i + k}"]) for k in (1, 2))
            before = self._norm(weights, "LayerNorm", i) or [{"op": "relu"}]
            layers += [{"op": "keep"}, *before, first, {"op": "relu"}, second, {"op": "add"}]
        return [*layers, *self._norm(weights, "LayerNorm", self.settings.blocks), {"op": "relu"}]

    def resnet(self, weights: Record) -> list[Layer]:
        """`ResidualTower`."""
        conv = "Conv" if self.normalises else "Standardised"
        layers = [self._linear("conv", weights[f"{conv}_0"])]
        for i in range(self.settings.blocks):
            block = weights[f"ResidualBlock_{i}"]
            layers.append({"op": "keep"})
            for k in (0, 1):
                normalise = self._norm(block, "GroupNorm", k)
                layers += [*normalise, {"op": "relu"}, self._linear("conv", block[f"{conv}_{k}"])]
            layers.append({"op": "add"})
        return [*layers, *self._norm(weights, "GroupNorm", 0), {"op": "relu"}]

    def policy(self, weights: Record) -> list[Layer]:
        """`Head` or `CellsHead`."""
        if self.settings.policy_head == "dense":
            return self.head(weights)
        kernel, bias = (np.asarray(weights["cells"][name]) for name in ("kernel", "bias"))
        cells = {"op": "cells", "weights": [self._tensor(kernel[None, None]), self._tensor(bias)]}
        return [*self.head(weights["all"]), cells]

    def head(self, weights: Record) -> list[Layer]:
        """`Head`."""
        first, last = (self._linear("dense", weights[f"Dense_{k}"]) for k in (0, 1))
        return [{"op": "flatten"}, first, {"op": "relu"}, last]

    def _linear(self, op: str, weights: Record) -> Layer:
        names = ("kernel", "bias") if "bias" in weights else ("kernel",)
        return {"op": op, "weights": [self._tensor(weights[name]) for name in names]}

    def _norm(self, weights: Record, name: str, number: int) -> list[Layer]:
        """A normalisation layer; none if features are not normalised."""
        if not self.normalises:
            return []
        part = weights[f"{name}_{number}"]
        channels = len(part["scale"])
        groups = channels // 8 if (name, self.settings.norm) == ("GroupNorm", "group") else 1
        groups = 1 if channels % 8 else groups
        return [
            {"op": "norm", "groups": groups, "weights": [self._tensor(part[k]) for k in ("scale", "bias")]}
        ]

    def _tensor(self, values: Any) -> int:
        """The index of an array among the tensors."""
        self.tensors.append(np.asarray(values, np.float32))
        return len(self.tensors) - 1
