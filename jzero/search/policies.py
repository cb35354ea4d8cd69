"""Search policies with mctx's signatures: prepare the root, walk, choose.

Axes: B games, A actions. `from jzero import search as mctx` runs code written for mctx. Deliberate differences:

- Dirichlet noise is drawn over the legal actions only (mctx: over all, then masked);
- ties go to the action of greater prior, then to the lower one (mctx: 1e-7 of noise at each hop in PUCT, the
  lower action in Gumbel search);
- a transform of Q-values must give all unvisited actions of a node the same value, as those of mctx do;
- a step of discount 0 makes a terminal node, which is never expanded below (mctx expands it);
- a node cut off by `max_depth` is evaluated once (mctx: again at each visit, which differs if the model draws);
- a prior logit of -inf from the model masks an action at interior nodes;
- statistics are float32 whatever the network's dtype;
- `qtransform_completed_by_mix_value` has `epsilon` 0.01 (mctx: 1e-8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from mctx import PolicyOutput, RootFnOutput

from jzero.search import scores, walk
from jzero.search import tree as tree_lib
from jzero.search.qtransforms import (
    QTransform,
    qtransform_by_parent_and_siblings,
    qtransform_completed_by_mix_value,
    transform_row,
)
from jzero.search.tree import Tree, init_tree


class GumbelExtraData(NamedTuple):
    """What a Gumbel search keeps with its tree."""

    root_gumbel: jax.Array
    """f32[B, A] the noise of the root's actions."""


def muzero_policy(
    params: Any,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int,
    invalid_actions: jax.Array | None = None,
    max_depth: int | jax.Array | None = None,
    loop_fn: Callable = jax.lax.fori_loop,
    *,
    qtransform: QTransform = qtransform_by_parent_and_siblings,
    dirichlet_fraction: float | jax.Array = 0.25,
    dirichlet_alpha: float | jax.Array = 0.3,
    pb_c_init: float | jax.Array = 1.25,
    pb_c_base: float | jax.Array = 19652,
    temperature: float | jax.Array = 1.0,
) -> PolicyOutput:
    """PUCT search (AlphaZero, MuZero).

    Args:
      params: passed to `recurrent_fn`.
      rng_key: a key; consumed.
      root: `prior_logits` [B, A], `value` [B], `embedding` [B, ...].
      recurrent_fn: `(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`.
      num_simulations: simulations a game.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      max_depth: greatest number of edges of a path.
      loop_fn: runs the simulations; `jax.lax.fori_loop` or a function of its signature.
      qtransform: normalises a node's Q-values.
      dirichlet_fraction: share of noise in the root's prior, in [0, 1].
      dirichlet_alpha: concentration of the noise.
      pb_c_init: c_1 of PUCT.
      pb_c_base: c_2 of PUCT.
      temperature: actions are drawn in proportion to `visits ** (1 / temperature)`; 0 takes the most visited.

    Returns:
      `action` [B], `action_weights` [B, A] (shares of the root's visits), `search_tree`.
    """
    _check_arguments(root, num_simulations, invalid_actions)
    rng_key, noise_key, search_key = jax.random.split(rng_key, 3)
    invalid = _invalid_or_none(invalid_actions, root)
    logits = mask_invalid_actions(jnp.asarray(root.prior_logits, jnp.float32), invalid)
    prior = jax.nn.softmax(logits, axis=-1)
    noisy = prior
    if not (isinstance(dirichlet_fraction, float) and dirichlet_fraction == 0):  # the sampler compiles slowly
        noise = dirichlet_over_legal(noise_key, logits > -jnp.inf, dirichlet_alpha)
        noisy = (1 - dirichlet_fraction) * prior + dirichlet_fraction * noise
    noisy_logits = mask_invalid_actions(jnp.log(jnp.maximum(noisy, scores.TINY)), invalid)

    def select(tree: Tree, node: walk.Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        qvalues = transform_row(qtransform, tree, node)
        score = scores.puct(node.row, qvalues, pb_c_init=pb_c_init, pb_c_base=pb_c_base)
        return scores.choose(node.row, score, node.codes)

    tree = walk.search(
        params,
        search_key,
        init_tree(
            noisy_logits,
            jnp.asarray(root.value),
            root.embedding,
            num_simulations=num_simulations,
            invalid_actions=invalid,
        ),
        recurrent_fn=recurrent_fn,
        root_select=select,
        interior_select=select,
        num_simulations=num_simulations,
        max_depth=max_depth,
        loop_fn=loop_fn,
    )
    weights = tree.summary().visit_probs
    action = jax.random.categorical(rng_key, _temper(weights, temperature))
    return _output(action.astype(jnp.int32), weights, tree)


def gumbel_muzero_policy(
    params: Any,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int,
    invalid_actions: jax.Array | None = None,
    max_depth: int | jax.Array | None = None,
    loop_fn: Callable = jax.lax.fori_loop,
    *,
    qtransform: QTransform = qtransform_completed_by_mix_value,
    max_num_considered_actions: int = 16,
    gumbel_scale: float | jax.Array = 1.0,
) -> PolicyOutput:
    """Gumbel search: sequential halving at the root, the improved policy elsewhere (Danihelka et al. 2022).

    Args:
      params: passed to `recurrent_fn`.
      rng_key: a key; consumed.
      root: `prior_logits` [B, A], `value` [B], `embedding` [B, ...].
      recurrent_fn: `(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`.
      num_simulations: simulations a game.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      max_depth: greatest number of edges of a path.
      loop_fn: runs the simulations; `jax.lax.fori_loop` or a function of its signature.
      qtransform: completes and scales a node's Q-values.
      max_num_considered_actions: actions of the first halving round (fewer where fewer are legal).
      gumbel_scale: scale of the root's noise; 0 to play for strength.

    Returns:
      `action` [B], `action_weights` [B, A] (the improved policy, a target for the policy network), `search_tree`.
    """
    _check_arguments(root, num_simulations, invalid_actions)
    rng_key, gumbel_key = jax.random.split(rng_key)
    invalid = _invalid_or_none(invalid_actions, root)
    logits = mask_invalid_actions(jnp.asarray(root.prior_logits, jnp.float32), invalid)
    illegal = logits == -jnp.inf
    gumbel = gumbel_scale * jax.random.gumbel(gumbel_key, logits.shape, logits.dtype)

    # Untried actions share one value, so those of a halving are the first of this order, whatever is found.
    width = min(max_num_considered_actions, logits.shape[1], num_simulations)
    keys, order = jax.lax.top_k(gumbel + logits, width)
    num_considered = jnp.minimum(max_num_considered_actions, jnp.sum(~illegal, axis=-1))
    table = jnp.asarray(scores.considered_visits(max_num_considered_actions, num_simulations))
    # Relative to the best logit, so that the floor of a score lies below every considered action.
    keys = keys - jnp.max(logits, axis=-1, keepdims=True)

    def best_considered(tree: Tree, node: walk.Node, considered_visit: jax.Array) -> tuple:
        visits = node.row.visits
        qvalues = transform_row(qtransform, tree, node)
        score = scores.gumbel_considered(considered_visit, keys, qvalues, visits)
        return scores.best_slot(score, node.codes)

    def select_root(tree: Tree, node: walk.Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        simulation = node.row.node_visits.astype(jnp.int32) - 1
        _, slot, code = best_considered(tree, node, table[num_considered, simulation])
        return slot, code, jnp.zeros_like(slot, dtype=bool)

    def select_interior(tree: Tree, node: walk.Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        qvalues = transform_row(qtransform, tree, node)
        return scores.choose(node.row, scores.gumbel_interior(node.row, qvalues), node.codes)

    tree = walk.search(
        params,
        rng_key,
        init_tree(
            logits,
            jnp.asarray(root.value),
            root.embedding,
            num_simulations=num_simulations,
            invalid_actions=invalid,
            root_order=order,
            extra_data=GumbelExtraData(root_gumbel=gumbel),
        ),
        recurrent_fn=recurrent_fn,
        root_select=select_root,
        interior_select=select_interior,
        root_width=width,
        num_simulations=num_simulations,
        max_depth=max_depth,
        loop_fn=loop_fn,
    )
    # Among the most visited actions, the one with the greatest gumbel + logits + q.
    node = walk.root_node(tree, width)
    _, slot, _ = best_considered(tree, node, jnp.max(node.row.visits, axis=-1))
    action = jnp.take_along_axis(order, slot[:, None], axis=-1)[:, 0]
    qvalues = transform_row(qtransform, tree, node)
    completed = tree_lib.by_action(
        qvalues.slots, order, node.row.visits > 0, logits.shape[1], qvalues.best_open
    )
    weights = jax.nn.softmax(mask_invalid_actions(logits + completed, invalid), axis=-1)
    return _output(action.astype(jnp.int32), weights, tree)


def dirichlet_over_legal(rng_key: jax.Array, legal: jax.Array, alpha: float | jax.Array) -> jax.Array:
    """Dirichlet(alpha) noise over the legal actions of each row of `legal` bool[B, A]; 0 elsewhere.

    Drawn as the softmax of log-gamma variables, which do not underflow for small `alpha`.
    """
    log_gamma = jax.random.loggamma(rng_key, alpha, legal.shape)
    return jax.nn.softmax(jnp.where(legal, log_gamma, -jnp.inf), axis=-1)


def mask_invalid_actions(logits: jax.Array, invalid_actions: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf at invalid actions; a row without any valid action becomes uniform."""
    masked = jnp.where(invalid_actions > 0, -jnp.inf, logits)
    return jnp.where(jnp.any(masked > -jnp.inf, axis=-1, keepdims=True), masked, 0.0)


def _output(action: jax.Array, action_weights: jax.Array, tree: Tree) -> PolicyOutput:
    """The result in the type that mctx has, around our tree."""
    return PolicyOutput(action=action, action_weights=action_weights, search_tree=cast(Any, tree))


def _invalid_or_none(invalid_actions: jax.Array | None, root: RootFnOutput) -> jax.Array:
    if invalid_actions is None:
        return jnp.zeros_like(root.prior_logits, dtype=bool)
    return invalid_actions


def _check_arguments(root: RootFnOutput, num_simulations: int, invalid_actions: jax.Array | None) -> None:
    """Raises ValueError for shapes that do not fit or a search without simulations."""
    shape = jnp.shape(root.prior_logits)
    if len(shape) != 2:
        raise ValueError(f"root.prior_logits has shape {shape}; it must be [B, A]: games, actions")
    if jnp.shape(root.value) != shape[:1]:
        raise ValueError(
            f"root.value has shape {jnp.shape(root.value)}; it must be {shape[:1]}, "
            f"one value a row of root.prior_logits {shape}"
        )
    if invalid_actions is not None and jnp.shape(invalid_actions) != shape:
        raise ValueError(
            f"invalid_actions has shape {jnp.shape(invalid_actions)}; it must be that of "
            f"root.prior_logits, {shape}"
        )
    for leaf in jax.tree.leaves(root.embedding):
        if jnp.shape(leaf)[:1] != shape[:1]:
            raise ValueError(
                f"root.embedding has a leaf of shape {jnp.shape(leaf)}; "
                f"its first axis must be the batch, {shape[0]}"
            )
    if num_simulations < 1:
        raise ValueError(
            f"num_simulations is {num_simulations}; it must be at least 1 "
            f"(without a search, use the prior itself)"
        )


def _temper(weights: jax.Array, temperature: float | jax.Array) -> jax.Array:
    """Logits [B, A] of `weights ** (1 / temperature)`, safe at temperature 0."""
    logits = jnp.log(weights) - jnp.log(jnp.max(weights, axis=-1, keepdims=True))
    return logits / jnp.maximum(temperature, 1e-6)
