"""What the search plans with.

A model is two functions with mctx's signatures. With continuous actions a node has K candidates of its own, drawn
from its policy and kept in its embedding: the search runs over their numbers 0 .. K - 1 and knows nothing of the
vectors (Sampled MuZero, Hubert et al. 2021).
Axes: B games, A actions, P players, K candidates, D dimensions of a continuous action, M chance codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero.env import ChanceEnv, Env, has_chance, observe_batch, reveal_batch, step_batch
from jzero.networks import MuZeroNet, Support, squashed
from jzero.networks.learned import Memory
from jzero.search import EvaluationCache, RecurrentFnOutput, RootFnOutput
from jzero.search.chance import Decide
from jzero.search.tree import vary_like

TIE_BREAK = 1e-3
"""Nats by which chance logits vary at random in a search."""

Apply = Callable[[Any, Any], tuple[jax.Array, jax.Array]]
"""(params, what `reveal_batch` gives [B, ...]) -> (policy logits f32[B, A], value f32[B]), or f32[B, P] where every
player has a value of its own: the player to move first, then the others in the order of their seats."""


def _as_they_are(params: Any) -> Any:
    return params


class Model(NamedTuple):
    """How to evaluate a root and how to step from a node."""

    root: Callable[[Any, Any], RootFnOutput]
    """(params, states [B]) -> prior logits [B, A], value [B], embedding. With continuous actions in place of the
    logits what the network says of the policy, [B, 2 D]: `sample` makes a choice of it."""
    recurrent: Callable[[Any, jax.Array, jax.Array, Any], tuple[RecurrentFnOutput, Any]]
    """(params, key, action [B], embedding) -> (reward, discount, prior logits, value), embedding."""
    to_play: Callable[[Any], jax.Array] | None = None
    """embedding -> i32[B] the player to move, where every player has a value of its own: values and rewards are
    then [B, P], by seat."""
    resample: Callable[[Any, jax.Array, int], Any] | None = None
    """(states [B], key, W) -> states [B * W]: W worlds of each, next to each other, that agree with what its player
    to move has seen; None where a state hides nothing."""
    decide: Decide | None = None
    """Afterstates and what chance may make of them; `recurrent` then takes an outcome and an afterstate in place of
    an action and a state. None where an action is one step."""
    sample: Callable[[jax.Array, RootFnOutput], RootFnOutput] | None = None
    """Continuous actions: (key, what `root` gives) -> the same with prior logits [B, K] over candidates that its
    embedding holds; None where actions are numbered."""
    afterstate_value: Callable[[Any, Any], jax.Array] | None = None
    """(params, afterstates that `decide` gave) -> f32[B] their values for the players who acted; None where it is
    only known as the mean of the outcomes'."""
    prepare: Callable[[Any], Any] = _as_they_are
    """params -> what the other functions take in their place, with the same results and less work a call: done once
    before a search; see `jzero.networks.prepared`."""

    def choices(self, key: jax.Array, root: RootFnOutput) -> RootFnOutput:
        """What `root` gives, as the search takes it; numbered actions need no draw."""
        return root if self.sample is None else self.sample(key, root)


def simulator_model(env: Env, apply: Apply, *, discount: float = 1.0) -> Model:
    """AlphaZero's model: the environment itself, with a network for policy and value.

    The embedding of a node is the environment's state. Values and rewards are those of the player to move at a
    node, so the discount of an edge is negative when the mover changes, and 0 at a terminal. Where the environment
    `has_player_values` they are those of all players, and no sign changes. Where it has explicit chance
    (`jzero.env.ChanceEnv`) a step is an outcome of an afterstate; afterstates are not evaluated.

    Args:
      env: the environment.
      apply: the network.
      discount: discount a ply.
    """
    evaluate = _evaluator(env, apply)

    def root(params: Any, states: Any) -> RootFnOutput:
        logits, value = evaluate(params, states)
        return RootFnOutput(prior_logits=logits, value=value, embedding=states)

    def recurrent(
        params: Any, key: jax.Array, action: jax.Array, states: Any
    ) -> tuple[RecurrentFnOutput, Any]:
        reward, sign, after = advance(env, key, action, states, discount)
        logits, value = evaluate(params, after)
        return RecurrentFnOutput(reward=reward, discount=sign, prior_logits=logits, value=value), after

    return Model(root, recurrent, seats(env), resampler(env), decider(env))


def seats(env: Env) -> Callable[[Any], jax.Array] | None:
    """`Model.to_play` of a model whose embeddings are states."""
    return (lambda states: states.current_player) if has_player_values(env) else None


def decider(env: Env) -> Decide | None:
    """`Model.decide` of a model whose embeddings are states; None where the environment has no explicit chance."""
    if not has_chance(env):
        return None
    chance = cast(ChanceEnv, env)

    def decide(params: Any, key: jax.Array, action: jax.Array, states: Any) -> tuple[jax.Array, Any]:
        del params
        after = jax.vmap(chance.decide)(states, action)
        logits = jax.vmap(chance.chance_logits)(after)
        # A search tries equally likely outcomes in their order: one that favours none spares it a bias.
        return logits + TIE_BREAK * jax.random.uniform(key, logits.shape), after

    return decide


def resampler(env: Env) -> Callable[[Any, jax.Array, int], Any] | None:
    """The environment's `resample` for a batch of states and of worlds; None if it has none.

    Raises:
      ValueError: the environment has hidden information and no `resample`.
    """
    resample = getattr(env, "resample", None)
    if resample is None:
        if getattr(env, "hidden_information", False):
            raise ValueError(
                f"a state of {getattr(env, 'name', type(env).__name__)!r} holds what its player to move may not "
                "see, and a search that steps states (AlphaZero, rollouts) would see it: add resample(state, key), "
                "or learn a model (experiments/muzero.py, efficientzero.py)"
            )
        return None

    def worlds(states: Any, key: jax.Array, num_worlds: int) -> Any:
        shape = (states.terminated.shape[0], num_worlds)
        # The state is not mapped over its worlds: what `resample` derives from it alone is computed once.
        drawn = jax.vmap(jax.vmap(resample, in_axes=(None, 0)))(states, jax.random.split(key, shape))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), drawn)

    return worlds


def cached_simulator(env: Env, apply: Apply, *, discount: float = 1.0) -> EvaluationCache:
    """The recurrent part of `simulator_model` with a cache before its network; see `jzero.search.EvaluationCache`.

    With explicit chance it goes with `jzero.search.with_chance` and the model's `decide`, as that one's does.

    Raises:
      ValueError: the environment has no `fingerprint`.
    """
    fingerprint = getattr(env, "fingerprint", None)
    if fingerprint is None:
        raise ValueError(
            f"{type(env).__name__} has no fingerprint(state) -> u32[2], by which a cache knows positions; add one"
        )
    return EvaluationCache(
        jax.vmap(fingerprint),
        lambda params, key, action, states: advance(env, key, action, states, discount),
        _evaluator(env, apply),
    )


class Latent(NamedTuple):
    """A node of a learned model. Without a value prefix `memory`, `prefix` and `depth` are ()."""

    state: jax.Array
    """f32[B, ...] the latent state, or the latent afterstate: then all else is as it was before the action."""
    memory: Memory = ()
    """The value prefix's LSTM state."""
    prefix: Any = ()
    """f32[B] rewards predicted since the last reset."""
    depth: Any = ()
    """i32[B] steps from the root."""
    candidates: Any = ()
    """f32[B, K, D] the actions that the search may take from here; () where actions are numbered."""


class LearnedModel(NamedTuple):
    """A learned model of an environment, for the search and for training."""

    network: MuZeroNet
    value: Support
    reward: Support
    prefix_horizon: int
    """Steps after which the value prefix starts again."""
    discount: float
    """Discount an edge, negative where two players alternate."""
    sampled_actions: int = 0
    """K candidates a node, where actions are continuous; 0 where they are numbered."""

    def call(self, params: Any, *arguments: Any, method: str) -> Any:
        """What a method of the network gives."""
        return self.network.apply(params, *arguments, method=method)

    def represent(self, params: Any, observation: Any) -> Latent:
        """The root's latent state of observations [B, ...]."""
        state = self.call(params, observation, method="represent")
        if not self.network.prefix_width:
            return Latent(state)
        zeros = jnp.zeros_like(state, shape=state.shape[:1])
        memory = jax.tree.map(lambda x: vary_like(x, state), self.network.no_memory(state.shape[0]))
        return Latent(state, memory, zeros, zeros.astype(jnp.int32))

    def predict(self, params: Any, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy f32[B, A] or f32[B, 2 D], value logits f32[B, atoms]); see `MuZeroNet.predict`."""
        return self.call(params, latent.state, method="predict")

    def evaluate(self, params: Any, latent: Latent) -> tuple[jax.Array, jax.Array]:
        """(policy f32[B, A] or f32[B, 2 D], value f32[B])."""
        logits, value_logits = self.predict(params, latent)
        return logits, self.value.decode(value_logits)

    def root(self, params: Any, observation: Any, legal: jax.Array) -> RootFnOutput:
        """What the search starts from: observations [B, ...] and their legal actions bool[B, A]."""
        latent = self.represent(params, observation)
        logits, value = self.evaluate(params, latent)
        return RootFnOutput(prior_logits=mask_logits(logits, legal), value=value, embedding=latent)

    def decide(self, params: Any, latent: Latent, action: jax.Array) -> Latent:
        """The afterstate of actions i32[B] or f32[B, D], of a model with chance codes."""
        return latent._replace(state=self.call(params, latent.state, action, method="decide"))

    def chance(self, params: Any, afterstate: Latent) -> tuple[jax.Array, jax.Array]:
        """(logits f32[B, M] of the codes, Q-value logits f32[B, atoms]); see `MuZeroNet.predict_afterstate`."""
        return self.call(params, afterstate.state, method="predict_afterstate")

    def step(self, params: Any, latent: Latent, action: jax.Array) -> tuple[Latent, jax.Array]:
        """The latent state after actions i32[B] or f32[B, D], and the logits f32[B, atoms] of its reward.

        With chance codes it is the state after the afterstate `latent` and its code, `action` f32[B, M].
        With a value prefix they are those of the sum of rewards since the last reset; every `prefix_horizon` steps,
        counted for each row by itself, the LSTM starts from zero.
        """
        memory = latent.memory
        if self.network.prefix_width:
            memory = jax.tree.map(lambda x: jnp.where(self._resets(latent)[:, None], 0.0, x), memory)
        state, memory, logits = self.call(params, latent.state, memory, action, method="step")
        if not self.network.prefix_width:
            return Latent(state), logits
        return Latent(state, memory, self.reward.decode(logits), latent.depth + 1), logits

    def earned(self, latent: Latent, after: Latent, logits: jax.Array) -> jax.Array:
        """Reward f32[B] of a step: decoded, or the difference of the two prefixes."""
        if not self.network.prefix_width:
            return self.reward.decode(logits)
        return after.prefix - jnp.where(self._resets(latent), 0.0, latent.prefix)

    def offer(self, key: jax.Array, policy: jax.Array, latent: Latent) -> tuple[jax.Array, Latent]:
        """(prior logits f32[B, K], the node with its K candidates) of a node whose policy is f32[B, 2 D].

        Where candidates are drawn from the policy itself, each has the same prior (Hubert et al. 2021, section 4:
        beta-hat / beta times pi, with beta = pi). With numbered actions: the policy's logits and the node as it is.
        """
        if not self.sampled_actions:
            return policy, latent
        found = squashed.draw(policy, key, self.sampled_actions)
        return jnp.zeros_like(found[..., 0]), latent._replace(candidates=found)

    def taken(self, latent: Latent, action: jax.Array) -> jax.Array:
        """What the numbers i32[B] of the search stand for: f32[B, D], or the same numbers."""
        return at_rows(latent.candidates, action) if self.sampled_actions else action

    def _resets(self, latent: Latent) -> jax.Array:
        """bool[B]: the prefix starts again with the step from here."""
        return latent.depth % self.prefix_horizon == 0


def learned_model(env: Env, learned: LearnedModel) -> Model:
    """MuZero's model: planning in latent states; legal actions are known at the root only.

    After the end of a game the model is trained to earn nothing (an absorbing state), so the search needs no
    terminal nodes. With chance codes an action leads to an afterstate, and a step is one of its codes.
    """
    num_codes = learned.network.chance_codes

    def root(params: Any, states: Any) -> RootFnOutput:
        return learned.root(params, observe_batch(env, states), states.legal_action_mask)

    def recurrent(
        params: Any, key: jax.Array, action: jax.Array, latent: Latent
    ) -> tuple[RecurrentFnOutput, Latent]:
        taken = jax.nn.one_hot(action, num_codes) if num_codes else learned.taken(latent, action)
        after, reward_logits = learned.step(params, latent, taken)
        reward = learned.earned(latent, after, reward_logits)
        policy, value = learned.evaluate(params, after)
        logits, after = learned.offer(key, policy, after)
        discount = jnp.full_like(reward, learned.discount)
        return RecurrentFnOutput(reward=reward, discount=discount, prior_logits=logits, value=value), after

    def decide(params: Any, key: jax.Array, action: jax.Array, latent: Latent) -> tuple[jax.Array, Latent]:
        after = learned.decide(params, latent, learned.taken(latent, action))
        return learned.chance(params, after)[0], after

    def afterstate_value(params: Any, after: Latent) -> jax.Array:
        return learned.value.decode(learned.chance(params, after)[1])

    def sample(key: jax.Array, root: RootFnOutput) -> RootFnOutput:
        logits, latent = learned.offer(key, jnp.asarray(root.prior_logits), cast(Latent, root.embedding))
        return RootFnOutput(prior_logits=logits, value=root.value, embedding=latent)

    return Model(
        root,
        recurrent,
        decide=decide if num_codes else None,
        sample=sample if learned.sampled_actions else None,
        afterstate_value=afterstate_value if num_codes else None,
    )


def _evaluator(env: Env, apply: Apply) -> Callable[[Any, Any], tuple[jax.Array, jax.Array]]:
    """(params, states [B]) -> (logits f32[B, A] of the legal actions, values f32[B] or [B, P])."""

    def evaluate(params: Any, states: Any) -> tuple[jax.Array, jax.Array]:
        logits, value = apply(params, reveal_batch(env, states))
        if has_player_values(env):
            value = by_seat(value, states.current_player)
        return mask_logits(logits, states.legal_action_mask), value

    return evaluate


def advance(
    env: Env, key: jax.Array, action: jax.Array, states: Any, discount: float
) -> tuple[jax.Array, jax.Array, Any]:
    """(reward f32[B] or [B, P], discount f32[B], states [B]) of the recurrent part of a model that simulates.

    A step, or with explicit chance the outcome `action` of the afterstates `states`.
    """
    if has_chance(env):
        after = jax.vmap(cast(ChanceEnv, env).resolve)(states, action)
    else:
        after = step_batch(env, states, action, key)
    return *edge(env, states, after, discount), after


def mask_logits(logits: jax.Array, legal: jax.Array) -> jax.Array:
    """Logits [B, A] with -inf where not `legal` bool[B, A]; rows without a legal action stay as they are."""
    return jnp.where(legal | ~jnp.any(legal, axis=-1, keepdims=True), logits, -jnp.inf)


def at_rows(values: jax.Array, index: jax.Array) -> jax.Array:
    """[B, ...]: of values [B, K, ...] the one that i32[B] says."""
    return jax.vmap(lambda values, index: values[index])(values, index)


def has_player_values(env: Env) -> bool:
    """Whether every player has a value of its own: more than two players, or two whose rewards do not sum to 0."""
    return env.num_players > 2 or (env.num_players == 2 and not getattr(env, "zero_sum", True))


def by_seat(values: jax.Array, mover: jax.Array) -> jax.Array:
    """Values [B, P] by seat, of values [B, P] that begin with those of the player to move i32[B]."""
    return _rolled(values, -mover)


def from_mover(values: jax.Array, mover: jax.Array) -> jax.Array:
    """Values [B, P] that begin with those of the player to move i32[B], of values by seat: undoes `by_seat`."""
    return _rolled(values, mover)


def _rolled(values: jax.Array, shift: jax.Array) -> jax.Array:
    num_players = values.shape[-1]
    return jnp.take_along_axis(values, (jnp.arange(num_players) + shift[:, None]) % num_players, axis=-1)


def edge(env: Env, states: Any, after: Any, discount: float) -> tuple[jax.Array, jax.Array]:
    """Reward and discount of the steps from `states` [B] to `after`.

    For the player who moved, f32[B], with a discount that is negative where the player to move changes; or of all
    players, f32[B, P], where the environment `has_player_values`. The discount f32[B] is 0 where the game has
    terminated.
    """
    if has_player_values(env):
        return after.rewards, jnp.where(after.terminated, 0.0, discount)
    reward = jnp.take_along_axis(after.rewards, states.current_player[:, None], axis=-1)[:, 0]
    sign = jnp.where(after.current_player == states.current_player, 1.0, -1.0)
    return reward, jnp.where(after.terminated, 0.0, sign * discount)
