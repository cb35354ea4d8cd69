"""The exported function: observations to policy and value, with the weights inside.

Axes: B rows, A actions, P players, D dimensions of a continuous action, F the axes of a leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.env import (
    init_batch,
    is_finished,
    random_actions_in,
    restart_batch,
    reveal_batch,
    step_batch,
    where_rows,
)
from jzero.env_spec import EnvSpec
from jzero.networks import LearnedNetwork, Network, Support, squashed
from jzero.pytrees import Observation, Params, PyTree, States

GAMES = 64
"""Number of random games side by side."""


class RootNetwork(NamedTuple):
    """The network at the root of a search: policy and value of an observation."""

    spec: EnvSpec
    """The environment of the observations."""
    apply: Callable[[Any], tuple[jax.Array, jax.Array]]
    """Observations [B, F] as dictionaries, lists or arrays -> (policy, value), both float32.

    The policy is f32[B, A], probabilities of all actions, legal or not: set illegal ones to 0 and divide by the
    sum. With continuous actions it is the mean action f32[B, D]. The value f32[B] is the observing player's; if
    every player has a value it is f32[B, P], the observer's first, then the others' in seat order."""
    observation: Any
    """Shapes [F] and dtypes of one row."""

    def observe(self, states: States) -> PyTree:
        """The input of `apply` for states [B]."""
        return plain(reveal_batch(self.spec.env, states))


def root_network(
    spec: EnvSpec, network: Network | LearnedNetwork, params: Params, support: Support | None = None
) -> RootNetwork:
    """The exported function for a network and its weights.

    Args:
      spec: the environment.
      network: policy and value. For a learned model this is the representation followed by the prediction, without
        the dynamics.
      params: weights of the network.
      support: support of a learned model's values, `Support(muzero.value_limit, muzero.atoms)`.
    """
    example = jax.eval_shape(lambda: spec.seen(jax.random.key(0)))
    treedef = jax.tree.structure(example)
    prepared = network.prepare(params, example)
    read = squashed.mode if spec.action_size else jax.nn.softmax

    def evaluate(observation: Observation) -> tuple[jax.Array, jax.Array]:
        if isinstance(network, Network):
            return network.apply(prepared, observation)
        assert support is not None
        logits, value_logits = network.predict(prepared, network.represent(prepared, observation))
        return logits, support.decode(value_logits)

    def apply(observation: PyTree) -> tuple[jax.Array, jax.Array]:
        policy, value = evaluate(treedef.unflatten(jax.tree.leaves(observation)))
        return read(policy.astype("float32")), value.astype("float32")

    row = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), plain(example))
    return RootNetwork(spec, apply, row)


def plain(tree: PyTree) -> PyTree:
    """The pytree with named tuples as lists, which any program can make; leaves keep their order."""
    if isinstance(tree, dict):
        return {name: plain(part) for name, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return [plain(part) for part in tree]
    leaves = jax.tree.leaves(tree)
    return leaves[0] if len(leaves) == 1 else leaves


def random_observations(net: RootNetwork, number: int, seed: int = 0) -> PyTree:
    """Observations [number, F] of unfinished states of random play; noise if states are in an emulator."""
    if net.spec.external:
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda x: rng.integers(0, 2, (number, *x.shape)).astype(x.dtype), net.observation)
    return jax.device_get(jax.jit(net.observe)(random_states(net.spec, number, seed)))


def random_states(spec: EnvSpec, number: int, seed: int = 0) -> States:
    """Unfinished states [number] of random play, from `GAMES` games that restart when they end."""
    env = spec.env

    def one_ply(states: States, key: jax.Array) -> States:
        move, chance, new = jax.random.split(key, 3)
        states = step_batch(env, states, random_actions_in(env, states, move), chance)
        return where_rows(is_finished(states), restart_batch(env, states, new), states)

    advance = jax.jit(one_ply)
    begin, key = jax.random.split(jax.random.key(seed))
    states, found = jax.jit(init_batch, static_argnums=(0, 2))(env, begin, GAMES), []
    for _ in range(-(-number // GAMES)):
        key, ply = jax.random.split(key)
        states = advance(states, ply)
        found.append(jax.device_get(states))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:number], *found)
