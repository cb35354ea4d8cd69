"""Types shared by the parts of a search: the node of a descent, the selection rules, the path.

Axes: B games, S slots, W the slots read, L a row of slots padded to a power of two, A actions, C outcomes of
chance, D the maximum depth, P players, M actions that a root compares, T simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.search import layout
from jzero.search.scores import Row
from jzero.search.tree import Tree


class Bounds(NamedTuple):
    """What is proven of a node's actions, see `proofs`."""

    lower: jax.Array
    """f32[B, W] lower bound of each slot's edge."""
    upper: jax.Array
    """f32[B, W] likewise."""
    has_open: jax.Array
    """bool[B] whether some actions have no edge."""


class Node(NamedTuple):
    """The current node of each game's descent, as a policy sees it."""

    row: Row
    """Its statistics; [B, W] over slots."""
    slots: jax.Array
    """f32[B, W, CHILD_FIELDS] the slots as stored."""
    fields: jax.Array
    """f32[B, NODE_FIELDS] the row as stored."""
    index: jax.Array
    """i32[B] its index in the tree."""
    in_flight: jax.Array | None = None
    """f32[B, W] descents through each slot not yet backed up; None if there are never any."""
    bounds: Bounds | None = None
    """None without proofs."""

    @property
    def codes(self) -> jax.Array:
        """f32[B, W] child code of each slot."""
        return self.slots[..., layout.CHILD]

    @property
    def reached_by(self) -> jax.Array:
        """f32[B] the edge that leads here, -1 at the root."""
        return self.fields[:, layout.ACTION]


Select = Callable[[Tree, Node], tuple[jax.Array, jax.Array, jax.Array]]
"""(tree, node) -> (slot i32[B], its child code f32[B], bool[B] whether to open the best open action instead)."""


class Chance(NamedTuple):
    """Chance after every action: edges 0 .. A - 1 are actions, A .. A + C - 1 outcomes."""

    decide: Callable
    """`(params, rng_key, action [B], embedding) -> (logits [B, A + C] of the outcomes, afterstate embedding)`."""
    num_actions: int
    """A"""

    def is_afterstate(self, reached_by: jax.Array) -> jax.Array:
        """bool[B]: whether the nodes that these edges [B] lead to are afterstates, where chance moves."""
        return (reached_by >= 0) & (reached_by < self.num_actions)


class Choices(NamedTuple):
    """The two selections of `Rules` for one game, without the batch axis, for `kernels`.

    They must not close over arrays. Rows have L entries: S padded to a power of two.
    """

    root: Callable
    """(node, *its rows of `arrays`, its entry of `rounds` if there are any) -> (slot i32[], child code f32[],
    bool[] whether to open the best open action instead)."""
    interior: Callable
    """(node) -> the same, below the root."""
    arrays: tuple[jax.Array, ...] = ()
    """f32[B, M] each, M <= S, for the root; a game's row is padded."""
    padding: tuple[float, ...] = ()
    """Fill value beyond M, one per array."""
    rounds: jax.Array | None = None
    """i32[T, B]: one number per simulation, for the root."""

    @property
    def fixed(self) -> Choices:
        """The same without arrays, which a kernel takes as operands."""
        return self._replace(arrays=(), rounds=None)


class Rules(NamedTuple):
    """The rules of a search, independent of its tree."""

    recurrent_fn: Callable
    """`(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`; a model state is the fifth
    argument and the third result."""
    root_select: Select
    """Chooses at the root."""
    interior_select: Select
    """Chooses elsewhere."""
    root_width: int | None = None
    """Number of slots that `root_select` reads; None for those in use."""
    to_play: Callable[[Any], jax.Array] | None = None
    """embedding -> i32[B] the player to move, if every player has a value."""
    max_depth: int | jax.Array | None = None
    """Largest number of edges in a path."""
    chance: Chance | None = None
    """Chance after an action, if `recurrent_fn` takes outcomes and afterstates."""
    choices: Choices | None = None
    """The selections for one game; None if the kernels do not support them."""

    @property
    def nodes_each(self) -> int:
        """Nodes that a simulation may add."""
        return 1 if self.chance is None else 2

    def depth_within(self, depth: int) -> jax.Array:
        """i32[]: the largest number of edges in a path, from 1 to `depth`."""
        return jnp.int32(depth) if self.max_depth is None else jnp.clip(self.max_depth, 1, depth)


class Path(NamedTuple):
    """The edges of one simulation, starting at the root. Rows from `depth` on hold old data."""

    nodes: jax.Array
    """i32[D, B] node at which each edge starts."""
    slots: jax.Array
    """i32[D, B] slot of each edge."""
    depth: jax.Array
    """i32[B] number of edges; 0 for an inactive game."""
    last_node: jax.Array
    """i32[B] node at which the last edge starts."""
    last_slot: jax.Array
    """i32[B] slot of the last edge."""
    child: jax.Array
    """i32[B] code of the last edge's child: an index, a terminal's code, or the action of a new edge."""


class Evaluation(NamedTuple):
    """The model's outputs for one step of each game."""

    value: jax.Array
    """[B], or [B, P] if every player has a value."""
    reward: jax.Array
    """like `value`"""
    discount: jax.Array
    """[B], 0 if the step ends the game"""
    logits: jax.Array
    """[B, A] prior logits"""
    player: jax.Array | None
    """i32[B] the player to move, if every player has a value."""
    embedding: Any
    """[B, ...] the state after the step"""


class NewNodes(NamedTuple):
    """Nodes as they are stored."""

    rows: jax.Array
    """f32[B, NODE_FIELDS] rows with one visit."""
    logits: jax.Array
    """f32[B, A] their prior logits."""
    is_terminal: jax.Array
    """bool[B]"""
