"""Value targets of the stored plies.

Axes: R plies of a lane in time order, B game lanes, P players.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jzero.self_play import Transition
from jzero.settings import check


@dataclass(frozen=True)
class LossSettings:
    """Settings of the losses that all algorithms share."""

    discount: float = 1.0
    """Discount per ply; the model adds the sign of two-player games."""
    td_lambda: float = 1.0
    """Value target TD(lambda): 1 is the game's outcome, 0 the search value of the next ply."""
    td_lookahead: int = 0
    """AlphaZero: plies after which a position of a game in progress is trained on. Its return then bootstraps from
    the root value, with weight td_lambda ** td_lookahead. 0 waits for the end of the game."""
    value_weight: float = 1.0
    """Weight of the value loss; the policy loss has weight 1."""
    augment: bool = True
    """Train on a random symmetric image of each position."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        for name in ("discount", "td_lambda"):
            check(name, getattr(self, name), low=0, high=1)
        check("td_lookahead", self.td_lookahead, low=0)
        check("value_weight", self.value_weight, low=0)


def value_targets(plies: Transition, td_lambda: float) -> tuple[jax.Array, jax.Array]:
    """Value targets of plies [R, B] in time order, for the player to move or per seat, and where they are known.

    z_t = r_t + d_t ((1 - lambda) v_{t+1} + lambda z_{t+1}), where d_t is negative if the mover changes and 0 at a
    terminal state. A truncated game bootstraps from the search's value of its last action, a game in progress from
    that of its newest ply. If a random action replaced the search's choice, the return is cut and the target is the
    root value, since later rewards do not reflect the search's play (Watkins' Q(lambda)).

    Returns:
      targets f32[R, B] or f32[R, B, P]; known bool[R, B], true up to the last ply of an ended game.
    """

    def each(of_ply: jax.Array, like: jax.Array) -> jax.Array:
        """[B] with the axes of `like`, [B] or [B, P]."""
        return of_ply.reshape(of_ply.shape + (1,) * (like.ndim - of_ply.ndim))

    newest = jnp.arange(plies.ended.shape[0], dtype=jnp.int32) == plies.ended.shape[0] - 1
    plies = plies._replace(truncated=plies.truncated | newest[:, None] & ~plies.ended)

    def one_ply(later: tuple, ply: Transition) -> tuple:
        next_target, next_value, next_known = later
        mixed = (1 - td_lambda) * next_value + td_lambda * next_target
        target = ply.reward + jnp.where(each(ply.ended, mixed), 0.0, each(ply.discount, mixed) * mixed)
        target = jnp.where(each(ply.truncated, target), ply.qvalue, target)
        target = jnp.where(each(ply.explored, target), ply.value, target)
        known = next_known | ply.ended
        return (target, ply.value, known), (target, known)

    zeros = jnp.zeros_like(plies.reward[0])
    nothing = jnp.zeros_like(plies.ended[0])
    _, (targets, known) = jax.lax.scan(one_ply, (zeros, zeros, nothing), plies, reverse=True)
    return targets, known
