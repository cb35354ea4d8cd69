"""The program of the kernel that adds one game's new node and backs its value up.

Nothing that it reads was written before by the same program: lanes do not wait for each other. Axes: A actions,
P players, S slots; L lanes: a row padded to a power of two.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jzero.search import kernel_io as io
from jzero.search import layout, proofs, scores
from jzero.search.layout import Interval
from jzero.search.types import Bounds


class _Edge(NamedTuple):
    """The numbers of a child that its edge needs; `walk._Child` without the batch axis."""

    visits: jax.Array
    """f32[]"""
    value: jax.Array
    """f32[], or f32[L] over players if each has a value."""
    reward: jax.Array
    """like `value`"""
    discount: jax.Array
    """f32[]"""


_Proof = Interval | tuple[()]
"""Bounds f32[] of an edge; empty without proofs."""


def program(*refs: Any, num_states: int, num_players: int, num_bounds: int) -> None:
    """Writes the new node and its edge, then backs up along the path; see `kernels.finish`.

    Args:
      *refs: what is written, the path, the index of the new node, the model's outputs, the player to move if there
        are several values; then what is written again, as outputs.
      num_states: arrays of a state.
      num_players: P.
      num_bounds: 1 with proofs, else 0.
    """
    num_written = 3 + num_bounds + num_states
    inputs, (nodes, children, open_priors, *states) = refs[num_written:-num_written], refs[-num_written:]
    bounds, states = states[:num_bounds], states[num_bounds:]
    path_nodes, path_slots, length, parent, slot, code, new, *inputs = inputs
    (value, reward, discount, logits), inputs = inputs[:4], inputs[4:]
    new_states, player = inputs[:num_states], inputs[num_states:]
    game, num_actions = pl.program_id(0), open_priors.shape[2]
    length, parent, slot, code = (io.load(ref, game) for ref in (length, parent, slot, code))
    new, is_new, action = io.load(new, 0), layout.is_untried(code), layout.untried_action(code)
    lane = io.iota(io.lanes(num_actions))
    exists, seat = lane < num_actions, io.iota(io.lanes(num_players))
    seats = None if num_players == 1 else seat < num_players

    def at_seats(ref: Any, *index: Any, first: int = 0) -> jax.Array:
        """f32[], or f32[L] over players, starting at the field `first`."""
        if seats is None:
            return io.load(ref, *index).astype(jnp.float32)
        return io.load(ref, *index, first + seat, mask=seats, other=0).astype(jnp.float32)

    def of_seat(values: jax.Array, player: jax.Array | None) -> jax.Array:
        return values if seats is None else jnp.sum(jnp.where(seat == player, values, 0.0))

    def field(node: jax.Array, number: int) -> jax.Array:
        return io.load(nodes, game, node, number)

    def player_at(node: jax.Array) -> jax.Array | None:
        return None if seats is None else field(node, layout.PLAYER).astype(jnp.int32)

    def edge_to(node: jax.Array) -> _Edge:
        at, value, reward = (game, node), layout.PLAYER_VALUES, layout.PLAYER_VALUES + num_players
        if seats is None:
            value, reward = field(node, layout.NODE_VALUE), field(node, layout.REWARD)
        else:
            value, reward = at_seats(nodes, *at, first=value), at_seats(nodes, *at, first=reward)
        return _Edge(field(node, layout.NODE_VISITS), value, reward, field(node, layout.DISCOUNT))

    def put(node: jax.Array, number: int, value: jax.Array | float) -> None:
        io.store(value, nodes, game, node, number)

    def put_seats(node: jax.Array, first: int, values: jax.Array) -> None:
        if seats is not None:
            io.store(values, nodes, game, node, first + seat, mask=seats)

    # The new node, or an empty one.
    step_discount = io.load(discount, game).astype(jnp.float32)
    is_terminal = step_discount == 0
    step_value = jnp.where(is_terminal, 0.0, at_seats(value, game))
    step_reward = at_seats(reward, game)
    to_play = io.load(player[0], game) if player else None
    own_logits = io.load(logits, game, lane, mask=exists, other=-math.inf).astype(jnp.float32)
    fields = layout.node_fields(
        of_seat(step_value, to_play),
        step_reward if seats is None else jnp.float32(0),
        step_discount,
        parent,
        action,
        own_logits,
    )
    for number, (one, empty) in enumerate(zip(fields, layout.EMPTY_NODE, strict=True)):
        put(new, number, jnp.where(is_new, one.astype(jnp.float32), empty))
    if seats is not None:
        put(new, layout.PLAYER, jnp.where(is_new, cast(jax.Array, to_play), 0))
        put_seats(new, layout.PLAYER_VALUES, jnp.where(is_new, step_value, 0.0))
        put_seats(new, layout.PLAYER_VALUES + num_players, jnp.where(is_new, step_reward, 0.0))
    io.store(jnp.where(is_new, own_logits, 0.0), open_priors, game, new, lane, mask=exists)
    for state, row in zip(states, new_states, strict=True):
        io.copy(row, (game,), state, (game, new), keep=is_new)

    # Its edge, and what is open beside it.
    siblings = io.load(open_priors, game, parent, lane, mask=exists, other=-math.inf)
    is_action = lane == action
    prior = jnp.sum(jnp.where(is_action, siblings, 0.0))
    was_open = slot == field(parent, layout.NUM_CHILDREN).astype(jnp.int32)
    next_open = scores.best_open(jnp.where(is_action, -math.inf, siblings))
    leaf = jnp.where(is_new, new, layout.node_index(code))
    proof: _Proof = ()
    if bounds:
        open_prior = jnp.where(is_new & was_open, next_open[1], field(parent, layout.OPEN_PRIOR))
        parent_has_open = open_prior > -jnp.inf
        at_root = io.load(open_priors, game, layout.ROOT_INDEX, lane, mask=exists, other=-math.inf)
        opens = is_new & (parent == layout.ROOT_INDEX) & is_action
        root_has_open = io.any_open(jnp.where(opens, -math.inf, at_root))
        stored = (io.load(bounds[0], game, parent, slot, end) for end in (layout.LOWER, layout.UPPER))
        opened = proofs.of_edge(step_reward, step_discount, layout.UNKNOWN)
        proof = Interval(*(jnp.where(is_new, a, b) for a, b in zip(opened, stored, strict=True)))

    @pl.when(is_new)
    def _open_edge() -> None:
        io.store(prior, children, game, parent, slot, layout.PRIOR)
        io.store(
            jnp.where(is_terminal, layout.terminal_code(new), new),
            children,
            game,
            parent,
            slot,
            layout.CHILD,
        )
        gone = is_action & (prior > -math.inf)
        io.store(jnp.full_like(siblings, -math.inf), open_priors, game, parent, lane, mask=gone)

    @pl.when(is_new & was_open)
    def _next_open() -> None:
        for number, one in enumerate(((slot + 1).astype(jnp.float32), *next_open), layout.NUM_CHILDREN):
            put(parent, number, one)

    # Backup, as in `walk.backup`. Nothing that it reads was written above, but the new node, which is at hand.
    known = edge_to(leaf)
    known = known._replace(visits=known.visits + 1)
    fresh = _Edge(jnp.float32(1), step_value, step_reward, step_discount)
    child = _Edge(*(jnp.where(is_new, a, b) for a, b in zip(fresh, known, strict=True)))
    put(leaf, layout.NODE_VISITS, child.visits)

    def proven(node: jax.Array, at: jax.Array, old: _Edge, edge: Interval) -> tuple[Interval, Interval]:
        """`proofs.enter`: the bounds of the node and of the edge that leads to it."""
        slots = io.iota(io.lanes(children.shape[2]))
        is_edge, used = slots == at, slots < children.shape[2]
        ends = []
        for number, (end, none) in enumerate(zip(edge, layout.NO_EDGE, strict=True)):
            stored = io.load(bounds[0], game, node, slots, number, mask=used, other=none)
            io.store(jnp.full_like(stored, end), bounds[0], game, node, slots, number, mask=is_edge)
            ends.append(jnp.where(is_edge, end, stored))
        has_open = field(node, layout.OPEN_PRIOR) > -jnp.inf
        has_open = jnp.where(node == parent, parent_has_open, has_open)
        has_open = jnp.where(node == layout.ROOT_INDEX, root_has_open, has_open)
        found = proofs.of_node(Bounds(*Interval(*ends), has_open))
        return found, proofs.of_edge(old.reward, old.discount, found)

    def one_hop(i: jax.Array, carry: tuple[_Edge, jax.Array, _Proof]) -> tuple[_Edge, jax.Array, _Proof]:
        child, value, proof = carry
        hop = length - 1 - i
        node, at = io.load(path_nodes, hop, game), io.load(path_slots, hop, game)
        old, mover = edge_to(node), player_at(node)
        value = child.reward + child.discount * value
        mean = (old.value * old.visits + value) / (old.visits + 1)
        if bounds:
            known, proof = proven(node, at, old, cast(Interval, proof))
            mean, value = jnp.clip(mean, *known), jnp.clip(value, *known)
        put(node, layout.NODE_VISITS, old.visits + 1)
        put(node, layout.NODE_VALUE, of_seat(mean, mover))
        put_seats(node, layout.PLAYER_VALUES, mean)
        io.store(child.visits, children, game, node, at, layout.VISITS)
        qvalue = of_seat(child.reward + child.discount * child.value, mover)
        io.store(qvalue, children, game, node, at, layout.QVALUE)
        return old._replace(visits=old.visits + 1, value=mean), value, proof

    jax.lax.fori_loop(0, length, one_hop, (child, child.value, proof))
