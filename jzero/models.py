"""What the search plans with.

A model is two functions with mctx's signatures. Axes: B games, A actions, P players.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import Env, observe_batch, step_batch
from jzero.networks import MuZeroNet, Support
from jzero.networks.learned import Memory
from jzero.search import EvaluationCache, RecurrentFnOutput, RootFnOutput
from jzero.search.tree import vary_like

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


class Latent(NamedTuple):
    """A node of a learned model. Without a value prefix the last three fields are ()."""

    state: jax.Array
    """f32[B, ...] the latent state."""
    memory: Memory = ()
    """The value prefix's LSTM state."""
    prefix: Any = ()
    """f32[B] rewards predicted since the last reset."""
    depth: Any = ()
    """i32[B] steps from the root."""


class LearnedModel(NamedTuple):
    """A learned model of an environment, for the search and for training."""

    network: MuZeroNet
    value: Support
    reward: Support
    prefix_horizon: int
    """Steps after which the value prefix starts again."""
    discount: float
    """Discount an edge, negative where two players alternate."""

    def call(self, params: Any, *arguments: Any, method: str) -> Any:
        """What a method of the network gives."""
        return self.network.apply(params, *arguments, method=method)

    def represent(self, params: Any, observation: Any) -> Latent:
        """The root's latent state of observations [B, ...]."""
        state = self.call(params, observation, method="represent")
        if not self.network.prefix_width:
            return Latent(state)
        zeros = jnp.zeros_like(state, shape=state.shape[:1])
        memory = jax.tree.map(lambda x: vary_like(x, state), self.network.no_memory(state.shape[0]))
        return Latent(state, memory, zeros, zeros.astype(jnp.int32))

    def predict(self, params: Any, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy logits f32[B, A], value logits f32[B, atoms])."""
        return self.call(params, latent.state, method="predict")

    def evaluate(self, params: Any, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy logits f32[B, A], value f32[B])."""
        logits, value_logits = self.predict(params, latent)
        return logits, self.value.decode(value_logits)

    def root(self, params: Any, observation: Any, legal: jax.Array) -> RootFnOutput:
        """What the search starts from: observations [B, ...] and their legal actions bool[B, A]."""
        latent = self.represent(params, observation)
        logits, value = self.evaluate(params, latent)
        return RootFnOutput(prior_logits=mask_logits(logits, legal), value=value, embedding=latent)

    def step(self, params: Any, latent: Latent, action: jax.Array) -> tuple[Latent, jax.Array]:
        """The latent state after actions i32[B], and the logits f32[B, atoms] of its reward.

        With a value prefix they are those of the sum of rewards since the last reset; every `prefix_horizon` steps,
        counted for each row by itself, the LSTM starts from zero.
        """
        memory = latent.memory
        if self.network.prefix_width:
            memory = jax.tree.map(lambda x: jnp.where(self._resets(latent)[:, None], 0.0, x), memory)
        state, memory, logits = self.call(params, latent.state, memory, action, method="step")
        if not self.network.prefix_width:
            return Latent(state), logits
        return Latent(state, memory, self.reward.decode(logits), latent.depth + 1), logits

    def earned(self, latent: Latent, after: Latent, logits: jax.Array) -> jax.Array:
        """Reward f32[B] of a step: decoded, or the difference of the two prefixes."""
        if not self.network.prefix_width:
            return self.reward.decode(logits)
        return after.prefix - jnp.where(self._resets(latent), 0.0, latent.prefix)

    def _resets(self, latent: Latent) -> jax.Array:
        """bool[B]: the prefix starts again with the step from here."""
        return latent.depth % self.prefix_horizon == 0


def learned_model(env: Env, learned: LearnedModel) -> Model:
    """MuZero's model: planning in latent states; legal actions are known at the root only.

    After the end of a game the model is trained to earn nothing (an absorbing state), so the search needs no
    terminal nodes.
    """

    def root(params: Any, states: Any) -> RootFnOutput:
        return learned.root(params, observe_batch(env, states), states.legal_action_mask)

    def recurrent(
        params: Any, key: jax.Array, action: jax.Array, latent: Latent
    ) -> tuple[RecurrentFnOutput, Latent]:
        del key
        after, reward_logits = learned.step(params, latent, action)
        reward = learned.earned(latent, after, reward_logits)
        logits, value = learned.evaluate(params, after)
        discount = jnp.full_like(reward, learned.discount)
        return RecurrentFnOutput(reward=reward, discount=discount, prior_logits=logits, value=value), after

    return Model(root, recurrent)


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
