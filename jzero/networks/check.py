"""Checks a network that was passed in, before training.

Axes: B rows, A actions, P players, D dimensions of a continuous action, M chance codes, U units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jzero.env import init_batch, observe_batch, random_actions_in, reveal_batch, step_batch, where_rows
from jzero.env_spec import EnvSpec
from jzero.networks.network import Afterstate, LearnedNetwork, Network, Projection
from jzero.pytrees import Observation, Params, PyTree, States

ROWS = 4
"""B."""
NOISE = 0.1
"""Standard deviation of the noise that is added to a vector of weights."""
_MAKERS = {
    Network: "jzero.networks.from_flax, from_equinox or from_haiku",
    LearnedNetwork: "jzero.networks.learned_from_flax",
}
_RANDOM = ("rng", "dropout")
"""Words in the errors of libraries whose modules ask for random numbers."""


class NetworkError(ValueError):
    """A network violates an assumption of jzero."""


def check_kind(network: object, expected: type, algorithm: str) -> None:
    """Raises ValueError unless `network` is of the class that the algorithm needs."""
    if isinstance(network, expected):
        return
    like = (
        ' (or give like="gumbel_muzero" if jzero.train is to make it)' if expected is LearnedNetwork else ""
    )
    raise ValueError(
        f"network is {type(network).__name__}; expected jzero.networks.{expected.__name__}, or a function of "
        f"EnvSpec that returns one, for algorithm {algorithm!r}: make it with {_MAKERS[expected]}, or from plain "
        f"functions{like}"
    )


def check_network(spec: EnvSpec, network: Network | LearnedNetwork, atoms: int = 0) -> None:
    """Calls a new network on a few positions.

    Rows are compared twice: with the initial weights, and with a little noise added to them, since outputs of
    zero-initialised layers depend on nothing.

    Args:
      spec: the environment.
      network: the network that was passed in.
      atoms: atoms of values and rewards, for a learned network.

    Raises:
      NetworkError: a function of the network fails, a weight is not a floating number, an output has the wrong
        shape or dtype or is not finite, or rows depend on each other; the message names the output, its value and
        the expected value.
    """
    key = jax.random.key(0)
    states = _positions(spec, key)
    if isinstance(network, Network):
        inputs, function = reveal_batch(spec.env, states), _policy_value(spec, network)
    else:
        inputs, function = observe_batch(spec.env, states), _learned(spec, network, atoms)
    init, call = jax.jit(partial(_weights, network)), jax.jit(function)
    one_row = jax.tree.map(lambda x: x[:1], inputs)
    call.eval_shape(
        init.eval_shape(key, one_row)[0], inputs
    )  # what is wrong is said before anything is compiled
    params, noisy = init(key, one_row)
    for name, found in call(params, inputs).items():
        if not np.isfinite(values := np.asarray(found, np.float32)).all():
            raise NetworkError(f"network: {name} of initial positions is not finite: {values.ravel()[:4]}")
    inputs = jax.tree.map(lambda x: _different_rows(x, key), inputs)
    for weights in (params, noisy):
        _check_rows(partial(call, weights), inputs)


def _positions(spec: EnvSpec, key: jax.Array) -> States:
    """B initial states. If observations hold other numbers than floats, row i is the state after i random plies.

    `_different_rows` cannot change such numbers. An emulator is not stepped: it cannot go back.
    """
    if spec.external:
        return init_batch(spec.env, key, ROWS)
    seen = jax.tree.leaves(jax.eval_shape(lambda: spec.seen(key)))
    if all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in seen):
        return init_batch(spec.env, key, ROWS)

    def one_ply(ply: jax.Array, states: States) -> States:
        action_key, step_key = jax.random.split(jax.random.fold_in(key, ply))
        after = step_batch(spec.env, states, random_actions_in(spec.env, states, action_key), step_key)
        return where_rows(jnp.arange(ROWS, dtype=jnp.int32) > ply, after, states)

    return jax.jit(lambda: jax.lax.fori_loop(0, ROWS - 1, one_ply, init_batch(spec.env, key, ROWS)))()


def _weights(
    network: Network | LearnedNetwork, key: jax.Array, observation: Observation
) -> tuple[Params, Params]:
    """(initial weights, the same plus noise); raises NetworkError for a weight that has no gradient.

    Features of size 1 become outputs of at most about 1 by the noise.
    """
    params = _call("init", network.init, key, observation)
    for path, leaf in jax.tree.leaves_with_path(params):
        number = isinstance(leaf, bool | int | float | complex)
        dtype = jnp.result_type(leaf) if number else getattr(leaf, "dtype", object)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise NetworkError(
                f"network: params{jax.tree_util.keystr(path)} is {_kind(leaf)}, which has no gradient; expected "
                "float32: keep constants outside of params, such as NumPy arrays in the module or the functions"
            )
    flat, restored = ravel_pytree(
        jax.tree.map(lambda x: jnp.full(jnp.shape(x), _noise(jnp.shape(x))), params)
    )
    noise = restored(flat * jax.random.normal(key, flat.shape, flat.dtype))
    return params, jax.tree.map(lambda x, y: x + y.astype(jnp.result_type(x)), params, noise)


def _noise(shape: tuple[int, ...]) -> float:
    """Standard deviation of the noise of an array of weights."""
    if len(shape) < 2:
        return NOISE
    # Libraries differ in whether the first or the last axis of a matrix is that of the inputs.
    return (max(min(shape[0], shape[-1]), 1) / max(math.prod(shape), 1)) ** 0.5


def _check_rows(call: Callable[[PyTree], dict[str, jax.Array]], inputs: PyTree) -> None:
    """Raises NetworkError if an output of a row changes when rows change places or equal the first row.

    Outputs that are not finite are left out: changed weights or observations may be outside of what a network is
    made for.
    """
    turned = call(jax.tree.map(lambda x: x[::-1], inputs))
    alone = call(jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), inputs))
    for name, found in call(inputs).items():
        found, other, one = (np.asarray(x, np.float32) for x in (found, turned[name], alone[name]))
        if not all(np.isfinite(x).all() for x in (found, other, one)):
            continue
        close = {"rtol": 1e-2, "atol": 1e-3 * max(1.0, np.abs(found).max(initial=0.0))}
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


Outputs = Callable[[Params, Observation], dict[str, jax.Array]]
"""(params, observations) -> the outputs to check, by name; raises NetworkError where their shapes are wrong."""


def _policy_value(spec: EnvSpec, network: Network) -> Outputs:
    """The outputs of AlphaZero's network."""

    def function(params: Params, inputs: Observation) -> dict[str, jax.Array]:
        policy, value = _several("apply", ("policy", "value"), network.apply, params, inputs)
        players = (spec.num_players,) if spec.values_by_seat else ()
        return _expect("policy", policy, (ROWS, spec.num_actions)) | _expect("value", value, (ROWS, *players))

    return function


def _learned(spec: EnvSpec, network: LearnedNetwork, atoms: int) -> Outputs:
    """The outputs of a learned network before and after an action.

    Shapes of the projection are checked too, but not its rows: it serves the loss alone.
    """

    def predict(params: Params, latent: jax.Array, when: str = "") -> dict[str, jax.Array]:
        policy, value = _several("predict", ("policy", "value"), network.predict, params, latent)
        shape = (ROWS, 2 * spec.action_size or spec.num_actions)
        return _expect(f"policy{when}", policy, shape) | _expect_atoms(f"value{when}", value, atoms)

    def function(params: Params, observation: Observation) -> dict[str, jax.Array]:
        latent = _call("represent", network.represent, params, observation)
        _expect_rows("latent of represent", latent)
        found = predict(params, latent)
        if network.projection is not None:
            _check_projection(network.projection, params, latent)
        size = spec.action_size
        before, action = latent, jnp.zeros((ROWS, size)) if size else jnp.zeros(ROWS, jnp.int32)
        if network.afterstate is not None:
            before, decided = _decide(network.afterstate, atoms, params, latent, action)
            found |= decided | _encode(network.afterstate, params, observation)
            codes = network.afterstate.num_codes
            action = jax.nn.one_hot(jnp.zeros(ROWS, jnp.int32), codes, dtype=jnp.float32)
        after, reward = _step(network, params, before, action)
        _expect_alike("latent after a step", after, "latent of represent", latent)
        return found | _expect_atoms("reward", reward, atoms) | predict(params, after, " after a step")

    return function


def _step(
    network: LearnedNetwork, params: Params, latent: jax.Array, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(latent state, reward logits) of `dynamics`, or of the value prefix in its place."""
    prefix = network.prefix
    if prefix is None:
        return _several("dynamics", ("latent", "reward"), network.dynamics, params, latent, action)
    memory = _call("prefix.memory", prefix.memory, ROWS)
    for path, leaf in jax.tree.leaves_with_path(memory):
        _expect_rows(f"memory{jax.tree_util.keystr(path)} of prefix.memory", leaf)
    names = ("latent", "memory", "reward")
    latent, after, reward = _several(
        "prefix.dynamics", names, prefix.dynamics, params, latent, memory, action
    )
    _expect_alike("memory after a step", after, "memory of prefix.memory", memory)
    return latent, reward


def _decide(
    functions: Afterstate, atoms: int, params: Params, latent: jax.Array, action: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The latent afterstate, and the outputs there."""
    afterstate = _call("afterstate.decide", functions.decide, params, latent, action)
    _expect_rows("afterstate of afterstate.decide", afterstate)
    names = ("codes", "value")
    codes, value = _several("afterstate.predict", names, functions.predict, params, afterstate)
    return afterstate, (
        _expect("codes of afterstate.predict", codes, (ROWS, functions.num_codes))
        | _expect_atoms("value of afterstate.predict", value, atoms)
    )


def _encode(functions: Afterstate, params: Params, observation: Observation) -> dict[str, jax.Array]:
    """The encoder's output."""
    found = _call("afterstate.encode", functions.encode, params, observation, observation)
    return _expect("code of afterstate.encode", found, (ROWS, functions.num_codes))


def _check_projection(functions: Projection, params: Params, latent: jax.Array) -> None:
    """Raises NetworkError for wrong shapes of the projection."""
    found = _call("projection.project", functions.project, params, latent)
    if len(_expect_rows("projection of projection.project", found).shape) != 2:
        raise NetworkError(
            f"network: projection of projection.project is {_kind(found)}; expected float32[{ROWS}, U]"
        )
    predicted = _call("projection.predict", functions.predict, params, found)
    _expect_alike("prediction of projection.predict", predicted, "projection of projection.project", found)


def _call(part: str, function: Callable, *arguments: PyTree) -> PyTree:
    """The result of a function of the network; its error becomes a NetworkError that names the function."""
    try:
        return function(*arguments)
    except NetworkError:
        raise
    except Exception as error:  # whatever the user's code raises
        said = " ".join(str(error).split())
        random = part != "init" and any(word in said.lower() for word in _RANDOM)
        hint = ": a network has no random numbers: remove dropout, or make it deterministic" if random else ""
        given = arguments[1:] if len(arguments) > 1 else arguments  # without the key or the params
        raise NetworkError(
            f"network.{part} raised {type(error).__name__} ({said}) for {', '.join(map(_kinds, given))}{hint}"
        ) from error


def _several(part: str, names: tuple[str, ...], function: Callable, *arguments: PyTree) -> PyTree:
    """The results of a function of the network that returns several."""
    found = _call(part, function, *arguments)
    if not isinstance(found, tuple | list) or len(found) != len(names):
        raise NetworkError(
            f"network returns {_kind(found)} from {part}; expected {len(names)} outputs: {', '.join(names)}"
        )
    return found


def _expect(name: str, found: PyTree, shape: tuple[int, ...], why: str = "") -> dict[str, jax.Array]:
    """{name: found}; raises NetworkError unless it is floating, with this shape."""
    if getattr(found, "shape", None) != shape or not jnp.issubdtype(found.dtype, jnp.floating):
        raise NetworkError(
            f"network: {name} is {_kind(found)} for {ROWS} rows; expected float32{list(shape)}{why}"
            + (": squeeze its last axis" if getattr(found, "shape", ()) == (*shape, 1) else "")
        )
    return {name: found}


def _expect_atoms(name: str, found: PyTree, atoms: int) -> dict[str, jax.Array]:
    """`_expect` for logits over the atoms."""
    return _expect(name, found, (ROWS, atoms), f", since the setting muzero.atoms is {atoms}")


def _expect_rows(name: str, found: PyTree) -> jax.Array:
    """`found`; raises NetworkError unless it is one floating array of B rows."""
    shape = getattr(found, "shape", None)
    if not shape or shape[0] != ROWS or not jnp.issubdtype(found.dtype, jnp.floating):
        raise NetworkError(
            f"network: {name} is {_kind(found)} for {ROWS} rows; expected one array float32[{ROWS}, ...]"
        )
    return found


def _expect_alike(name: str, found: PyTree, of: str, wanted: PyTree) -> None:
    """Raises NetworkError unless `found` has the structure, shapes and dtypes of `wanted`."""
    if _kinds(found) != _kinds(wanted) or jax.tree.structure(found) != jax.tree.structure(wanted):
        raise NetworkError(
            f"network: {name} is {_kinds(found)}; expected {_kinds(wanted)}, as the {of}: the search and the loss "
            "keep both in one array"
        )


def _kind(found: PyTree) -> str:
    """Shape and dtype as text."""
    if isinstance(found, tuple | list):
        return f"{len(found)} outputs"
    shape = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"{found.dtype}{list(shape)}"


def _kinds(tree: PyTree) -> str:
    """Shapes and dtypes of a pytree as text, each with its place."""
    leaves = jax.tree.leaves_with_path(tree)
    named = [f"{jax.tree_util.keystr(path)} {_kind(leaf)}".strip() for path, leaf in leaves]
    return named[0] if len(named) == 1 else f"({', '.join(named)})"
