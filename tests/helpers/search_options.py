"""One small search of each kind, of a model whose states hold a random key."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jzero import search

A, B, C, N = 3, 4, 2, 6


def logits_of(state: Any, width: int) -> jax.Array:
    """f32[B, width]"""
    return jax.vmap(lambda key: jax.random.normal(key, (width,), jnp.float32))(state["key"])


def value_of(state: Any) -> jax.Array:
    """f32[B]"""
    return jnp.sin(state["pos"])


def advance(state: Any, action: jax.Array) -> Any:
    return {
        "pos": 1.5 * state["pos"] + action.astype(jnp.float32),
        "key": jax.vmap(jax.random.fold_in)(state["key"], action),
    }


def model(params: Any, key: jax.Array, action: jax.Array, state: Any) -> tuple[search.RecurrentFnOutput, Any]:
    state = advance(state, action)
    value = value_of(state)
    step = search.RecurrentFnOutput(
        reward=0.1 * action.astype(jnp.float32),
        discount=jnp.full_like(value, 0.9),
        prior_logits=logits_of(state, A),
        value=value,
    )
    return step, state


def decide(params: Any, key: jax.Array, action: jax.Array, state: Any) -> tuple[jax.Array, Any]:
    state = advance(state, action)
    return logits_of(state, C), state


def decide_with_value(params: Any, key: jax.Array, action: jax.Array, state: Any) -> tuple[Any, Any]:
    logits, state = decide(params, key, action, state)
    return search.DecisionRecurrentFnOutput(chance_logits=logits, afterstate_value=value_of(state)), state


def resolve(params: Any, key: jax.Array, outcome: jax.Array, state: Any) -> tuple[Any, Any]:
    step, state = model(params, key, outcome, state)
    output = search.ChanceRecurrentFnOutput(
        action_logits=step.prior_logits, value=step.value, reward=step.reward, discount=step.discount
    )
    return output, state


def for_players(params: Any, key: jax.Array, action: jax.Array, state: Any) -> tuple[Any, Any]:
    step, state = model(params, key, action, state)
    both = jnp.stack([step.value, -step.value], axis=-1)
    return step.replace(value=both, reward=0.1 * both), state


def to_play(state: Any) -> jax.Array:
    return jnp.floor(state["pos"]).astype(jnp.int32) % 2


def reused(policy: Callable, key: jax.Array, root: Any) -> Any:
    output = policy((), key, root, model, N, num_nodes=2 * N)
    return policy((), key, root, model, N, tree=search.subtree(output.search_tree, output.action))


def by_user(tree: Any, node_index: Any) -> jax.Array:
    visited = tree.children_visits[node_index] > 0
    return jnp.where(visited, tree.qvalues(node_index), tree.node_values[node_index])


MASK = jnp.zeros((B, A), jnp.int32).at[0, 0].set(1)
SEARCHES: dict[str, Callable[[jax.Array, Any], Any]] = {
    "muzero": lambda key, root: search.muzero_policy((), key, root, model, N, MASK),
    "gumbel": lambda key, root: search.gumbel_muzero_policy((), key, root, model, N, MASK),
    "user": lambda key, root: search.muzero_policy((), key, root, model, N, max_depth=2, qtransform=by_user),
    "muzero-reused": lambda key, root: reused(search.muzero_policy, key, root),
    "gumbel-reused": lambda key, root: reused(search.gumbel_muzero_policy, key, root),
    "muzero-leaves": lambda key, root: search.muzero_policy(
        (), key, root, model, N, leaves=2, virtual="loss"
    ),
    "gumbel-leaves": lambda key, root: search.gumbel_muzero_policy((), key, root, model, N, leaves=2),
    "players": lambda key, root: search.muzero_policy(
        (),
        key,
        root.replace(value=jnp.stack([root.value, -root.value], axis=-1)),
        for_players,
        N,
        to_play=to_play,
    ),
    "stochastic": lambda key, root: search.stochastic_muzero_policy(
        (), key, root, decide_with_value, resolve, N, MASK
    ),
    "chance": lambda key, root: search.with_chance(search.gumbel_muzero_policy, decide)(
        (), key, root, model, N, MASK
    ),
    "worlds": lambda key, root: (
        search.search_worlds(search.gumbel_muzero_policy, (), key, root, model, N, num_worlds=2).worlds
    ),
}
"""(key, root) -> PolicyOutput."""


def root(keys: jax.Array) -> search.RootFnOutput:
    """A root for each of the `keys` [B]."""
    state = {"pos": jnp.arange(B, dtype=jnp.float32), "key": keys}
    return search.RootFnOutput(prior_logits=logits_of(state, A), value=value_of(state), embedding=state)
