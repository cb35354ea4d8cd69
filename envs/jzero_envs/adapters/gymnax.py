"""Games of gymnax, all with one player: `jzero.make("gymnax:Breakout-MinAtar")`.

Takes any gymnax game whose actions are a `Discrete` space or a `Box` of one axis with finite bounds. A continuous
action in [-1, 1] is scaled to the bounds. Rewards are gymnax's, neither scaled nor clipped. A natural end is
`terminated`; gymnax's step limit is `truncated` (a step can set both). A game has gymnax's default parameters but
for those in the name: "gymnax:CartPole-v1?max_steps_in_episode=200". A parameter that gymnax computes from another
(CartPole's `total_mass`) does not follow it.

MinAtar is gymnax's variant, not the original of Young and Tian (2019): it has only the actions that a game uses, a
step limit, which the original has only in Freeway, and no sticky actions by default; the original repeats the last
action with probability 0.1: "gymnax:Breakout-MinAtar?sticky_actions=0.1". Observations are uint8 [10, 10, C] of 0
and 1.

| game          | actions A                              |  C | steps | difficulty                               |
|---------------|----------------------------------------|----|-------|------------------------------------------|
| Asterix       | 5: none, left, up, right, down         |  4 |  1000 | ramps about every 100 steps              |
| Breakout      | 3: none, left, right                   |  4 |  1000 | constant                                 |
| Freeway       | 3: none, up, down                      |  7 |  2500 | constant; never terminates               |
| Seaquest      | 6: none, left, up, right, down, fire   | 10 |  1000 | ramps at each surfacing                  |
| SpaceInvaders | 4: none, left, right, fire             |  6 |  1000 | ramps at each new wave, up to six times  |

Games in `HIDDEN` do not show all of their state (which arm pays, where the goal is), so AlphaZero refuses them: use
a learned model.

gymnax 0.0.9, which runs with every jax, works too: its `done` is split into the end and the step limit. The notes
on single games are for 1.0.

MemoryChain-bsuite: gymnax's `step` returns the observation before the step; here it is the current state's.
Source: https://github.com/RobertTLange/gymnax, gymnax/environments.
"""

import inspect
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, keep_finished
from jzero.registry import check_options, unknown_name
from jzero_envs.adapters import gymnax_pictures
from jzero_envs.adapters.one_player import check_sticky_actions

ZERO_ONE = ("-MinAtar", "Catch-bsuite", "DeepSea-bsuite", "Pong-misc")
"""Name endings of games that observe only zeros and ones."""
MIRRORED = {"Breakout-MinAtar": (0, 2, 1)}
"""Games whose rules stay the same if left and right are exchanged: what their actions become."""
HIDDEN = (
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "MNISTBandit-bsuite",
    "MemoryChain-bsuite",
    "MetaMaze-misc",
    "SimpleBandit-bsuite",
)
"""Games whose states hold what the player may not see."""


class GymnaxState(NamedTuple):
    """A state of gymnax, and the fields that jzero reads. A actions, D dimensions of a continuous one."""

    inner: Any  # gymnax's state, every field an array of fixed dtype
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[A]: always all true; bool[1] with continuous actions
    rewards: jax.Array  # f32[1]: of the last step, as gymnax gives it
    terminated: jax.Array  # bool[]: ended by the game's rules
    truncated: jax.Array  # bool[]: gymnax's step limit is reached
    last_action: jax.Array  # i32[] or f32[D]: the previous action, 0 at the start; sticky actions repeat it


@dataclass(frozen=True, eq=False)
class GymnaxEnv:
    """One gymnax game; `make` builds it."""

    name: str
    """Its name in gymnax."""
    num_actions: int
    """A; 0 for continuous actions."""
    inner: Any
    """gymnax's environment."""
    params: Any
    """gymnax's parameters of the environment."""
    sticky_actions: float = 0.0
    """Probability that a step repeats the previous action (Machado et al. 2018)."""
    bounds: tuple[Any, Any] = ((), ())
    """f32[D] the lowest and the highest continuous action of gymnax."""

    num_players = 1

    @property
    def action_size(self) -> int:
        """D; 0 for discrete actions."""
        return np.size(self.bounds[0])

    @property
    def hidden_information(self) -> bool:
        """Whether a state holds information hidden from the player."""
        return self.name in HIDDEN

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The reflection of pictures [H, W, C], for the games in `MIRRORED`."""
        if self.name not in MIRRORED:
            return ()
        return (Symmetry(lambda seen: seen[:, ::-1], np.array(MIRRORED[self.name], np.int32)),)

    def init(self, key: jax.Array) -> GymnaxState:
        """An initial state from gymnax's `reset_env`."""
        _, inner = self.inner.reset_env(key, self.params)
        return GymnaxState(
            inner=jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), inner),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions or 1, bool),
            rewards=jnp.zeros(1, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
            last_action=jnp.zeros(self.action_size, jnp.float32) if self.action_size else jnp.int32(0),
        )

    def step(self, state: GymnaxState, action: jax.Array, key: jax.Array) -> GymnaxState:
        """The state after `action` (i32[] or f32[D]) by gymnax's `step_env`, which never starts a new game."""
        if self.action_size:
            action = jnp.clip(jnp.asarray(action), -1.0, 1.0)
        if self.sticky_actions:
            key, sticky_key = jax.random.split(key)
            repeats = jax.random.bernoulli(sticky_key, self.sticky_actions)
            action = jnp.where(repeats, state.last_action, action)
        _, inner, reward, terminated, _ = self.inner.step_env(
            key, state.inner, self._scaled(action), self.params
        )
        next_state = state._replace(
            inner=inner,
            rewards=jnp.reshape(reward, 1).astype(jnp.float32),
            terminated=jnp.asarray(terminated, bool),
            truncated=jnp.asarray(self.inner.is_truncated(inner, self.params), bool),
            last_action=jnp.asarray(action, state.last_action.dtype),
        )
        return keep_finished(state, next_state)

    def observe(self, state: GymnaxState) -> jax.Array:
        """The observation of gymnax, in its shape and dtype; uint8 if it has only zeros and ones."""
        # No game that `make` builds has random observations, so the key does not matter.
        seen = self.inner.observe(jax.random.key(0), state.inner, None, self.params)
        return seen.astype(jnp.uint8) if self.name.endswith(ZERO_ONE) else jnp.asarray(seen)

    def action_name(self, state: GymnaxState, action: int) -> str:
        """The name of the action."""
        del state
        return gymnax_pictures.action_name(self.name, action)

    def _scaled(self, action: jax.Array) -> jax.Array:
        """The action for gymnax: a continuous one in [-1, 1] is scaled to the bounds."""
        if not self.action_size:
            return action
        low, high = (jnp.asarray(bound, jnp.float32) for bound in self.bounds)
        return low + (high - low) * (action + 1) / 2


class DrawnGymnaxEnv(GymnaxEnv):
    """A game of classic control, with a picture."""

    def svg(self, state: GymnaxState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return gymnax_pictures.svg(self.name, state.inner, self.params)


class Gymnax0:
    """A game of gymnax 0.0 with the methods of 1.0 that this file uses."""

    def __init__(self, inner: Any) -> None:
        self.reset_env, self.action_space = inner.reset_env, inner.action_space
        self._inner = inner
        self._seen_by = inspect.signature(inner.get_obs).parameters.keys() & {"params", "key"}

    def step_env(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple:
        """The step without the step limit, which 0.0 treats as an end like any other."""
        limit = type(params.max_steps_in_episode)(1 << 30)
        return self._inner.step_env(key, state, action, params.replace(max_steps_in_episode=limit))

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        """bool[]: whether the step limit is reached."""
        return jnp.asarray(state.time) >= params.max_steps_in_episode

    def observe(self, key: jax.Array, state: Any, action: None, params: Any) -> jax.Array:
        """The observation; the arguments of `get_obs` besides the state differ between games."""
        del action
        given = {"params": params, "key": key}
        return self._inner.get_obs(state, **{name: given[name] for name in self._seen_by})


def make(name: str, *, sticky_actions: float = 0.0, **options: Any) -> GymnaxEnv:
    """The gymnax game `name`, such as "CartPole-v1" or "Breakout-MinAtar".

    `sticky_actions` is the probability that a step repeats the previous action; `options` replace fields of
    gymnax's parameters.

    Raises:
      ImportError: gymnax is not installed.
      ValueError: `sticky_actions` is no probability, gymnax has no such game, it cannot be built
        (MNISTBandit-bsuite downloads its images), it has no such parameter, or its actions are neither numbers nor
        vectors within bounds.
    """
    try:
        import gymnax
        from gymnax.environments import spaces
    except ImportError as error:
        raise ImportError(f'gymnax games need gymnax ({error}): pip install "jzero[envs]"') from error
    check_sticky_actions(sticky_actions)
    if name not in gymnax.registered_envs:
        raise ValueError(unknown_name("gymnax game", name, gymnax.registered_envs))
    try:
        inner, params = gymnax.make(name)
    except OSError as error:
        raise ValueError(f"gymnax game {name!r}: cannot get its data: {error}") from error
    params = _with_options(name, params, options)
    space = inner.action_space(params)
    inner = inner if hasattr(inner, "is_truncated") else Gymnax0(inner)
    kind = DrawnGymnaxEnv if name in gymnax_pictures.PICTURES else GymnaxEnv
    env = kind(name=name, num_actions=0, inner=inner, params=params, sticky_actions=sticky_actions)
    if isinstance(space, spaces.Discrete):
        return replace(env, num_actions=int(space.n))
    bounds = _bounds(space)
    if bounds is None:
        raise ValueError(
            f"gymnax game {name!r} has the actions {space!r}; jzero needs a Discrete space, or a Box with one axis "
            "and finite bounds: choose another game"
        )
    return replace(env, bounds=bounds)


def _with_options(name: str, params: Any, options: dict[str, Any]) -> Any:
    """Gymnax's parameters of the game `name` with the fields in `options` replaced."""
    default = {field.name: getattr(params, field.name) for field in fields(params)}
    check_options(f"parameter of gymnax's {name!r}", options, default)
    for option, value in options.items():
        kinds = {float: float | int, int: int}.get(type(default[option]), object)
        if not isinstance(value, kinds):
            raise ValueError(
                f"gymnax game {name!r}: {option} is {value!r}; it is {default[option]!r} by default"
            )
    return params.replace(**options)


def _bounds(space: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """f32[D] twice: the bounds of a Box with one axis; None for other spaces and for infinite bounds."""
    if not hasattr(space, "low") or len(space.shape) != 1:
        return None
    low, high = (np.broadcast_to(np.asarray(end, np.float32), space.shape) for end in (space.low, space.high))
    return (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None
