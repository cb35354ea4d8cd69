"""The program of the kernel that backs one game's value up, and what it shares with the one that adds a node.

Nothing that these read was written before by the same program: lanes do not wait for each other. Axes: P players,
S slots; L lanes: a row padded to a power of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jzero.search import kernel_io as io
from jzero.search import layout, proofs
from jzero.search.layout import Interval
from jzero.search.types import Bounds


class Edge(NamedTuple):
    """The numbers of a child that its edge needs; `walk._Child` without the batch axis."""

    visits: jax.Array
    """f32[]"""
    value: jax.Array
    """f32[], or f32[L] over players if each has a value."""
    reward: jax.Array
    """like `value`"""
    discount: jax.Array
    """f32[]"""


Proof = Interval | tuple[()]
"""Bounds f32[] of an edge; empty without proofs."""


class Game:
    """The nodes and slots of the program's game.

    `bounds` holds the bounds of edges, or nothing without proofs.
    """

    def __init__(self, nodes: io.Ref, children: io.Ref, bounds: list, num_players: int) -> None:
        self.number, self.nodes, self.children, self.bounds = pl.program_id(0), nodes, children, bounds
        self.num_players, self.seat = num_players, io.iota(io.lanes(num_players))
        self.seats = None if num_players == 1 else self.seat < num_players

    def field(self, node: jax.Array, number: int) -> jax.Array:
        """f32[]: a field of a node."""
        return io.load(self.nodes, self.number, node, number)

    def put(self, node: jax.Array, number: int, value: jax.Array | float) -> None:
        """Writes a field of a node."""
        io.store(value, self.nodes, self.number, node, number)

    def at_seats(self, ref: io.Ref, *index: io.Index, first: int = 0) -> jax.Array:
        """f32[], or f32[L] over players, starting at the field `first`."""
        if self.seats is None:
            return io.load(ref, *index).astype(jnp.float32)
        return io.load(ref, *index, first + self.seat, mask=self.seats, other=0).astype(jnp.float32)

    def put_seats(self, node: jax.Array, first: int, values: jax.Array) -> None:
        """Writes the players' fields of a node, if each has a value."""
        if self.seats is not None:
            io.store(values, self.nodes, self.number, node, first + self.seat, mask=self.seats)

    def of_seat(self, values: jax.Array, player: jax.Array | None) -> jax.Array:
        """f32[]: the value of a player."""
        return values if self.seats is None else jnp.sum(jnp.where(self.seat == player, values, 0.0))

    def edge_to(self, node: jax.Array) -> Edge:
        """The numbers of a node."""
        at, value, reward = (self.number, node), layout.PLAYER_VALUES, layout.PLAYER_VALUES + self.num_players
        if self.seats is None:
            value, reward = self.field(node, layout.NODE_VALUE), self.field(node, layout.REWARD)
        else:
            value = self.at_seats(self.nodes, *at, first=value)
            reward = self.at_seats(self.nodes, *at, first=reward)
        return Edge(self.field(node, layout.NODE_VISITS), value, reward, self.field(node, layout.DISCOUNT))

    def proof_of(self, node: jax.Array, slot: jax.Array, is_new: jax.Array, edge: Edge) -> Proof:
        """`proofs.of_last_edge`: bounds of the edge in a node's slot, which is new or was there before."""
        if not self.bounds:
            return ()
        ends = (io.load(self.bounds[0], self.number, node, slot, end) for end in (layout.LOWER, layout.UPPER))
        opened = proofs.of_edge(edge.reward, edge.discount, layout.UNKNOWN)
        return Interval(*(jnp.where(is_new, a, b) for a, b in zip(opened, ends, strict=True)))

    def back_up(
        self,
        path: tuple[io.Ref, io.Ref],
        length: jax.Array,
        child: Edge,
        proof: Proof,
        has_open: Callable | None,
    ) -> None:
        """`walk.backup`, from the child at the end of a path.

        Args:
          path: nodes and slots.
          length: i32[] number of edges.
          child: the leaf.
          proof: bounds of the last edge.
          has_open: node i32[] -> bool[], whether the node has actions without an edge; None without proofs.
        """

        def proven(node: jax.Array, at: jax.Array, old: Edge, edge: Interval) -> tuple[Interval, Interval]:
            """`proofs.enter`: the bounds of the node and of the edge that leads to it."""
            num_slots = self.children.shape[2]
            slots = io.iota(io.lanes(num_slots))
            is_edge, used, ends = slots == at, slots < num_slots, []
            for number, (end, none) in enumerate(zip(edge, layout.NO_EDGE, strict=True)):
                place = self.bounds[0], self.number, node, slots, number
                stored = io.load(*place, mask=used, other=none)
                io.store(jnp.full_like(stored, end), *place, mask=is_edge)
                ends.append(jnp.where(is_edge, end, stored))
            found = proofs.of_node(Bounds(*Interval(*ends), cast(Callable, has_open)(node)))
            return found, proofs.of_edge(old.reward, old.discount, found)

        def one_hop(i: jax.Array, carry: tuple[Edge, jax.Array, Proof]) -> tuple[Edge, jax.Array, Proof]:
            child, value, proof = carry
            hop = length - 1 - i
            node, at = (io.load(ref, hop, self.number) for ref in path)
            old, mover = self.edge_to(node), None
            if self.seats is not None:
                mover = self.field(node, layout.PLAYER).astype(jnp.int32)
            value = child.reward + child.discount * value
            mean = (old.value * old.visits + value) / (old.visits + 1)
            if self.bounds:
                known, proof = proven(node, at, old, cast(Interval, proof))
                mean, value = jnp.clip(mean, *known), jnp.clip(value, *known)
            self.put(node, layout.NODE_VISITS, old.visits + 1)
            self.put(node, layout.NODE_VALUE, self.of_seat(mean, mover))
            self.put_seats(node, layout.PLAYER_VALUES, mean)
            io.store(child.visits, self.children, self.number, node, at, layout.VISITS)
            qvalue = self.of_seat(child.reward + child.discount * child.value, mover)
            io.store(qvalue, self.children, self.number, node, at, layout.QVALUE)
            return old._replace(visits=old.visits + 1, value=mean), value, proof

        jax.lax.fori_loop(0, length, one_hop, (child, child.value, proof))


def program(*refs: io.Ref, num_players: int, num_bounds: int) -> None:
    """Backs up the value of an evaluated leaf; see `kernels.backup`.

    Args:
      *refs: what is written, the open priors with proofs, the path, its length, its last node, slot and code, the
        leaf; then what is written again, as outputs.
      num_players: P.
      num_bounds: 1 with proofs, else 0.
    """
    num_written = 2 + num_bounds
    inputs, (nodes, children, *bounds) = refs[num_written:-num_written], refs[-num_written:]
    open_priors, (path_nodes, path_slots, *inputs) = inputs[:num_bounds], inputs[num_bounds:]
    game = Game(nodes, children, bounds, num_players)
    length, parent, slot, code, leaf = (io.load(ref, game.number) for ref in inputs)
    is_new = layout.is_untried(code)
    child = game.edge_to(leaf)
    # A new node's row counts its first visit.
    again = ((length > 0) & ~is_new).astype(jnp.float32)
    child = child._replace(visits=child.visits + again)
    game.put(leaf, layout.NODE_VISITS, child.visits)
    at_root = io.root_has_open(open_priors[0], game.number) if open_priors else False

    def has_open(node: jax.Array) -> jax.Array:
        return jnp.where(node == layout.ROOT_INDEX, at_root, game.field(node, layout.OPEN_PRIOR) > -jnp.inf)

    proof = game.proof_of(parent, slot, is_new, child)
    game.back_up((path_nodes, path_slots), length, child, proof, has_open)
