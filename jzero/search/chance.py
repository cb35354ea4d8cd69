"""Search with explicit chance: an action leads to an afterstate, and an outcome from there to a state.

Axes: B games, A actions, C outcomes. `with_chance` wraps any policy. Afterstates are nodes of the tree whose edges
are the outcomes, but they are never evaluated: a simulation that opens an action continues with one of its
outcomes, so every simulation evaluates one state, and the value of an action is the mean over its outcomes. At an
afterstate a descent takes the outcome with the largest `P(c) / (N(c) + 1)`, so that visits follow the probabilities
(Antonoglou et al. 2022, section 4, where afterstates are evaluated too: `stochastic_muzero_policy`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from mctx import GumbelMuZeroExtraData, PolicyOutput, RootFnOutput

from jzero.pytrees import Embedding, Params, PyTree, States
from jzero.search import layout, scores, walk
from jzero.search.outputs import checked_model
from jzero.search.tree import Tree, vary_like
from jzero.search.types import Chance, Node, Path, Rules, Select

Decide = Callable[[Any, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
"""(params, rng_key, action i32[B], embedding) -> (chance logits f32[B, C], -inf for an impossible outcome;
afterstates, as embeddings with the same structure, shapes and dtypes)."""


def with_chance(policy: Callable[..., PolicyOutput], decide: Decide) -> Callable[..., PolicyOutput]:
    """`policy` (`muzero_policy`, `gumbel_muzero_policy` or one with their signature) with chance after each action.

    The new policy has the same signature, but its `recurrent_fn` takes outcomes i32[B] and afterstates instead of
    actions and embeddings: `(params, rng_key, outcome, afterstate) -> (RecurrentFnOutput, embedding)`. The
    outcome's edge has the reward and discount of action and outcome, for the player who acted.

    A tree holds up to two nodes per simulation, and A + C edges per node. `max_depth` counts actions. The returned
    tree has the edges of actions, not those of outcomes, and cannot be reused: `tree` raises an error.

    Raises:
      ValueError: an argument does not fit.
    """

    def policy_with_chance(
        params: Params,
        rng_key: jax.Array,
        root: RootFnOutput,
        recurrent_fn: Callable,
        num_simulations: int | jax.Array,
        invalid_actions: jax.Array | None = None,
        max_depth: int | jax.Array | None = None,
        **options: Any,
    ) -> PolicyOutput:
        if options.get("tree") is not None:
            raise ValueError("tree is set; a search with chance cannot reuse a tree: omit it")
        num_actions = jnp.shape(root.prior_logits)[1]
        num_outcomes = _num_outcomes(decide, params, rng_key, root)
        model = checked_model(recurrent_fn, root)
        illegal = jnp.zeros_like(root.prior_logits) if invalid_actions is None else invalid_actions

        def padded(x: PyTree, before: int, after: int, value: float) -> jax.Array:
            return jnp.pad(jnp.asarray(x, jnp.float32), ((0, 0), (before, after)), constant_values=value)

        def decide_edges(
            params: Params, key: jax.Array, action: jax.Array, embedding: Embedding
        ) -> tuple[jax.Array, PyTree]:
            logits, after = decide(params, key, action, embedding)
            return padded(logits, num_actions, 0, -jnp.inf), after

        def resolve(params: Params, key: jax.Array, edge: jax.Array, after: States, *state: Any) -> tuple:
            # Where a path ends in a node that exists, the model is called for nothing, with an edge 0.
            outcome = jnp.maximum(edge - num_actions, 0)
            step, *rest = model(params, key, outcome, after, *state)
            logits = padded(step.prior_logits, 0, num_outcomes, -jnp.inf)
            return (dataclasses.replace(step, prior_logits=logits), *rest)

        output = policy(
            params,
            rng_key,
            RootFnOutput(
                prior_logits=padded(root.prior_logits, 0, num_outcomes, -jnp.inf),
                value=root.value,
                embedding=root.embedding,
            ),
            resolve,
            num_simulations,
            padded(illegal, 0, num_outcomes, 1.0),
            None if max_depth is None else 2 * max_depth,
            chance=Chance(decide_edges, num_actions),
            **options,
        )
        return PolicyOutput(
            action=output.action,
            action_weights=cast(jax.Array, output.action_weights)[:, :num_actions],
            search_tree=cast(Any, actions_alone(cast(Tree, output.search_tree), num_actions, illegal)),
        )

    return policy_with_chance


def by_kind(select: Select, chance: Chance | None) -> Select:
    """`select` at decision nodes; at afterstates the outcome with the largest `P / (N + 1)`."""
    if chance is None:
        return select

    def select_either(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        return where_chance(chance.is_afterstate(node.reached_by), node, select(tree, node))

    return select_either


def where_chance(
    is_chance: jax.Array, node: Node, chosen: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The result of a `types.Select`: `chosen`, except where `is_chance` bool[B], the outcome to visit."""
    row = node.row
    if node.in_flight is not None:
        _, row = scores.in_flight(row, node.in_flight, "visit")
    drawn = scores.choose(row, scores.chance(row), node.codes)
    slot, code, is_open = (jnp.where(is_chance, a, b) for a, b in zip(drawn, chosen, strict=True))
    return slot, code, is_open


def add_afterstates(
    params: Params, rng_key: jax.Array, tree: Tree, rules: Rules, path: Path, new_index: jax.Array
) -> tuple[Tree, Path]:
    """Adds the afterstates of paths that end with an untried action, and continues with an outcome of each.

    An afterstate is not evaluated: it has no visits until the outcome's value is backed up, so its value is the
    mean over its outcomes.

    Args:
      params: passed to the model.
      rng_key: for the model.
      tree: the trees.
      rules: holds the model.
      path: path of every game.
      new_index: i32[] or [B] index of the new afterstates.

    Returns:
      the tree; the paths, whose last edge is an outcome or leads to an existing node.
    """
    chance = cast(Chance, rules.chance)
    rows, num_nodes = jnp.arange(tree.nodes.shape[0], dtype=jnp.int32), tree.nodes.shape[1]
    edge = layout.untried_action(path.child)
    is_new = layout.is_untried(path.child) & (edge < chance.num_actions)
    action = jnp.where(is_new, edge, 0)
    embedding = walk.read_at(tree.embeddings, path.last_node)
    logits, after = chance.decide(params, rng_key, action, embedding)
    player = None if rules.to_play is None else rules.to_play(after)
    one = vary_like(jnp.ones(rows.shape, jnp.float32), tree.nodes)
    nothing = one * 0 if player is None else jnp.zeros_like(one, shape=(*one.shape, tree.num_players))
    fields = layout.node_rows(nothing, nothing, one, path.last_node, action, logits, player)
    fields = fields.at[:, layout.NODE_VISITS].set(0.0)
    target = jnp.where(is_new, new_index, num_nodes)

    def write(array: jax.Array, new: jax.Array) -> jax.Array:
        return array.at[rows, target].set(layout.as_stored(new, array), mode="drop", unique_indices=True)

    embeddings = jax.tree.map(write, tree.embeddings, after)
    tree = walk.open_edges(
        tree, path, is_new, jnp.zeros_like(is_new), jnp.broadcast_to(new_index, rows.shape)
    )
    tree = dataclasses.replace(
        tree,
        nodes=write(tree.nodes, fields),
        open_priors=write(tree.open_priors, logits),
        embeddings=embeddings,
    )
    outcome = layout.untried_code(fields[:, layout.OPEN_ACTION].astype(jnp.int32))
    hop = jnp.where(is_new, path.depth, path.nodes.shape[0])
    return tree, Path(
        nodes=path.nodes.at[hop, rows].set(new_index, mode="drop"),
        slots=path.slots.at[hop, rows].set(0, mode="drop"),
        depth=path.depth + is_new.astype(jnp.int32),
        last_node=jnp.where(is_new, new_index, path.last_node),
        last_slot=jnp.where(is_new, 0, path.last_slot),
        child=jnp.where(is_new, outcome, path.child),
    )


def actions_alone(tree: Tree, num_actions: int, illegal: jax.Array) -> Tree:
    """A tree with A + C edges per node, reduced to the A actions.

    `illegal` [B, A] marks actions that are illegal at the root.
    """
    extra = tree.extra_data
    if isinstance(extra, GumbelMuZeroExtraData):
        gumbel = cast(jax.Array, extra.root_gumbel)
        extra = GumbelMuZeroExtraData(root_gumbel=gumbel[:, :num_actions])
    return dataclasses.replace(
        tree,
        open_priors=tree.open_priors[..., :num_actions],
        root_invalid_actions=illegal,
        extra_data=extra,
    )


def _num_outcomes(decide: Decide, params: Params, rng_key: jax.Array, root: RootFnOutput) -> int:
    """C; raises ValueError if the outputs of `decide` do not fit."""
    batch_size = jnp.shape(root.prior_logits)[0]
    action = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    logits, after = jax.eval_shape(partial(decide, params), rng_key, action, root.embedding)
    if len(logits.shape) != 2 or logits.shape[0] != batch_size:
        raise ValueError(
            f"decide returned chance logits of shape {logits.shape}; they must be [{batch_size}, C]: games, "
            "outcomes"
        )
    before, now = (jax.tree.map(_describe, tree) for tree in (root.embedding, after))
    if before != now:
        raise ValueError(
            f"decide returned afterstates like {now}; they must have the structure, shapes and dtypes of the "
            f"embedding, {before}"
        )
    return logits.shape[1]


def _describe(array: PyTree) -> str:
    return f"{jnp.result_type(array)}{list(jnp.shape(array))}"
