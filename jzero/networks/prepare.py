"""Prepares weights for inference: computations on weights alone run once, not in every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jzero.networks.towers import standardised
from jzero.pytrees import Params, PyTree


def prepared(apply: Callable[..., Any], params: Params, *inputs: Any) -> Params:
    """Parameters with which `apply` gives bit-identical results with less work per call.

    A layer keeps float32 weights and casts them to its compute dtype in each call, and a `Standardised` one
    normalises them first. XLA leaves both inside the loop of a search, where the weights never change. Weights that
    are also read in their own dtype, such as those of last layers, are unchanged.

    Args:
      apply: a network of this package as a function of (params, *inputs).
      params: the trained weights.
      inputs: arrays, or shapes and dtypes, with which `apply` reads every weight that it uses.
    """
    leaves, treedef = jax.tree.flatten(_standardised(params))
    shapes = treedef.unflatten([jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves])
    jaxpr = jax.make_jaxpr(apply)(shapes, *inputs).jaxpr
    weights = zip(leaves, jaxpr.invars[: len(leaves)], strict=True)
    return treedef.unflatten([x.astype(_read_as(jaxpr, variable)) for x, variable in weights])


def _standardised(params: Params) -> Params:
    """`params` with the standardised weights of `Standardised` layers."""
    if not isinstance(params, Mapping):
        return params
    if not {"kernel", "scale"} <= params.keys():
        return {name: _standardised(part) for name, part in params.items()}
    rest = {name: part for name, part in params.items() if name != "scale"}
    return rest | {"kernel": standardised(params["kernel"], params["scale"])}


def _read_as(jaxpr: Any, variable: Any) -> PyTree:
    """The dtype to which `jaxpr` casts an input at every use; if there is none, the input's dtype."""
    readers = [equation for equation in jaxpr.eqns if any(x is variable for x in equation.invars)]
    dtypes = {
        equation.params["new_dtype"] if equation.primitive.name == "convert_element_type" else None
        for equation in readers
    }
    same = len(dtypes) == 1 and None not in dtypes and not any(x is variable for x in jaxpr.outvars)
    return dtypes.pop() if same else variable.aval.dtype
