"""Games of jumanji (1.1 or newer), all as one player: `jzero.make("jumanji:Game2048-v1")`.

Takes any jumanji game with a discrete action space. Further keyword arguments go to the game's constructor:
"jumanji:Maze-v0?time_limit=50".
- Actions of several numbers (MultiDiscrete) are numbered row by row, up to `MAX_ACTIONS`. If each number is an
  agent's action, the player moves all agents at once and gets the sum of their rewards.
- Legal actions are the observation's `action_mask`; without it all are legal. jumanji decides what an illegal
  action does: most games end, some do nothing.
- The last TimeStep is `terminated` if its discount is 0, else `truncated`. Only LevelBasedForaging and Connector
  distinguish a time limit from an end; in the other games with a `time_limit` the limit counts as `terminated`, and
  the observation has the `step_count`.
- The observation is the rest of jumanji's, as dicts of arrays, or the array if there is only one. The state stores
  it, since jumanji has no function that computes it. `observe` scales numbers to [0, 1] by the range that jumanji
  declares for them: next to a `step_count` of thousands a network would see little of Snake's board.
- jumanji keeps a random key in its state. Here `step` replaces it by its own key and removes it afterwards: all
  chance comes from the given key, and a search cannot foresee the game's chance.

Games in `HIDDEN` do not show all of their state, so AlphaZero refuses them: use a learned model.
Source: https://github.com/instadeepai/jumanji (Bonnet et al. 2024).
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import keep_finished
from jzero.registry import options_of, unknown_name
from jzero_envs.adapters.one_player import in_unit_range

MAX_ACTIONS = 10_000
"""The largest number of actions that a game may have."""
HIDDEN = ("LevelBasedForaging", "Minesweeper", "RobotWarehouse")
"""Games whose states hold what the player may not see: mines; everything outside the agents' view."""

DIRECTIONS = ("Game2048-v1", "Maze-v0", "Snake-v1")
"""Games whose actions are up, right, down and left."""


class JumanjiState(NamedTuple):
    """A state of jumanji, and the fields that jzero reads. A actions."""

    inner: Any  # jumanji's state without its key
    observation: Any  # dicts of arrays, or an array
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[A]
    rewards: jax.Array  # f32[1]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]


@dataclass(frozen=True, eq=False)
class JumanjiEnv:
    """One game of jumanji; `make` builds it."""

    name: str
    """Its name in jumanji."""
    inner: Any
    """jumanji's environment."""
    counts: tuple[int, ...]
    """Number of values of each number in an action; () if an action is one number."""
    num_actions: int
    """A."""
    shown: Any
    """jumanji's specification of each array of the observation."""

    num_players = 1

    @property
    def hidden_information(self) -> bool:
        """Whether a state holds what the player may not see."""
        return self.name.rsplit("-v", 1)[0] in HIDDEN

    def init(self, key: jax.Array) -> JumanjiState:
        """An initial state from jumanji's `reset`."""
        return self._state(*self.inner.reset(key))

    def step(self, state: JumanjiState, action: jax.Array, key: jax.Array) -> JumanjiState:
        """The state after `action` (i32[]); all chance comes from `key`."""
        inner = state.inner.replace(key=key)
        return keep_finished(state, self._state(*self.inner.step(inner, self._numbers(action))))

    def observe(self, state: JumanjiState) -> Any:
        """The observation of jumanji without its action mask, as dicts of arrays or an array, in unit range."""

        def scaled(number: jax.Array, spec: Any) -> jax.Array:
            return in_unit_range(number, getattr(spec, "minimum", -np.inf), getattr(spec, "maximum", np.inf))

        return jax.tree.map(scaled, state.observation, self.shown)

    def action_name(self, state: JumanjiState, action: int) -> str:
        """The name of the action; its number in most games."""
        del state
        return ("up", "right", "down", "left")[action] if self.name in DIRECTIONS else str(action)

    def _numbers(self, action: jax.Array) -> jax.Array:
        """The action number `action` (i32[]) in jumanji's form."""
        spec = self.inner.action_spec
        if not self.counts:
            return jnp.asarray(action, spec.dtype)
        numbers = jnp.stack(jnp.unravel_index(action, self.counts)).reshape(spec.shape)
        return (numbers + jnp.asarray(spec.minimum)).astype(spec.dtype)

    def _state(self, inner: Any, timestep: Any) -> JumanjiState:
        shown, mask = _parts(_plain(timestep.observation))
        ended = timestep.step_type == 2  # jumanji.types.StepType.LAST
        over = jnp.all(timestep.discount == 0)
        state = JumanjiState(
            inner=inner.replace(key=()),
            observation=shown,
            current_player=jnp.int32(0),
            legal_action_mask=self._legal(mask),
            rewards=jnp.sum(timestep.reward).reshape(1).astype(jnp.float32),
            terminated=ended & over,
            truncated=ended & ~over,
        )
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), state)

    def _legal(self, mask: jax.Array | None) -> jax.Array:
        """bool[A] from a mask over all actions, or from one [numbers of an action, values of each]."""
        if mask is None:
            return jnp.ones(self.num_actions, bool)
        if mask.size == self.num_actions:
            return mask.astype(bool).reshape(-1)
        joint = jnp.array(True)
        for values in mask.astype(bool):  # outer product: legal where every number is
            joint = joint[..., None] & values
        return joint.reshape(-1)


def make(name: str, **options: Any) -> JumanjiEnv:
    """The game `name` of jumanji, such as "Game2048-v1", built with `options`.

    Raises:
      ImportError: jumanji is not installed.
      ValueError: jumanji has no such game, it does not take the options, it cannot get its data (Sokoban downloads
        its levels), its actions are continuous or too many, or its action mask has an unknown shape.
    """
    try:
        import jumanji
    except ImportError as error:
        raise ImportError(f'jumanji games need jumanji ({error}): pip install "jzero[envs]"') from error
    known = sorted(jumanji.registered_environments())
    if name not in known:
        raise ValueError(unknown_name("jumanji game", name, known))
    try:
        inner = jumanji.make(name, **options)
    except OSError as error:
        raise ValueError(f"jumanji game {name!r}: cannot get its data: {error}") from error
    except TypeError as error:
        known = ", ".join(options_of(type(jumanji.make(name))))
        raise ValueError(
            f"jumanji game {name!r} does not take the options {options}: {error}; it takes {known}"
        ) from error
    spec = inner.action_spec
    if not jnp.issubdtype(spec.dtype, jnp.integer):
        raise ValueError(
            f"jumanji game {name!r} has continuous actions ({spec.dtype}{list(spec.shape)}); jzero needs discrete "
            "ones: choose another game"
        )
    sizes = np.broadcast_to(np.asarray(spec.maximum) - np.asarray(spec.minimum) + 1, spec.shape).reshape(-1)
    num_actions = math.prod(map(int, sizes))
    if num_actions > MAX_ACTIONS:
        raise ValueError(
            f"jumanji game {name!r} has {num_actions:,} actions ({' x '.join(map(str, sizes))}), more than "
            f"{MAX_ACTIONS:,}: choose a smaller one by its options"
        )
    shown, _ = _parts(_plain(inner.observation_spec))
    env = JumanjiEnv(name, inner, tuple(map(int, sizes)) if spec.shape else (), num_actions, shown)
    (masked,) = jax.eval_shape(env.init, jax.random.key(0)).legal_action_mask.shape
    if masked != num_actions:
        raise ValueError(
            f"jumanji game {name!r}: its action_mask is of {masked:,} actions, its action_spec of {num_actions:,} "
            f"({' x '.join(map(str, sizes))}); both must describe the same actions"
        )
    return env


def _parts(fields: dict[str, Any]) -> tuple[Any, Any]:
    """The observation's fields without the action mask, alone if it is one; the mask, or None."""
    shown = {name: value for name, value in fields.items() if name != "action_mask"}
    return next(iter(shown.values())) if len(shown) == 1 else shown, fields.get("action_mask")


def _plain(tree: Any) -> Any:
    """Converts named tuples, dataclasses and specifications of several arrays to dicts."""
    if dataclasses.is_dataclass(tree):
        return {field.name: _plain(getattr(tree, field.name)) for field in dataclasses.fields(tree)}
    if hasattr(tree, "_asdict"):
        return {name: _plain(value) for name, value in tree._asdict().items()}
    # A specification of several arrays has one attribute for each, and other attributes with underscores.
    parts = {name: value for name, value in getattr(tree, "__dict__", {}).items() if name[0] != "_"}
    return {name: _plain(value) for name, value in parts.items()} if parts else tree
