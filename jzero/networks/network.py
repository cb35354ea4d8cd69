"""The interface of networks: plain functions of parameters and arrays.

Any library can make them; see `jzero.networks.adapters`. Axes: B rows, A actions, P players, D dimensions of a
continuous action, M chance codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jzero.pytrees import Params, PyTree

Apply = Callable[[Any, Any], tuple[jax.Array, jax.Array]]
"""(params, observation [B, ...]) -> (policy logits f32[B, A], value f32[B]). If every player has a value it is
f32[B, P]: the player to move first, then the others in seat order."""


def unprepared(params: Params, inputs: PyTree) -> PyTree:
    """The parameters, unchanged."""
    del inputs
    return params


class Network(NamedTuple):
    """Policy and value of an observation, for AlphaZero."""

    init: Callable[[jax.Array, Any], Any]
    """(key, observation with a batch axis of 1) -> params, any pytree of arrays."""
    apply: Apply
    """A row's outputs depend on that row only."""
    value_limit: float = 1.0
    """Largest absolute value of its outputs, which are returns of the game. Above 1, errors of values are measured
    on MuZero's scale h: the squared difference of h(value) and h(return), each divided by h(value_limit)."""
    prepare: Callable[[Any, Any], Any] = unprepared
    """(params, shapes of the observation) -> prepared params for `apply`, with the same results and less work per
    call. Called once before a search."""
    auxiliary: Callable[[Any, Any], tuple[jax.Array, jax.Array, dict[str, jax.Array]]] | None = None
    """`apply` with a dict of the auxiliary heads' outputs f32[B, size], used only in training; see
    `jzero.algorithms.auxiliary`."""


class ValuePrefix(NamedTuple):
    """EfficientZero's dynamics, which predict the sum of rewards since the last reset with a recurrent memory."""

    memory: Callable[[int], Any]
    """(rows B) -> the memory after a reset, a pytree of f32[B, ...]."""
    dynamics: Callable[[Any, Any, Any, jax.Array], tuple[Any, Any, jax.Array]]
    """(params, latent, memory, action) -> (latent, memory, logits f32[B, atoms] of the sum of rewards)."""


class Afterstate(NamedTuple):
    """Stochastic MuZero's functions of afterstates, the states after an action and before chance."""

    num_codes: int
    """M, the number of chance codes."""
    decide: Callable[[Any, Any, jax.Array], Any]
    """(params, latent, action) -> the latent afterstate."""
    predict: Callable[[Any, Any], tuple[jax.Array, jax.Array]]
    """(params, afterstate) -> (logits f32[B, M] of the codes, logits f32[B, atoms] of the action's Q-value)."""
    encode: Callable[[Any, Any, Any], jax.Array]
    """(params, observation, next observation) -> f32[B, M], whose argmax is the code."""


class Projection(NamedTuple):
    """EfficientZero's consistency loss (SimSiam)."""

    project: Callable[[Any, Any], jax.Array]
    """(params, latent) -> f32[B, U]."""
    predict: Callable[[Any, jax.Array], jax.Array]
    """(params, projection) -> prediction f32[B, U] of the other branch's projection."""


class LearnedNetwork(NamedTuple):
    """MuZero's functions. Latent states are arrays f32[B, ...]."""

    init: Callable[[jax.Array, Any], Any]
    """(key, observation with a batch axis of 1) -> params of all functions."""
    represent: Callable[[Any, Any], jax.Array]
    """(params, observation [B, ...]) -> latent."""
    dynamics: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
    """(params, latent, action i32[B] or f32[B, D]) -> (latent, reward logits f32[B, atoms]). With afterstates:
    (params, afterstate, code f32[B, M] one-hot)."""
    predict: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
    """(params, latent) -> (policy logits f32[B, A], value logits f32[B, atoms]). With continuous actions the policy
    is f32[B, 2 D] in the format of `jzero.networks.squashed`."""
    prefix: ValuePrefix | None = None
    """Replaces `dynamics`."""
    afterstate: Afterstate | None = None
    projection: Projection | None = None
    prepare: Callable[[Any, Any], Any] = unprepared
    """As in `Network`."""
