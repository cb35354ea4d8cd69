"""What the parts of a search hand each other: where a descent stands, how it chooses, the path that it took.

Axes: B games, S slots, W the slots looked at, L a row of slots padded to a power of two, A actions, C outcomes of
chance, D the greatest depth, P players, M actions that a root compares, T simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jzero.search import layout
from jzero.search.scores import Row
from jzero.search.tree import Tree


class Node(NamedTuple):
    """Where each game of a descent stands, as a policy sees it."""

    row: Row
    """Its numbers, [B, W] a slot."""
    slots: jax.Array
    """f32[B, W, CHILD_FIELDS] the same slots as stored."""
    fields: jax.Array
    """f32[B, NODE_FIELDS] its row as stored."""
    index: jax.Array
    """i32[B] its number in the tree."""
    in_flight: jax.Array | None = None
    """f32[B, W] descents through each slot that were not backed up yet; None if there is never one."""
    bounds: jax.Array | None = None
    """f32[B, W, 2] bounds of each slot's edge, see `proofs`; None where values are not proven."""

    @property
    def codes(self) -> jax.Array:
        """f32[B, W] what each slot stores as its child."""
        return self.slots[..., layout.CHILD]

    @property
    def reached_by(self) -> jax.Array:
        """f32[B] the edge that leads here, -1 at the root."""
        return self.fields[:, layout.ACTION]


Select = Callable[[Tree, Node], tuple[jax.Array, jax.Array, jax.Array]]
"""(tree, node) -> (slot i32[B], its child's code f32[B], bool[B] whether to open the best open action instead)."""


class Chance(NamedTuple):
    """Chance answers every action: edges 0 .. A - 1 are actions, A .. A + C - 1 outcomes."""

    decide: Callable
    """`(params, rng_key, action [B], embedding) -> (logits [B, A + C] of the outcomes, afterstate embedding)`."""
    num_actions: int
    """A"""

    def is_afterstate(self, reached_by: jax.Array) -> jax.Array:
        """bool[B]: whether a node that these edges [B] lead to is one where chance moves."""
        return (reached_by >= 0) & (reached_by < self.num_actions)


class Choices(NamedTuple):
    """How a policy chooses in one game: the two choices of `Rules` without the batch axis, for `kernels`.

    They must not close over arrays. Rows have L entries: S padded to a power of two.
    """

    root: Callable
    """(node, *its rows of `arrays`, its number of `rounds` if there are any) -> (slot i32[], child's code f32[],
    bool[] whether to open the best open action instead)."""
    interior: Callable
    """(node) -> the same, below the root."""
    arrays: tuple[jax.Array, ...] = ()
    """f32[B, M] each, M <= S, for the root; a game's row is padded."""
    padding: tuple[float, ...] = ()
    """The entries from M on, one number for each of `arrays`."""
    rounds: jax.Array | None = None
    """i32[T, B]: a number for each simulation, for the root."""


class Rules(NamedTuple):
    """What a search does, whatever its tree."""

    recurrent_fn: Callable
    """`(params, rng_key, action [B], embedding) -> (RecurrentFnOutput, embedding)`; with a model state, that is
    the fifth argument and the third result."""
    root_select: Select
    """Chooses at the root."""
    interior_select: Select
    """Chooses elsewhere."""
    root_width: int | None = None
    """Slots that `root_select` wants to see; None for those in use."""
    to_play: Callable[[Any], jax.Array] | None = None
    """embedding -> i32[B] the player to move, where every player has a value of its own."""
    max_depth: int | jax.Array | None = None
    """Greatest number of edges of a path."""
    chance: Chance | None = None
    """What follows an action, if `recurrent_fn` takes outcomes and afterstates."""
    choices: Choices | None = None
    """How to choose in one game; None where the kernels do not serve."""

    @property
    def nodes_each(self) -> int:
        """Nodes that a simulation may add."""
        return 1 if self.chance is None else 2


class Path(NamedTuple):
    """The edges of one simulation, root first. Rows at and beyond `depth` hold old data."""

    nodes: jax.Array
    """i32[D, B] node at which each edge starts."""
    slots: jax.Array
    """i32[D, B] slot of each edge."""
    depth: jax.Array
    """i32[B] number of edges; 0 for a game that does not take part."""
    last_node: jax.Array
    """i32[B] node at which the last edge starts."""
    last_slot: jax.Array
    """i32[B] slot of the last edge."""
    child: jax.Array
    """i32[B] code of the last edge's child: an index, a terminal's code, or the action of a new edge."""


class Evaluation(NamedTuple):
    """What the model says of one step of each game."""

    value: jax.Array
    """[B], or [B, P] where every player has a value."""
    reward: jax.Array
    """like `value`"""
    discount: jax.Array
    """[B], 0 where the step ends the game"""
    logits: jax.Array
    """[B, A] prior logits"""
    player: jax.Array | None
    """i32[B] who is to move, where every player has a value."""
    embedding: Any
    """[B, ...] the state after the step"""


class NewNodes(NamedTuple):
    """Nodes as they are stored."""

    rows: jax.Array
    """f32[B, NODE_FIELDS] visited once."""
    logits: jax.Array
    """f32[B, A] their prior logits."""
    is_terminal: jax.Array
    """bool[B]"""
