"""Adapters from flax, equinox and haiku modules to jzero's functions; equinox and haiku are not imported here.

The functions can be pickled if the module can.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jzero.networks.network import LearnedNetwork, Network
from jzero.pytrees import Observation, Params, PyTree

if TYPE_CHECKING:
    from collections.abc import Callable

    import flax.linen as nn


def from_flax(module: nn.Module, *, value_limit: float = 1.0) -> Network:
    """A network from a flax.linen module whose `__call__(observation [B, ...])` returns (policy logits, value).

    Args:
      module: without state that changes in a forward pass (no BatchNorm in training mode) and without dropout: a
        row's outputs depend on that row only.
      value_limit: as in `jzero.networks.Network`.
    """
    return Network(module.init, module.apply, value_limit)  # pyrefly: ignore


def from_haiku(transformed: Any, *, value_limit: float = 1.0) -> Network:
    """A network from `haiku.transform` of a function of observations [B, ...]; see `from_flax`."""
    return Network(transformed.init, partial(_apply_haiku, transformed), value_limit)


def from_equinox(make: Callable[[jax.Array], Any], *, value_limit: float = 1.0) -> Network:
    """A network from an equinox module that reads one observation, without a batch axis; it is mapped over batches.

    Args:
      make: key -> the module; `module(observation)` returns (policy logits f32[A], value f32[] or f32[P]).
      value_limit: as in `jzero.networks.Network`.
    """
    return Network(partial(_init_equinox, make), partial(_apply_equinox, make), value_limit)


def learned_from_flax(module: nn.Module, *, action_size: int = 0) -> LearnedNetwork:
    """MuZero's network from a flax.linen module with the methods `represent`, `dynamics` and `predict`.

    Their arguments, after the parameters, are those of `jzero.networks.LearnedNetwork`.

    Args:
      module: defines its parts in `setup`.
      action_size: D for continuous actions; 0 for discrete ones.
    """
    return LearnedNetwork(
        init=partial(_init_learned, module, action_size),
        represent=partial(_call_flax, module, "represent"),
        dynamics=partial(_call_flax, module, "dynamics"),
        predict=partial(_call_flax, module, "predict"),
    )


def _apply_haiku(transformed: Any, params: Params, observation: Observation) -> PyTree:
    return transformed.apply(params, None, observation)


def _init_equinox(make: Callable[[jax.Array], Any], key: jax.Array, observation: Observation) -> PyTree:
    import equinox

    del observation
    return equinox.filter(make(key), equinox.is_array)


def _apply_equinox(make: Callable[[jax.Array], Any], params: Params, observation: Observation) -> PyTree:
    import equinox

    module = equinox.filter_eval_shape(make, jax.random.key(0))
    static = equinox.filter(module, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)
    return jax.vmap(equinox.combine(params, static))(observation)


def _call_flax(module: nn.Module, method: str, params: Params, *arguments: Any) -> PyTree:
    return module.apply(params, *arguments, method=method)


def _init_learned(module: nn.Module, action_size: int, key: jax.Array, observation: Observation) -> PyTree:
    def every_part(module: Any, observation: Observation) -> PyTree:
        latent = module.represent(observation)
        rows = latent.shape[0]
        action = jnp.zeros((rows, action_size)) if action_size else jnp.zeros(rows, jnp.int32)
        return module.predict(latent), module.dynamics(latent, action)

    return module.init(key, observation, method=every_part)
