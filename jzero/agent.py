"""A trained agent, the result of a run.

Axes: B states, A actions, D dimensions of a continuous action, L plies.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jzero.analysis import Analysis, principal_variation
from jzero.env import Env, where_rows
from jzero.env_spec import describe
from jzero.models.model import Model, at_rows
from jzero.models.plan import Memory, Plan, Planner, SearchSettings, make_planner, untied
from jzero.networks import squashed
from jzero.pytrees import Params, PyTree, States
from jzero.search import Tree, subtree


class Agent:
    """Plays and evaluates batches of environment states; made by `jzero.load` or at the end of a run.

    Attributes:
      env: the environment.
      name: name of the environment for `jzero.make`.
      params: the network's weights.
      search: settings of its search.
    """

    def __init__(
        self,
        env: Env,
        model: Model,
        params: Params,
        search: SearchSettings,
        *,
        name: str = "",
        recipe: tuple | None = None,
    ) -> None:
        """Makes an agent from its parts.

        Args:
          env: the environment.
          model: the model that it plans with.
          params: parameters of the model's network.
          search: settings of the search.
          name: name of the environment for `jzero.make`; by default the environment's own name.
          recipe: (function, settings, *more); `function(env, settings, params, *more)` rebuilds this agent when it
              is unpickled.
        """
        self.env, self.search = env, search
        self._spec = describe(env, name)
        self.name = self._spec.name
        self.params = _own_copy(params)
        self._recipe = recipe
        self._last: tuple[Plan, jax.Array] | None = (
            None  # what the last call found and took, for the next one
        )
        self._model, planner = model, make_planner(search, model)
        self._plan = jax.jit(
            partial(_plan, model, planner),
            static_argnames=("num_simulations", "leaves", "break_ties", "remember"),
        )
        analysis = partial(_analysis, model, planner, env, self.name)
        self._analyse = jax.jit(analysis, static_argnames=("num_simulations", "max_num_simulations"))
        self._analyse_up_to = jax.jit(analysis, static_argnames="max_num_simulations")
        self._root = jax.jit(model.root)

    def __reduce__(self) -> tuple:
        """The recipe that rebuilds the agent in another process."""
        if self._recipe is None:
            raise TypeError("this agent has no recipe; pickle one that jzero.load or jzero.train returns")
        function, config, *rest = self._recipe
        return function, (self.env, config, jax.device_get(self.params), *rest)

    def with_params(self, params: Params) -> Agent:
        """The same agent with other weights; nothing is compiled again."""
        agent = copy.copy(self)
        agent.params, agent._last = _own_copy(params), None
        return agent

    def with_search(self, search: SearchSettings) -> Agent:
        """The same agent with another search, such as more simulations, reuse or a cache."""
        if self._recipe is None:
            return Agent(self.env, self._model, self.params, search, name=self.name)
        function, config, *rest = self._recipe
        # Made anew, so that settings that do not fit the environment or the algorithm are refused as in a run.
        return function(self.env, replace(config, search=search), self.params, *rest)

    def act(
        self,
        states: States,
        key: jax.Array,
        *,
        num_simulations: int | None = None,
        temperature: float | jax.Array = 0.0,
        leaves: int = 1,
        break_ties: bool = False,
    ) -> jax.Array:
        """Actions i32[B] for a batch of states; f32[B, D] in [-1, 1] if they are continuous.

        Args:
          states: environment states, every leaf [B, ...]; finished ones get an arbitrary action.
          key: a random key; without temperature it affects only the worlds of hidden information and the candidates
              of continuous actions.
          num_simulations: simulations per state; None for the number in training, 0 for the policy without search.
          temperature: [] or [B]; 0 takes the best action; otherwise actions are sampled in proportion to `policy **
              (1 / temperature)`. Without search, continuous actions are the policy's mean, or with any temperature
              a sample of the policy.
          leaves: leaves per tree in one call of the network, for quick answers in few games; with PUCT it must
              divide `num_simulations`.
          break_ties: break ties between actions at random, with the key; by default the lowest index wins.

        Raises:
          ValueError: the states are not a batch, or an argument is out of range.
        """
        states, number = self._checked(states, num_simulations)
        heat = jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), jnp.shape(states.terminated))
        if (heat < 0).any():
            raise ValueError(f"temperature is {temperature}; it may not be negative")
        if number == 0 and self._spec.action_size:
            said = self._root(self.params, states).prior_logits
            return where_rows(heat > 0, squashed.draw(said, key, 1)[:, 0], squashed.mode(said))
        found = None
        if number == 0:
            policy = self.evaluate(states)[0]
            best = untied(jnp.log(policy), key) if break_ties else policy
            action, candidates = jnp.argmax(best, axis=-1).astype(jnp.int32), None
        else:
            found = self._search(states, key, number, leaves, break_ties)
            policy, action = found.policy, found.action
            candidates = found.candidates if self._spec.action_size else None
        if heat.any():
            tempered = jnp.log(policy) / jnp.where(heat > 0, heat, 1.0)[:, None]
            drawn = jax.random.categorical(key, tempered).astype(jnp.int32)
            action = where_rows(heat > 0, drawn if candidates is None else at_rows(candidates, drawn), action)
        if found is not None and (self.search.reuse or self.search.cache):
            self._last = found, action
        return action

    def _search(
        self, states: States, key: jax.Array, num_simulations: int, leaves: int, break_ties: bool
    ) -> Plan:
        """The search of `act`. With reuse or a cache it continues from the last call with the same number of
        states.
        """
        # A kept tree has room for a search of the settings' simulations, one leaf at a time.
        remember = leaves == 1 and num_simulations <= self.search.num_simulations
        last = self._last if remember else None
        if last is not None and last[1].shape[0] != states.terminated.shape[0]:
            last = None
        options = {"num_simulations": num_simulations, "leaves": leaves, "remember": remember}
        return self._plan(self.params, key, states, last, break_ties=break_ties, **options)

    def analyse(
        self,
        states: States,
        key: jax.Array,
        num_simulations: int | None = None,
        *,
        max_num_simulations: int | None = None,
    ) -> Analysis:
        """The results of a search in a batch of states; its action is that of `act` without temperature.

        Args:
          states: environment states, every leaf [B, ...].
          key: as in `act`.
          num_simulations: simulations per state, at least 1; None for the number in training.
          max_num_simulations: capacity of the tree; other numbers of simulations up to it compile nothing.

        Raises:
          ValueError: the states are not a batch, or the number of simulations is out of range.
        """
        states, number = self._checked(states, num_simulations)
        if number < 1:
            raise ValueError(
                "num_simulations is 0; an analysis needs at least 1 (evaluate uses the network without search)"
            )
        if max_num_simulations is None:
            return self._analyse(self.params, key, states, num_simulations=number)
        if number > max_num_simulations:
            raise ValueError(
                f"num_simulations is {number}, above max_num_simulations {max_num_simulations}; raise "
                "max_num_simulations"
            )
        count = jnp.int32(number)
        return self._analyse_up_to(
            self.params, key, states, num_simulations=count, max_num_simulations=max_num_simulations
        )

    def play(self) -> Any:
        """A board in a notebook cell, to play against the agent and to inspect its search.

        It needs the extra `play`: `pip install "jzero[play]"`. Colab needs nothing else: anywidget calls
        `google.colab.output.enable_custom_widget_manager`, which loads Colab's part from the network.

        Returns:
          an anywidget, displayed if it is the cell's last expression.

        Raises:
          ImportError: anywidget is not installed.
          ValueError: the actions are continuous.
        """
        from jzero.play.widget import board_widget

        return board_widget(self)

    def _checked(self, states: States, num_simulations: int | None) -> tuple[PyTree, int]:
        """The states as compiled programs take them, and the number of simulations."""
        if jnp.ndim(states.terminated) != 1:
            raise ValueError(
                f"states must have one batch axis [B, ...], but states.terminated has shape "
                f"{jnp.shape(states.terminated)}; for one state use jax.tree.map(lambda x: x[None], state)"
            )
        number = self.search.num_simulations if num_simulations is None else num_simulations
        if number < 0:
            raise ValueError(f"num_simulations is {number}; it may not be negative")
        return self._settled(states), number

    def evaluate(self, states: States) -> tuple[jax.Array, jax.Array]:
        """The network without search: (policy f32[B, A], value f32[B] for the player to move, or f32[B, P]).

        With continuous actions the policy is its mean action f32[B, D].
        If the environment has `reveal`, the value is that of the true states, including hidden information.
        """
        root = self._root(self.params, self._settled(states))
        read = squashed.mode if self._spec.action_size else jax.nn.softmax
        return read(jnp.asarray(root.prior_logits)), root.value

    def _settled(self, states: States) -> PyTree:
        """The states on the device of the weights and without weak types, in which initial and later states differ.

        Otherwise each mix would compile again: three times in the first plies of a game.
        """

        def strong(x: PyTree) -> PyTree:
            return jax.lax.convert_element_type(x, x.dtype) if getattr(x, "weak_type", False) else x

        (device,) = jax.tree.leaves(self.params)[0].devices()
        return jax.device_put(jax.tree.map(strong, states), device)


def _plan(
    model: Model,
    planner: Planner,
    params: Params,
    key: jax.Array,
    states: States,
    last: tuple[Plan, jax.Array] | None,
    *,
    remember: bool,
    **options: Any,
) -> Plan:
    params = model.prepare(params)
    root, invalid = model.root(params, states), ~states.legal_action_mask
    memory = planner.begin(params, root, invalid) if remember else ()
    if last is not None:
        memory = planner.keep(*last, jnp.zeros_like(states.terminated))
    if isinstance(memory, Memory) and memory.tree is not None:
        memory = memory._replace(tree=follow(memory.tree, states))
    return planner.plan(params, key, root, invalid, memory=memory, **options)


def follow(tree: Tree, states: States) -> Tree:
    """The parts of kept trees [B] for `states` [B]: the subtree of the root, or of its child, whose embedding
    equals the state; else empty.
    """
    index = jnp.asarray(tree.children_index)[:, Tree.ROOT_INDEX]  # [B, A]
    nodes = jnp.concatenate([jnp.zeros_like(index[:, :1]), index], axis=1)
    there = (
        jnp.asarray(tree.node_visits)[
            jnp.arange(nodes.shape[0], dtype=jnp.int32)[:, None], jnp.maximum(nodes, 0)
        ]
        > 0
    )
    same = (nodes >= 0) & there

    def compare(same: jax.Array, pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        kept, wanted = pair
        found = jax.vmap(lambda kept, nodes: kept[nodes])(kept, jnp.maximum(nodes, 0))
        equal = found == wanted[:, None]
        return same & jnp.all(equal.reshape(*same.shape, -1), axis=-1)

    for pair in zip(jax.tree.leaves(tree.embeddings), jax.tree.leaves(states), strict=True):
        same = compare(same, pair)
    below = subtree(tree, jnp.where(jnp.any(same[:, 1:], axis=1), jnp.argmax(same[:, 1:], axis=1), -1))
    return jax.tree.map(
        lambda kept, new: jnp.where(same[:, 0].reshape(-1, *(1,) * (new.ndim - 1)), kept, new), tree, below
    )


def _analysis(
    model: Model,
    planner: Planner,
    env: Env,
    name: str,
    params: Params,
    key: jax.Array,
    states: States,
    num_simulations: int | jax.Array,
    max_num_simulations: int | None = None,
) -> Analysis:
    params = model.prepare(params)
    root, invalid = model.root(params, states), ~states.legal_action_mask
    numbers = {"num_simulations": num_simulations, "max_num_simulations": max_num_simulations}
    found = planner.plan(params, key, root, invalid, keep_worlds=True, **numbers)
    first = found.action if model.sample is None else None
    if model.resample is None and model.decide is None:
        variation = principal_variation(found.tree, first)
    else:
        variation = found.action[:, None]
    return Analysis(
        action=found.action,
        policy=found.policy,
        visits=found.visits,
        qvalues=found.qvalues,
        prior=found.prior,
        value=found.value,
        principal_variation=variation,
        candidates=found.candidates,
        tree=found.tree,
        states=states,
        env=env,
        name=name,
        chance="" if model.decide is None else "explicit" if model.afterstate_value is None else "learned",
        worlds=0 if model.resample is None else planner.settings.worlds,
    )


def _own_copy(params: Params) -> PyTree:
    """A copy on one device of this process, since a run donates its weights in the next update."""
    return jax.tree.map(lambda x: jnp.array(jnp.asarray(x).addressable_data(0)), params)
