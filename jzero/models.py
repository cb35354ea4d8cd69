"""What the search plans with.

A model is two functions with mctx's signatures. Axes: B games, A actions, P players.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import Env, observe_batch, step_batch
from jzero.search import EvaluationCache, RecurrentFnOutput, RootFnOutput

Apply = Callable[[Any, Any], tuple[jax.Array, jax.Array]]
"""(params, observation [B, ...]) -> (policy logits f32[B, A], value f32[B])."""


class Model(NamedTuple):
    """How to evaluate a root and how to step from a node."""

    root: Callable[[Any, Any], RootFnOutput]
    """(params, states [B]) -> prior logits [B, A], value [B], embedding."""
    recurrent: Callable[[Any, jax.Array, jax.Array, Any], tuple[RecurrentFnOutput, Any]]
    """(params, key, action [B], embedding) -> (reward, discount, prior logits, value), embedding."""


def simulator_model(env: Env, apply: Apply, *, discount: float = 1.0) -> Model:
    """AlphaZero's model: the environment itself, with a network for policy and value.

    The embedding of a node is the environment's state. Values and rewards are those of the player to move at a
    node, so the discount of an edge is negative when the mover changes, and 0 at a terminal.

    Args:
      env: the environment.
      apply: the network.
      discount: discount a ply.
    """
    evaluate = _evaluator(env, apply)

    def root(params: Any, states: Any) -> RootFnOutput:
        logits, value = evaluate(params, states)
        return RootFnOutput(prior_logits=logits, value=value, embedding=states)

    def recurrent(
        params: Any, key: jax.Array, action: jax.Array, states: Any
    ) -> tuple[RecurrentFnOutput, Any]:
        reward, sign, after = _advance(env, key, action, states, discount)
        logits, value = evaluate(params, after)
        return RecurrentFnOutput(reward=reward, discount=sign, prior_logits=logits, value=value), after

    return Model(root, recurrent)


def cached_simulator(env: Env, apply: Apply, *, discount: float = 1.0) -> EvaluationCache:
    """The recurrent part of `simulator_model` with a cache before its network; see `jzero.search.EvaluationCache`.

    Raises:
      ValueError: the environment has no `fingerprint`.
    """
    fingerprint = getattr(env, "fingerprint", None)
    if fingerprint is None:
        raise ValueError(
            f"{type(env).__name__} has no fingerprint(state) -> u32[2], by which a cache knows positions; add one"
        )
    return EvaluationCache(
        jax.vmap(fingerprint),
        lambda params, key, action, states: _advance(env, key, action, states, discount),
        _evaluator(env, apply),
    )


def _evaluator(env: Env, apply: Apply) -> Callable[[Any, Any], tuple[jax.Array, jax.Array]]:
    """(params, states [B]) -> (logits f32[B, A] of the legal actions, values f32[B])."""

    def evaluate(params: Any, states: Any) -> tuple[jax.Array, jax.Array]:
        logits, value = apply(params, observe_batch(env, states))
        return mask_logits(logits, states.legal_action_mask), value

    return evaluate


def _advance(
    env: Env, key: jax.Array, action: jax.Array, states: Any, discount: float
) -> tuple[jax.Array, jax.Array, Any]:
    """(reward f32[B], discount f32[B], states [B]) of one step."""
    after = step_batch(env, states, action, key)
    return mover_reward(states, after), edge_discount(states, after, discount), after


def mask_logits(logits: jax.Array, legal: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf where not `legal` bool[B, A]; rows without a legal action stay as they are."""
    return jnp.where(legal | ~jnp.any(legal, axis=-1, keepdims=True), logits, -jnp.inf)


def mover_reward(states: Any, after: Any) -> jax.Array:
    """Reward f32[B] of the step from `states` to `after` for the player who moved."""
    return jnp.take_along_axis(after.rewards, states.current_player[:, None], axis=-1)[:, 0]


def edge_discount(states: Any, after: Any, discount: float) -> jax.Array:
    """f32[B]: `discount`, negative when the player to move changes, 0 when the game has terminated."""
    sign = jnp.where(after.current_player == states.current_player, 1.0, -1.0)
    return jnp.where(after.terminated, 0.0, sign * discount)
