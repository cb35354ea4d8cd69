"""Random games of an adapter beside the same games of the package that it adapts, and one iteration of training."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.algorithms.unrolled import MuZeroSettings
from jzero.env import Env, is_finished, random_actions
from jzero.metrics import read
from jzero.models.plan import SearchSettings
from jzero.program import make_mesh
from jzero.run.build import build_program
from tests.helpers.tiny import tiny


class Compared(NamedTuple):
    """Random games, and what of them was compared. T steps, G games."""

    states: Any  # of the adapter, [T + 1, G, ...]
    seen: Any  # its observations [T + 1, G, ...]
    lives: np.ndarray  # bool[T, G]: steps of unfinished states, the ones that are compared


def compare(
    env: Env, reset: Callable[..., Any], step: Callable[..., Any], *, num_games: int, num_plies: int
) -> Compared:
    """Asserts that every step of random games is the package's own with the same keys and actions.

    Args:
      env: the adapter.
      reset: key -> the package's first state and its observation.
      step: (the package's state, action, key) -> its state, observation, reward, terminated, truncated.
      num_games: G.
      num_plies: T.
    """

    @jax.jit
    def play(key: jax.Array) -> Any:
        def ply(now: Any, key: jax.Array) -> Any:
            states, inner = now
            keys = jax.random.split(key, num_games)
            actions = random_actions(states, key)
            states = jax.vmap(env.step)(states, actions, keys)
            after, *original = jax.vmap(step)(inner, actions, keys)
            after = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), inner, after)
            return (states, after), (states, jax.vmap(env.observe)(states), original)

        keys = jax.random.split(key, num_games)
        states, (inner, first) = jax.vmap(env.init)(keys), jax.vmap(reset)(keys)
        inner = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), inner)
        _, later = jax.lax.scan(ply, (states, inner), jax.random.split(key, num_plies))
        return states, jax.vmap(env.observe)(states), first, later

    first, first_seen, own_first, (later, later_seen, original) = play(jax.random.key(0))
    states, seen = (
        jax.tree.map(lambda one, many: np.concatenate([np.asarray(one)[None], many]), *pair)
        for pair in ((first, later), (first_seen, later_seen))
    )
    own_seen, reward, terminated, truncated = jax.tree.map(np.asarray, original)
    lives = ~is_finished(states)[:-1]
    jax.tree.map(_assert_same, first_seen, own_first)
    jax.tree.map(lambda a, b: _assert_same(a[lives], b[lives]), later_seen, own_seen)
    _assert_same(states.rewards[1:, :, 0][lives], reward[lives].astype(np.float32))
    np.testing.assert_array_equal(states.terminated[1:][lives], terminated[lives])
    np.testing.assert_array_equal(states.truncated[1:][lives], (truncated & ~terminated)[lives])
    assert not states.rewards[1:][~lives].any()
    return Compared(states, seen, lives)


def _assert_same(found: Any, expected: Any) -> None:
    """Equal arrays; fractions but for what compiling them together with something else may change."""
    assert found.dtype == expected.dtype
    exact = not np.issubdtype(found.dtype, np.floating)
    np.testing.assert_allclose(found, expected, rtol=0 if exact else 1e-5)


def train_once(env: Env, **changes: Any) -> dict[str, float]:
    """What a MuZero of a few games measures: it plays twice and learns once."""
    config = tiny(
        algorithm="gumbel_muzero",
        search=SearchSettings(num_simulations=2),
        games=2,
        batch_size=4,
        updates=1,
        opening_plies=0,
        muzero=MuZeroSettings(unroll_steps=2, td_steps=2),
    )
    functions = build_program(env, dataclasses.replace(config, **changes), make_mesh(jax.devices()[:1]))
    state = functions.init()
    for function in (functions.play, functions.play, functions.learn):
        state, metrics = function(state)
    return read(metrics)
