"""A model without a network: values are results of random games, priors are uniform.

Axes: B games, A actions, P players. This is Monte-Carlo tree search without a network (Coulom 2006); a match
against it shows what a network adds.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jzero.env import Env, is_finished, random_actions, step_batch
from jzero.env_spec import EnvSpec
from jzero.models.model import Model, make_edge, mask_logits
from jzero.models.simulator import (
    check_hidden,
    current_player,
    is_provable,
    make_advance,
    make_decide,
    make_resample,
)
from jzero.pytrees import Embedding, Params, States
from jzero.search import RecurrentFnOutput, RootFnOutput


def rollout_model(spec: EnvSpec, *, discount: float = 1.0) -> Model:
    """Plans with the environment; the value of a new node is the result of one random game. Takes no params."""
    check_hidden(spec)
    edge = make_edge(spec, discount)
    env, advance = spec.env, make_advance(spec, edge)

    def root(params: Params, states: States) -> RootFnOutput:
        del params
        value = _for_mover(spec, states, random_returns(env, states, jax.random.key(0), discount))
        return RootFnOutput(prior_logits=_equal_priors(states), value=value, embedding=states)

    def recurrent(
        params: Params, key: jax.Array, action: jax.Array, states: States
    ) -> tuple[RecurrentFnOutput, Embedding]:
        step_key, game_key = jax.random.split(key)
        reward, sign, after = advance(params, step_key, action, states)
        value = _for_mover(spec, after, random_returns(env, after, game_key, discount))
        logits = _equal_priors(after)
        return RecurrentFnOutput(reward=reward, discount=sign, prior_logits=logits, value=value), after

    return Model(
        root,
        recurrent,
        edge,
        to_play=current_player if spec.values_by_seat else None,
        resample=make_resample(spec) if spec.resamples else None,
        decide=make_decide(spec) if spec.chance else None,
        provable=is_provable(spec),
    )


def random_returns(env: Env, states: States, key: jax.Array, discount: float) -> jax.Array:
    """f32[B, P]: every player's return when random legal actions continue the games to their ends."""

    def goes_on(carry: tuple) -> jax.Array:
        return ~jnp.all(is_finished(carry[0]))

    def one_ply(carry: tuple) -> tuple:
        states, returns, weight, key = carry
        key, action_key, step_key = jax.random.split(key, 3)
        states = step_batch(env, states, random_actions(states, action_key), step_key)
        return states, returns + weight * states.rewards, weight * discount, key

    start = (states, jnp.zeros_like(states.rewards), jnp.ones_like(states.rewards), key)
    return jax.lax.while_loop(goes_on, one_ply, start)[1]


def _equal_priors(states: States) -> jax.Array:
    """f32[B, A]: uniform logits over the legal actions."""
    legal = states.legal_action_mask
    return mask_logits(jnp.zeros(legal.shape, jnp.float32), legal)


def _for_mover(spec: EnvSpec, states: States, returns: jax.Array) -> jax.Array:
    """Returns f32[B, P] in the form of a model's values: of all players, or f32[B] of the player to move."""
    if spec.values_by_seat:
        return returns
    return jnp.take_along_axis(returns, states.current_player[:, None], axis=-1)[:, 0]
