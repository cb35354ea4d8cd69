"""Planning: a search with given settings, over a model.

Axes: B games, A actions, W worlds, P players, D dimensions of a continuous action. With continuous actions A is the
number of the root's candidates. A model with a value for every player gives values [B, P] by seat instead of [B]
below; Q-values that decide actions are always those of the player to move.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero import search
from jzero.env import where_rows
from jzero.models.model import Model, at_rows
from jzero.models.policies import SearchSettings, evaluates_afterstates, improvement, search_policy
from jzero.pytrees import Params, PyTree, States
from jzero.search import scores
from jzero.search.tree import Tree

TIES = 1e-4
"""Scale of the noise on logits that breaks ties: far below differences that a policy has learned."""


class Plan(NamedTuple):
    """The result of a search at the root."""

    action: jax.Array
    """i32[B], or f32[B, D] for continuous actions: the chosen action."""
    policy: jax.Array
    """f32[B, A] the target for the policy network: improved policy (Gumbel, worlds) or visit shares (PUCT)."""
    value: jax.Array
    """f32[B] expected Q-value under `policy`, for the player to move."""
    visits: jax.Array
    """f32[B, A] simulations per action (worlds: their mean)."""
    qvalues: jax.Array
    """f32[B, A] Q-values for the player to move, or [B, A, P] by seat; 0 for actions without simulations."""
    qvalue: jax.Array
    """f32[B] Q-value of the chosen action; `value` if it has no simulations."""
    prior: jax.Array
    """f32[B, A] the network's policy."""
    evaluations: jax.Array
    """i32[B] number of network evaluations."""
    candidates: Any = ()
    """f32[B, A, D] the candidate actions of `policy`, for continuous actions; else ()."""
    tree: Any = ()
    """The search tree, with [B * W] rows for worlds; () if not requested."""
    table: Any = None
    """The evaluation cache after the search; None without a cache."""


class Memory(NamedTuple):
    """State kept between searches of the same games with the same weights."""

    tree: Tree | None
    """[B, N, ...] kept trees; None without reuse."""
    table: search.CacheState | None
    """The evaluation cache; None without one."""


class Planner(NamedTuple):
    """A search with given settings over a model; `make_planner` makes it and documents the arguments of `plan`."""

    settings: SearchSettings
    plan: Callable[..., Plan]
    """(params, key, root, invalid, **options) -> the result of the search."""
    begin: Callable[[Any, search.RootFnOutput, jax.Array], Memory | tuple[()]]
    """(params, shapes of the root, invalid) -> an empty memory; () if none is kept."""
    keep: Callable[[Plan, jax.Array, jax.Array], Memory | tuple[()]]
    """(plan, actions i32[B] played, ended bool[B]) -> the memory for the next positions."""


def make_planner(settings: SearchSettings, model: Model) -> Planner:
    """A search with `settings` over `model`.

    `plan` takes

      params: parameters of the model's network.
      key: consumed.
      root: the model's output for the states [B]; finished rows get an arbitrary action.
      invalid: bool[B, A], illegal actions.
      num_simulations: simulations per game (per world with hidden information), at least 1; by default those of the
      settings. max_num_simulations: the largest `num_simulations`, if that is traced.
      explore: self-play's noise (Gumbel sampling; Dirichlet noise with PUCT); false by default.
      temperature: PUCT or worlds, [] or [B]: actions are sampled in proportion to `policy ** (1 / temperature)`.
      leaves: leaves per tree in one call of the network; must divide `num_simulations` with PUCT.
      break_ties: break ties between actions at random; by default the lowest index wins.
      memory: output of `begin` or `keep`. By default the search starts afresh, and the plan holds its tree.
      keep_worlds: the plan holds the trees of its worlds too, which are then searched even without a choice.

    With hidden information `settings.worlds` worlds per game are searched and their roots averaged. Then only the
    embedding of `root` is read, since its states hold hidden information.

    Raises:
      ValueError: the settings do not fit the model.
    """
    if settings.cache and (model.cache is None or model.resample is not None):
        raise ValueError(
            f"search.cache is {settings.cache}; it needs AlphaZero, an environment with fingerprint(state) and no "
            "hidden information: use 0"
        )
    if settings.solve and not model.provable:
        raise ValueError(
            "search.solve is True; it needs AlphaZero and a two-player game whose rewards sum to 0, come at the "
            "end and are at most 1, without chance and hidden information: use --search.no-solve"
        )
    if settings.forced_playouts and (model.resample is not None or evaluates_afterstates(settings, model)):
        raise ValueError(
            f"search.forced_playouts is {settings.forced_playouts:g}; it needs visit counts as the policy target, "
            "which hidden information (worlds) and learned chance codes do not give: use 0"
        )
    policies = {explore: search_policy(settings, model, explore) for explore in (True, False)}

    def plan(
        params: Params,
        key: jax.Array,
        root: search.RootFnOutput,
        invalid: jax.Array,
        *,
        num_simulations: int | jax.Array | None = None,
        max_num_simulations: int | None = None,
        explore: bool = False,
        temperature: float | jax.Array = 0.0,
        leaves: int = 1,
        break_ties: bool = False,
        memory: Memory | tuple[()] | None = None,
        keep_worlds: bool = False,
    ) -> Plan:
        number = settings.num_simulations if num_simulations is None else num_simulations
        tie_key = None
        if break_ties and model.sample is None:
            key, tie_key = jax.random.split(key)
            root = _untied_root(root, tie_key)
        options: dict[str, Any] = {"leaves": leaves, "to_play": model.to_play}
        if max_num_simulations is not None:
            options["max_num_simulations"] = max_num_simulations
        if model.resample is not None:
            policy = functools.partial(policies[explore], **options)
            states = root.embedding
            return _plan_worlds(
                settings,
                model,
                policy,
                params,
                key,
                states,
                invalid,
                number,
                temperature,
                tie_key,
                keep_worlds,
            )
        if settings.policy == "puct":
            options["temperature"] = jnp.reshape(temperature, (-1, 1))
        recurrent = model.recurrent
        if isinstance(memory, Memory):
            if memory.table is not None and model.cache is not None:
                recurrent = model.cache.recurrent_fn
            options |= {"tree": memory.tree, "model_state": memory.table}
            if settings.reuse:  # room for a kept tree and a full search
                options["num_nodes"] = 2 * settings.num_simulations + 1
        if model.sample is not None:
            key, sample_key = jax.random.split(key)
            root = model.sample(sample_key, root)
            invalid = jnp.broadcast_to(invalid, jnp.shape(root.prior_logits))  # of one flag for all vectors
        output = policies[explore](params, key, root, recurrent, number, invalid_actions=invalid, **options)
        found = _read(model, root, output, number)
        return found if memory is None or settings.reuse else found._replace(tree=())

    def begin(params: Params, root: search.RootFnOutput, invalid: jax.Array) -> Memory | tuple[()]:
        if not (settings.reuse or settings.cache):
            return ()
        memory = Memory(None, None)
        if settings.cache:
            assert model.cache is not None
            memory = Memory(None, model.cache.empty(settings.cache, params, root.embedding))
        if not settings.reuse:
            return memory
        first = functools.partial(
            plan, params, jax.random.key(0), invalid=invalid, explore=True, memory=memory
        )
        shapes = jax.eval_shape(lambda root: first(root=root).tree, root)
        tree = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return _kept(tree, jnp.full(invalid.shape[0], -1, jnp.int32), memory.table)

    def keep(found: Plan, action: jax.Array, ended: jax.Array) -> Memory | tuple[()]:
        if settings.reuse:
            return _kept(found.tree, jnp.where(ended, -1, action), found.table)
        return Memory(None, found.table) if settings.cache else ()

    return Planner(settings, plan, begin, keep)


def untied(logits: jax.Array, key: jax.Array) -> jax.Array:
    """Logits f32[B, A] with small noise, so that no two are equal."""
    return logits + TIES * jax.random.gumbel(key, logits.shape, logits.dtype)


def _untied_root(root: search.RootFnOutput, key: jax.Array) -> search.RootFnOutput:
    return dataclasses.replace(root, prior_logits=untied(jnp.asarray(root.prior_logits), key))


def _kept(tree: Tree, action: jax.Array, table: search.CacheState | None) -> Memory:
    """The trees below the actions i32[B] (none for -1), and the table."""
    return Memory(dataclasses.replace(search.subtree(tree, action), model_state=None), table)


def _read(model: Model, root: search.RootFnOutput, output: search.PolicyOutput, num_simulations: Any) -> Plan:
    """The plan from the output of a search."""
    tree = cast(Tree, output.search_tree)
    action, policy = cast(jax.Array, output.action), cast(jax.Array, output.action_weights)
    visits = tree.summary().visit_counts
    rows = jnp.full(action.shape, 1 + jnp.asarray(num_simulations), jnp.int32)
    found = _summarise(root, action, policy, visits, _root_qvalues(model, tree), rows)
    if tree.edge_bounds is not None:
        # Where all actions that were tried are surely worse, the policy has others.
        tried = jnp.any((visits > 0) & (policy > 0), axis=-1)
        value = where_rows(tried, found.value, jnp.asarray(root.value))
        found = found._replace(value=value, qvalue=where_rows(tried, found.qvalue, value))
    if model.sample is not None:
        candidates = cast(Any, root.embedding).candidates
        found = found._replace(action=at_rows(candidates, action), candidates=candidates)
    return found._replace(tree=tree, table=tree.model_state)


def _plan_worlds(
    settings: SearchSettings,
    model: Model,
    policy: Callable[..., search.PolicyOutput],
    params: Params,
    key: jax.Array,
    states: States,
    invalid: jax.Array,
    num_simulations: int | jax.Array,
    temperature: float | jax.Array,
    tie_key: jax.Array | None,
    keep_trees: bool,
) -> Plan:
    """Searches `settings.worlds` worlds per game with `policy` and averages their roots.

    If no game of the batch has a choice, the search is skipped, unless the trees are kept.
    """
    num_worlds = settings.worlds
    choices = jnp.sum(~invalid, axis=-1, dtype=jnp.int32)
    world_key, search_key = jax.random.split(key)
    assert model.resample is not None
    worlds = model.root(params, model.resample(states, world_key, num_worlds))
    if tie_key is not None:
        worlds = _untied_root(worlds, tie_key)

    def mean(rows: PyTree) -> jax.Array:
        return jnp.mean(jnp.reshape(rows, (-1, num_worlds, *jnp.shape(rows)[1:])), axis=1)

    # The policy is the same in every world of a game, the value where the environment reveals nothing.
    root = search.RootFnOutput(
        prior_logits=jnp.asarray(worlds.prior_logits)[::num_worlds],
        value=mean(worlds.value),
        embedding=states,
    )

    def searched() -> Plan:
        found = search.search_worlds(
            policy,
            params,
            search_key,
            worlds,
            model.recurrent,
            num_simulations,
            invalid,
            num_worlds=num_worlds,
            improve=functools.partial(scores.completed_by_mix_value, **improvement(settings)),
            temperature=jnp.reshape(jnp.asarray(temperature), (-1,)),
        )
        qvalues = found.qvalues if model.to_play is None else found.player_qvalues
        rows = jnp.full_like(choices, num_worlds * (1 + num_simulations))
        plan = _summarise(root, found.action, found.action_weights, found.visit_counts, qvalues, rows)
        # A row's plan must not depend on its batch mates: without a choice it is the same as in `forced`.
        kept = forced()._replace(evaluations=rows)
        plan = where_rows(choices > 1, plan, kept)
        return plan._replace(tree=found.worlds.search_tree) if keep_trees else plan

    def forced() -> Plan:
        legal = (~invalid).astype(jnp.float32)
        action = jnp.argmax(legal, axis=-1).astype(jnp.int32)
        value = jnp.asarray(root.value)
        nothing = jnp.zeros((*legal.shape, *value.shape[1:]), jnp.float32)
        return Plan(
            action=action,
            policy=legal,
            value=value,
            visits=jnp.zeros(legal.shape, jnp.float32),
            qvalues=nothing,
            qvalue=value,
            prior=legal,
            evaluations=jnp.full_like(choices, num_worlds),
        )

    if keep_trees:
        return searched()
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
    visits: jax.Array,
    qvalues: jax.Array,
    evaluations: jax.Array,
) -> Plan:
    """The plan of a root with Q-values f32[B, A] or f32[B, A, P] of the actions with `visits` [B, A]."""
    visited = visits > 0
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
        visits=visits.astype(jnp.float32),
        qvalues=qvalues,
        qvalue=where_rows(tried, qvalue, value),
        prior=jax.nn.softmax(root.prior_logits, axis=-1),
        evaluations=evaluations,
    )
