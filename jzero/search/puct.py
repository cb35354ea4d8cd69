"""PUCT search (AlphaZero, MuZero): noise at the root, the best score at every node, actions sampled by visits.

Axes: B games, A actions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx
from mctx import PolicyOutput, RootFnOutput

from jzero.pytrees import Params
from jzero.search import arguments, layout, reuse, scores, walk
from jzero.search import root as root_lib
from jzero.search.chance import by_kind
from jzero.search.fallback import by_mctx
from jzero.search.noise import dirichlet_over_legal
from jzero.search.options import Options, options_of
from jzero.search.outputs import checked_model
from jzero.search.proofs import closed_actions, without_closed
from jzero.search.qtransforms import (
    QTransform,
    is_of_rows,
    qtransform_by_parent_and_siblings,
    transform_row,
)
from jzero.search.tree import Tree
from jzero.search.types import Chance, Choices, Node, Rules, Select


def muzero_policy(
    params: Params,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int | jax.Array,
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
    **more: Any,
) -> PolicyOutput:
    """PUCT search (AlphaZero, MuZero).

    Args:
      params: passed to `recurrent_fn`.
      rng_key: a key; consumed.
      root: `prior_logits` [B, A], `value` [B], `embedding` [B, ...].
      recurrent_fn: `(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`.
      num_simulations: simulations per game.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      max_depth: largest number of edges in a path.
      loop_fn: runs the simulations; `jax.lax.fori_loop` or a function of its signature.
      qtransform: normalises a node's Q-values.
      dirichlet_fraction: share of noise in the root's prior, in [0, 1].
      dirichlet_alpha: concentration of the noise.
      pb_c_init: c_1 of PUCT.
      pb_c_base: c_2 of PUCT.
      temperature: actions are sampled in proportion to `visits ** (1 / temperature)`; 0 takes the most visited.
      more: the fields of `Options`.

    Returns:
      `action` [B], `action_weights` [B, A] (shares of the root's visits), `search_tree`.

    Raises:
      ValueError: an argument does not fit, see `arguments.py`.
      TypeError: an option is unknown.
    """
    options = options_of("muzero_policy", more)
    size = arguments.check(root, num_simulations, invalid_actions, options, loop_fn)
    arguments.check_puct(num_simulations, options)
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
        return mctx.muzero_policy(
            *shared,
            qtransform=qtransform,
            dirichlet_fraction=dirichlet_fraction,
            dirichlet_alpha=dirichlet_alpha,
            pb_c_init=pb_c_init,
            pb_c_base=pb_c_base,
            temperature=temperature,
        )
    recurrent_fn = checked_model(recurrent_fn, root)
    selecting = functools.partial(
        puct_select,
        qtransform,
        pb_c_init=pb_c_init,
        pb_c_base=pb_c_base,
        virtual=options.virtual,
        num_actions=None if options.chance is None else options.chance.num_actions,
    )
    rules = puct_rules(
        recurrent_fn,
        selecting(),
        forcing=selecting(forced=options.forced) if options.forced else None,
        of_rows=is_of_rows(qtransform, pb_c_init, pb_c_base, options.forced),
        to_play=options.to_play,
        max_depth=max_depth,
        chance=options.chance,
    )
    rng_key, noise_key, search_key = jax.random.split(rng_key, 3)
    logits, invalid = noisy_logits(
        noise_key,
        root,
        invalid_actions,
        dirichlet_fraction=dirichlet_fraction,
        dirichlet_alpha=dirichlet_alpha,
    )
    fresh = root_lib.fresh_tree(
        logits, root, size, invalid, options.to_play, options.model_state, solve=options.solve
    )
    tree = fresh if options.tree is None else reuse.with_root(options.tree, fresh, size.start)
    search = root_lib.search_by(options.leaves, loop_fn)
    tree = search(params, search_key, tree, rules, num_simulations=num_simulations, start=size.start)
    if options.check:
        arguments.check_tree(tree)
    weights = None
    if options.forced:
        weights = _weights_without_forced(tree, qtransform, options, pb_c_init=pb_c_init, pb_c_base=pb_c_base)
    return by_visits(rng_key, tree, temperature, weights)


def puct_select(
    qtransform: QTransform,
    *,
    pb_c_init: float | jax.Array,
    pb_c_base: float | jax.Array,
    virtual: str,
    num_actions: int | None = None,
    forced: float = 0.0,
) -> Select:
    """Chooses the largest PUCT score; arguments as in `muzero_policy`, `num_actions` as in `transform_row`."""
    pb_c_init, pb_c_base, forced = map(root_lib.as_float32, (pb_c_init, pb_c_base, forced))

    def select(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        counts = node.row
        if node.in_flight is not None:
            row, counts = scores.in_flight(node.row, node.in_flight, virtual)
            node = node._replace(row=row)
        qvalues = transform_row(qtransform, tree, node, num_actions)
        score = scores.puct(counts, qvalues, pb_c_init=pb_c_init, pb_c_base=pb_c_base)
        if forced:
            score = scores.forcing(counts, score, forced)
        return scores.choose(counts, without_closed(score, node), node.codes)

    return select


def puct_rules(
    recurrent_fn: Callable,
    select: Select,
    *,
    of_rows: bool,
    forcing: Select | None = None,
    to_play: Callable | None = None,
    max_depth: int | jax.Array | None = None,
    chance: Chance | None = None,
) -> Rules:
    """Rules that use `select` at every node, or `forcing` at the root.

    `of_rows`: `select` reads only the node's row and closes over no arrays.
    """
    interior, at_root = by_kind(select, chance), select if forcing is None else forcing
    choices = Choices(root_lib.of_row(at_root), root_lib.of_row(interior)) if of_rows else None
    return Rules(
        recurrent_fn, at_root, interior, to_play=to_play, max_depth=max_depth, chance=chance, choices=choices
    )


def noisy_logits(
    rng_key: jax.Array,
    root: RootFnOutput,
    invalid_actions: jax.Array | None,
    *,
    dirichlet_fraction: float | jax.Array,
    dirichlet_alpha: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """`root.legal_logits`, with noise in the prior."""
    logits, invalid = root_lib.legal_logits(root, invalid_actions)
    prior = jax.nn.softmax(logits, axis=-1)
    noisy = prior
    if not (isinstance(dirichlet_fraction, float) and dirichlet_fraction == 0):  # the sampler compiles slowly
        noise = dirichlet_over_legal(rng_key, logits > -jnp.inf, root_lib.as_float32(dirichlet_alpha))
        fraction = root_lib.as_float32(dirichlet_fraction)
        noisy = (1 - fraction) * prior + fraction * noise
    return root_lib.mask_invalid_actions(jnp.log(jnp.maximum(noisy, scores.TINY)), invalid), invalid


def by_visits(
    rng_key: jax.Array, tree: Tree, temperature: float | jax.Array, weights: jax.Array | None = None
) -> PolicyOutput:
    """Actions sampled in proportion to `weights ** (1 / temperature)`, by default the root's visit shares."""
    if weights is None:
        weights = tree.summary().visit_probs if tree.edge_bounds is None else _weights_of_open(tree)
    action = jax.random.categorical(rng_key, temper(jnp.log(weights), temperature))
    return root_lib.output(action.astype(jnp.int32), weights, tree)


def _weights_without_forced(
    tree: Tree,
    qtransform: QTransform,
    options: Options,
    *,
    pb_c_init: float | jax.Array,
    pb_c_base: float | jax.Array,
) -> jax.Array:
    """f32[B, A] shares of the root's visits, without purely forced ones."""
    node, shown = walk.root_node(tree), None if options.chance is None else options.chance.num_actions
    actions, used = tree.actions_of(node.slots), node.row.visits > 0
    best = scores.first_best(tree.summary().visit_counts)
    kept = scores.without_forced(
        node.row,
        transform_row(qtransform, tree, node, shown),
        used & (actions == best[:, None]),
        root_lib.as_float32(options.forced),
        pb_c_init=root_lib.as_float32(pb_c_init),
        pb_c_base=root_lib.as_float32(pb_c_base),
    )
    kept = layout.by_action(kept, actions, used, tree.num_actions, 0.0)
    return kept / jnp.sum(kept, axis=-1, keepdims=True)


def _weights_of_open(tree: Tree) -> jax.Array:
    """f32[B, A] visit shares of the root's actions that are not closed; without visits, their prior."""
    closed, root = closed_actions(tree), tree.children[:, Tree.ROOT_INDEX]
    logits = layout.by_action(
        root[..., layout.PRIOR],
        tree.actions_of(root),
        root[..., layout.VISITS] > 0,
        tree.num_actions,
        tree.open_priors[:, Tree.ROOT_INDEX],
    )
    visits = jnp.where(closed, 0.0, tree.summary().visit_counts)
    total = jnp.sum(visits, axis=-1, keepdims=True)
    prior = jax.nn.softmax(jnp.where(closed, -jnp.inf, logits), axis=-1)
    return jnp.where(total > 0, visits / jnp.maximum(total, 1), prior)


def temper(logits: jax.Array, temperature: float | jax.Array) -> jax.Array:
    """Logits [..., A] of `weights ** (1 / temperature)`, given those of the weights; safe at temperature 0."""
    relative = logits - jnp.max(logits, axis=-1, keepdims=True)
    return relative / jnp.maximum(root_lib.as_float32(temperature), scores.TINY)
