"""A trained agent: what a finished run is good for.

Axes: B states, A actions, D dimensions of a continuous action, L plies.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jzero.env import Env
from jzero.env_spec import describe
from jzero.models.model import Model, at_rows
from jzero.models.plan import Plan, Planner, SearchSettings, make_planner
from jzero.networks import squashed


class Agent:
    """Plays and evaluates batches of environment states; made by `jzero.load` or at the end of a run.

    Attributes:
      env: what it plays.
      name: what `jzero.make` calls the environment.
      params: the network's weights.
      search: the settings of its search.
    """

    def __init__(
        self,
        env: Env,
        model: Model,
        params: Any,
        search: SearchSettings,
        *,
        name: str = "",
        recipe: tuple | None = None,
    ) -> None:
        """An agent of parts.

        Args:
          env: what it plays.
          model: what it plans with.
          params: of the model's network.
          search: how it is searched.
          name: what `jzero.make` calls the environment; by default its own.
          recipe: (function, settings, *more) that makes this agent again, as `function(env, settings, params, *more)`:
            what pickling keeps of it.
        """
        self.env, self.search = env, search
        self.name = describe(env, name).name
        self.params = _own_copy(params)
        self._recipe, self._action_size = recipe, describe(env, name).action_size
        self._model, planner = model, make_planner(search, model)
        self._plan = jax.jit(partial(_plan, model, planner), static_argnames=("num_simulations", "leaves"))
        self._root = jax.jit(model.root)

    def __reduce__(self) -> tuple:
        """What makes the agent again in another process."""
        if self._recipe is None:
            raise TypeError(
                "this agent was made of functions; pickle one that jzero.load or jzero.train returns"
            )
        function, config, *rest = self._recipe
        return function, (self.env, config, jax.device_get(self.params), *rest)

    def with_params(self, params: Any) -> Agent:
        """The same agent with other weights; nothing is compiled again."""
        agent = copy.copy(self)
        agent.params = _own_copy(params)
        return agent

    def act(
        self,
        states: Any,
        key: jax.Array,
        *,
        num_simulations: int | None = None,
        temperature: float = 0.0,
        leaves: int = 1,
    ) -> jax.Array:
        """Actions i32[B] for a batch of states; f32[B, D] in [-1, 1] where they are continuous.

        Args:
          states: environment states, every leaf [B, ...]; finished ones get an arbitrary action.
          key: a random key; without temperature only the worlds of hidden information and the candidates of
            continuous actions depend on it.
          num_simulations: simulations a state; None for the number of the training run, 0 for the raw policy.
          temperature: 0 takes the best action; otherwise actions are drawn in proportion to
            `policy ** (1 / temperature)`. The raw policy of continuous actions gives its mean, or with any
            temperature a draw of its own.
          leaves: leaves of each tree in one call of the network, for quick answers in few games; with PUCT it
            divides `num_simulations`.

        Raises:
          ValueError: the states are not a batch, or an argument is out of range.
        """
        if jnp.ndim(states.terminated) != 1:
            raise ValueError(
                f"states must have one batch axis [B, ...], but states.terminated has shape "
                f"{jnp.shape(states.terminated)}; for one state use jax.tree.map(lambda x: x[None], state)"
            )
        states = self._settled(states)
        if num_simulations is None:
            num_simulations = self.search.num_simulations
        if num_simulations < 0 or temperature < 0:
            raise ValueError(
                f"num_simulations is {num_simulations} and temperature {temperature}; neither may be negative"
            )
        if num_simulations == 0 and self._action_size:
            said = self._root(self.params, states).prior_logits
            return squashed.draw(said, key, 1)[:, 0] if temperature else squashed.mode(said)
        if num_simulations == 0:
            policy = self.evaluate(states)[0]
            action, candidates = jnp.argmax(policy, axis=-1).astype(jnp.int32), None
        else:
            found = self._plan(self.params, key, states, num_simulations=num_simulations, leaves=leaves)
            policy, action = found.policy, found.action
            candidates = found.candidates if self._action_size else None
        if temperature == 0:
            return action
        drawn = jax.random.categorical(key, jnp.log(policy) / temperature).astype(jnp.int32)
        return drawn if candidates is None else at_rows(candidates, drawn)

    def evaluate(self, states: Any) -> tuple[jax.Array, jax.Array]:
        """The network alone, without search: (policy f32[B, A], value f32[B] for the player to move, or f32[B, P]).

        With continuous actions the policy is its mean action f32[B, D].
        Where the environment has `reveal`, the value is that of the states as they are, hidden things included.
        """
        root = self._root(self.params, self._settled(states))
        read = squashed.mode if self._action_size else jax.nn.softmax
        return read(jnp.asarray(root.prior_logits)), root.value

    def _settled(self, states: Any) -> Any:
        """The states beside the weights and without weak types, in which first states differ from later ones.

        Each mix would be compiled anew: three times in the first plies of a game.
        """

        def strong(x: Any) -> Any:
            return jax.lax.convert_element_type(x, x.dtype) if getattr(x, "weak_type", False) else x

        (device,) = jax.tree.leaves(self.params)[0].devices()
        return jax.device_put(jax.tree.map(strong, states), device)


def _plan(model: Model, planner: Planner, params: Any, key: jax.Array, states: Any, **options: Any) -> Plan:
    params = model.prepare(params)
    root = model.root(params, states)
    return planner.plan(params, key, root, ~states.legal_action_mask, memory=(), **options)


def _own_copy(params: Any) -> Any:
    """A copy on one device of this process: a run goes on to overwrite (donate) its weights."""
    return jax.tree.map(lambda x: jnp.array(jnp.asarray(x).addressable_data(0)), params)
