"""Checks of a search's arguments and, with `check=True`, of its results.

Every error names the argument, its value, the expected value and the fix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from mctx import RootFnOutput

from jzero.pytrees import Embedding
from jzero.search import layout
from jzero.search.options import NONE, Options
from jzero.search.tree import Tree

VIRTUAL = ("visit", "loss", "mean")


class Size(NamedTuple):
    """The size of a search."""

    num_nodes: int
    """Capacity of the tree, N."""
    max_num_simulations: int
    """Largest number of simulations."""
    nodes_each: int = 1
    """Nodes that a simulation may add."""

    @property
    def start(self) -> int:
        """Index of the first node that this search adds."""
        return self.num_nodes - self.max_num_simulations * self.nodes_each


def check(
    root: RootFnOutput,
    num_simulations: int | jax.Array,
    invalid_actions: jax.Array | None,
    options: Options = NONE,
    loop_fn: Callable = jax.lax.fori_loop,
) -> Size:
    """The size of the search; raises ValueError for arguments of a policy that do not fit."""
    shape = np.shape(root.prior_logits)
    if len(shape) != 2:
        raise ValueError(f"root.prior_logits has shape {shape}; it must be [B, A]: games, actions")
    _check_root(root, invalid_actions, options.to_play)
    chance = options.chance is not None
    if options.solve and (chance or options.to_play is not None):
        found = "with_chance" if chance else "to_play"
        raise ValueError(
            f"solve is True with {found}; proofs need a two-player game whose rewards sum to 0, without chance: "
            "set solve=False"
        )
    size = _size(num_simulations, options, 2 if chance else 1)
    if options.leaves < 1:
        raise ValueError(f"leaves is {options.leaves}; it must be at least 1, the number of leaves per call")
    if options.leaves > 1 and loop_fn is not jax.lax.fori_loop:
        raise ValueError("loop_fn runs simulations one by one; omit it or set leaves=1")
    if options.tree is not None:
        _check_reused(options.tree, shape, options.solve)
    if options.max_bytes is not None:
        _check_bytes(root, size, options.max_bytes, options.solve)
    if options.check:
        check_root_values(root, invalid_actions)
    return size


def check_puct(num_simulations: int | jax.Array, options: Options) -> None:
    """Raises ValueError for options that PUCT does not support."""
    leaves, virtual = options.leaves, options.virtual
    if virtual not in VIRTUAL:
        raise ValueError(f"virtual is {virtual!r}; it must be one of {', '.join(map(repr, VIRTUAL))}")
    if options.forced < 0:
        raise ValueError(f"forced is {options.forced}; it must be at least 0, which forces no visits")
    if options.forced and (options.solve or leaves > 1):
        raise ValueError(
            f"forced is {options.forced} with solve={options.solve} and leaves={leaves}; forced visits need one "
            "leaf at a time and no proofs: use forced=0, or solve=False and leaves=1"
        )
    if isinstance(num_simulations, int) and num_simulations % leaves:
        raise ValueError(
            f"leaves is {leaves}, which does not divide num_simulations {num_simulations}; "
            f"use {num_simulations - num_simulations % leaves} or "
            f"{num_simulations + leaves - num_simulations % leaves} simulations, or other leaves"
        )


def _check_root(root: RootFnOutput, invalid_actions: jax.Array | None, to_play: Callable | None) -> None:
    shape, value = np.shape(root.prior_logits), np.shape(root.value)
    if to_play is None and value != shape[:1]:
        raise ValueError(
            f"root.value has shape {value}; it must be {shape[:1]}, one value per row of root.prior_logits {shape} "
            "(or [B, P] with to_play, one per player)"
        )
    if to_play is not None and (len(value) != 2 or value[0] != shape[0] or value[1] < 2):
        raise ValueError(
            f"root.value has shape {value}; with to_play it must be [{shape[0]}, P], one value per player, P >= 2"
        )
    if invalid_actions is not None and np.shape(invalid_actions) != shape:
        raise ValueError(
            f"invalid_actions has shape {np.shape(invalid_actions)}; it must be that of "
            f"root.prior_logits, {shape}"
        )
    for leaf in jax.tree.leaves(root.embedding):
        if np.shape(leaf)[:1] != shape[:1]:
            raise ValueError(
                f"root.embedding has a leaf of shape {np.shape(leaf)}; "
                f"its first axis must be the batch, {shape[0]}"
            )


def _size(num_simulations: int | jax.Array, options: Options, nodes_each: int) -> Size:
    cap, num_nodes, tree = options.max_num_simulations, options.num_nodes, options.tree
    if isinstance(num_simulations, jax.core.Tracer):
        if cap is None:
            raise ValueError("num_simulations is traced; pass max_num_simulations, its largest value")
    else:
        num_simulations = int(num_simulations)
        if num_simulations < 1:
            raise ValueError(
                f"num_simulations is {num_simulations}; it must be at least 1 "
                f"(without a search, use the prior itself)"
            )
        if cap is not None and num_simulations > cap:
            raise ValueError(
                f"num_simulations is {num_simulations}, above max_num_simulations {cap}; raise max_num_simulations"
            )
        cap = num_simulations if cap is None else cap
    if tree is not None:
        if num_nodes not in (None, tree.nodes.shape[1]):
            raise ValueError(
                f"num_nodes is {num_nodes}, but the reused tree has room for {tree.nodes.shape[1]}; omit "
                "num_nodes, or set it in the first search"
            )
        num_nodes = tree.nodes.shape[1]
    least = 1 + cap * nodes_each
    size = Size(least if num_nodes is None else num_nodes, cap, nodes_each)
    if size.start < 1:
        where = "the reused tree has room for" if tree is not None else "num_nodes is"
        raise ValueError(
            f"{where} {num_nodes} nodes; {cap} simulations need at least {least}"
            + (", set num_nodes in the first search" if tree is not None else "")
        )
    return size


def _check_reused(tree: Tree, shape: tuple[int, ...], solve: bool) -> None:
    if solve != (tree.edge_bounds is not None):
        raise ValueError(
            f"solve is {solve}, but the reused tree is of a search with solve={not solve}; set the same in both"
        )
    found = (tree.nodes.shape[0], tree.num_actions)
    if found != shape:
        raise ValueError(
            f"tree holds {found[0]} games of {found[1]} actions; root.prior_logits {shape} has "
            f"{shape[0]} games of {shape[1]}; reuse a tree of the same batch"
        )


def tree_nbytes(
    batch_size: int,
    num_actions: int,
    num_nodes: int,
    embedding: Embedding = (),
    num_players: int = 1,
    *,
    solve: bool = False,
) -> int:
    """Bytes of a search tree of `batch_size` games.

    Args:
      batch_size: B.
      num_actions: A.
      num_nodes: N, the number of simulations plus 1; more for a tree that is reused.
      embedding: [B, ...] the model's state, as arrays or their shapes (`jax.ShapeDtypeStruct`).
      num_players: number of values per node.
      solve: whether the tree holds the bounds of a search with proofs.
    """
    fields = layout.NODE_FIELDS if num_players == 1 else layout.PLAYER_VALUES + 2 * num_players
    slots = min(num_actions, num_nodes - 1) * (layout.CHILD_FIELDS + (2 if solve else 0))
    state = sum(math.prod(x.shape[1:]) * x.dtype.itemsize for x in jax.tree.leaves(embedding))
    return batch_size * num_nodes * (4 * (fields + slots + num_actions) + state)


def _check_bytes(root: RootFnOutput, size: Size, max_bytes: int, solve: bool) -> None:
    batch_size, num_actions = np.shape(root.prior_logits)
    players = np.shape(root.value)[1] if np.ndim(root.value) == 2 else 1
    needed = tree_nbytes(batch_size, num_actions, size.num_nodes, root.embedding, players, solve=solve)
    if needed > max_bytes:
        raise ValueError(
            f"the search tree takes {needed:,} bytes, above max_bytes {max_bytes:,}: {batch_size} games x "
            f"{size.num_nodes} nodes x {needed // (batch_size * size.num_nodes):,} bytes; lower the batch to "
            f"{batch_size * max_bytes // needed} or num_simulations (now {size.max_num_simulations}), or make "
            f"the embedding smaller"
        )


def check_root_values(root: RootFnOutput, invalid_actions: jax.Array | None) -> None:
    """Raises ValueError for NaN at a root or a root without a legal action; needs values, so not under `jit`."""
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((root, invalid_actions))):
        raise ValueError(
            "check=True reads values, which do not exist during tracing; call the policy outside jit, or set "
            "check=False"
        )
    logits, value = np.asarray(root.prior_logits, np.float32), np.asarray(root.value, np.float32)
    for name, array in (("root.prior_logits", logits), ("root.value", value)):
        rows = np.flatnonzero(np.isnan(array).reshape(len(array), -1).any(axis=1))
        if len(rows):
            raise ValueError(
                f"{name} has NaN in rows {_few(rows)}; it must be finite, or -inf to mask an action"
            )
    illegal = np.isneginf(logits)
    if invalid_actions is not None:
        illegal |= np.asarray(invalid_actions) != 0
    rows = np.flatnonzero(illegal.all(axis=1))
    if len(rows):
        raise ValueError(
            f"rows {_few(rows)} have no legal action (invalid_actions, or prior logits of -inf); "
            f"give finished games any one action, and ignore their result"
        )


def check_tree(tree: Tree) -> None:
    """Raises ValueError if the model returned NaN for a node of the tree, or rewards that rule out proofs.

    The message gives the actions that lead to the node.
    """
    # What the model said of a node; values that were backed up would only say where NaN came by.
    said = [layout.RAW_VALUE, layout.REWARD, layout.DISCOUNT, layout.PRIOR_MASS]
    if tree.num_players > 1:
        said += range(*layout.player_rewards(tree.num_players).indices(tree.nodes.shape[-1]))
    nodes, exists = np.asarray(tree.nodes), np.asarray(tree.parents) >= 0
    bad = np.isnan(nodes[..., said]).any(axis=-1)
    if bad.any():
        row, actions = _way_to(tree, bad & exists)
        raise ValueError(
            f"recurrent_fn returned NaN (value, reward, discount or prior_logits) in row {row}, for the position "
            f"after the actions {actions} from the root"
        )
    if tree.edge_bounds is None:
        return
    reward, discount = nodes[..., layout.REWARD], np.abs(nodes[..., layout.DISCOUNT])
    bad = exists & np.where(discount == 0, np.abs(reward) > 1, (reward != 0) | (discount > 1))
    if bad.any():
        row, actions = _way_to(tree, bad)
        raise ValueError(
            "solve is True, but recurrent_fn returned a reward before the end, a reward above 1 or a discount "
            f"above 1 in row {row}, for the position after the actions {actions} from the root; proofs need "
            "rewards of -1 to 1 at the end of the game only: set solve=False"
        )


def _way_to(tree: Tree, found: np.ndarray) -> tuple[int, list[int]]:
    """The row of the first node where `found` bool[B, N], and the actions that lead to it."""
    row, node = (int(x) for x in np.argwhere(found)[0])
    parents, taken, actions = np.asarray(tree.parents)[row], np.asarray(tree.action_from_parent)[row], []
    at = node
    while at > 0:
        actions.append(int(taken[at]))
        at = int(parents[at])
    return row, actions[::-1]


def _few(rows: np.ndarray) -> str:
    return ", ".join(map(str, rows[:8])) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
