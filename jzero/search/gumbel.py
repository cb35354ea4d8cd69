"""Gumbel search (Danihelka et al. 2022): sequential halving at the root, the improved policy at other nodes.

Axes: B games, A actions, M considered actions, S the root's slots, T simulations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx
from mctx import GumbelMuZeroExtraData, PolicyOutput, RootFnOutput

from jzero.pytrees import Params
from jzero.search import arguments, layout, proofs, reuse, scores, walk
from jzero.search import root as root_lib
from jzero.search.chance import by_kind
from jzero.search.fallback import by_mctx
from jzero.search.options import OF_PUCT, options_of
from jzero.search.outputs import checked_model
from jzero.search.qtransforms import (
    QTransform,
    is_of_rows,
    qtransform_completed_by_mix_value,
    transform_row,
)
from jzero.search.tree import Tree, give_root_slots
from jzero.search.types import Choices, Node, Rules

Transform = Callable[[Tree, Node], scores.Scores]
"""`transform_row` of a transform of Q-values."""


def gumbel_muzero_policy(
    params: Params,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int | jax.Array,
    invalid_actions: jax.Array | None = None,
    max_depth: int | jax.Array | None = None,
    loop_fn: Callable = jax.lax.fori_loop,
    *,
    qtransform: QTransform = qtransform_completed_by_mix_value,
    max_num_considered_actions: int = 16,
    gumbel_scale: float | jax.Array = 1.0,
    **more: Any,
) -> PolicyOutput:
    """Gumbel search: sequential halving at the root, the improved policy elsewhere (Danihelka et al. 2022).

    Args:
      params: passed to `recurrent_fn`.
      rng_key: a key; consumed.
      root: `prior_logits` [B, A], `value` [B], `embedding` [B, ...].
      recurrent_fn: `(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`.
      num_simulations: simulations per game.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      max_depth: largest number of edges in a path.
      loop_fn: runs the simulations; `jax.lax.fori_loop` or a function with its signature.
      qtransform: completes and scales a node's Q-values.
      max_num_considered_actions: actions in the first halving round (fewer if fewer are legal).
      gumbel_scale: scale of the root's noise; 0 to play for strength.
      more: the fields of `Options`, except those for PUCT.

    Returns:
      `action` [B], `action_weights` [B, A] (the improved policy, a target for the policy network), `search_tree`.

    Raises:
      ValueError: an argument does not fit; see `arguments.py`.
      TypeError: an option is unknown, or belongs to PUCT.
    """
    options = options_of("gumbel_muzero_policy", more, but=OF_PUCT)
    chance, solve = options.chance, options.solve
    size = arguments.check(root, num_simulations, invalid_actions, options, loop_fn)
    if by_mctx(qtransform, root, options):
        shared: Any = (
            params,
            rng_key,
            root,
            recurrent_fn,
            num_simulations,
            invalid_actions,
            max_depth,
            loop_fn,
        )
        return mctx.gumbel_muzero_policy(
            *shared,
            qtransform=qtransform,
            max_num_considered_actions=max_num_considered_actions,
            gumbel_scale=gumbel_scale,
        )
    recurrent_fn = checked_model(recurrent_fn, root)
    rng_key, gumbel_key = jax.random.split(rng_key)
    logits, invalid = root_lib.legal_logits(root, invalid_actions)
    halving = _halving(gumbel_key, gumbel_scale, logits, max_num_considered_actions, num_simulations, size)
    order, width = halving.order, halving.order.shape[1]
    extra_data = GumbelMuZeroExtraData(root_gumbel=halving.gumbel)
    fresh = root_lib.fresh_tree(
        logits, root, size, invalid, options.to_play, options.model_state, extra_data, solve=solve
    )
    tree, reused = options.tree, options.tree is not None
    if tree is None:
        tree, num_slots = give_root_slots(fresh, order, logits), width
        earlier = jnp.zeros((logits.shape[0], width), jnp.float32)
    else:  # behind the considered actions' slots are those of actions that an earlier search tried
        tree, num_slots = reuse.with_root(tree, fresh, size.start, order), tree.children.shape[2]
        earlier = walk.root_node(tree, num_slots).row.visits

    shown = None if chance is None else chance.num_actions
    transform = functools.partial(transform_row, qtransform, num_actions=shown)
    interior, choices = by_kind(functools.partial(_select, transform), chance), None
    if is_of_rows(qtransform):
        choices = Choices(
            functools.partial(_select_root_of_row, transform),
            root_lib.of_row(interior),
            arrays=(halving.keys, earlier[:, :width]) if reused else (halving.keys,),
            padding=(-math.inf, 0.0) if reused else (-math.inf,),
            rounds=halving.rounds,
        )
    select_root = functools.partial(_select_root, transform, halving, earlier)
    rules = Rules(recurrent_fn, select_root, interior, num_slots, options.to_play, max_depth, chance, choices)
    search = root_lib.search_by(options.leaves, loop_fn, halving.rounds)
    tree = search(params, rng_key, tree, rules, num_simulations=num_simulations, start=size.start)
    if options.check:
        arguments.check_tree(tree)

    # Among the actions this search visited most, the one with the greatest gumbel + logits + q.
    node = walk.root_node(tree, num_slots)
    visits = node.row.visits - earlier
    if solve:
        visits = jnp.where(proofs.at_root(tree).slots[:, :num_slots], visits, -1)
    most = jnp.max(visits[:, :width], axis=-1)
    _, slot, _ = _best_considered(transform, tree, node, halving.keys, visits, most)
    action = jnp.take_along_axis(order, slot[:, None], axis=-1)[:, 0]
    qvalues = transform(tree, node)
    completed = layout.by_action(
        qvalues.slots, tree.actions_of(node.slots), node.row.visits > 0, logits.shape[1], qvalues.best_open
    )
    if solve:
        closed = proofs.closed_actions(tree)
        completed = jnp.where(closed, -jnp.inf, completed)
    improved = root_lib.mask_invalid_actions(logits + completed, invalid)
    if solve:  # all considered actions may be closed
        action = jnp.where(most < 0, scores.first_best(improved), action)
    weights = jax.nn.softmax(improved, axis=-1)
    return root_lib.output(action.astype(jnp.int32), weights, tree)


class _Halving(NamedTuple):
    """Quantities that sequential halving compares at the root."""

    gumbel: jax.Array
    """f32[B, A] noise."""
    order: jax.Array
    """i32[B, M] the considered actions, best first."""
    keys: jax.Array
    """f32[B, M] their gumbel + logits, relative to the best logit."""
    rounds: jax.Array
    """i32[T, B] the visit count of the actions that each simulation may choose."""


def _halving(
    rng_key: jax.Array,
    gumbel_scale: float | jax.Array,
    logits: jax.Array,
    max_num_considered_actions: int,
    num_simulations: int | jax.Array,
    size: arguments.Size,
) -> _Halving:
    """Samples the root's noise, which decides the considered actions; `logits` f32[B, A]."""
    illegal = logits == -jnp.inf
    gumbel = root_lib.as_float32(gumbel_scale) * jax.random.gumbel(rng_key, logits.shape, logits.dtype)
    max_num_considered_actions = max(1, max_num_considered_actions)
    # Untried actions share one value, so those of a halving are the first of this order, whatever is found.
    width = min(max_num_considered_actions, logits.shape[1], size.max_num_simulations)
    keys, order = jax.lax.top_k(gumbel + logits, width)
    num_considered = jnp.minimum(max_num_considered_actions, jnp.sum(~illegal, axis=-1, dtype=jnp.int32))
    table = scores.considered_visits(max_num_considered_actions, num_simulations, size.max_num_simulations)
    rounds = jnp.asarray(table)[num_considered].T
    # Relative to the best logit, so that the floor of a score lies below every considered action.
    keys = keys - jnp.max(logits, axis=-1, keepdims=True)
    return _Halving(gumbel, order, keys, rounds)


def _best_considered(
    transform: Transform,
    tree: Tree,
    node: Node,
    keys: jax.Array,
    visits: jax.Array,
    considered: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`scores.best_slot` among the considered actions with `considered` i32[B] visits."""
    width = keys.shape[-1]
    qvalues = transform(tree, node)
    of_considered = qvalues._replace(slots=qvalues.slots[..., :width])
    score = scores.gumbel_considered(considered, keys, of_considered, visits[..., :width])
    if node.bounds is not None and node.in_flight is None:
        every = jnp.maximum(keys + of_considered.slots, scores.FLOOR)
        score = _of_worthwhile(score, every, proofs.worthwhile(node.bounds).slots[..., :width])
    return scores.best_slot(score, node.codes[..., :width])


def _of_worthwhile(score: jax.Array, every: jax.Array, may: jax.Array) -> jax.Array:
    """The `score` [B, M] of considered actions with `may` bool[B, M], which still matter; -inf for the others.

    A round's simulation for a closed action goes to the best of the others, by `every` [B, M].
    """
    in_turn, others = jnp.where(may, score, -jnp.inf), jnp.where(may, every, -jnp.inf)
    some, any_other = proofs.any_of(in_turn > -jnp.inf), proofs.any_of(may)
    return jnp.where(some[..., None], in_turn, jnp.where(any_other[..., None], others, score))


def _select_root(
    transform: Transform, halving: _Halving, earlier: jax.Array, tree: Tree, node: Node
) -> tuple[jax.Array, jax.Array, jax.Array]:
    visits = node.row.visits - earlier
    if node.in_flight is not None:
        visits += node.in_flight
    simulation = jnp.sum(visits, axis=-1).astype(jnp.int32)
    considered = jnp.take_along_axis(halving.rounds, simulation[None], axis=0)[0]
    _, slot, code = _best_considered(transform, tree, node, halving.keys, visits, considered)
    return slot, code, jnp.zeros_like(slot, dtype=bool)


def _select_root_of_row(
    transform: Transform, node: Node, keys: jax.Array, *earlier_and_considered: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    *earlier, considered = earlier_and_considered
    visits = node.row.visits - sum(earlier)
    if node.in_flight is not None:
        visits += node.in_flight
    # Padding is never visited as often as the considered actions.
    visits = jnp.where(keys > -jnp.inf, visits, jnp.inf)
    _, slot, code = _best_considered(transform, root_lib.NO_TREE, node, keys, visits, considered)
    return slot, code, slot < 0


def _select(transform: Transform, tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
    # What is under way at the root lies in disjoint subtrees, so nothing is under way at a node below it.
    qvalues = transform(tree, node)
    score = proofs.without_closed(scores.gumbel_interior(node.row, qvalues), node)
    return scores.choose(node.row, score, node.codes)
