"""Shared by adapters of single-player games: an environment made from three functions on a package's states.

`OnePlayerEnv(name, num_actions, reset, advance, look)` implements the protocol: all actions are legal, stepping a
finished state does not change it, and all chance comes from the step's key. If a package keeps a random key in its
state (of `jax.random.key`'s type), the step's key replaces it and is removed afterwards, so a search cannot foresee
the game's chance. docs/environments.md has an adapter in 20 lines.

`in_unit_range` scales an observation by the range that a package declares for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import keep_finished


class OnePlayerState(NamedTuple):
    """A state of a package, and the fields that jzero reads. A actions."""

    inner: Any  # the package's, without keys
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[A]: always all true
    rewards: jax.Array  # f32[1]: of the last step
    terminated: jax.Array  # bool[]: ended by the game's rules
    truncated: jax.Array  # bool[]: a step limit is reached, and the game has not ended


class Outcome(NamedTuple):
    """The result of a package's step."""

    inner: Any  # its state
    reward: Any  # a number
    terminated: Any  # bool[]: ended by the game's rules
    truncated: Any = False  # bool[]: a step limit is reached; if the game has ended too, the end counts


@dataclass(frozen=True, eq=False)
class OnePlayerEnv:
    """A game for one player from the functions of another package."""

    name: str
    """Its name for `jzero.make`."""
    num_actions: int
    """A."""
    reset: Callable[[jax.Array], Any]
    """key -> the package's first state."""
    advance: Callable[[Any, jax.Array, jax.Array], Outcome]
    """(the package's state, action i32[], key) -> the action's outcome, without a new game at the end."""
    look: Callable[[Any], Any]
    """The package's state, without keys -> the observation."""
    hidden_information: bool = False
    """Whether a state holds what the player may not see."""
    action_names: tuple[str, ...] = ()
    """Names of the A actions; () for their numbers."""

    num_players = 1

    def init(self, key: jax.Array) -> OnePlayerState:
        """An initial state from the package."""
        return OnePlayerState(
            inner=without_keys(self.reset(key)),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions, bool),
            rewards=jnp.zeros(1, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: OnePlayerState, action: jax.Array, key: jax.Array) -> OnePlayerState:
        """The state after `action` (i32[]); all chance comes from `key`."""
        action = jnp.asarray(action, jnp.int32)
        outcome = self.advance(with_keys(state.inner, key), action, key)
        terminated = jnp.asarray(outcome.terminated, bool)
        next_state = state._replace(
            inner=without_keys(outcome.inner),
            rewards=jnp.reshape(outcome.reward, 1).astype(jnp.float32),
            terminated=terminated,
            truncated=~terminated & jnp.asarray(outcome.truncated, bool),
        )
        return keep_finished(state, next_state)

    def observe(self, state: OnePlayerState) -> Any:
        """The package's observation of the state."""
        return self.look(state.inner)

    def action_name(self, state: OnePlayerState, action: int) -> str:
        """The name of the action."""
        del state
        return self.action_names[action] if self.action_names else str(action)


def check_sticky_actions(probability: float) -> None:
    """Raises ValueError unless the probability that an action is repeated is one."""
    if not 0 <= probability <= 1:
        raise ValueError(f"sticky_actions is {probability!r}; it must be a probability, 0 to 1")


def in_unit_range(number: Any, low: Any, high: Any) -> jax.Array:
    """Numbers of a declared range as f32 in [0, 1], if the range exceeds [-1, 1]; others are returned unchanged.

    A counter that reaches thousands hides everything else from a network: its first LayerNorm divides by it.

    Args:
      number: an array.
      low: the least it can be, known before tracing; broadcast to `number`.
      high: the greatest; a range that is not finite declares nothing.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    wide = np.isfinite(high - low) & (np.maximum(-low, high) > 1) & (high > low)
    if not wide.any():
        return jnp.asarray(number)
    start, span = np.where(wide, low, 0).astype(np.float32), np.where(wide, high - low, 1).astype(np.float32)
    return (jnp.asarray(number, jnp.float32) - start) / span


@jax.tree_util.register_static
@dataclass(frozen=True)
class KeyPlace:
    """A placeholder for random keys [*shape] in a package's state between steps."""

    shape: tuple[int, ...]


def without_keys(tree: Any) -> Any:
    """`tree` as arrays of fixed dtype, also for Python numbers, with a `KeyPlace` for all random keys."""

    def plain(leaf: Any) -> Any:
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            return KeyPlace(leaf.shape)
        return jnp.asarray(leaf, jnp.result_type(leaf))

    return jax.tree.map(plain, tree)


def with_keys(tree: Any, key: jax.Array) -> Any:
    """`tree` with keys from `key` in its `KeyPlace`s: `key` itself if there is one place for one key."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=_is_place)
    places = sum(map(_is_place, leaves))
    keys = iter([key] if places < 2 else jax.random.split(key, places))
    filled = [_keys(next(keys), leaf.shape) if _is_place(leaf) else leaf for leaf in leaves]
    return jax.tree.unflatten(structure, filled)


def _is_place(leaf: Any) -> bool:
    return isinstance(leaf, KeyPlace)


def _keys(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.split(key, shape) if shape else key
