"""Search policies with mctx's signatures: prepare the root, walk, choose.

Axes: B games, A actions. `from jzero import search as mctx` runs code written for mctx. Deliberate differences:

- Dirichlet noise is drawn over the legal actions only (mctx: over all, then masked);
- ties go to the action of greater prior, then to the lower one (mctx: 1e-7 of noise at each hop in PUCT, the
  lower action in Gumbel search);
- a transform of Q-values must give all legal unvisited actions of a node the same value, as those of mctx do;
- a step of discount 0 makes a terminal node, which is never expanded below (mctx expands it);
- a node cut off by `max_depth` is evaluated once (mctx: again at each visit, which differs if the model draws);
- a prior logit of -inf from the model masks an action at interior nodes;
- statistics are float32 whatever the network's dtype;
- `qtransform_completed_by_mix_value` has `epsilon` 0.01 (mctx: 1e-8).

Beyond mctx, every policy takes these keyword arguments:

- `leaves`: so many leaves of each tree are evaluated in one call (see `leaves.py`);
- `tree`: continue with what an earlier search found (see `reuse.py`);
- `num_nodes`: room of the tree, at least one more than the simulations; more if it is to be reused;
- `max_num_simulations`: lets `num_simulations` be traced, up to this many, so that changing it compiles nothing;
- `to_play`: embedding -> i32[B] the player to move. Values and rewards are then [B, P], one a player, and every
  player maximises its own (max^n, Luckhardt and Irani 1986); the discount is not negative;
- `model_state`: anything a model keeps between calls, e.g. a cache (see `cache.py`): `recurrent_fn` takes it as
  fifth argument and returns it as third result; the tree returned has the last one;
- `max_bytes`: raise a ValueError instead of building a larger tree;
- `check`: look for NaN and for rows without a legal action, outside of `jit` only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from mctx import GumbelMuZeroExtraData, PolicyOutput, RootFnOutput

from jzero.search import arguments, layout, reuse, scores, simulate, walk
from jzero.search.leaves import search_leaves
from jzero.search.noise import dirichlet_over_legal
from jzero.search.qtransforms import (
    QTransform,
    is_of_rows,
    qtransform_by_parent_and_siblings,
    qtransform_completed_by_mix_value,
    transform_row,
)
from jzero.search.tree import Tree, give_root_slots, init_tree
from jzero.search.types import Chance, Choices, Node, Rules, Select

NO_TREE: Any = None
"""What a choice that reads rows alone gets as its tree."""


def muzero_policy(
    params: Any,
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
    leaves: int = 1,
    virtual: str = "visit",
    tree: Tree | None = None,
    num_nodes: int | None = None,
    max_num_simulations: int | None = None,
    to_play: Callable | None = None,
    model_state: Any = None,
    max_bytes: int | None = None,
    check: bool = False,
    chance: Chance | None = None,
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
      leaves: leaves of each tree evaluated in one call; divides `num_simulations`.
      virtual: how descents under way count, see `scores.in_flight`: "visit", "loss" or "mean".
      tree: what an earlier search found, see `reuse.subtree`.
      num_nodes: room of the tree.
      max_num_simulations: greatest `num_simulations`, if that is traced.
      to_play: embedding -> i32[B]; values and rewards are [B, P].
      model_state: what the model keeps between calls.
      max_bytes: greatest size of the tree.
      check: look at the values, outside of `jit`.
      chance: set by `with_chance`.

    Returns:
      `action` [B], `action_weights` [B, A] (shares of the root's visits), `search_tree`.

    Raises:
      ValueError: an argument does not fit, see `arguments.py`.
    """
    size = arguments.check(
        root,
        num_simulations,
        invalid_actions,
        leaves=leaves,
        loop_fn=loop_fn,
        tree=tree,
        num_nodes=num_nodes,
        max_num_simulations=max_num_simulations,
        to_play=to_play,
        max_bytes=max_bytes,
        check=check,
        nodes_each=1 if chance is None else 2,
    )
    arguments.check_puct(num_simulations, leaves, virtual)
    return puct_search(
        params,
        rng_key,
        root,
        recurrent_fn,
        num_simulations,
        size,
        select=puct_select(
            qtransform,
            pb_c_init=pb_c_init,
            pb_c_base=pb_c_base,
            virtual=virtual,
            num_actions=None if chance is None else chance.num_actions,
        ),
        of_rows=is_of_rows(qtransform, pb_c_init, pb_c_base),
        invalid_actions=invalid_actions,
        max_depth=max_depth,
        loop_fn=loop_fn,
        dirichlet_fraction=dirichlet_fraction,
        dirichlet_alpha=dirichlet_alpha,
        temperature=temperature,
        leaves=leaves,
        tree=tree,
        to_play=to_play,
        model_state=model_state,
        check=check,
        chance=chance,
    )


def puct_select(
    qtransform: QTransform,
    *,
    pb_c_init: float | jax.Array,
    pb_c_base: float | jax.Array,
    virtual: str,
    num_actions: int | None = None,
) -> Select:
    """Chooses the greatest PUCT score; arguments as in `muzero_policy`, `num_actions` as in `transform_row`."""

    def select(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        counts = node.row
        if node.in_flight is not None:
            row, counts = scores.in_flight(node.row, node.in_flight, virtual)
            node = node._replace(row=row)
        qvalues = transform_row(qtransform, tree, node, num_actions)
        score = scores.puct(counts, qvalues, pb_c_init=pb_c_init, pb_c_base=pb_c_base)
        return scores.choose(counts, score, node.codes)

    return select


def puct_search(
    params: Any,
    rng_key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: Callable,
    num_simulations: int | jax.Array,
    size: arguments.Size,
    *,
    select: Select,
    of_rows: bool,
    invalid_actions: jax.Array | None,
    max_depth: int | jax.Array | None,
    loop_fn: Callable,
    dirichlet_fraction: float | jax.Array,
    dirichlet_alpha: float | jax.Array,
    temperature: float | jax.Array,
    leaves: int,
    tree: Tree | None,
    to_play: Callable | None,
    model_state: Any,
    check: bool,
    chance: Chance | None = None,
) -> PolicyOutput:
    """A search that chooses by `select` at every node, and plays in proportion to visits; see `muzero_policy`.

    `of_rows`: `select` reads nothing but the node's row and closes over no arrays.
    """
    rng_key, noise_key, search_key = jax.random.split(rng_key, 3)
    invalid = _invalid_or_none(invalid_actions, root)
    logits = mask_invalid_actions(jnp.asarray(root.prior_logits, jnp.float32), invalid)
    prior = jax.nn.softmax(logits, axis=-1)
    noisy = prior
    if not (isinstance(dirichlet_fraction, float) and dirichlet_fraction == 0):  # the sampler compiles slowly
        noise = dirichlet_over_legal(noise_key, logits > -jnp.inf, dirichlet_alpha)
        noisy = (1 - dirichlet_fraction) * prior + dirichlet_fraction * noise
    noisy_logits = mask_invalid_actions(jnp.log(jnp.maximum(noisy, scores.TINY)), invalid)
    fresh = _fresh_tree(noisy_logits, root, size, invalid, to_play, model_state)
    tree = fresh if tree is None else reuse.with_root(tree, fresh, size.start)
    interior = by_kind(select, chance)
    tree = _run(
        params,
        search_key,
        tree,
        Rules(
            recurrent_fn,
            select,
            interior,
            to_play=to_play,
            max_depth=max_depth,
            chance=chance,
            choices=Choices(_of_row(select), _of_row(interior)) if of_rows else None,
        ),
        num_simulations=num_simulations,
        start=size.start,
        leaves=leaves,
        loop_fn=loop_fn,
        check=check,
    )
    weights = tree.summary().visit_probs
    action = jax.random.categorical(rng_key, _temper(weights, temperature))
    return _output(action.astype(jnp.int32), weights, tree)


def gumbel_muzero_policy(
    params: Any,
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
    leaves: int = 1,
    tree: Tree | None = None,
    num_nodes: int | None = None,
    max_num_simulations: int | None = None,
    to_play: Callable | None = None,
    model_state: Any = None,
    max_bytes: int | None = None,
    check: bool = False,
    chance: Chance | None = None,
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
      leaves: leaves of each tree evaluated in one call, of those that one round of the halving compares.
      tree: what an earlier search found, see `reuse.subtree`.
      num_nodes: room of the tree.
      max_num_simulations: greatest `num_simulations`, if that is traced.
      to_play: embedding -> i32[B]; values and rewards are [B, P].
      model_state: what the model keeps between calls.
      max_bytes: greatest size of the tree.
      check: look at the values, outside of `jit`.
      chance: set by `with_chance`.

    Returns:
      `action` [B], `action_weights` [B, A] (the improved policy, a target for the policy network), `search_tree`.

    Raises:
      ValueError: an argument does not fit, see `arguments.py`.
    """
    size = arguments.check(
        root,
        num_simulations,
        invalid_actions,
        leaves=leaves,
        loop_fn=loop_fn,
        tree=tree,
        num_nodes=num_nodes,
        max_num_simulations=max_num_simulations,
        to_play=to_play,
        max_bytes=max_bytes,
        check=check,
        nodes_each=1 if chance is None else 2,
    )
    rng_key, gumbel_key = jax.random.split(rng_key)
    invalid = _invalid_or_none(invalid_actions, root)
    logits = mask_invalid_actions(jnp.asarray(root.prior_logits, jnp.float32), invalid)
    illegal = logits == -jnp.inf
    gumbel = gumbel_scale * jax.random.gumbel(gumbel_key, logits.shape, logits.dtype)

    max_num_considered_actions = max(1, max_num_considered_actions)
    # Untried actions share one value, so those of a halving are the first of this order, whatever is found.
    width = min(max_num_considered_actions, logits.shape[1], size.max_num_simulations)
    keys, order = jax.lax.top_k(gumbel + logits, width)
    num_considered = jnp.minimum(max_num_considered_actions, jnp.sum(~illegal, axis=-1))
    table = scores.considered_visits(max_num_considered_actions, num_simulations, size.max_num_simulations)
    rounds = jnp.asarray(table)[num_considered].T
    # Relative to the best logit, so that the floor of a score lies below every considered action.
    keys = keys - jnp.max(logits, axis=-1, keepdims=True)

    extra_data = GumbelMuZeroExtraData(root_gumbel=gumbel)
    fresh = _fresh_tree(logits, root, size, invalid, to_play, model_state, extra_data)
    reused = tree
    if tree is None:
        tree, num_slots = give_root_slots(fresh, order, logits), width
        earlier = jnp.zeros((logits.shape[0], width))
    else:  # behind the considered actions' slots are those of actions that an earlier search tried
        tree, num_slots = reuse.with_root(tree, fresh, size.start, order), tree.children.shape[2]
        earlier = walk.root_node(tree, num_slots).row.visits

    shown = None if chance is None else chance.num_actions

    def best_considered(
        tree: Tree, node: Node, keys: jax.Array, visits: jax.Array, considered: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        width = keys.shape[-1]
        qvalues = transform_row(qtransform, tree, node, shown)
        of_considered = qvalues._replace(slots=qvalues.slots[..., :width])
        score = scores.gumbel_considered(considered, keys, of_considered, visits[..., :width])
        return scores.best_slot(score, node.codes[..., :width])

    def select_root(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        visits = node.row.visits - earlier
        if node.in_flight is not None:
            visits += node.in_flight
        simulation = jnp.sum(visits, axis=-1).astype(jnp.int32)
        considered = jnp.take_along_axis(rounds, simulation[None], axis=0)[0]
        _, slot, code = best_considered(tree, node, keys, visits, considered)
        return slot, code, jnp.zeros_like(slot, dtype=bool)

    def select_root_of_row(
        node: Node, keys: jax.Array, *earlier_and_considered: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        *earlier, considered = earlier_and_considered
        # Padding is never visited as often as the considered actions.
        visits = jnp.where(keys > -jnp.inf, node.row.visits - sum(earlier), jnp.inf)
        _, slot, code = best_considered(NO_TREE, node, keys, visits, considered)
        return slot, code, slot < 0

    def select(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        # What is under way at the root lies in disjoint subtrees, so nothing is under way at a node below it.
        qvalues = transform_row(qtransform, tree, node, shown)
        return scores.choose(node.row, scores.gumbel_interior(node.row, qvalues), node.codes)

    interior, choices = by_kind(select, chance), None
    if is_of_rows(qtransform):
        choices = Choices(
            select_root_of_row,
            _of_row(interior),
            arrays=(keys,) if reused is None else (keys, earlier[:, :width]),
            padding=(-math.inf,) if reused is None else (-math.inf, 0.0),
            rounds=rounds,
        )
    tree = _run(
        params,
        rng_key,
        tree,
        Rules(recurrent_fn, select_root, interior, num_slots, to_play, max_depth, chance, choices),
        num_simulations=num_simulations,
        start=size.start,
        leaves=leaves,
        rounds=rounds,
        loop_fn=loop_fn,
        check=check,
    )
    # Among the actions this search visited most, the one with the greatest gumbel + logits + q.
    node = walk.root_node(tree, num_slots)
    visits = node.row.visits - earlier
    _, slot, _ = best_considered(tree, node, keys, visits, jnp.max(visits[:, :width], axis=-1))
    action = jnp.take_along_axis(order, slot[:, None], axis=-1)[:, 0]
    qvalues = transform_row(qtransform, tree, node, shown)
    completed = layout.by_action(
        qvalues.slots, tree.actions_of(node.slots), node.row.visits > 0, logits.shape[1], qvalues.best_open
    )
    weights = jax.nn.softmax(mask_invalid_actions(logits + completed, invalid), axis=-1)
    return _output(action.astype(jnp.int32), weights, tree)


def _of_row(select: Select) -> Callable:
    """`select` of a node's row alone."""
    return functools.partial(select, NO_TREE)


def by_kind(select: Select, chance: Chance | None) -> Select:
    """`select` at decision nodes; at afterstates the outcome of greatest `P / (N + 1)`."""
    if chance is None:
        return select

    def select_either(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        return where_chance(chance.is_afterstate(node.reached_by), node, select(tree, node))

    return select_either


def where_chance(
    is_chance: jax.Array, node: Node, chosen: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a `walk.Select` returns: what was `chosen`, but where `is_chance` bool[B] what chance draws."""
    row = node.row
    if node.in_flight is not None:
        _, row = scores.in_flight(row, node.in_flight, "visit")
    drawn = scores.choose(row, scores.chance(row), node.codes)
    slot, code, is_open = (jnp.where(is_chance, a, b) for a, b in zip(drawn, chosen, strict=True))
    return slot, code, is_open


def mask_invalid_actions(logits: jax.Array, invalid_actions: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf at invalid actions; a row without any valid action becomes uniform."""
    masked = jnp.where(layout.is_set(invalid_actions), -jnp.inf, logits)
    return jnp.where(jnp.any(masked > -jnp.inf, axis=-1, keepdims=True), masked, 0.0)


def _fresh_tree(
    logits: jax.Array,
    root: RootFnOutput,
    size: arguments.Size,
    invalid: jax.Array,
    to_play: Callable | None,
    model_state: Any,
    extra_data: Any = None,
) -> Tree:
    """A tree that holds only the root, with prior `logits` [B, A]."""
    return init_tree(
        logits,
        jnp.asarray(root.value),
        root.embedding,
        num_nodes=size.num_nodes,
        invalid_actions=invalid,
        to_play=None if to_play is None else to_play(root.embedding),
        extra_data=extra_data,
        model_state=model_state,
    )


def _run(
    params: Any,
    rng_key: jax.Array,
    tree: Tree,
    rules: Rules,
    *,
    num_simulations: int | jax.Array,
    start: int,
    leaves: int,
    rounds: jax.Array | None = None,
    loop_fn: Callable,
    check: bool,
) -> Tree:
    """The simulations, one by one or several at a time."""
    if leaves == 1:
        tree = simulate.search(
            params, rng_key, tree, rules, num_simulations=num_simulations, start=start, loop_fn=loop_fn
        )
    else:
        tree = search_leaves(
            params,
            rng_key,
            tree,
            rules,
            num_simulations=num_simulations,
            start=start,
            leaves=leaves,
            rounds=rounds,
        )
    if check:
        arguments.check_tree(tree)
    return tree


def _output(action: jax.Array, action_weights: jax.Array, tree: Tree) -> PolicyOutput:
    """The result in the type that mctx has, around our tree."""
    return PolicyOutput(action=action, action_weights=action_weights, search_tree=cast(Any, tree))


def _invalid_or_none(invalid_actions: jax.Array | None, root: RootFnOutput) -> jax.Array:
    return jnp.zeros_like(root.prior_logits) if invalid_actions is None else invalid_actions


def _temper(weights: jax.Array, temperature: float | jax.Array) -> jax.Array:
    """Logits [B, A] of `weights ** (1 / temperature)`, safe at temperature 0."""
    logits = jnp.log(weights) - jnp.log(jnp.max(weights, axis=-1, keepdims=True))
    return logits / jnp.maximum(temperature, 1e-6)
