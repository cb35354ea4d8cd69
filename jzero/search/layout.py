"""The packed rows of a search tree, and how to read and make them.

Axes: B games, N nodes, A actions, S slots, P players. A node is a row of fields (NODE_VISITS .. OPEN_MASS) and a
row of slots, each with the columns PRIOR .. QVALUE; see `tree`. Columns that are written together are adjacent, and
their slice has a name.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.pytrees import PyTree
from jzero.search import scores

PRIOR, CHILD, VISITS, QVALUE = range(4)
CHILD_FIELDS = 4
LOWER, UPPER = range(2)  # of an edge's bounds, see `Interval`
(
    NODE_VISITS,
    NODE_VALUE,  # mean of what was backed up, for the player to move
    RAW_VALUE,  # the model's
    REWARD,  # of the edge that leads here
    DISCOUNT,  # of the edge that leads here
    PARENT,
    ACTION,  # of the edge that leads here
    PRIOR_MASS,  # log-sum-exp of the prior logits
    NUM_CHILDREN,  # slots in use
    OPEN_ACTION,  # untried action of greatest prior logit
    OPEN_PRIOR,  # its prior logit; -inf if there is none
    OPEN_MASS,  # log-sum-exp of the untried actions' prior logits
) = range(12)
NODE_FIELDS = 12
PLAYER = 12  # of a tree with several values: who is to move, then the values and the rewards of all players
PLAYER_VALUES = 13

_UNTRIED = 1 << 22  # beyond every terminal's code: a tree has fewer nodes

# Where a row is cut; the columns in a slice are in the order above.
EDGE = slice(PRIOR, CHILD + 1)
"""Of a slot: the columns written when its edge is opened."""
EDGE_STATISTICS = slice(VISITS, QVALUE + 1)
"""Of a slot: the columns written by a backup."""
NODE_STATISTICS = slice(NODE_VISITS, NODE_VALUE + 1)
"""Of a node: the fields written by a backup."""
OPEN = slice(NUM_CHILDREN, OPEN_MASS + 1)
"""Of a node: the fields that change when an edge is opened, the slots in use and `scores.best_open`."""

ROOT_INDEX = 0
NO_PARENT = -1
UNVISITED = -1


def player_values(num_players: int) -> slice:
    """Of a node in a tree with several values: the players' values."""
    return slice(PLAYER_VALUES, PLAYER_VALUES + num_players)


def player_rewards(num_players: int) -> slice:
    """Of a node in a tree with several values: the players' rewards of the edge that leads there."""
    return slice(PLAYER_VALUES + num_players, PLAYER_VALUES + 2 * num_players)


def rows_at(array: jax.Array, index: jax.Array, width: int | None = None) -> jax.Array:
    """`array` [B, N, ...] at the nodes `index` i32[B], within bounds; the first `width` entries of the next axis.

    Nodes are addressed by one number. With a pair (game, node), XLA's CPU compiler rebuilds the pair for each
    element that a gather copies, which takes ten times as long.
    """
    batch_size, num_nodes, *rest = array.shape
    flat = array.reshape(batch_size * num_nodes, *rest)
    sizes = tuple(rest if width is None else [width, *rest[1:]])
    where = jnp.arange(batch_size, dtype=jnp.int32) * num_nodes + index
    numbers = jax.lax.GatherDimensionNumbers(
        offset_dims=tuple(range(1, 1 + len(sizes))), collapsed_slice_dims=(0,), start_index_map=(0,)
    )
    return jax.lax.gather(flat, where[:, None], numbers, (1, *sizes), mode="promise_in_bounds")


def terminal_code(index: jax.Array) -> jax.Array:
    """The code that an edge stores for the terminal child `index`; see `node_index`."""
    return -2 - index


def node_index(code: jax.Array) -> jax.Array:
    """The node index of an edge's child code; UNVISITED stays UNVISITED."""
    return jnp.where(code < UNVISITED, -2 - code, code)


def child_nodes(children: jax.Array) -> jax.Array:
    """Node index i32[...] of the edges `children` [..., CHILD_FIELDS]; UNVISITED if there is no node."""
    code = children[..., CHILD].astype(jnp.int32)
    return jnp.where(is_untried(code), UNVISITED, node_index(code))


def untried_code(action: jax.Array) -> jax.Array:
    """The child code of an edge without a node: it holds the edge's action."""
    return -_UNTRIED - action


def untried_action(code: jax.Array) -> jax.Array:
    """The action of an `untried_code`."""
    return -_UNTRIED - code


def is_untried(code: jax.Array) -> jax.Array:
    """Whether a child code is an `untried_code`."""
    return code <= -_UNTRIED


def node_rows(
    value: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    parent: jax.Array,
    action: jax.Array,
    logits: jax.Array,
    to_play: jax.Array | None = None,
) -> jax.Array:
    """Node rows f32[B, fields] of nodes with one visit.

    Arguments are [B], prior `logits` [B, A]; with `to_play` i32[B], `value` and `reward` are [B, P].
    """
    own, gain, others = value, reward, []
    if to_play is not None:
        own, gain = for_player(value, to_play), jnp.zeros_like(discount)
        others = [to_play[:, None], value, reward]
    row = jnp.stack(node_fields(own, gain, discount, parent, action, logits), axis=-1)
    return jnp.concatenate([row, *(x.astype(jnp.float32) for x in others)], axis=-1)


def node_fields(
    value: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    parent: jax.Array,
    action: jax.Array,
    logits: jax.Array,
) -> tuple[jax.Array, ...]:
    """The NODE_FIELDS numbers f32[...] of nodes with one visit, for the player to move; prior `logits` [..., A]."""
    open_action, open_prior, mass = scores.best_open(logits)
    one, zero = jnp.ones_like(mass), jnp.zeros_like(mass)
    fields = (one, value, value, reward, discount, parent, action, mass, zero, open_action, open_prior, mass)
    return tuple(field.astype(jnp.float32) for field in fields)


def for_player(values: jax.Array, player: jax.Array) -> jax.Array:
    """The component [B] of `values` [B, P] that belongs to `player` i32[B]."""
    return jnp.take_along_axis(values, player[:, None], axis=-1)[:, 0]


EMPTY_NODE = tuple(-1.0 if field in (PARENT, ACTION) else 0.0 for field in range(NODE_FIELDS))
"""The fields of a node that does not exist; -1 is `NO_PARENT`."""


def empty_node_row(num_fields: int) -> jax.Array:
    """The row f32[num_fields] of a node that does not exist."""
    return jnp.zeros(num_fields, jnp.float32).at[jnp.array([PARENT, ACTION], jnp.int32)].set(NO_PARENT)


def by_action(
    values: jax.Array, actions: jax.Array, used: jax.Array, num_actions: int, missing: float | jax.Array
) -> jax.Array:
    """Values [..., S] of slots, reordered by action [..., A]; `missing` for actions without a `used` slot.

    `missing` is a number, one per node [...], or one per action [..., A].
    """

    def one(values: jax.Array, actions: jax.Array, used: jax.Array, row: jax.Array) -> jax.Array:
        return row.at[jnp.where(used, actions, num_actions)].set(values, mode="drop")

    missing = jnp.asarray(missing, values.dtype)
    if missing.ndim < values.ndim:
        missing = jnp.broadcast_to(missing, values.shape[:-1])[..., None]
    missing = jnp.broadcast_to(missing, (*values.shape[:-1], num_actions))
    for _ in range(values.ndim - 1):
        one = jax.vmap(one)
    return one(values, actions, used, missing)


def is_set(mask: jax.Array) -> jax.Array:
    """Whether the entries of a mask of any dtype are non-zero."""
    return jnp.asarray(mask).astype(bool)


def is_key(leaf: PyTree) -> bool:
    """Whether an array holds keys of `jax.random.key`, which are not numbers."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def nothing(like: jax.Array) -> jax.Array:
    """A zero [] of the dtype of `like`, for states that do not exist; for keys, a key of zero bits."""
    return jnp.zeros((), like.dtype)


def as_stored(new: jax.Array, stored: jax.Array) -> jax.Array:
    """`new` in the dtype of `stored`; keys stay keys."""
    return new if new.dtype == stored.dtype else new.astype(stored.dtype)


class Interval(NamedTuple):
    """Bounds on exact values, see `proofs`; a tree stores them as one array [..., 2]."""

    lower: Any
    """f32[...], or a Python number"""
    upper: Any
    """likewise"""

    @classmethod
    def of(cls, stored: jax.Array) -> Interval:
        """Bounds [...] from an array [..., 2]."""
        return cls(stored[..., LOWER], stored[..., UPPER])

    def stored(self) -> jax.Array:
        """f32[..., 2]"""
        return jnp.stack([jnp.asarray(end, jnp.float32) for end in self], axis=-1)


UNKNOWN = Interval(-1.0, 1.0)
"""The bounds of an edge without information."""
NO_EDGE = Interval(-math.inf, -math.inf)
"""The bounds of an unused slot: they change no maximum."""


def empty_slot() -> jax.Array:
    """The row f32[CHILD_FIELDS] of an unused slot."""
    return jnp.zeros(CHILD_FIELDS, jnp.float32).at[CHILD].set(UNVISITED)
