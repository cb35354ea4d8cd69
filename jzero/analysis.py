"""What a search finds in positions, and what it would go on with.

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
    """What a search finds in positions [B]. With continuous actions A counts the candidates of the root.

    It is a pytree of its arrays, and can be pickled.
    """

    action: jax.Array
    """i32[B], or f32[B, D]: the action that the agent takes."""
    policy: jax.Array
    """f32[B, A] the search's policy."""
    visits: jax.Array
    """f32[B, A] simulations of each action."""
    qvalues: jax.Array
    """f32[B, A] its value for the player to move, or [B, A, P] by seat; 0 where no simulation tried it."""
    prior: jax.Array
    """f32[B, A] the network's policy."""
    value: jax.Array
    """f32[B] the value that the search finds for the player to move, or [B, P] by seat."""
    principal_variation: jax.Array
    """i32[B, L] the agent's action and then those that the search visits most; -1 after the last one. With explicit
    or learned chance or hidden information only the first action. Continuous actions are counted by their nodes'
    candidates, the most visited ones from the root on."""
    candidates: Any
    """f32[B, A, D] the actions that the root chose among, where they are continuous; else ()."""
    tree: Any
    """The search's trees; where worlds are searched [B * W], the worlds of a state next to each other."""
    states: States
    """The positions, every leaf [B, ...]."""
    env: Env = dataclasses.field(metadata={"static": True})
    """What they are positions of."""
    name: str = dataclasses.field(metadata={"static": True})
    """What `jzero.make` calls it."""
    chance: Literal["", "explicit", "learned"] = dataclasses.field(default="", metadata={"static": True})
    """What answers an action in the tree, by edges from A on: nothing, an outcome of the environment's chance, or a
    learned code."""
    worlds: int = dataclasses.field(default=0, metadata={"static": True})
    """W of hidden information; the root of each tree then holds its world. 0 where the states are searched."""

    def show(self, rows: Sequence[int] | None = None) -> Shown:
        """Boards, bars, expected lines and trees to look at: HTML in a notebook's cell, text in a terminal.

        Of hidden things there is what the player to move knows.

        Args:
          rows: of the batch; by default the first few.

        Raises:
          ValueError: there is no such row.
        """
        from jzero.show.analysis import shown

        return shown(self, rows)


def principal_variation(tree: Tree, first: jax.Array | None = None) -> jax.Array:
    """i32[B, L]: the most visited actions of trees with L + 1 nodes, from the root on; -1 after the last one.

    Args:
      tree: of a search.
      first: i32[B] the root's action to begin with; by default the most visited one.
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
