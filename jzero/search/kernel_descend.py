"""The program of the kernel that descends: one game's selections from the root to a leaf.

Axes: B games, N nodes, S slots, A actions, F elements of a state; L lanes: a row padded to a power of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jzero.search import kernel_io as io
from jzero.search import layout, proofs
from jzero.search.layout import Interval
from jzero.search.scores import Row
from jzero.search.tree import Tree
from jzero.search.types import Bounds, Choices


class RowNode(NamedTuple):
    """`types.Node` without the batch axis."""

    row: Row
    codes: jax.Array
    """f32[L] child code of each slot."""
    reached_by: jax.Array
    """f32[] the edge that leads here."""
    index: jax.Array
    """i32[] its index in the tree."""
    bounds: Bounds | None = None
    """Its parts are f32[L], f32[L] and bool[]."""
    in_flight: jax.Array | None = None
    """f32[L] descents through each slot not yet backed up."""


def program(
    *refs: io.Ref,
    choices: Choices,
    num_bounds: int,
    num_in_flight: int,
    num_arrays: int,
    num_rounds: int,
    num_states: int,
    num_actions: int,
) -> None:
    """Writes the path, its last edge and the state there; see `kernels.descend`.

    Args:
      *refs: nodes, children, by game the number of its simulation and its largest depth (0: it takes no part), the
        arrays counted below, then the outputs.
      choices: the selection rules without their arrays.
      num_bounds: with proofs 2, the bounds of edges and the open priors; else 0.
      num_in_flight: 1 if descents may be in flight, else 0.
      num_arrays: arrays of `choices`.
      num_rounds: 1 if `choices` has rounds, else 0.
      num_states: arrays of a state.
      num_actions: A.
    """
    nodes, children, simulation, max_depth, *rest = refs
    bounds, rest = rest[:num_bounds], rest[num_bounds:]
    in_flight, rest = rest[:num_in_flight], rest[num_in_flight:]
    arrays, rest = rest[:num_arrays], rest[num_arrays:]
    rounds, rest = rest[:num_rounds], rest[num_rounds:]
    states, rest = rest[:num_states], rest[num_states:]
    path_nodes, path_slots, out_length, out_node, out_slot, out_child, out_action, *gathered = rest
    game = pl.program_id(0)

    def choose(
        index: jax.Array, select: Callable, *arguments: jax.Array, root_has_open: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        node, in_use, open_action = _read_node(nodes, children, game, index, num_actions)
        if bounds:
            has_open = node.row.open_prior > -jnp.inf if root_has_open is None else root_has_open
            ends = (
                io.load(bounds[0], game, index, lane, end, mask=lane < num_slots, other=none)
                for end, none in enumerate(layout.NO_EDGE)
            )
            node = node._replace(bounds=Bounds(*Interval(*ends), has_open))
        for ref in in_flight:
            flying = io.load(ref, game, index, lane, mask=lane < num_slots, other=0.0)
            node = node._replace(in_flight=flying)
        slot, code, is_open = select(node, *arguments)
        if node.bounds is not None:
            code = proofs.stop_if_proven(code, slot, node.bounds)
        opened = layout.untried_code(open_action)
        return jnp.where(is_open, in_use, slot), jnp.where(is_open, opened, code.astype(jnp.int32))

    def note(hop: jax.Array, index: jax.Array, slot: jax.Array) -> None:
        io.store(index, path_nodes, hop, game)
        io.store(slot, path_slots, hop, game)

    num_slots = children.shape[2]
    lane = io.iota(io.lanes(num_slots))
    given = [
        io.load(array, game, lane, mask=lane < array.shape[1], other=padding)
        for array, padding in zip(arrays, choices.padding, strict=True)
    ]
    given += [io.load(ref, io.number_of(simulation, game), game) for ref in rounds]
    root, limit = jnp.int32(Tree.ROOT_INDEX), io.number_of(max_depth, game)
    root_has_open = io.root_has_open(bounds[1], game) if bounds else None
    slot, child = choose(root, choices.root, *given, root_has_open=root_has_open)
    note(jnp.int32(0), root, slot)
    takes_part = limit > 0
    child = jnp.where(takes_part, child, Tree.UNVISITED)

    def keep_going(carry: tuple) -> jax.Array:
        hop, _, _, child = carry
        return (child > Tree.ROOT_INDEX) & (hop < limit)

    def one_hop(carry: tuple) -> tuple:
        hop, _, _, index = carry
        slot, child = choose(index, choices.interior)
        note(hop, index, slot)
        return hop + 1, index, slot, child

    first = takes_part.astype(jnp.int32), root, slot, child
    hop, index, slot, child = jax.lax.while_loop(keep_going, one_hop, first)
    action = jnp.where(layout.is_untried(child), layout.untried_action(child), 0)
    for value, ref in zip(
        (hop, index, slot, child, action),
        (out_length, out_node, out_slot, out_child, out_action),
        strict=True,
    ):
        io.store(value, ref, game)
    for state, row in zip(states, gathered, strict=True):
        io.copy(state, (game, index), row, (game,))


def _read_node(
    nodes: io.Ref, children: io.Ref, game: jax.Array, index: jax.Array, num_actions: int
) -> tuple[RowNode, jax.Array, jax.Array]:
    """(the node `index` i32[] of a game, its slots in use i32[], its best open action i32[])."""
    num_slots = children.shape[2]
    lane = io.iota(io.lanes(num_slots))

    def field(number: int) -> jax.Array:
        return io.load(nodes, game, index, number)

    in_use = field(layout.NUM_CHILDREN).astype(jnp.int32)
    # Few slots are read whole, so that no load waits for another.
    mask = lane < (num_slots if num_slots <= 32 else in_use)

    def column(number: int, other: float) -> jax.Array:
        return io.load(children, game, index, lane, number, mask=mask, other=other)

    row = Row(
        prior_logits=column(layout.PRIOR, 0.0),
        visits=column(layout.VISITS, 0.0),
        qvalues=column(layout.QVALUE, 0.0),
        open_prior=field(layout.OPEN_PRIOR),
        open_mass=field(layout.OPEN_MASS),
        prior_mass=field(layout.PRIOR_MASS),
        node_visits=field(layout.NODE_VISITS),
        node_value=field(layout.NODE_VALUE),
        raw_value=field(layout.RAW_VALUE),
        num_actions=num_actions,
    )
    node = RowNode(row, column(layout.CHILD, Tree.UNVISITED), field(layout.ACTION), index)
    return node, in_use, field(layout.OPEN_ACTION).astype(jnp.int32)
