"""Adapters from flax, equinox and haiku modules to jzero's functions; equinox and haiku are not imported here.

The functions can be pickled if the module can.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jzero.networks.check import NetworkError
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

    Raises:
      NetworkError: `module` is no module. When it is initialised: it has other variables than its weights.
    """
    _check_module("from_flax", module)
    return Network(partial(_init_flax, module), module.apply, value_limit)  # pyrefly: ignore


def from_haiku(transformed: Any, *, value_limit: float = 1.0) -> Network:
    """A network from `haiku.transform` of a function of observations [B, ...]; see `from_flax`.

    Raises:
      NetworkError: `transformed` is something else.
    """
    kind = type(transformed).__name__
    if "WithState" in kind or "Multi" in kind:
        raise NetworkError(
            f"transformed is haiku's {kind}; expected haiku.transform(forward), which has no state and one "
            "function: use LayerNorm or GroupNorm in place of BatchNorm"
        )
    if not _has_functions(transformed):
        raise NetworkError(f"transformed is {_words(transformed)}; expected haiku.transform(forward)")
    return Network(transformed.init, partial(_apply_haiku, transformed), value_limit)


def from_equinox(make: Callable[[jax.Array], Any], *, value_limit: float = 1.0) -> Network:
    """A network from an equinox module that reads one observation, without a batch axis; it is mapped over batches.

    Args:
      make: key -> the module; `module(observation)` returns (policy logits f32[A], value f32[] or f32[P]).
      value_limit: as in `jzero.networks.Network`.

    Raises:
      NetworkError: `make` is a module, or no function.
    """
    equinox = sys.modules.get("equinox")  # whoever has a module has imported it
    is_module = (
        equinox is not None and isinstance(make, equinox.Module) and not isinstance(make, equinox.Partial)
    )
    if is_module or not callable(make):
        raise NetworkError(
            f"make is {_words(make)}; expected a function key -> module: "
            "from_equinox(lambda key: Net(..., key=key))"
        )
    return Network(partial(_init_equinox, make), partial(_apply_equinox, make), value_limit)


def learned_from_flax(module: nn.Module, *, action_size: int = 0) -> LearnedNetwork:
    """MuZero's network from a flax.linen module with the methods `represent`, `dynamics` and `predict`.

    Their arguments, after the parameters, are those of `jzero.networks.LearnedNetwork`.

    Args:
      module: defines its parts in `setup`.
      action_size: D for continuous actions; 0 for discrete ones.

    Raises:
      NetworkError: as in `from_flax`; or `module` lacks a method.
    """
    _check_module("learned_from_flax", module, ("represent", "dynamics", "predict"))
    return LearnedNetwork(
        init=partial(_init_learned, module, action_size),
        represent=partial(_call_flax, module, "represent"),
        dynamics=partial(_call_flax, module, "dynamics"),
        predict=partial(_call_flax, module, "predict"),
    )


def _has_functions(found: object) -> bool:
    return all(callable(getattr(found, name, None)) for name in ("init", "apply"))


def _words(found: object) -> str:
    """What was given, as text."""
    if isinstance(found, type):
        return f"the class {found.__name__}"
    name = getattr(found, "__name__", "")
    return f"the function {name}" if name else f"an object of class {type(found).__name__}"


def _check_module(adapter: str, module: object, methods: tuple[str, ...] = ()) -> None:
    """Raises NetworkError unless `module` is a flax.linen module with these methods."""
    if isinstance(module, type) or not _has_functions(module):
        call = module.__name__ if isinstance(module, type) else "Net"
        raise NetworkError(
            f"module is {_words(module)}; expected an instance of a flax.linen module: {adapter}({call}(...))"
        )
    if missing := [name for name in methods if not callable(getattr(module, name, None))]:
        raise NetworkError(
            f"module {type(module).__name__} lacks {', '.join(missing)}; expected the methods {', '.join(methods)} "
            "(docs/own_network.md)"
        )


def _init_flax(module: nn.Module, key: jax.Array, observation: Observation, **options: PyTree) -> Params:
    """The module's weights; raises NetworkError if it has other variables."""
    variables = module.init(key, observation, **options)
    if others := sorted(set(variables) - {"params"}):
        raise NetworkError(
            f"module {type(module).__name__} has the variables {', '.join(others)} besides params, and training "
            "would change them as weights: use LayerNorm or GroupNorm in place of BatchNorm (even with "
            "use_running_average=True), and keep constants in attributes"
        )
    return variables


def _apply_haiku(transformed: Any, params: Params, observation: Observation) -> PyTree:
    return transformed.apply(params, None, observation)


def _init_equinox(make: Callable[[jax.Array], Any], key: jax.Array, observation: Observation) -> PyTree:
    import equinox

    del observation
    module = make(key)
    if not callable(module):
        raise NetworkError(
            f"make returns {_words(module)}; expected a module whose call takes one observation, without state (no "
            "BatchNorm: use LayerNorm or GroupNorm)"
        )
    return equinox.filter(module, equinox.is_array)


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

    return _init_flax(module, key, observation, method=every_part)
