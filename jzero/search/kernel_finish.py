"""The program of the kernel that adds one game's new node and backs its value up.

Nothing that it reads was written before by the same program, see `kernel_backup`. Axes: A actions, P players.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from jzero.search import kernel_io as io
from jzero.search import layout, scores
from jzero.search.kernel_backup import Edge, Game


def program(*refs: io.Ref, num_states: int, num_players: int, num_bounds: int) -> None:
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
    game, num_actions = Game(nodes, children, bounds, num_players), open_priors.shape[2]
    at = game.number
    length, parent, slot, code = (io.load(ref, at) for ref in (length, parent, slot, code))
    new, is_new, action = io.number_of(new, at), layout.is_untried(code), layout.untried_action(code)
    lane = io.iota(io.lanes(num_actions))
    exists = lane < num_actions

    # The new node, or an empty one.
    step_discount = io.load(discount, at).astype(jnp.float32)
    is_terminal = step_discount == 0
    step_value = jnp.where(is_terminal, 0.0, game.at_seats(value, at))
    step_reward = game.at_seats(reward, at)
    to_play = io.load(player[0], at) if player else None
    own_logits = io.load(logits, at, lane, mask=exists, other=-math.inf).astype(jnp.float32)
    fields = layout.node_fields(
        game.of_seat(step_value, to_play),
        step_reward if game.seats is None else jnp.float32(0),
        step_discount,
        parent,
        action,
        own_logits,
    )
    for number, (one, empty) in enumerate(zip(fields, layout.EMPTY_NODE, strict=True)):
        game.put(new, number, jnp.where(is_new, one.astype(jnp.float32), empty))
    if game.seats is not None:
        game.put(new, layout.PLAYER, jnp.where(is_new, cast(jax.Array, to_play), 0))
        game.put_seats(new, layout.PLAYER_VALUES, jnp.where(is_new, step_value, 0.0))
        game.put_seats(new, layout.PLAYER_VALUES + num_players, jnp.where(is_new, step_reward, 0.0))
    io.store(jnp.where(is_new, own_logits, 0.0), open_priors, at, new, lane, mask=exists)
    for state, row in zip(states, new_states, strict=True):
        io.copy(row, (at,), state, (at, new), keep=is_new)

    # Its edge, and what is open beside it.
    siblings = io.row_of(open_priors, at, parent)
    is_action = lane == action
    prior = jnp.sum(jnp.where(is_action, siblings, 0.0))
    was_open = slot == game.field(parent, layout.NUM_CHILDREN).astype(jnp.int32)
    next_open = scores.best_open(jnp.where(is_action, -math.inf, siblings))
    leaf = jnp.where(is_new, new, layout.node_index(code))
    fresh = Edge(jnp.float32(1), step_value, step_reward, step_discount)
    proof = game.proof_of(parent, slot, is_new, fresh)
    has_open = _openings(game, open_priors, parent, is_new & is_action, is_new & was_open, next_open[1])

    @pl.when(is_new)
    def _open_edge() -> None:
        io.store(prior, children, at, parent, slot, layout.PRIOR)
        io.store(
            jnp.where(is_terminal, layout.terminal_code(new), new),
            children,
            at,
            parent,
            slot,
            layout.CHILD,
        )
        gone = is_action & (prior > -math.inf)
        io.store(jnp.full_like(siblings, -math.inf), open_priors, at, parent, lane, mask=gone)

    @pl.when(is_new & was_open)
    def _next_open() -> None:
        for number, one in enumerate(((slot + 1).astype(jnp.float32), *next_open), layout.NUM_CHILDREN):
            game.put(parent, number, one)

    known = game.edge_to(leaf)
    known = known._replace(visits=known.visits + 1)
    child = Edge(*(jnp.where(is_new, a, b) for a, b in zip(fresh, known, strict=True)))
    game.put(leaf, layout.NODE_VISITS, child.visits)
    game.back_up((path_nodes, path_slots), length, child, proof, has_open)


def _openings(
    game: Game,
    open_priors: io.Ref,
    parent: jax.Array,
    opens: jax.Array,
    was_open: jax.Array,
    next_open: jax.Array,
) -> Callable | None:
    """Node i32[] -> bool[], whether it has actions without an edge after the new edge; None without proofs.

    Read now, since the program goes on to write there. `opens` bool[L] marks the action that gets its edge at
    `parent`; the best open prior there is `next_open` if the edge `was_open`.
    """
    if not game.bounds:
        return None
    at_parent = jnp.where(was_open, next_open, game.field(parent, layout.OPEN_PRIOR)) > -jnp.inf
    row = io.row_of(open_priors, game.number, layout.ROOT_INDEX)
    at_root = io.any_open(jnp.where(opens & (parent == layout.ROOT_INDEX), -math.inf, row))

    def has_open(node: jax.Array) -> jax.Array:
        below = jnp.where(node == parent, at_parent, game.field(node, layout.OPEN_PRIOR) > -jnp.inf)
        return jnp.where(node == layout.ROOT_INDEX, at_root, below)

    return has_open
