"""AlphaZero's model: the environment itself, with a network for policy and value.

Axes: B games, A actions, P players, W worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax

from jzero.env import ChanceEnv, reveal_batch, step_batch
from jzero.env_spec import EnvSpec
from jzero.models.model import Edge, Model, by_seat, make_edge, mask_logits
from jzero.networks.network import Apply, Network
from jzero.pytrees import Embedding, Params, PyTree, States
from jzero.search import EvaluationCache, RecurrentFnOutput, RootFnOutput
from jzero.search.chance import Decide

TIE_BREAK = 1e-3
"""Scale of the random noise on chance logits in a search, in nats."""


def simulator_model(spec: EnvSpec, network: Network, *, discount: float = 1.0) -> Model:
    """AlphaZero's model; a node's embedding is the environment's state.

    Values and rewards are those of the player to move at a node, so the discount of an edge is negative if the
    mover changes, and 0 at a terminal state. If every player has a value, they are those of all players, and no
    sign changes. With explicit chance (`jzero.env.ChanceEnv`) a step is an outcome of an afterstate; afterstates
    are not evaluated.

    Args:
      spec: the environment.
      network: policy and value.
      discount: discount per ply.

    Raises:
      ValueError: the environment has hidden information but no `resample`.
    """
    check_hidden(spec)
    edge, evaluate = make_edge(spec, discount), make_evaluate(spec, network.apply)
    advance = make_advance(spec, edge)

    def root(params: Params, states: States) -> RootFnOutput:
        logits, value = evaluate(params, states)
        return RootFnOutput(prior_logits=logits, value=value, embedding=states)

    def recurrent(
        params: Params, key: jax.Array, action: jax.Array, states: States
    ) -> tuple[RecurrentFnOutput, Embedding]:
        reward, sign, after = advance(params, key, action, states)
        logits, value = evaluate(params, after)
        return RecurrentFnOutput(reward=reward, discount=sign, prior_logits=logits, value=value), after

    def prepare(params: Params) -> Params:
        return network.prepare(params, jax.eval_shape(lambda: spec.seen(jax.random.key(0))))

    cache = None
    if spec.fingerprints:
        cache = EvaluationCache(jax.vmap(cast(Any, spec.env).fingerprint), advance, evaluate)
    return Model(
        root,
        recurrent,
        edge,
        to_play=current_player if spec.values_by_seat else None,
        resample=make_resample(spec) if spec.resamples else None,
        decide=make_decide(spec) if spec.chance else None,
        cache=cache,
        provable=is_provable(spec) and network.value_limit <= 1,
        prepare=prepare,
    )


def current_player(states: States) -> jax.Array:
    """`Model.to_play` for a model whose embeddings are states."""
    return states.current_player


def is_provable(spec: EnvSpec) -> bool:
    """`Model.provable` for a model that steps states; chance inside `step` goes unnoticed."""
    hidden_or_random = spec.hidden_information or spec.chance
    return spec.num_players == 2 and not spec.values_by_seat and not hidden_or_random


def check_hidden(spec: EnvSpec) -> None:
    """Raises ValueError if a search that steps states would see hidden information."""
    if not spec.searchable:
        learn = ", or use algorithm 'gumbel_muzero', which learns a model" if spec.one_value_serves else ""
        raise ValueError(
            f"a state of {spec.name!r} holds information hidden from the player to move, and a search that steps "
            f"states (AlphaZero, rollouts) would see it: add resample(state, key){learn}"
        )


def make_evaluate(spec: EnvSpec, apply: Apply) -> Callable[[Any, Any], tuple[jax.Array, jax.Array]]:
    """(params, states [B]) -> (logits f32[B, A] of the legal actions, values f32[B] or [B, P])."""

    def evaluate(params: Params, states: States) -> tuple[jax.Array, jax.Array]:
        logits, value = apply(params, reveal_batch(spec.env, states))
        if spec.values_by_seat:
            value = by_seat(value, states.current_player)
        return mask_logits(logits, states.legal_action_mask), value

    return evaluate


def make_advance(spec: EnvSpec, edge: Edge) -> Callable[..., tuple[jax.Array, jax.Array, Any]]:
    """(params, key, action [B], states [B]) -> (reward, discount, states after) of a step.

    With explicit chance, `action` is an outcome and `states` are afterstates.
    """

    def advance(
        params: Params, key: jax.Array, action: jax.Array, states: States
    ) -> tuple[jax.Array, jax.Array, PyTree]:
        del params
        if spec.chance:
            after = jax.vmap(cast(ChanceEnv, spec.env).resolve)(states, action)
        else:
            after = step_batch(spec.env, states, action, key)
        return *edge(states, after), after

    return advance


def make_decide(spec: EnvSpec) -> Decide:
    """`Model.decide` for a model whose embeddings are states, in an environment with explicit chance."""
    chance = cast(ChanceEnv, spec.env)

    def decide(params: Params, key: jax.Array, action: jax.Array, states: States) -> tuple[jax.Array, PyTree]:
        del params
        after = jax.vmap(chance.decide)(states, action)
        logits = jax.vmap(chance.chance_logits)(after)
        # A search tries equally likely outcomes in their order: one that favours none spares it a bias.
        return logits + TIE_BREAK * jax.random.uniform(key, logits.shape, logits.dtype), after

    return decide


def make_resample(spec: EnvSpec) -> Callable[[Any, jax.Array, int], Any]:
    """The environment's `resample` for a batch of states and worlds."""
    resample = cast(Any, spec.env).resample

    def worlds(states: States, key: jax.Array, num_worlds: int) -> PyTree:
        shape = (states.terminated.shape[0], num_worlds)
        # The state is not mapped over its worlds: what `resample` derives from it alone is computed once.
        drawn = jax.vmap(jax.vmap(resample, in_axes=(None, 0)))(states, jax.random.split(key, shape))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), drawn)

    return worlds
