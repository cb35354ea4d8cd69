"""The steps of a simulation as GPU kernels: `walk.descend` and `walk.finish`, with one program per game.

On a GPU the walk's loops over the hops of a path wait for the host, because the number of hops is unknown in
advance. Here a game's whole descent, and its whole backup, is one program of a kernel, so a simulation is two
kernels and the model. Scores come from `scores`, on rows without a batch axis. There are no atomics, and the order
of operations is the walk's: trees differ at most by the rounding of sums over slots, of `exp` and of `log`.

Axes: B games, N nodes, S slots, A actions, P players, D the maximum depth, F elements of a state; L lanes: a row
padded to a power of two.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jzero.pytrees import PyTree
from jzero.search import kernel_io as io
from jzero.search import layout, scores
from jzero.search.scores import Row
from jzero.search.tree import Tree
from jzero.search.types import Choices, Evaluation, Path


class RowNode(NamedTuple):
    """`types.Node` without the batch axis."""

    row: Row
    codes: jax.Array
    """f32[L] child code of each slot."""
    reached_by: jax.Array
    """f32[] the edge that leads here."""
    in_flight: None = None
    bounds: None = None


def descend(
    tree: Tree, choices: Choices, simulation: jax.Array, max_depth: jax.Array, depth: int, *, interpret: bool
) -> tuple[Path, jax.Array, PyTree]:
    """`walk.descend`.

    Args:
      tree: the trees.
      choices: the selection rules.
      simulation: i32[] number of the simulation.
      max_depth: i32[] largest number of edges.
      depth: D, at least `max_depth`.
      interpret: run on any device, slowly.

    Returns:
      the path; actions i32[B] of its last edge; the states [B, ...] at which that edge starts.
    """
    batch_size, _, num_slots, _ = tree.children.shape
    states = io.flat(tree.embeddings, 2)
    rounds = [] if choices.rounds is None else [choices.rounds]
    operands = [
        tree.nodes,
        tree.children,
        io.cell(simulation),
        io.cell(max_depth),
        *choices.arrays,
        *rounds,
        *states,
    ]
    path = [((depth, batch_size), jnp.int32)] * 2
    rows = [((batch_size, *x.shape[2:]), x.dtype) for x in states]
    kernel = functools.partial(
        _descend, choices=choices._replace(arrays=(), rounds=None), num_arrays=len(choices.arrays),
        num_rounds=len(rounds), num_states=len(states), num_actions=tree.num_actions,
    )  # fmt: skip
    outputs = io.call(
        kernel, "descend", operands, [*path, *[((batch_size,), jnp.int32)] * 5, *rows], num_slots, interpret
    )
    path_nodes, path_slots, length, last_node, last_slot, child, action = outputs[:7]
    found = Path(path_nodes, path_slots, length, last_node, last_slot, child)
    return found, action, io.unflat(outputs[7:], tree.embeddings, 1)


def _descend(
    *refs: Any, choices: Choices, num_arrays: int, num_rounds: int, num_states: int, num_actions: int
) -> None:
    nodes, children, simulation, max_depth, *rest = refs
    arrays, rest = rest[:num_arrays], rest[num_arrays:]
    rounds, rest = rest[:num_rounds], rest[num_rounds:]
    states, rest = rest[:num_states], rest[num_states:]
    path_nodes, path_slots, out_length, out_node, out_slot, out_child, out_action, *gathered = rest
    game = pl.program_id(0)

    def choose(index: jax.Array, select: Callable, *arguments: jax.Array) -> tuple[jax.Array, jax.Array]:
        node, in_use, open_action = _read_node(nodes, children, game, index, num_actions)
        slot, code, is_open = select(node, *arguments)
        opened = layout.untried_code(open_action)
        return jnp.where(is_open, in_use, slot), jnp.where(is_open, opened, code.astype(jnp.int32))

    def note(hop: jax.Array, index: jax.Array, slot: jax.Array) -> None:
        io.store(index, path_nodes, hop, game)
        io.store(slot, path_slots, hop, game)

    lane = io.iota(io.lanes(children.shape[2]))
    given = [
        io.load(array, game, lane, mask=lane < array.shape[1], other=padding)
        for array, padding in zip(arrays, choices.padding, strict=True)
    ]
    given += [io.load(ref, io.load(simulation, 0), game) for ref in rounds]
    root, limit = jnp.int32(Tree.ROOT_INDEX), io.load(max_depth, 0)
    slot, child = choose(root, choices.root, *given)
    note(jnp.int32(0), root, slot)

    def keep_going(carry: tuple) -> jax.Array:
        hop, _, _, child = carry
        return (child > Tree.ROOT_INDEX) & (hop < limit)

    def one_hop(carry: tuple) -> tuple:
        hop, _, _, index = carry
        slot, child = choose(index, choices.interior)
        note(hop, index, slot)
        return hop + 1, index, slot, child

    hop, index, slot, child = jax.lax.while_loop(keep_going, one_hop, (jnp.int32(1), root, slot, child))
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
    nodes: Any, children: Any, game: jax.Array, index: jax.Array, num_actions: int
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
    node = RowNode(row, column(layout.CHILD, Tree.UNVISITED), field(layout.ACTION))
    return node, in_use, field(layout.OPEN_ACTION).astype(jnp.int32)


def finish(
    tree: Tree, path: Path, found: Evaluation, index: jax.Array, *, interpret: bool
) -> tuple[jax.Array, jax.Array, jax.Array, PyTree]:
    """`walk.finish`, in place.

    Args:
      tree: the trees.
      path: path of every game.
      found: the model's evaluation of its last edge.
      index: i32[] index of the new nodes.
      interpret: run on any device, slowly.

    Returns:
      `nodes`, `children`, `open_priors` and `embeddings` of the trees.
    """
    states, new_states = io.flat(tree.embeddings, 2), io.flat(found.embedding, 1)
    written = [tree.nodes, tree.children, tree.open_priors, *states]
    model = [found.value, found.reward, found.discount, found.logits, *new_states]
    player = [] if found.player is None else [found.player]
    nodes, children, open_priors, *states = io.call(
        functools.partial(_finish, num_states=len(states), num_players=tree.num_players),
        "finish",
        [*written, *path, io.cell(index), *model, *player],
        [(x.shape, x.dtype) for x in written],
        tree.num_actions,
        interpret,
        in_place=True,
    )
    return nodes, children, open_priors, io.unflat(states, tree.embeddings, 2)


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


def _finish(*refs: Any, num_states: int, num_players: int) -> None:
    num_written = 3 + num_states
    inputs, (nodes, children, open_priors, *states) = refs[num_written:-num_written], refs[-num_written:]
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
        opened = (
            (slot + 1).astype(jnp.float32),
            *scores.best_open(jnp.where(is_action, -math.inf, siblings)),
        )
        for number, one in enumerate(opened, layout.NUM_CHILDREN):
            put(parent, number, one)

    # Backup, as in `walk.backup`. Nothing that it reads was written above, but the new node, which is at hand.
    leaf = jnp.where(is_new, new, layout.node_index(code))
    known = edge_to(leaf)
    known = known._replace(visits=known.visits + 1)
    fresh = _Edge(jnp.float32(1), step_value, step_reward, step_discount)
    child = _Edge(*(jnp.where(is_new, a, b) for a, b in zip(fresh, known, strict=True)))
    put(leaf, layout.NODE_VISITS, child.visits)

    def one_hop(i: jax.Array, carry: tuple[_Edge, jax.Array]) -> tuple[_Edge, jax.Array]:
        child, value = carry
        hop = length - 1 - i
        node, at = io.load(path_nodes, hop, game), io.load(path_slots, hop, game)
        old, mover = edge_to(node), player_at(node)
        value = child.reward + child.discount * value
        mean = (old.value * old.visits + value) / (old.visits + 1)
        put(node, layout.NODE_VISITS, old.visits + 1)
        put(node, layout.NODE_VALUE, of_seat(mean, mover))
        put_seats(node, layout.PLAYER_VALUES, mean)
        io.store(child.visits, children, game, node, at, layout.VISITS)
        qvalue = of_seat(child.reward + child.discount * child.value, mover)
        io.store(qvalue, children, game, node, at, layout.QVALUE)
        return old._replace(visits=old.visits + 1, value=mean), value

    jax.lax.fori_loop(0, length, one_hop, (child, child.value))
