"""Search with chance nodes: Stochastic MuZero (Antonoglou et al. 2022).

Axes: B games, A actions, C chance outcomes. An action leads to an afterstate, a chance outcome from there to a
state. Both kinds of node are in one tree of A + C "actions", as in mctx; a node's kind is in its embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx
from mctx import PolicyOutput, RecurrentFnOutput, RootFnOutput

from jzero.pytrees import Embedding, Params, PyTree
from jzero.search import arguments, puct, simulate
from jzero.search import root as root_lib
from jzero.search.chance import actions_alone, where_chance
from jzero.search.fallback import by_mctx
from jzero.search.options import NONE
from jzero.search.outputs import check_output, check_parts, like
from jzero.search.packed import call_packed
from jzero.search.qtransforms import QTransform, is_of_rows, qtransform_by_parent_and_siblings
from jzero.search.tree import Tree
from jzero.search.types import Node


class State(NamedTuple):
    """The embedding of a node of either kind."""

    state_embedding: Any
    """[B, ...] of a decision node; arbitrary at a chance node."""
    afterstate_embedding: Any
    """[B, ...] of a chance node; arbitrary at a decision node."""
    is_decision_node: jax.Array
    """bool[B]"""


DECIDED = "a DecisionRecurrentFnOutput and the afterstate"
RESOLVED = "a ChanceRecurrentFnOutput and the state"


def stochastic_muzero_policy(
    params: Params,
    rng_key: jax.Array,
    root: RootFnOutput,
    decision_recurrent_fn: Callable,
    chance_recurrent_fn: Callable,
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
    packed: bool = False,
) -> PolicyOutput:
    """PUCT search with chance after every action.

    A decision node chooses by PUCT; a chance node takes the outcome with the largest `P(c) / (N(c) + 1)`, so that
    visits follow the model's probabilities. Each simulation expands one node, of either kind.

    Args:
      params: passed to the models.
      rng_key: a key; consumed.
      root: `prior_logits` [B, A], `value` [B], `embedding` [B, ...] of a state.
      decision_recurrent_fn: `(params, rng_key, action [B], state) ->
        (DecisionRecurrentFnOutput(chance_logits [B, C], afterstate_value [B]), afterstate)`.
      chance_recurrent_fn: `(params, rng_key, outcome [B], afterstate) ->
        (ChanceRecurrentFnOutput(action_logits [B, A], value [B], reward [B], discount [B]), state)`.
      num_simulations: simulations per game.
      invalid_actions: [B, A], non-zero where an action is illegal at the root.
      max_depth: largest number of edges in a path; an action and its outcome are two.
      loop_fn: runs the simulations; `jax.lax.fori_loop` or a function with its signature.
      qtransform: normalises a node's Q-values.
      dirichlet_fraction: share of noise in the root's prior.
      dirichlet_alpha: concentration of the noise.
      pb_c_init: c_1 of PUCT.
      pb_c_base: c_2 of PUCT.
      temperature: as in `muzero_policy`.
      packed: call each model only for the rows that need it, in batches of B/4, B/2, 3B/4 or B rows; a model must
        then accept any batch size. Without it both are called for all rows, as in mctx.

    Returns:
      `action` [B], `action_weights` [B, A], `search_tree` (with the edges of actions, not those of chance).

    Raises:
      ValueError: an argument does not fit.
    """
    arguments.check(root, num_simulations, invalid_actions)
    if by_mctx(qtransform, root, NONE):
        models = (decision_recurrent_fn, chance_recurrent_fn)
        shared: Any = (params, rng_key, root, *models, num_simulations, invalid_actions, max_depth, loop_fn)
        return mctx.stochastic_muzero_policy(
            *shared,
            qtransform=qtransform,
            dirichlet_fraction=dirichlet_fraction,
            dirichlet_alpha=dirichlet_alpha,
            pb_c_init=pb_c_init,
            pb_c_base=pb_c_base,
            temperature=temperature,
        )
    call = call_packed if packed else _call_all
    batch_size, num_actions = jnp.shape(root.prior_logits)
    # Called as mctx does: `eval_shape` would trace again what the model creates, such as a module's parameters.
    first = decision_recurrent_fn(params, rng_key, jnp.zeros(batch_size, jnp.int32), root.embedding)
    output, after = check_parts("decision_recurrent_fn", first, 2, DECIDED)
    num_outcomes, afterstate = jnp.shape(output.chance_logits)[-1], jax.eval_shape(lambda: after)

    def padded(x: PyTree, before: int, after: int, value: float) -> jax.Array:
        return jnp.pad(jnp.asarray(x, jnp.float32), ((0, 0), (before, after)), constant_values=value)

    def decide(rows: tuple) -> tuple[RecurrentFnOutput, Embedding]:
        key, action, state = rows
        found = decision_recurrent_fn(params, key, action, state)
        output, after = check_parts("decision_recurrent_fn", found, 2, DECIDED)
        batch = jnp.shape(action)
        shapes = {"chance_logits": (*batch, num_outcomes), "afterstate_value": batch}
        check_output("decision_recurrent_fn", output, shapes)
        value = output.afterstate_value
        step = RecurrentFnOutput(
            reward=jnp.zeros_like(value),
            discount=jnp.ones_like(value),
            prior_logits=padded(output.chance_logits, num_actions, 0, -jnp.inf),
            value=value,
        )
        return step, after

    def resolve(rows: tuple) -> tuple[RecurrentFnOutput, Embedding]:
        key, outcome, after = rows
        found = chance_recurrent_fn(params, key, outcome, after)
        output, state = check_parts("chance_recurrent_fn", found, 2, RESOLVED)
        batch = jnp.shape(outcome)
        shapes = {"action_logits": (*batch, num_actions), "value": batch, "reward": batch, "discount": batch}
        check_output("chance_recurrent_fn", output, shapes)
        logits = padded(output.action_logits, 0, num_outcomes, -jnp.inf)
        step = RecurrentFnOutput(
            reward=output.reward, discount=output.discount, prior_logits=logits, value=output.value
        )
        return step, state

    def recurrent_fn(_: Any, key: jax.Array, edge: jax.Array, node: State) -> tuple[RecurrentFnOutput, State]:
        is_decision = node.is_decision_node
        decided, after = call(lambda rows: decide((key, *rows)), is_decision, (edge, node.state_embedding))
        resolved, state = call(
            lambda rows: resolve((key, *rows)), ~is_decision, (edge - num_actions, node.afterstate_embedding)
        )
        step = jax.tree.map(
            lambda a, b: jnp.where(is_decision.reshape(-1, *(1,) * (a.ndim - 1)), a, b), decided, resolved
        )
        state = like("chance_recurrent_fn", state, node.state_embedding)
        return step, State(state_embedding=state, afterstate_embedding=after, is_decision_node=~is_decision)

    by_puct = puct.puct_select(
        qtransform, pb_c_init=pb_c_init, pb_c_base=pb_c_base, virtual="visit", num_actions=num_actions
    )

    def select(tree: Tree, node: Node) -> tuple[jax.Array, jax.Array, jax.Array]:
        is_chance = (node.reached_by >= 0) & (node.reached_by < num_actions)
        return where_chance(is_chance, node, by_puct(tree, node))

    rng_key, noise_key, search_key = jax.random.split(rng_key, 3)
    logits, illegal = puct.noisy_logits(
        noise_key,
        root,
        invalid_actions,
        dirichlet_fraction=dirichlet_fraction,
        dirichlet_alpha=dirichlet_alpha,
    )
    state = State(
        state_embedding=root.embedding,
        afterstate_embedding=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), afterstate),
        is_decision_node=jnp.ones(batch_size, dtype=bool),
    )
    size = arguments.Size(1 + num_simulations, num_simulations)
    rules = puct.puct_rules(
        recurrent_fn, select, of_rows=is_of_rows(qtransform, pb_c_init, pb_c_base), max_depth=max_depth
    )
    tree = root_lib.fresh_tree(
        padded(logits, 0, num_outcomes, -jnp.inf),
        RootFnOutput(prior_logits=root.prior_logits, value=root.value, embedding=state),
        size,
        padded(illegal, 0, num_outcomes, 1.0),
        to_play=None,
        model_state=None,
    )
    tree = simulate.search(
        params, search_key, tree, rules, num_simulations=num_simulations, start=size.start, loop_fn=loop_fn
    )
    return puct.by_visits(rng_key, actions_alone(tree, num_actions, illegal), temperature)


def _call_all(function: Callable[[Any], Any], wanted: jax.Array, rows: PyTree) -> PyTree:
    """`packed.call_packed` without packing: evaluates all rows, wanted or not."""
    del wanted
    return function(rows)
