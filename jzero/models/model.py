"""The interface of models that the search plans with.

A model is two functions with mctx's signatures. With continuous actions a node has K candidates, sampled from its
policy and kept in its embedding: the search runs over their indices 0 .. K - 1 and does not see the vectors
(Sampled MuZero, Hubert et al. 2021). Axes: B games, A actions, P players, K candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env_spec import EnvSpec
from jzero.pytrees import Params, PyTree, States
from jzero.search import EvaluationCache, RecurrentFnOutput, RootFnOutput
from jzero.search.chance import Decide

Edge = Callable[[Any, Any], tuple[jax.Array, jax.Array]]
"""(environment states [B], the states after a step) -> (reward, discount); see `Model.edge`."""


def _as_they_are(params: Params) -> PyTree:
    return params


class Model(NamedTuple):
    """How to evaluate a root and how to step from a node."""

    root: Callable[[Any, Any], RootFnOutput]
    """(params, states [B]) -> prior logits [B, A], value [B], embedding. With continuous actions the network's
    policy parameters [B, 2 D] replace the logits; `sample` turns them into candidates."""
    recurrent: Callable[[Any, jax.Array, jax.Array, Any], tuple[RecurrentFnOutput, Any]]
    """(params, key, action [B], embedding) -> (reward, discount, prior logits, value), embedding."""
    edge: Edge
    """(environment states [B], the states after a step) -> reward and discount of the steps, as self-play records
    them: for the player who moved, f32[B], with a discount that is negative if the player to move changes; or
    rewards of all players, f32[B, P], if every player has a value. The discount f32[B] is 0 at a terminal state."""
    to_play: Callable[[Any], jax.Array] | None = None
    """embedding -> i32[B] the player to move, if every player has a value: values and rewards are then [B, P], per
    seat."""
    resample: Callable[[Any, jax.Array, int], Any] | None = None
    """(states [B], key, W) -> states [B * W]: W adjacent worlds per state, consistent with what its player to move
    has seen; None without hidden information."""
    decide: Decide | None = None
    """Afterstates and their chance outcomes; `recurrent` then takes an outcome and an afterstate instead of an
    action and a state. None without explicit chance."""
    sample: Callable[[jax.Array, RootFnOutput], RootFnOutput] | None = None
    """Continuous actions: (key, output of `root`) -> the same with prior logits [B, K] over candidates in its
    embedding; None for discrete actions."""
    afterstate_value: Callable[[Any, Any], jax.Array] | None = None
    """(params, afterstates from `decide`) -> f32[B] their values for the players who acted; None if only the mean
    over outcomes is known."""
    cache: EvaluationCache | None = None
    """`recurrent` with a cache for its network; None if positions have no fingerprint."""
    provable: bool = False
    """Whether a search may prove values: rewards and ends are the game's, with two players whose rewards sum to 0,
    without chance and hidden information."""
    prepare: Callable[[Any], Any] = _as_they_are
    """params -> prepared parameters for the other functions, with the same results and less work per call. Called
    once before a search; see `jzero.networks.prepared`."""

    def sample_actions(self, key: jax.Array, root: RootFnOutput) -> RootFnOutput:
        """The output of `root` with candidates for the search; unchanged for discrete actions."""
        return root if self.sample is None else self.sample(key, root)


def mask_logits(logits: jax.Array, legal: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf where not `legal` bool[B, A]; rows without a legal action are unchanged."""
    return jnp.where(legal | ~jnp.any(legal, axis=-1, keepdims=True), logits, -jnp.inf)


def at_rows(values: jax.Array, index: jax.Array) -> jax.Array:
    """[B, ...]: the entries `index` i32[B] of values [B, K, ...]."""
    return jax.vmap(lambda values, index: values[index])(values, index)


def by_seat(values: jax.Array, mover: jax.Array) -> jax.Array:
    """Values [B, P] by seat, from values [B, P] that start with the player to move i32[B]."""
    return _rolled(values, -mover)


def from_mover(values: jax.Array, mover: jax.Array) -> jax.Array:
    """Values [B, P] that start with the player to move i32[B], from values by seat; the inverse of `by_seat`."""
    return _rolled(values, mover)


def _rolled(values: jax.Array, shift: jax.Array) -> jax.Array:
    num_players = values.shape[-1]
    return jnp.take_along_axis(
        values, (jnp.arange(num_players, dtype=jnp.int32)[None] + shift[:, None]) % num_players, axis=-1
    )


def make_edge(spec: EnvSpec, discount: float) -> Edge:
    """`Model.edge` of an environment, with the discount per ply."""

    def edge(states: States, after: States) -> tuple[jax.Array, jax.Array]:
        if spec.values_by_seat:
            return after.rewards, jnp.where(after.terminated, jnp.float32(0), discount)
        reward = jnp.take_along_axis(after.rewards, states.current_player[:, None], axis=-1)[:, 0]
        sign = jnp.where(after.current_player == states.current_player, jnp.float32(1), -1.0)
        return reward, jnp.where(after.terminated, 0.0, sign * discount)

    return edge
