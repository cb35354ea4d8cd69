"""Environments of brax and MuJoCo Playground: `jzero.make("brax:reacher")`, or in bins "brax:reacher?bins=5".

Their actions are vectors in [-1, 1], with which learned models plan directly. With `bins` each dimension takes one
of `bins` evenly spaced values, including both ends, and an action chooses for all dimensions at once: bins ** D
discrete actions, at most `MAX_ACTIONS`, with which AlphaZero can plan too. This suits few dimensions D:
inverted_pendulum 1, reacher 2, hopper 3 with up to 8 bins.

`done` is `terminated`; after `episode_length` steps a game is `truncated`. Rewards are the environment's, neither
scaled nor clipped. Most of these environments use chance only in `reset`; if a state keeps a key in `info["rng"]`,
as in Playground, `step` replaces it by its own key and removes it afterwards.

With `action_repeat` every action is taken for that many of the environment's steps, or until `done`, and earns the
sum of their rewards. Where steps are short, the effect of one of them on the return is smaller than a value's
error; longer actions can be told apart. `episode_length` counts the environment's own steps.

`BraxEnv(inner, name=..., bins=...)` wraps any object with this interface: `reset(key)` -> a state with `obs`,
`reward`, `done`, `info` and `replace`; `step(state, action)` -> a state; `action_size`. Environments of MuJoCo
Playground (`pip install playground`) are "playground:CartpoleBalance?bins=5".
Source: https://github.com/google/brax (Freeman et al. 2021), https://github.com/google-deepmind/mujoco_playground.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.env import keep_finished
from jzero.registry import check_options, options_of, unknown_name

MAX_ACTIONS = 512
"""The largest number of actions."""


class BraxState(NamedTuple):
    """A state of brax, and the fields that jzero reads. A actions."""

    inner: Any  # brax's state, without a key
    ply: jax.Array  # i32[]: actions taken
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[A]: always all true; bool[1] with continuous actions
    rewards: jax.Array  # f32[1]: of the last action
    terminated: jax.Array  # bool[]: done
    truncated: jax.Array  # bool[]: the limit of steps is reached


class BraxEnv:
    """An environment with brax's interface, its actions continuous or in bins."""

    num_players = 1

    def __init__(
        self,
        inner: Any,
        *,
        name: str,
        bins: int | None = None,
        episode_length: int = 1000,
        action_repeat: int = 1,
    ) -> None:
        """Wraps `inner`; see the module's docstring for `bins`, `episode_length` and `action_repeat`.

        Raises:
          ValueError: `bins` is below 2, or gives too many actions; `action_repeat` is below 1.
        """
        if not isinstance(action_repeat, int) or action_repeat < 1:
            raise ValueError(
                f"env {name!r}: action_repeat is {action_repeat!r}; expected an int of at least 1"
            )
        dimensions = int(inner.action_size)
        self.inner, self.name, self.bins, self.episode_length = inner, name, bins, episode_length
        self.action_repeat = action_repeat
        self.dimensions = dimensions
        if bins is None:
            self.action_size, self.num_actions = dimensions, 0
            return
        if not isinstance(bins, int) or bins < 2:
            raise ValueError(f"env {name!r}: bins is {bins!r}; expected an int of at least 2")
        if bins**dimensions > MAX_ACTIONS:
            raise ValueError(
                f"env {name!r}: bins is {bins}, which makes {bins} ** {dimensions} = {bins**dimensions:,} actions, "
                f"more than {MAX_ACTIONS}: {_fewer(dimensions)}"
            )
        self.action_size, self.num_actions = 0, bins**dimensions

    def init(self, key: jax.Array) -> BraxState:
        """An initial state from `reset`."""
        return self._state(self.inner.reset(key), jnp.int32(0))._replace(rewards=jnp.zeros(1, jnp.float32))

    def step(self, state: BraxState, action: jax.Array, key: jax.Array) -> BraxState:
        """The state after `action_repeat` times the action number `action` (i32[]), or the vector f32[D]."""
        values = self.values(action)
        keys = key[None] if self.action_repeat == 1 else jax.random.split(key, self.action_repeat)

        def once(now: BraxState, key: jax.Array) -> tuple[BraxState, jax.Array]:
            inner = jax.tree.map(lambda x: x, now.inner)  # a copy: brax writes into the dict of metrics
            after = self._state(self.inner.step(_with_key(inner, key), values), now.ply)
            after = keep_finished(now, _with_dtypes(after, now))
            return after, after.rewards

        after, rewards = jax.lax.scan(once, state, keys)
        after = self._state(after.inner, state.ply + 1)._replace(rewards=rewards.sum(axis=0))
        return keep_finished(state, after)

    def observe(self, state: BraxState) -> Any:
        """The observation of the environment."""
        return state.inner.obs

    def values(self, action: jax.Array) -> jax.Array:
        """f32[D] in [-1, 1]: the action with the number `action` (i32[]); a vector is clipped."""
        if self.bins is None:
            return jnp.clip(jnp.asarray(action, jnp.float32), -1.0, 1.0)
        bins = jnp.stack(jnp.unravel_index(action, (self.bins,) * self.dimensions)).astype(jnp.float32)
        return 2.0 * bins / (self.bins - 1) - 1.0

    def _state(self, inner: Any, ply: jax.Array) -> BraxState:
        done = jnp.asarray(inner.done, bool)
        state = BraxState(
            inner=_with_key(inner, ()),
            ply=ply,
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions or 1, bool),
            rewards=jnp.reshape(inner.reward, 1).astype(jnp.float32),
            terminated=done,
            truncated=~done & (ply * self.action_repeat >= self.episode_length),
        )
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), state)


def make(
    name: str,
    *,
    bins: int | None = None,
    episode_length: int = 1000,
    action_repeat: int = 1,
    **options: Any,
) -> BraxEnv:
    """The environment `name` of brax, such as "reacher"; further options go to its constructor.

    Raises:
      ImportError: brax is not installed.
      ValueError: brax has no such environment, it does not take the options, or `bins` does not fit.
    """
    try:
        from brax import envs
    except ImportError as error:
        raise ImportError(f"brax environments need brax ({error}): pip install brax") from error
    if name not in envs._envs:
        raise ValueError(unknown_name("brax environment", name, sorted(envs._envs)))
    try:
        inner = envs.get_environment(name, **options)
    except TypeError as error:
        known = ", ".join(["bins", "episode_length", "action_repeat", *options_of(envs._envs[name])])
        raise ValueError(
            f"brax environment {name!r} does not take the options {options}: {error}; it takes {known}"
        ) from error
    return BraxEnv(
        inner, name=f"brax:{name}", bins=bins, episode_length=episode_length, action_repeat=action_repeat
    )


def make_playground(
    name: str,
    *,
    bins: int | None = None,
    episode_length: int | None = None,
    action_repeat: int = 1,
    **options: Any,
) -> BraxEnv:
    """The environment `name` of MuJoCo Playground, such as "CartpoleBalance"; further options are its settings.

    Its physics is MJX in JAX (`impl="jax"`), not Playground's default, MuJoCo Warp for NVIDIA's GPUs. Without
    `episode_length`, games have the length in its configuration.

    Raises:
      ImportError: MuJoCo Playground is not installed.
      ValueError: it has no such environment or no such setting, or `bins` does not fit.
    """
    try:
        from mujoco_playground import registry
    except ImportError as error:
        raise ImportError(
            f"MuJoCo Playground environments need playground ({error}): pip install playground"
        ) from error
    if name not in registry.ALL_ENVS:
        raise ValueError(unknown_name("environment of MuJoCo Playground", name, sorted(registry.ALL_ENVS)))
    config = registry.get_default_config(name)
    check_options(f"setting of Playground's {name!r}", options, config)
    if "impl" in config:
        options = {"impl": "jax", **options}
    inner = registry.load(name, config_overrides=options)
    length = config.get("episode_length", 1000) if episode_length is None else episode_length
    return BraxEnv(
        inner, name=f"playground:{name}", bins=bins, episode_length=length, action_repeat=action_repeat
    )


def _with_key(inner: Any, key: Any) -> Any:
    """`inner` with its key, if it keeps one, replaced by `key`."""
    info = getattr(inner, "info", None) or {}
    return inner.replace(info={**info, "rng": key}) if "rng" in info else inner


def _with_dtypes(state: BraxState, like: BraxState) -> BraxState:
    """`state` in the dtypes of `like`: in 64-bit mode some environments change those of their metrics."""
    return jax.tree.map(lambda x, y: x if x.dtype == y.dtype else x.astype(y.dtype), state, like)


def _fewer(dimensions: int) -> str:
    most = max((bins for bins in range(2, MAX_ACTIONS + 1) if bins**dimensions <= MAX_ACTIONS), default=None)
    return f"use at most bins={most}" if most else "it has too many dimensions for bins"
