"""How an agent chooses: the search that a configuration describes, over a model.

Axes: B games, A actions, W worlds, P players, D dimensions of a continuous action. With continuous actions A is the
number of candidates that the root has drawn. A model with a value for every player gives values [B, P] by seat
wherever [B] stands below; Q-values that choose actions are always those of the player to move.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero import search
from jzero.config import SearchConfig
from jzero.env import where_rows
from jzero.models.simulator import Model, at_rows
from jzero.search import scores
from jzero.search.chance import Decide
from jzero.search.tree import Tree


class Plan(NamedTuple):
    """What a search found at the root."""

    action: jax.Array
    """i32[B], or f32[B, D] where actions are continuous: the chosen action."""
    policy: jax.Array
    """f32[B, A] the target for the policy network: improved policy (Gumbel, worlds) or shares of visits (PUCT)."""
    value: jax.Array
    """f32[B] expected Q-value under `policy`, for the player to move."""
    qvalue: jax.Array
    """f32[B] Q-value of the chosen action; `value` where no simulation tried it."""
    prior: jax.Array
    """f32[B, A] the network's policy."""
    evaluations: jax.Array
    """i32[B] rows of the network's batches that the search took."""
    candidates: Any = ()
    """f32[B, A, D] what `policy` is over, where actions are continuous; else ()."""


def plan(
    config: SearchConfig,
    model: Model,
    params: Any,
    key: jax.Array,
    states: Any,
    *,
    num_simulations: int,
    explore: bool,
    temperature: float | jax.Array = 0.0,
    leaves: int = 1,
) -> Plan:
    """Searches from `states` [B].

    Args:
      config: kind of search and its constants.
      model: what to plan with.
      params: of the model's network.
      key: consumed.
      states: environment states; rows that are finished give an arbitrary action.
      num_simulations: simulations a game, or a world of it, at least 1.
      explore: self-play's noise (Gumbel sampling; Dirichlet noise with PUCT) or none.
      temperature: PUCT or worlds, [] or [B]: actions are drawn in proportion to `policy ** (1 / temperature)`.
      leaves: leaves of each tree in one call of the network; divides `num_simulations` with PUCT.
    """
    options = {"num_simulations": num_simulations, "explore": explore, "leaves": leaves}
    if model.resample is not None:
        return _plan_worlds(config, model, params, key, states, temperature=temperature, **options)
    root, invalid = model.root(params, states), ~states.legal_action_mask
    return plan_root(config, model, params, key, root, invalid, temperature=temperature, **options)


def plan_root(
    config: SearchConfig,
    model: Model,
    params: Any,
    key: jax.Array,
    root: search.RootFnOutput,
    invalid: jax.Array,
    **options: Any,
) -> Plan:
    """Searches from what the model says of the states; args as in `search_root`."""
    return plan_tree(config, model, params, key, root, invalid, **options)[0]


def plan_tree(
    config: SearchConfig,
    model: Model,
    params: Any,
    key: jax.Array,
    root: search.RootFnOutput,
    invalid: jax.Array,
    **options: Any,
) -> tuple[Plan, Tree]:
    """`plan_root`, and the tree, of which `jzero.search.subtree` can keep a part."""
    if model.sample is not None:
        key, sample_key = jax.random.split(key)
        root = model.sample(sample_key, root)
        invalid = jnp.broadcast_to(invalid, jnp.shape(root.prior_logits))  # of one flag for all vectors
    output = search_root(config, model, params, key, root, invalid, **options)
    tree = cast(Tree, output.search_tree)
    action, policy = cast(jax.Array, output.action), cast(jax.Array, output.action_weights)
    visited = tree.summary().visit_counts > 0
    rows = jnp.full(action.shape, 1 + jnp.asarray(options["num_simulations"]), jnp.int32)
    found = _summarise(root, action, policy, visited, _root_qvalues(model, tree), rows)
    if model.sample is not None:
        candidates = cast(Any, root.embedding).candidates
        found = found._replace(action=at_rows(candidates, action), candidates=candidates)
    return found, tree


def _plan_worlds(
    config: SearchConfig,
    model: Model,
    params: Any,
    key: jax.Array,
    states: Any,
    *,
    num_simulations: int,
    explore: bool,
    temperature: float | jax.Array,
    leaves: int,
) -> Plan:
    """Searches `config.worlds` worlds of each game and averages their roots.

    The states themselves are not evaluated: they hold what their players cannot see. A ply at which no game of the
    batch leaves a choice takes no search.
    """
    num_worlds, invalid = config.worlds, ~states.legal_action_mask
    choices = jnp.sum(~invalid, axis=-1)
    world_key, search_key = jax.random.split(key)
    assert model.resample is not None
    worlds = model.root(params, model.resample(states, world_key, num_worlds))

    def mean(rows: Any) -> jax.Array:
        return jnp.mean(jnp.reshape(rows, (-1, num_worlds, *jnp.shape(rows)[1:])), axis=1)

    # The policy is the same in every world of a game, the value where the environment reveals nothing.
    root = search.RootFnOutput(
        prior_logits=jnp.asarray(worlds.prior_logits)[::num_worlds],
        value=mean(worlds.value),
        embedding=states,
    )

    def searched() -> Plan:
        found = search.search_worlds(
            _policy(config, model, explore),
            params,
            search_key,
            worlds,
            model.recurrent,
            num_simulations,
            invalid,
            num_worlds=num_worlds,
            improve=functools.partial(scores.completed_by_mix_value, **_improvement(config)),
            temperature=jnp.reshape(jnp.asarray(temperature), (-1,)),
            leaves=leaves,
            to_play=model.to_play,
        )
        qvalues = found.qvalues if model.to_play is None else found.player_qvalues
        rows = jnp.full_like(choices, num_worlds * (1 + num_simulations))
        plan = _summarise(root, found.action, found.action_weights, found.visit_counts > 0, qvalues, rows)
        # A row's plan must not depend on its batch mates: without a choice it is the same as in `forced`.
        kept = forced()._replace(evaluations=rows)
        return where_rows(choices > 1, plan, kept)

    def forced() -> Plan:
        legal = (~invalid).astype(jnp.float32)
        action = jnp.argmax(legal, axis=-1).astype(jnp.int32)
        value = jnp.asarray(root.value)
        return Plan(action, legal, value, value, legal, jnp.full_like(choices, num_worlds))

    # On a GPU the branch would make the host wait at every ply, and there are always choices in a large batch.
    needed = jax.lax.platform_dependent(jnp.any(choices > 1), cuda=lambda x: x | True, default=lambda x: x)
    return jax.lax.cond(needed, searched, forced)


def _root_qvalues(model: Model, tree: Tree) -> jax.Array:
    """Q-values of the root's actions, f32[B, A] or f32[B, A, P]; 0 where unvisited."""
    return tree.summary().qvalues if model.to_play is None else tree.root_player_qvalues()


def _summarise(
    root: search.RootFnOutput,
    action: jax.Array,
    policy: jax.Array,
    visited: jax.Array,
    qvalues: jax.Array,
    evaluations: jax.Array,
) -> Plan:
    """The plan of a root with Q-values f32[B, A] or f32[B, A, P] of the actions that are `visited` bool[B, A]."""
    weights = jnp.where(visited, policy, 0.0)
    weights = weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), jnp.finfo(jnp.float32).tiny)
    value = jnp.einsum("ba,ba...->b...", weights, qvalues)
    tried, qvalue = jax.vmap(lambda visited, q, action: (visited[action], q[action]))(
        visited, qvalues, action
    )
    return Plan(
        action=action,
        policy=policy,
        value=value,
        qvalue=where_rows(tried, qvalue, value),
        prior=jax.nn.softmax(root.prior_logits, axis=-1),
        evaluations=evaluations,
    )


def search_root(
    config: SearchConfig,
    model: Model,
    params: Any,
    key: jax.Array,
    root: search.RootFnOutput,
    invalid: jax.Array,
    *,
    num_simulations: int | jax.Array,
    explore: bool,
    temperature: float | jax.Array = 0.0,
    **options: Any,
) -> search.PolicyOutput:
    """The search that a configuration describes, with its tree.

    Args as in `plan`; `root` is what the model says of the states, `invalid` bool[B, A] what is illegal there,
    and `options` are those of the policies in `jzero.search`.
    """
    if config.policy == "puct":
        options["temperature"] = jnp.reshape(temperature, (-1, 1))
    return _policy(config, model, explore)(
        params,
        key,
        root,
        model.recurrent,
        num_simulations,
        invalid_actions=invalid,
        to_play=model.to_play,
        **options,
    )


def _policy(config: SearchConfig, model: Model, explore: bool) -> Callable[..., search.PolicyOutput]:
    """The search policy for a model, with or without self-play's noise."""
    if evaluates_afterstates(config, model):
        return _with_evaluated_afterstates(config, model, explore)
    policy = _policy_of_actions(config, explore)
    return policy if model.decide is None else search.with_chance(policy, model.decide)


def evaluates_afterstates(config: SearchConfig, model: Model) -> bool:
    """Whether a simulation adds an afterstate or a state, each with the model's value: Stochastic MuZero's search.

    The Gumbel search counts simulations by action, and goes on from each new afterstate to one of its outcomes.
    """
    return model.afterstate_value is not None and config.policy == "puct"


def _with_evaluated_afterstates(
    config: SearchConfig, model: Model, explore: bool
) -> Callable[..., search.PolicyOutput]:
    """`search.stochastic_muzero_policy` over a model, called like `search.muzero_policy`."""
    decide, value_of = cast(Decide, model.decide), cast(Callable, model.afterstate_value)

    def decision(params: Any, key: jax.Array, action: jax.Array, embedding: Any) -> tuple[Any, Any]:
        logits, after = decide(params, key, action, embedding)
        value = value_of(params, after)
        return search.DecisionRecurrentFnOutput(chance_logits=logits, afterstate_value=value), after

    def outcome(params: Any, key: jax.Array, code: jax.Array, after: Any) -> tuple[Any, Any]:
        step, embedding = model.recurrent(params, key, code, after)
        found = search.ChanceRecurrentFnOutput(
            action_logits=step.prior_logits, value=step.value, reward=step.reward, discount=step.discount
        )
        return found, embedding

    def policy(
        params: Any,
        key: jax.Array,
        root: search.RootFnOutput,
        recurrent_fn: Callable,
        num_simulations: int,
        *,
        to_play: None,
        leaves: int = 1,
        **options: Any,
    ) -> search.PolicyOutput:
        del recurrent_fn, to_play  # the model's; a learned model has one value
        if leaves != 1:
            raise ValueError(
                f"leaves is {leaves}; PUCT with learned chance codes evaluates one leaf at a time: use 1, or "
                "search.policy gumbel"
            )
        return search.stochastic_muzero_policy(
            params, key, root, decision, outcome, num_simulations, **_puct(config, explore), **options
        )

    return policy


def _policy_of_actions(config: SearchConfig, explore: bool) -> Callable[..., search.PolicyOutput]:
    """The search policy with the configuration's constants."""
    if config.policy == "gumbel":
        return functools.partial(
            search.gumbel_muzero_policy,
            qtransform=functools.partial(search.qtransform_completed_by_mix_value, **_improvement(config)),
            max_num_considered_actions=config.max_considered,
            gumbel_scale=1.0 if explore else 0.0,
        )
    return functools.partial(search.muzero_policy, **_puct(config, explore))


def _puct(config: SearchConfig, explore: bool) -> dict[str, Any]:
    """PUCT's constants, with or without self-play's noise."""
    return {
        "qtransform": functools.partial(
            search.qtransform_by_parent_and_siblings, epsilon=config.min_value_range
        ),
        "dirichlet_fraction": config.dirichlet_fraction if explore else 0.0,
        "dirichlet_alpha": config.dirichlet_alpha,
        "pb_c_init": config.pb_c_init,
    }


def _improvement(config: SearchConfig) -> dict[str, Any]:
    """How Q-values are scaled before they improve a policy."""
    return {
        "value_scale": config.value_scale,
        "maxvisit_init": config.maxvisit_init,
        "rescale_values": config.rescale_values,
        "epsilon": config.min_value_range,
    }
