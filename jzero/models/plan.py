"""How an agent chooses: the search that the settings describe, over a model.

Axes: B games, A actions, W worlds, P players, D dimensions of a continuous action. With continuous actions A is the
number of candidates that the root has drawn. A model with a value for every player gives values [B, P] by seat
wherever [B] stands below; Q-values that choose actions are always those of the player to move.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from jzero import search
from jzero.env import where_rows
from jzero.models.model import Model, at_rows
from jzero.pytrees import Embedding, Params, PyTree, States
from jzero.search import scores
from jzero.search.chance import Decide
from jzero.search.tree import Tree
from jzero.settings import check

TIES = 1e-4
"""Scale of the noise on logits by which ties are broken: far less than what a policy has learned."""


@dataclass(frozen=True)
class SearchSettings:
    """How a move is chosen."""

    policy: Literal["gumbel", "puct"] = "gumbel"
    """Gumbel (sequential halving, improved policy as target) or PUCT (visit counts as target)."""
    num_simulations: int = 32
    """Simulations per move in self-play."""
    max_considered: int = 16
    """Gumbel: actions of the first halving round."""
    sampled_actions: int = 16
    """Continuous actions: candidates that every node draws from its policy."""
    value_scale: float = 0.1
    """Gumbel: c_scale, the weight of Q-values in the improved policy."""
    maxvisit_init: float = 50.0
    """Gumbel: c_visit."""
    rescale_values: bool = True
    """Gumbel: map a node's Q-values to [0, 1] before scaling."""
    dirichlet_fraction: float = 0.25
    """PUCT: share of noise in the root's prior during self-play."""
    dirichlet_alpha: float = 1.0
    """PUCT: concentration of the noise."""
    pb_c_init: float = 1.25
    """PUCT: c_1."""
    worlds: int = 1
    """Hidden information: how many worlds a move searches, each drawn consistently with what the mover has seen."""
    reuse: bool = False
    """Self-play goes on with the subtree of the action played, until the weights change (a simulator without chance
    and hidden information only)."""
    cache: int = 0
    """Places of a table of the positions that were evaluated since the weights changed, a power of two; 0 evaluates
    every position (a simulator whose positions have a fingerprint only)."""
    solve: bool = False
    """Wins, losses and draws that the search sees to the end are proven, and played or avoided for sure (an exact
    simulator only: two players whose rewards sum to 0 and come at the end, without chance and hidden
    information)."""
    min_value_range: float = 0.01
    """Rescaled Q-values are divided by at least this much, so that noise is not blown up (EfficientZero's soft
    min-max)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        check("search.num_simulations", self.num_simulations, low=1)
        check("search.max_considered", self.max_considered, low=1)
        check("search.sampled_actions", self.sampled_actions, low=2)
        check("search.value_scale", self.value_scale, low=0)
        check("search.maxvisit_init", self.maxvisit_init, low=0)
        check("search.dirichlet_fraction", self.dirichlet_fraction, low=0, high=1)
        check("search.dirichlet_alpha", self.dirichlet_alpha, above=0)
        check("search.pb_c_init", self.pb_c_init, above=0)
        check("search.worlds", self.worlds, low=1)
        check("search.cache", self.cache, low=0)
        if self.cache & (self.cache - 1):
            raise ValueError(
                f"search.cache is {self.cache}; it must be a power of two, such as {1 << self.cache.bit_length()}"
            )
        check("search.min_value_range", self.min_value_range, above=0)


class Plan(NamedTuple):
    """What a search found at the root."""

    action: jax.Array
    """i32[B], or f32[B, D] where actions are continuous: the chosen action."""
    policy: jax.Array
    """f32[B, A] the target for the policy network: improved policy (Gumbel, worlds) or shares of visits (PUCT)."""
    value: jax.Array
    """f32[B] expected Q-value under `policy`, for the player to move."""
    visits: jax.Array
    """f32[B, A] simulations of each action (worlds: their mean)."""
    qvalues: jax.Array
    """f32[B, A] Q-values for the player to move, or [B, A, P] by seat; 0 where no simulation tried an action."""
    qvalue: jax.Array
    """f32[B] Q-value of the chosen action; `value` where no simulation tried it."""
    prior: jax.Array
    """f32[B, A] the network's policy."""
    evaluations: jax.Array
    """i32[B] rows of the network's batches that the search took."""
    candidates: Any = ()
    """f32[B, A, D] what `policy` is over, where actions are continuous; else ()."""
    tree: Any = ()
    """The search's tree; of worlds [B * W] rows; () where it is not wanted."""
    table: Any = None
    """The positions that were evaluated so far; None without a cache."""


class Memory(NamedTuple):
    """What a search leaves for the next one of the same games, with the same weights."""

    tree: Tree | None
    """[B, N, ...] kept trees; None where trees are not reused."""
    table: search.CacheState | None
    """Positions that were evaluated before; None without a cache."""


class Planner(NamedTuple):
    """The search that the settings describe, over a model; `make_planner` makes it and says what `plan` takes."""

    settings: SearchSettings
    plan: Callable[..., Plan]
    """(params, key, root, invalid, **options) -> what the search found."""
    begin: Callable[[Any, search.RootFnOutput, jax.Array], Memory | tuple[()]]
    """(params, shapes of the root, invalid) -> the memory of games of which nothing was searched; () where none is
    kept."""
    keep: Callable[[Plan, jax.Array, jax.Array], Memory | tuple[()]]
    """(plan, actions i32[B] that are played, ended bool[B]) -> the memory for the positions that follow."""


def make_planner(settings: SearchSettings, model: Model) -> Planner:
    """The search that `settings` describe, over `model`.

    `plan` takes

      params: of the model's network.
      key: consumed.
      root: what the model says of the states [B]; rows that are finished give an arbitrary action.
      invalid: bool[B, A], illegal actions.
      num_simulations: simulations per game, or per world of it, at least 1; by default those of the settings.
      max_num_simulations: the greatest `num_simulations`, where that is traced.
      explore: self-play's noise (Gumbel sampling; Dirichlet noise with PUCT); false by default.
      temperature: PUCT or worlds, [] or [B]: actions are drawn in proportion to `policy ** (1 / temperature)`.
      leaves: leaves of each tree in one call of the network; divides `num_simulations` with PUCT.
      break_ties: between actions that are as good a random one is chosen; by default the lowest.
      memory: what `begin` or `keep` gave. By default nothing was searched before, and the plan has its tree.
      keep_worlds: the plan has the trees of its worlds too, which are then searched even where nobody has a choice.

    With hidden information `settings.worlds` worlds of each game are searched and their roots averaged. Of `root`
    only the embedding is read then: the states themselves hold what their players cannot see.

    Raises:
      ValueError: settings that the model cannot serve.
    """
    if settings.cache and (model.cache is None or model.resample is not None):
        raise ValueError(
            f"search.cache is {settings.cache}; it needs AlphaZero, an environment with fingerprint(state) and no "
            "hidden information: use 0"
        )
    if settings.solve and not model.provable:
        raise ValueError(
            "search.solve is True; it needs AlphaZero and a game of two players whose rewards sum to 0, come at "
            "the end and are at most 1, without chance and hidden information: use --search.no-solve"
        )
    policies = {explore: _policy(settings, model, explore) for explore in (True, False)}

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
    """Logits f32[B, A] with a little noise, so that no two are equal."""
    return logits + TIES * jax.random.gumbel(key, logits.shape, logits.dtype)


def _untied_root(root: search.RootFnOutput, key: jax.Array) -> search.RootFnOutput:
    return dataclasses.replace(root, prior_logits=untied(jnp.asarray(root.prior_logits), key))


def _kept(tree: Tree, action: jax.Array, table: search.CacheState | None) -> Memory:
    """The trees below the actions i32[B], none below -1, and the table by itself."""
    return Memory(dataclasses.replace(search.subtree(tree, action), model_state=None), table)


def _read(model: Model, root: search.RootFnOutput, output: search.PolicyOutput, num_simulations: Any) -> Plan:
    """The plan that a search of the roots has made."""
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
    """Searches `settings.worlds` worlds of each game by `policy` and averages their roots.

    A ply at which no game of the batch leaves a choice takes no search, unless the trees are kept.
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
            improve=functools.partial(scores.completed_by_mix_value, **_improvement(settings)),
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


def _policy(settings: SearchSettings, model: Model, explore: bool) -> Callable[..., search.PolicyOutput]:
    """The search policy for a model, with or without self-play's noise."""
    if evaluates_afterstates(settings, model):
        return _with_evaluated_afterstates(settings, model, explore)
    policy = _policy_of_actions(settings, explore)
    return policy if model.decide is None else search.with_chance(policy, model.decide)


def evaluates_afterstates(settings: SearchSettings, model: Model) -> bool:
    """Whether a simulation adds an afterstate or a state, each with the model's value: Stochastic MuZero's search.

    The Gumbel search counts simulations by action, and goes on from each new afterstate to one of its outcomes.
    """
    return model.afterstate_value is not None and settings.policy == "puct"


def _with_evaluated_afterstates(
    settings: SearchSettings, model: Model, explore: bool
) -> Callable[..., search.PolicyOutput]:
    """`search.stochastic_muzero_policy` over a model, called like `search.muzero_policy`."""
    decide, value_of = cast(Decide, model.decide), cast(Callable, model.afterstate_value)

    def decision(
        params: Params, key: jax.Array, action: jax.Array, embedding: Embedding
    ) -> tuple[PyTree, PyTree]:
        logits, after = decide(params, key, action, embedding)
        value = value_of(params, after)
        return search.DecisionRecurrentFnOutput(chance_logits=logits, afterstate_value=value), after

    def outcome(params: Params, key: jax.Array, code: jax.Array, after: States) -> tuple[PyTree, PyTree]:
        step, embedding = model.recurrent(params, key, code, after)
        found = search.ChanceRecurrentFnOutput(
            action_logits=step.prior_logits, value=step.value, reward=step.reward, discount=step.discount
        )
        return found, embedding

    def policy(
        params: Params,
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
            params,
            key,
            root,
            decision,
            outcome,
            num_simulations,
            packed=True,
            **_puct(settings, explore),
            **options,
        )

    return policy


def _policy_of_actions(settings: SearchSettings, explore: bool) -> Callable[..., search.PolicyOutput]:
    """The search policy with the settings' constants."""
    if settings.policy == "gumbel":
        return functools.partial(
            search.gumbel_muzero_policy,
            qtransform=functools.partial(search.qtransform_completed_by_mix_value, **_improvement(settings)),
            max_num_considered_actions=settings.max_considered,
            gumbel_scale=1.0 if explore else 0.0,
            solve=settings.solve,
        )
    return functools.partial(search.muzero_policy, solve=settings.solve, **_puct(settings, explore))


def _puct(settings: SearchSettings, explore: bool) -> dict[str, Any]:
    """PUCT's constants, with or without self-play's noise."""
    return {
        "qtransform": functools.partial(
            search.qtransform_by_parent_and_siblings, epsilon=settings.min_value_range
        ),
        "dirichlet_fraction": settings.dirichlet_fraction if explore else 0.0,
        "dirichlet_alpha": settings.dirichlet_alpha,
        "pb_c_init": settings.pb_c_init,
    }


def _improvement(settings: SearchSettings) -> dict[str, Any]:
    """How Q-values are scaled before they improve a policy."""
    return {
        "value_scale": settings.value_scale,
        "maxvisit_init": settings.maxvisit_init,
        "rescale_values": settings.rescale_values,
        "epsilon": settings.min_value_range,
    }
