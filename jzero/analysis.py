"""The results of a search in positions: values, policies and expected lines.

Axes: B states, A actions, D dimensions of a continuous action, P players, L plies, W worlds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp

from jzero.env import Env
from jzero.pytrees import States
from jzero.search import Tree, layout

if TYPE_CHECKING:
    from jzero.show.analysis import Shown


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Analysis:
    """The results of a search in positions [B]. With continuous actions A is the number of the root's candidates.

    It is a pytree and can be pickled.
    """

    action: jax.Array
    """i32[B], or f32[B, D]: the agent's action."""
    policy: jax.Array
    """f32[B, A] the search's policy."""
    visits: jax.Array
    """f32[B, A] simulations per action."""
    qvalues: jax.Array
    """f32[B, A] Q-values for the player to move, or [B, A, P] by seat; 0 for actions without simulations."""
    prior: jax.Array
    """f32[B, A] the network's policy."""
    value: jax.Array
    """f32[B] the search's value for the player to move, or [B, P] by seat."""
    principal_variation: jax.Array
    """i32[B, L] the agent's action, then the most visited ones; -1 after the last. With explicit or learned chance
    or hidden information it has only the first action. For continuous actions these are indices of candidates, the
    most visited ones starting at the root."""
    candidates: Any
    """f32[B, A, D] the root's candidates if actions are continuous; else ()."""
    tree: Any
    """The search trees; with worlds [B * W], the worlds of a state being adjacent."""
    states: States
    """The positions, every leaf [B, ...]."""
    env: Env = dataclasses.field(metadata={"static": True})
    """The environment of the positions."""
    name: str = dataclasses.field(metadata={"static": True})
    """Name of the environment for `jzero.make`."""
    chance: Literal["", "explicit", "learned"] = dataclasses.field(default="", metadata={"static": True})
    """Chance after an action in the tree, with edges from A on: none, the environment's outcomes, or learned
    codes."""
    worlds: int = dataclasses.field(default=0, metadata={"static": True})
    """W with hidden information; the root of each tree then holds its world. 0 if the states themselves are
    searched."""

    def show(self, rows: Sequence[int] | None = None) -> Shown:
        """Boards, bars, expected lines and trees for display: HTML in a notebook cell, text in a terminal.

        Hidden information is shown only as far as the player to move knows it.

        Args:
          rows: rows of the batch; by default the first few.

        Raises:
          ValueError: there is no such row.
        """
        from jzero.show.analysis import shown

        return shown(self, rows)


def principal_variation(tree: Tree, first: jax.Array | None = None) -> jax.Array:
    """i32[B, L]: the most visited actions of trees with L + 1 nodes, starting at the root; -1 after the last.

    Args:
      tree: tree of a search.
      first: i32[B] first action; by default the most visited one.
    """
    children, length = jnp.asarray(tree.children), tree.num_simulations

    def one_ply(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        ply, node, line = carry
        slots = layout.rows_at(children, jnp.maximum(node, 0))  # [B, S, fields]
        visits, taken = slots[..., layout.VISITS], tree.actions_of(slots)
        if first is not None:
            visits = jnp.where((ply > 0) | (taken == first[:, None]), visits, 0.0)
        most = jnp.max(visits, axis=-1, keepdims=True)
        goes_on = (node >= 0) & (most[:, 0] > 0)
        action = jnp.min(jnp.where(visits == most, taken, tree.num_actions), axis=-1)
        chosen = (visits == most) & (taken == action[:, None])
        after = jnp.max(jnp.where(chosen, layout.child_nodes(slots), Tree.UNVISITED), axis=-1)
        line = line.at[:, ply].set(jnp.where(goes_on, action, -1))
        return ply + 1, jnp.where(goes_on, after, -1), line

    # Few plies, though there is room for more: each costs a read of a node's slots.
    root = jnp.zeros_like(children[:, 0, 0, 0], jnp.int32)
    empty = jnp.full((*root.shape, length), -1, jnp.int32) + root[:, None]
    begin = (jnp.int32(0), root, empty)
    return jax.lax.while_loop(lambda carry: (carry[0] < length) & jnp.any(carry[1] >= 0), one_ply, begin)[2]
