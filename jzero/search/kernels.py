"""The steps of a simulation as GPU kernels: `walk.descend` and `walk.finish`, with one program per game.

On a GPU the walk's loops over the hops of a path wait for the host, because the number of hops is unknown in
advance. Here a game's whole descent, and its whole backup, is one program of a kernel, so a simulation is two
kernels and the model. Scores come from `scores`, on rows without a batch axis. There are no atomics, and the order
of operations is the walk's: trees differ at most by the rounding of sums over slots, of `exp` and of `log`.

Axes: B games, N nodes, S slots, A actions, P players, D the maximum depth, F elements of a state.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from jzero.pytrees import PyTree
from jzero.search import kernel_backup, kernel_descend, kernel_finish
from jzero.search import kernel_io as io
from jzero.search.tree import Tree
from jzero.search.types import Choices, Evaluation, Path


def descend(
    tree: Tree,
    choices: Choices,
    simulation: jax.Array,
    max_depth: jax.Array,
    depth: int,
    in_flight: jax.Array | None = None,
    *,
    interpret: bool,
) -> tuple[Path, jax.Array, PyTree]:
    """`walk.descend`.

    Args:
      tree: the trees.
      choices: the selection rules.
      simulation: i32[] or [B] number of the simulation.
      max_depth: i32[] or [B] largest number of edges; a game with 0 takes no part.
      depth: D, at least `max_depth`.
      in_flight: f32[B, N, S] descents through each edge not yet backed up, or None.
      interpret: run on any device, slowly.

    Returns:
      the path; actions i32[B] of its last edge; the states [B, ...] at which that edge starts.
    """
    batch_size, _, num_slots, _ = tree.children.shape
    states = io.flat(tree.embeddings, 2)
    bounds = [] if tree.edge_bounds is None else [tree.edge_bounds, tree.open_priors]
    flying = [] if in_flight is None else [in_flight]
    rounds = [] if choices.rounds is None else [choices.rounds]
    operands = [
        tree.nodes,
        tree.children,
        io.numbers(simulation),
        io.numbers(max_depth),
        *bounds,
        *flying,
        *choices.arrays,
        *rounds,
        *states,
    ]
    path = [((depth, batch_size), jnp.int32)] * 2
    rows = [((batch_size, *x.shape[2:]), x.dtype) for x in states]
    kernel = functools.partial(
        kernel_descend.program, choices=choices.fixed, num_bounds=len(bounds),
        num_in_flight=len(flying), num_arrays=len(choices.arrays), num_rounds=len(rounds), num_states=len(states),
        num_actions=tree.num_actions,
    )  # fmt: skip
    outputs = io.call(
        kernel, "descend", operands, [*path, *[((batch_size,), jnp.int32)] * 5, *rows], num_slots, interpret
    )
    path_nodes, path_slots, length, last_node, last_slot, child, action = outputs[:7]
    found = Path(path_nodes, path_slots, length, last_node, last_slot, child)
    return found, action, io.unflat(outputs[7:], tree.embeddings, 1)


def finish(
    tree: Tree, path: Path, found: Evaluation, index: jax.Array, *, interpret: bool
) -> tuple[jax.Array, jax.Array, jax.Array, PyTree, jax.Array | None]:
    """`walk.finish`, in place.

    Args:
      tree: the trees.
      path: path of every game.
      found: the model's evaluation of its last edge.
      index: i32[] index of the new nodes.
      interpret: run on any device, slowly.

    Returns:
      `nodes`, `children`, `open_priors`, `embeddings` and `edge_bounds` of the trees.
    """
    states, new_states = io.flat(tree.embeddings, 2), io.flat(found.embedding, 1)
    bounds = [] if tree.edge_bounds is None else [tree.edge_bounds]
    written = [tree.nodes, tree.children, tree.open_priors, *bounds, *states]
    model = [found.value, found.reward, found.discount, found.logits, *new_states]
    player = [] if found.player is None else [found.player]
    nodes, children, open_priors, *states = io.call(
        functools.partial(
            kernel_finish.program,
            num_states=len(states),
            num_players=tree.num_players,
            num_bounds=len(bounds),
        ),
        "finish",
        [*written, *path, io.numbers(index), *model, *player],
        [(x.shape, x.dtype) for x in written],
        tree.num_actions,
        interpret,
        in_place=True,
    )
    edge_bounds = states.pop(0) if bounds else None
    return nodes, children, open_priors, io.unflat(states, tree.embeddings, 2), edge_bounds


def backup(
    tree: Tree, path: Path, leaf: jax.Array, *, interpret: bool
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Counts a visit of the leaves that were there before, then `walk.backup`, in place.

    Args:
      tree: the trees.
      path: path of every game; of depth 0 in a game that takes no part.
      leaf: i32[B] the evaluated nodes at their ends.
      interpret: run on any device, slowly.

    Returns:
      `nodes`, `children` and `edge_bounds` of the trees.
    """
    bounds = [] if tree.edge_bounds is None else [tree.edge_bounds]
    written, read = [tree.nodes, tree.children, *bounds], [tree.open_priors][: len(bounds)]
    nodes, children, *bounds = io.call(
        functools.partial(kernel_backup.program, num_players=tree.num_players, num_bounds=len(bounds)),
        "backup",
        [*written, *read, *path, leaf],
        [(x.shape, x.dtype) for x in written],
        tree.children.shape[2],
        interpret,
        in_place=True,
    )
    return nodes, children, bounds[0] if bounds else None
