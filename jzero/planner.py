"""How an agent chooses: the search that a configuration describes, over a model.

Axes: B games, A actions.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero import search
from jzero.config import SearchConfig
from jzero.models import Model


class Plan(NamedTuple):
    """What a search found at the root."""

    action: jax.Array
    """i32[B] the chosen action."""
    policy: jax.Array
    """f32[B, A] the target for the policy network: improved policy (Gumbel) or shares of visits (PUCT)."""
    value: jax.Array
    """f32[B] expected Q-value under `policy`, for the player to move."""
    qvalue: jax.Array
    """f32[B] Q-value of the chosen action."""
    prior: jax.Array
    """f32[B, A] the network's policy."""


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
      num_simulations: simulations a game, at least 1.
      explore: self-play's noise (Gumbel sampling; Dirichlet noise with PUCT) or none.
      temperature: PUCT only, [] or [B]: actions are drawn in proportion to `visits ** (1 / temperature)`.
      leaves: leaves of each tree in one call of the network; divides `num_simulations` with PUCT.
    """
    return plan_root(
        config,
        model,
        params,
        key,
        model.root(params, states),
        ~states.legal_action_mask,
        num_simulations=num_simulations,
        explore=explore,
        temperature=temperature,
        leaves=leaves,
    )


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
    output = search_root(config, model, params, key, root, invalid, **options)
    summary = cast(search.Tree, output.search_tree).summary()
    action, policy = cast(jax.Array, output.action), cast(jax.Array, output.action_weights)
    visited = jnp.where(summary.visit_counts > 0, policy, 0.0)
    mass = jnp.maximum(jnp.sum(visited, axis=-1), jnp.finfo(jnp.float32).tiny)
    return Plan(
        action=action,
        policy=policy,
        value=jnp.sum(visited * summary.qvalues, axis=-1) / mass,
        qvalue=jnp.take_along_axis(summary.qvalues, action[:, None], axis=-1)[:, 0],
        prior=jax.nn.softmax(root.prior_logits, axis=-1),
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
    if config.policy == "gumbel":
        return search.gumbel_muzero_policy(
            params,
            key,
            root,
            model.recurrent,
            num_simulations,
            invalid_actions=invalid,
            qtransform=functools.partial(
                search.qtransform_completed_by_mix_value,
                value_scale=config.value_scale,
                maxvisit_init=config.maxvisit_init,
                rescale_values=config.rescale_values,
                epsilon=config.min_value_range,
            ),
            max_num_considered_actions=config.max_considered,
            gumbel_scale=1.0 if explore else 0.0,
            **options,
        )
    return search.muzero_policy(
        params,
        key,
        root,
        model.recurrent,
        num_simulations,
        invalid_actions=invalid,
        qtransform=functools.partial(
            search.qtransform_by_parent_and_siblings, epsilon=config.min_value_range
        ),
        dirichlet_fraction=config.dirichlet_fraction if explore else 0.0,
        dirichlet_alpha=config.dirichlet_alpha,
        pb_c_init=config.pb_c_init,
        temperature=jnp.reshape(temperature, (-1, 1)),
        **options,
    )
