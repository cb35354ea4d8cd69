"""MuZero's model: planning in learned latent states.

Axes: B games, A actions, K candidates, D dimensions of a continuous action, M chance codes.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero.env import observe_batch, where_rows
from jzero.env_spec import EnvSpec
from jzero.models.model import Model, at_rows, make_edge, mask_logits
from jzero.networks import Afterstate, LearnedNetwork, Support, squashed
from jzero.pytrees import Observation, Params, States
from jzero.search import RecurrentFnOutput, RootFnOutput
from jzero.search.tree import vary_like


class Latent(NamedTuple):
    """A node of a learned model. Without a value prefix `memory`, `prefix` and `depth` are ()."""

    state: jax.Array
    """f32[B, ...] the latent state, or the latent afterstate; then the other fields are those before the action."""
    memory: Any = ()
    """Memory of the value prefix."""
    prefix: Any = ()
    """f32[B] sum of predicted rewards since the last reset."""
    depth: Any = ()
    """i32[B] steps from the root."""
    candidates: Any = ()
    """f32[B, K, D] the candidate actions of the search; () for discrete actions."""


class LearnedModel(NamedTuple):
    """A learned model of an environment, for the search and for training."""

    network: LearnedNetwork
    value: Support
    reward: Support
    prefix_horizon: int
    """Steps between resets of the value prefix."""
    discount: float
    """Discount per edge, negative if two players alternate."""
    sampled_actions: int = 0
    """K candidates per node for continuous actions; 0 for discrete ones."""

    def represent(self, params: Params, observation: Observation) -> Latent:
        """The root's latent state of observations [B, ...]."""
        state = self.network.represent(params, observation)
        if self.network.prefix is None:
            return Latent(state)
        zeros = jnp.zeros_like(state, shape=state.shape[:1])
        memory = jax.tree.map(lambda x: vary_like(x, state), self.network.prefix.memory(state.shape[0]))
        return Latent(state, memory, zeros, zeros.astype(jnp.int32))

    def predict(self, params: Params, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy f32[B, A] or f32[B, 2 D], value logits f32[B, atoms])."""
        return self.network.predict(params, latent.state)

    def evaluate(self, params: Params, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy f32[B, A] or f32[B, 2 D], value f32[B])."""
        logits, value_logits = self.predict(params, latent)
        return logits, self.value.decode(value_logits)

    def root(self, params: Params, observation: Observation, legal: jax.Array) -> RootFnOutput:
        """The root of the search, from observations [B, ...] and their legal actions bool[B, A]."""
        latent = self.represent(params, observation)
        logits, value = self.evaluate(params, latent)
        return RootFnOutput(prior_logits=mask_logits(logits, legal), value=value, embedding=latent)

    @property
    def afterstate(self) -> Afterstate:
        """The functions of a model with chance codes."""
        assert self.network.afterstate is not None
        return self.network.afterstate

    def decide(self, params: Params, latent: Latent, action: jax.Array) -> Latent:
        """The afterstate of actions i32[B] or f32[B, D], for a model with chance codes."""
        return latent._replace(state=self.afterstate.decide(params, latent.state, action))

    def chance(self, params: Params, afterstate: Latent) -> tuple[jax.Array, jax.Array]:
        """(logits f32[B, M] of the codes, Q-value logits f32[B, atoms])."""
        return self.afterstate.predict(params, afterstate.state)

    def step(self, params: Params, latent: Latent, action: jax.Array) -> tuple[Latent, jax.Array]:
        """The latent state after actions i32[B] or f32[B, D], and the logits f32[B, atoms] of its reward.

        With chance codes it is the state after the afterstate `latent` and its code, `action` f32[B, M].
        With a value prefix the logits are those of the sum of rewards since the last reset; the LSTM restarts from
        zero every `prefix_horizon` steps, counted per row.
        """
        prefix = self.network.prefix
        if prefix is None:
            state, logits = self.network.dynamics(params, latent.state, action)
            return Latent(state), logits
        resets = self._resets(latent)
        memory = where_rows(resets, jax.tree.map(jnp.zeros_like, latent.memory), latent.memory)
        state, memory, logits = prefix.dynamics(params, latent.state, memory, action)
        return Latent(state, memory, self.reward.decode(logits), latent.depth + 1), logits

    def qvalue(
        self, params: Params, latent: Latent, action: jax.Array, reward: jax.Array, discount: jax.Array
    ) -> jax.Array:
        """f32[B]: the value of actions i32[B] or f32[B, D] that earned `reward` f32[B].

        `discount` f32[B] is that of the value that follows, negative where the mover changed. With chance codes the
        network says the whole Q-value: which state followed is not known to it.
        """
        if self.network.afterstate is not None:
            return self.value.decode(self.chance(params, self.decide(params, latent, action))[1])
        return reward + discount * self.evaluate(params, self.step(params, latent, action)[0])[1]

    def earned(self, latent: Latent, after: Latent, logits: jax.Array) -> jax.Array:
        """Reward f32[B] of a step: decoded, or the difference of the two prefixes."""
        if self.network.prefix is None:
            return self.reward.decode(logits)
        return after.prefix - jnp.where(self._resets(latent), 0.0, latent.prefix)

    def offer(self, key: jax.Array, policy: jax.Array, latent: Latent) -> tuple[jax.Array, Latent]:
        """(prior logits f32[B, K], the node with its K candidates) of a node with policy f32[B, 2 D].

        Candidates sampled from the policy itself all have the same prior (Hubert et al. 2021, section 4: beta-hat /
        beta times pi, with beta = pi). For discrete actions: the policy's logits and the unchanged node.
        """
        if not self.sampled_actions:
            return policy, latent
        found = squashed.draw(policy, key, self.sampled_actions)
        return jnp.zeros_like(found[..., 0]), latent._replace(candidates=found)

    def taken(self, latent: Latent, action: jax.Array) -> jax.Array:
        """The actions f32[B, D] for the search's indices i32[B]; the same indices if actions are discrete."""
        return at_rows(latent.candidates, action) if self.sampled_actions else action

    def _resets(self, latent: Latent) -> jax.Array:
        """bool[B]: whether the prefix restarts with the next step."""
        return latent.depth % self.prefix_horizon == 0


def learned_model(spec: EnvSpec, learned: LearnedModel) -> Model:
    """MuZero's model: planning in latent states; legal actions are known only at the root.

    After the end of a game the model is trained to predict no reward (an absorbing state), so the search needs no
    terminal nodes. With chance codes an action leads to an afterstate, and a step is one of its codes.
    """
    network = learned.network
    num_codes = 0 if network.afterstate is None else network.afterstate.num_codes

    def root(params: Params, states: States) -> RootFnOutput:
        return learned.root(params, observe_batch(spec.env, states), states.legal_action_mask)

    def recurrent(
        params: Params, key: jax.Array, action: jax.Array, latent: Latent
    ) -> tuple[RecurrentFnOutput, Latent]:
        taken = (
            jax.nn.one_hot(action, num_codes, dtype=jnp.float32)
            if num_codes
            else learned.taken(latent, action)
        )
        after, reward_logits = learned.step(params, latent, taken)
        reward = learned.earned(latent, after, reward_logits)
        policy, value = learned.evaluate(params, after)
        logits, after = learned.offer(key, policy, after)
        discount = jnp.full_like(reward, learned.discount)
        return RecurrentFnOutput(reward=reward, discount=discount, prior_logits=logits, value=value), after

    def decide(params: Params, key: jax.Array, action: jax.Array, latent: Latent) -> tuple[jax.Array, Latent]:
        after = learned.decide(params, latent, learned.taken(latent, action))
        return learned.chance(params, after)[0], after

    def afterstate_value(params: Params, after: Latent) -> jax.Array:
        return learned.value.decode(learned.chance(params, after)[1])

    def sample(key: jax.Array, root: RootFnOutput) -> RootFnOutput:
        logits, latent = learned.offer(key, jnp.asarray(root.prior_logits), cast(Latent, root.embedding))
        return RootFnOutput(prior_logits=logits, value=root.value, embedding=latent)

    def prepare(params: Params) -> Params:
        return network.prepare(params, jax.eval_shape(lambda: spec.observed(jax.random.key(0))))

    return Model(
        root,
        recurrent,
        make_edge(spec, abs(learned.discount)),
        decide=decide if num_codes else None,
        sample=sample if learned.sampled_actions else None,
        afterstate_value=afterstate_value if num_codes else None,
        prepare=prepare,
    )
