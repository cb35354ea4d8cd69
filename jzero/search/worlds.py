"""Search under hidden information: many worlds consistent with the observations, searched as one batch.

A world is a full state sampled consistently with what the player to move has seen. W worlds of each of B games are
B x W rows of an ordinary search; the statistics of their roots are averaged, and the averages decide the action.
(Averaging the worlds' choices would treat guesses that are right in one world each as knowledge.)

This is determinised search (perfect-information Monte Carlo; Long et al. 2010, "Understanding the success of
perfect information Monte Carlo sampling in game tree search"): it plays well if information is revealed soon, and
cannot value hiding or gathering it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from mctx import PolicyOutput, RootFnOutput

from jzero.pytrees import Params, PyTree
from jzero.search import scores
from jzero.search.root import mask_invalid_actions
from jzero.search.tree import Tree


class WorldsOutput(NamedTuple):
    """The combined result of the worlds of each game."""

    action: jax.Array
    """i32[B]"""
    action_weights: jax.Array
    """f32[B, A] the prior improved by the averages, a target for the policy network."""
    visit_counts: jax.Array
    """f32[B, A] mean visits of the root's actions."""
    qvalues: jax.Array
    """f32[B, A] mean Q-value of the root's actions over the worlds that visited them, 0 if none did; all worlds
    have equal weight, repeated ones included."""
    player_qvalues: jax.Array
    """f32[B, A, P] the same for every player in a search with `to_play`; else f32[B, A, 1]."""
    value: jax.Array
    """f32[B] mean value of the root."""
    worlds: PolicyOutput
    """The searches, [B * W] rows; the worlds of a game are adjacent."""


def search_worlds(
    policy: Callable[..., PolicyOutput],
    params: Params,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int | jax.Array,
    invalid_actions: jax.Array | None = None,
    *,
    num_worlds: int,
    improve: Callable[..., scores.Scores] = scores.completed_by_mix_value,
    temperature: float | jax.Array = 0.0,
    **options: Any,
) -> WorldsOutput:
    """Runs `policy` on the worlds of every game and averages the results at the root.

    Args:
      policy: `muzero_policy`, `gumbel_muzero_policy` or one with their signature.
      params: passed to `recurrent_fn`.
      rng_key: a key; consumed. Every world has separate noise.
      root: B * W rows; the W worlds of a game are adjacent.
      recurrent_fn: as for `policy`.
      num_simulations: simulations per world.
      invalid_actions: [B, A] or [B * W, A]: the player to move knows what is legal, so worlds must agree.
      num_worlds: W.
      improve: scales the averaged Q-values, which are added to the prior logits (a `functools.partial` of
        `scores.completed_by_mix_value` with other options).
      temperature: [] or [B]: actions are sampled in proportion to `action_weights ** (1 / temperature)`; 0 takes
        the best.
      **options: passed to `policy`.

    Raises:
      ValueError: the number of rows is not a multiple of `num_worlds`, or `policy` proves values.
    """
    rows = jnp.shape(root.prior_logits)[0]
    if num_worlds < 1 or rows % num_worlds:
        raise ValueError(
            f"root has {rows} rows, which is not a multiple of num_worlds {num_worlds}; "
            f"give the worlds of a game as adjacent rows, [B * W, ...]"
        )
    batch_size = rows // num_worlds
    if invalid_actions is not None and jnp.shape(invalid_actions)[0] == batch_size:
        invalid_actions = jnp.repeat(invalid_actions, num_worlds, axis=0)
    search_key, action_key = jax.random.split(rng_key)
    output = policy(
        params, search_key, root, recurrent_fn, num_simulations, invalid_actions=invalid_actions, **options
    )
    tree = cast(Tree, output.search_tree)
    if tree.edge_bounds is not None:
        raise ValueError(
            "solve is True with search_worlds; a proof in one world is not a proof in the game: set solve=False"
        )
    summary = tree.summary()

    def by_world(x: PyTree) -> jax.Array:
        return jnp.reshape(x, (batch_size, num_worlds, *jnp.shape(x)[1:]))

    def mean(x: PyTree) -> jax.Array:
        return jnp.mean(by_world(x), axis=1)

    visits, raw_value = mean(summary.visit_counts), mean(tree.raw_values[:, 0])
    visited = by_world(summary.visit_counts > 0)[..., None]
    qvalues = summary.qvalues[..., None] if tree.num_players == 1 else tree.root_player_qvalues()
    total = jnp.sum(jnp.where(visited, by_world(qvalues), 0.0), axis=1)
    player_qvalues = total / jnp.maximum(jnp.sum(visited, axis=1, dtype=jnp.float32), 1)
    qvalues = player_qvalues[..., 0]
    if tree.num_players > 1:
        qvalues = jnp.take_along_axis(player_qvalues, by_world(tree.root_player)[:, :1, None], axis=-1)[
            ..., 0
        ]
    prior = mean(jax.nn.softmax(_masked(root.prior_logits, invalid_actions), axis=-1))
    logits = jnp.where(prior > 0, jnp.log(jnp.maximum(prior, scores.TINY)), -jnp.inf)
    logits = logits + _improvement(logits, visits, qvalues, raw_value, mean(summary.value), improve)
    temperature = jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), (batch_size,))
    tempered = logits - jnp.max(logits, axis=-1, keepdims=True)
    drawn = jax.random.categorical(action_key, tempered / jnp.maximum(temperature, 1e-6)[:, None])
    action = jnp.where(temperature > 0, drawn, jnp.argmax(logits, axis=-1))
    return WorldsOutput(
        action=action.astype(jnp.int32),
        action_weights=jax.nn.softmax(logits, axis=-1),
        visit_counts=visits,
        qvalues=qvalues,
        player_qvalues=player_qvalues,
        value=mean(summary.value),
        worlds=output,
    )


def _improvement(
    logits: jax.Array,
    visits: jax.Array,
    qvalues: jax.Array,
    raw_value: jax.Array,
    value: jax.Array,
    improve: Callable[..., scores.Scores],
) -> jax.Array:
    """The output of `improve` for the logits [B, A] of a root with these averages; each action has a slot."""
    nothing = jnp.full_like(value, -jnp.inf)
    row = scores.Row(
        prior_logits=logits,
        visits=visits,
        qvalues=qvalues,
        open_prior=nothing,
        open_mass=nothing,
        prior_mass=jax.nn.logsumexp(logits, axis=-1),
        node_visits=1 + jnp.sum(visits, axis=-1),
        node_value=value,
        raw_value=raw_value,
        num_actions=logits.shape[-1],
    )
    return improve(row).slots


def _masked(logits: Any, invalid_actions: jax.Array | None) -> jax.Array:
    logits = jnp.asarray(logits, jnp.float32)
    return logits if invalid_actions is None else mask_invalid_actions(logits, invalid_actions)
