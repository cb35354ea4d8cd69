"""The simulations of a search, one after another: descend, evaluate, finish.

Descending and finishing run as the walk's operations or as kernels, see `engine`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jzero.pytrees import Params, PyTree
from jzero.search import walk
from jzero.search.chance import add_afterstates
from jzero.search.engines import choose, kernels
from jzero.search.tree import Tree
from jzero.search.types import Choices, Evaluation, Path, Rules


def search(
    params: Params,
    rng_key: jax.Array,
    tree: Tree,
    rules: Rules,
    *,
    num_simulations: int | jax.Array,
    start: int,
    loop_fn: Callable = jax.lax.fori_loop,
) -> Tree:
    """Runs simulations one after another from the root of `tree`.

    Args:
      params: passed to the model.
      rng_key: split once per simulation, for the model.
      tree: see `init_tree`; the nodes from `start` on are free.
      rules: selection and evaluation.
      num_simulations: number of simulations; may be traced, at most N - `start`.
      start: index of the first new node.
      loop_fn: `jax.lax.fori_loop` or a function with its signature, which carries (key, tree).
    """
    buffers = walk.path_buffers(tree, rules)
    choices, depth = rules.choices, buffers[0].shape[0]
    operations = functools.partial(walk.descend, rules)
    kernel = None
    if choices is not None:
        kernel = functools.partial(_descend, choices.fixed, depth)

    def simulate(sim: jax.Array, carry: tuple) -> tuple:
        key, tree, buffers = carry
        key, decide_key, expand_key = jax.random.split(key, 3)
        sim = jnp.asarray(sim, jnp.int32)
        index = start + sim * rules.nodes_each
        for_kernel = _for_kernel(rules, sim, depth)
        # Kernels would gather states that chance leaves unread; only a user's transform of Q-values may read them.
        no_states = rules.chance is not None and choices is not None
        seen = dataclasses.replace(tree, embeddings=()) if no_states else tree
        path, action, embedding = choose(kernel, operations, seen, buffers, *for_kernel)
        if rules.chance is not None:
            tree, path = add_afterstates(params, decide_key, tree, rules, path, index)
            action, embedding = walk.last_edges(tree, path)
        found, model_state = walk.evaluate(params, expand_key, rules, action, embedding, tree.model_state)
        tree = _finish(tree, rules, path, found, index + rules.nodes_each - 1)
        return key, dataclasses.replace(tree, model_state=model_state), (path.nodes, path.slots)

    if loop_fn is jax.lax.fori_loop:
        return loop_fn(0, num_simulations, simulate, (rng_key, tree, buffers))[1]

    # Other loops may look at what they carry, and find what mctx carries.
    def simulate_with_buffers(sim: jax.Array, carry: tuple) -> tuple:
        return simulate(sim, (*carry, buffers))[:2]

    return loop_fn(0, num_simulations, simulate_with_buffers, (rng_key, tree))[1]


def _for_kernel(rules: Rules, sim: jax.Array, depth: int) -> tuple:
    """Further arguments of a descent as a kernel, after the tree and the buffers."""
    if rules.choices is None:
        return ()
    return sim, rules.depth_within(depth), rules.choices.arrays, rules.choices.rounds


def _descend(
    choices: Choices,
    depth: int,
    tree: Tree,
    _: Any,
    sim: jax.Array,
    max_depth: jax.Array,
    arrays: tuple[jax.Array, ...],
    rounds: jax.Array | None,
    *,
    interpret: bool,
) -> tuple[Path, jax.Array, PyTree]:
    """`walk.descend` as a kernel; `choices` comes without the arrays that follow."""
    choices = choices._replace(arrays=arrays, rounds=rounds)
    return kernels().descend(tree, choices, sim, max_depth, depth, interpret=interpret)


def _finish(tree: Tree, rules: Rules, path: Path, found: Evaluation, index: jax.Array) -> Tree:
    """The trees with the new nodes, backed up."""

    def operations(tree: Tree, path: Path, found: Evaluation, index: jax.Array) -> tuple:
        tree = walk.finish(tree, path, found, index)
        return tree.nodes, tree.children, tree.open_priors, tree.embeddings, tree.edge_bounds

    def kernel(*arguments: Any, interpret: bool) -> tuple:
        return kernels().finish(*arguments, interpret=interpret)

    nodes, children, open_priors, embeddings, edge_bounds = choose(
        None if rules.choices is None else kernel, operations, tree, path, found, jnp.int32(index)
    )
    return dataclasses.replace(
        tree,
        nodes=nodes,
        children=children,
        open_priors=open_priors,
        embeddings=embeddings,
        edge_bounds=edge_bounds,
    )
