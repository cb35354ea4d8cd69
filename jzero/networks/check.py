"""Checks a network that was passed in, before training.

Axes: B rows, A actions, P players.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import init_batch, observe_batch, reveal_batch
from jzero.env_spec import EnvSpec
from jzero.networks.network import LearnedNetwork, Network
from jzero.pytrees import Observation, Params, PyTree

ROWS = 4


class NetworkError(ValueError):
    """A network violates an assumption of jzero."""


def check_network(spec: EnvSpec, network: Network | LearnedNetwork, atoms: int = 0) -> None:
    """Calls a new network on a few initial positions.

    Args:
      spec: the environment.
      network: the network that was passed in.
      atoms: atoms of values and rewards, for a learned network.

    Raises:
      NetworkError: an output has the wrong shape or dtype or is not finite, or rows depend on each other; the
        message names the output, its value and the expected value.
    """
    key = jax.random.key(0)
    if isinstance(network, Network):
        states = init_batch(spec.env, key, ROWS)
        inputs = reveal_batch(spec.env, states)
        function, wanted = network.apply, _policy_value(spec)
    else:
        inputs = observe_batch(spec.env, init_batch(spec.env, key, ROWS))
        function, wanted = _one_step(spec, network), _learned(spec, atoms)
    params = network.init(key, jax.tree.map(lambda x: x[:1], inputs))
    inputs = jax.tree.map(lambda x: _different_rows(x, key), inputs)
    shapes = jax.eval_shape(function, params, inputs)
    if not isinstance(shapes, tuple) or len(shapes) != len(wanted):
        raise NetworkError(
            f"network returns {_kind(shapes)}; expected {len(wanted)} arrays: {', '.join(wanted)}"
        )
    for (name, shape), found in zip(wanted.items(), shapes, strict=True):
        if getattr(found, "shape", None) != shape or not jnp.issubdtype(found.dtype, jnp.floating):
            raise NetworkError(
                f"network: {name} is {_kind(found)} for {ROWS} rows; expected float32{list(shape)}"
                + (": squeeze its last axis" if getattr(found, "shape", ()) == (*shape, 1) else "")
            )
    call = jax.jit(function)
    outputs, turned = call(params, inputs), call(params, jax.tree.map(lambda x: x[::-1], inputs))
    alone = call(params, jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), inputs))
    for name, found, other, one in zip(wanted, outputs, turned, alone, strict=True):
        found, other, one = (np.asarray(x, np.float32) for x in (found, other, one))
        if not np.isfinite(found).all():
            raise NetworkError(f"network: {name} of initial positions is not finite: {found.ravel()[:4]}")
        close = {"rtol": 1e-2, "atol": 1e-3}
        if not (np.allclose(found, other[::-1], **close) and np.allclose(found[0], one[0], **close)):
            raise NetworkError(
                f"network: {name} of a row changes with the other rows of its batch; expected independent rows: "
                "use LayerNorm or GroupNorm instead of BatchNorm, and no dropout"
            )


def _different_rows(leaf: jax.Array, key: jax.Array) -> jax.Array:
    """Scales rows of floats: initial positions are often equal, which would hide a mean over the batch."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    scale = jnp.arange(1.0, leaf.shape[0] + 1).reshape(-1, *(1,) * (leaf.ndim - 1))
    return (leaf + 0.1 * jax.random.uniform(key, leaf.shape)).astype(leaf.dtype) * scale.astype(leaf.dtype)


def _policy_value(spec: EnvSpec) -> dict[str, tuple[int, ...]]:
    value = (ROWS, spec.num_players) if spec.values_by_seat else (ROWS,)
    return {"policy": (ROWS, spec.num_actions), "value": value}


def _learned(spec: EnvSpec, atoms: int) -> dict[str, tuple[int, ...]]:
    policy, atom = (ROWS, 2 * spec.action_size or spec.num_actions), (ROWS, atoms)
    names = ("policy", "value", "reward", "policy after a step", "value after a step")
    return dict(zip(names, (policy, atom, atom, policy, atom), strict=True))


def _one_step(spec: EnvSpec, network: LearnedNetwork) -> PyTree:
    """(params, observations) -> predictions before and after an action."""

    def function(params: Params, observation: Observation) -> tuple:
        latent = network.represent(params, observation)
        size = spec.action_size
        action = jnp.zeros((ROWS, size)) if size else jnp.zeros(ROWS, jnp.int32)
        after, reward = network.dynamics(params, latent, action)
        policy, value = network.predict(params, latent)
        return policy, value, reward, *network.predict(params, after)

    return function


def _kind(found: PyTree) -> str:
    """Shapes and dtypes as text."""
    if isinstance(found, tuple):
        return f"{len(found)} outputs"
    shape = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"{found.dtype}{list(shape)}"
