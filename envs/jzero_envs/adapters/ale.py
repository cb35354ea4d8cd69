"""Atari 2600 games of the Arcade Learning Environment (ale-py 0.12.1 or newer): `jzero.make("ale:pong")`.

EfficientZero's preprocessing (Ye et al. 2021): an action is held for 4 frames and the maximum of the last two is
kept, in RGB, resized to 96 x 96 by area; the last 4 such frames are stacked. A game opens with up to 30 frames
without action; FIRE is not pressed for the player. The actions are the game's minimal set, without sticky actions.
After 108,000 frames (27,000 steps) a game is `truncated`. In training a lost life ends the game (`terminated`), the
next game continues from there, and rewards are clipped to their sign; with `evaluation=True` games are whole and
rewards raw.

The emulators are not part of JAX's arrays: B games are a pool of B emulators, made when a program for B games is
traced, and stepped inside the compiled program by ale-py's XLA calls (CPU or CUDA). So, unlike other environments:
- `init` restarts all games of its pool, and earlier states can no longer be stepped: make a second environment for
  a second batch of the same size.
- A state can be stepped only once, since emulators do not go back: no search can plan with `step`, and no program
  can continue from a saved state (`external` is True).
- The step that ends a game also starts the emulator's next one. So `restart`, not `init`, follows a finished state,
  and the last frame of a game is never seen. Stepping a finished state does not change it, but its emulator plays
  on.
- `init` seeds the emulator from its key; `step` and `restart` ignore theirs.
Source: https://ale.farama.org/vector-environment/.
"""

import base64
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import keep_finished
from jzero.registry import unknown_name

STACK = 4
"""Frames in an observation."""
SIZE = 96
"""Height and width of a frame."""
_NEEDED = 'pip install "jzero[envs]"'


class AleState(NamedTuple):
    """The visible state of one emulator. A actions."""

    frames: jax.Array  # u8[4, 96, 96, 3]: the newest last
    frame_number: jax.Array  # i32[]: the emulator's frame count; it orders each step after the one before
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[A]: always all true
    rewards: jax.Array  # f32[1]: of the last step
    terminated: jax.Array  # bool[]: the game is over or, in training, a life is lost
    truncated: jax.Array  # bool[]: the limit of frames is reached


class AleRecord(NamedTuple):
    """The part of a state that a replay keeps."""

    frame: jax.Array  # u8[96, 96, 3]: the newest
    legal_action_mask: jax.Array  # bool[A]


class _Seen(NamedTuple):
    """What an emulator returns, or [B] of them."""

    frame: jax.Array  # u8[96, 96, 3]
    reward: jax.Array  # i32[]
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]
    frame_number: jax.Array  # i32[]


@dataclass(frozen=True, eq=False)
class AleEnv:
    """One Atari game; `make` builds it."""

    name: str
    """Its name in ale-py, such as "space_invaders"."""
    num_actions: int
    """A, the game's minimal set."""
    new_pool: Callable[[int], Any]
    """Number of emulators -> ale-py's vector environment."""
    sticky_actions: float
    """The probability that a frame repeats the previous action."""
    max_frames: int
    """Frames after which a game is truncated."""
    words: tuple[str, ...] = ()
    """The names of the actions."""
    pools: dict[int, Any] = field(default_factory=dict)
    """The pools, by number of emulators."""

    num_players = 1
    external = True
    history = STACK

    def init(self, key: jax.Array) -> AleState:
        """A new game; under `jax.vmap` [B] the pool of B restarts."""
        seed = jax.random.randint(key, (), 0, np.iinfo(np.int32).max, jnp.int32)
        seen = _per_pool(self._reset)(seed)
        return AleState(
            frames=_repeat(seen.frame),
            frame_number=seen.frame_number,
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions, bool),
            rewards=jnp.zeros(1, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: AleState, action: jax.Array, key: jax.Array) -> AleState:
        """The state after `action` (i32[]) is held for 4 frames; `key` is not used.

        If the game ended, the newest frame is already the next game's first.
        """
        del key
        # A frame number is never negative, but XLA does not know that: the step must wait for the one before.
        action = jnp.where(state.frame_number < 0, 0, jnp.clip(action, 0, self.num_actions - 1))
        seen = _per_pool(self._step)(action.astype(jnp.int32))
        next_state = state._replace(
            frames=jnp.concatenate([state.frames[1:], seen.frame[None]]),
            frame_number=seen.frame_number,
            rewards=seen.reward[None].astype(jnp.float32),
            terminated=seen.terminated,
            truncated=seen.truncated,
        )
        # A finished state takes its emulator's new count: the next step must wait for this one.
        return keep_finished(state, next_state)._replace(frame_number=seen.frame_number)

    def restart(self, state: AleState, key: jax.Array) -> AleState:
        """The first state of the game after the finished `state`: its newest frame, repeated; `key` is not used."""
        del key
        return state._replace(
            frames=_repeat(state.frames[-1]),
            rewards=jnp.zeros_like(state.rewards),
            terminated=jnp.zeros_like(state.terminated),
            truncated=jnp.zeros_like(state.truncated),
        )

    def observe(self, state: AleState) -> jax.Array:
        """u8[96, 96, 12]: the colours of the last 4 frames, oldest first."""
        return _stack(state.frames)

    def record(self, state: AleState) -> AleRecord:
        """The newest frame and the legal actions."""
        return AleRecord(frame=state.frames[-1], legal_action_mask=state.legal_action_mask)

    def recall(self, records: AleRecord) -> jax.Array:
        """The observation u8[96, 96, 12] of a state, from the records [4, ...] that end with it."""
        return _stack(records.frame)

    def svg(self, state: AleState) -> str:
        """The newest frame of one (unbatched) state, with a television's aspect ratio."""
        from matplotlib.image import imsave

        png = io.BytesIO()
        imsave(png, np.asarray(state.frames[-1]), format="png")
        data = base64.b64encode(png.getvalue()).decode()
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 210" width="160" height="210">'
            f'<image width="160" height="210" preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
            "</svg>"
        )

    def action_name(self, state: AleState, action: int) -> str:
        """The name of the action."""
        del state
        return self.words[action]

    def _reset(self, seeds: jax.Array) -> _Seen:
        """Starts all B games, with seeds i32[B]."""
        every = jnp.arange(seeds.shape[0], dtype=jnp.int32)
        _, frames, _, _, frame_number, _ = self._call("reset", seeds.shape[0], every, seeds)
        no = jnp.zeros(seeds.shape, bool)
        return _Seen(frames[:, 0], jnp.zeros_like(every), no, no, frame_number)

    def _step(self, actions: jax.Array) -> _Seen:
        """One step of all B games, with actions i32[B]."""
        strength = jnp.ones(actions.shape, jnp.float32)  # of a paddle; only continuous actions use it
        _, frames, reward, terminated, truncated, _, _, frame_number, _ = self._call(
            "step", actions.shape[0], actions, strength
        )
        return _Seen(frames[:, 0], reward, terminated, truncated, frame_number)

    def _call(self, name: str, num_games: int, *arguments: jax.Array) -> Any:
        """The XLA call "reset" or "step" of ale-py on the pool of `num_games`, with ale-py's own results."""
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.size > 1:
            raise ValueError(
                f"env 'ale:{self.name}' runs on one device, got a mesh of {mesh.size}: its emulators belong to one "
                "process; make the mesh from `jax.devices()[:1]`"
            )
        _register()
        if num_games not in self.pools:
            self.pools[num_games] = self.new_pool(num_games)
            _KEPT.append(self.pools[num_games])
        handle = np.frombuffer(self.pools[num_games].ale.handle(), np.uint8)
        counts = jax.ShapeDtypeStruct((num_games,), jnp.int32)
        flags = jax.ShapeDtypeStruct((num_games,), jnp.bool_)
        outcome = (counts, flags, flags) if name == "step" else ()
        results = (
            jax.ShapeDtypeStruct((8,), jnp.uint8),  # the handle
            jax.ShapeDtypeStruct((num_games, 1, SIZE, SIZE, 3), jnp.uint8),
            *outcome,
            *(counts,) * 4,  # emulator, lives, frame number, frame number in the game
        )
        call = jax.ffi.ffi_call(f"jzero_ale_{name}", results, has_side_effect=True)
        return jax.tree.map(functools.partial(_vary_like, arguments[0]), call(handle, *arguments))


_KEPT: list[Any] = []
"""All pools ever made: compiled programs hold bare pointers to them and may outlive the environment."""


def make(
    name: str, *, evaluation: bool = False, sticky_actions: float = 0.0, max_frames: int = 108_000
) -> AleEnv:
    """The Atari game `name` in ale-py's spelling: "pong", "ms_pacman".

    With `evaluation`, whole games and raw rewards. `sticky_actions` is the probability that a frame repeats the
    previous action (0.25 in Machado et al. 2018). A game is truncated after `max_frames` frames.

    Raises:
      ImportError: ale-py, or a package that its vector environment needs, is not installed.
      ValueError: ale-py does not have the game, or not its ROM.
    """
    try:
        from ale_py import roms
        from ale_py.vector_env import AtariVectorEnv
    except ImportError as error:
        raise ImportError(f"Atari games need ale-py and its extra xla ({error}): {_NEEDED}") from error
    known = roms.get_all_rom_ids()
    if name not in known:
        raise ValueError(unknown_name("Atari game", name, known))
    try:
        roms.get_rom_path(name)
    except OSError as error:
        raise ValueError(
            f"Atari game {name!r}: cannot read its ROM ({error}); ROMs come with ale-py: "
            f"unset ALE_ROMS_DIR if it is set, else {_NEEDED}"
        ) from error

    def new_pool(num_games: int) -> AtariVectorEnv:
        return AtariVectorEnv(
            name,
            num_games,
            img_height=SIZE,
            img_width=SIZE,
            grayscale=False,
            stack_num=1,
            frameskip=4,
            maxpool=True,
            noop_max=30,
            use_fire_reset=False,
            repeat_action_probability=sticky_actions,
            max_num_frames_per_episode=max_frames,
            # Not `episodic_life`: it starts a whole new game at every lost life.
            life_loss_info=not evaluation,
            reward_clipping=not evaluation,
            autoreset_mode="SameStep",
        )

    words = tuple(action.name.lower() for action in new_pool(1).ale.get_action_set())
    return AleEnv(name, len(words), new_pool, sticky_actions, max_frames, words)


def _per_pool(function: Callable[[jax.Array], _Seen]) -> Callable[[jax.Array], _Seen]:
    """`function` of arrays [B] as a function of scalars; `jax.vmap` [B] calls it once for all rows."""

    @jax.custom_batching.custom_vmap
    def batched(rows: jax.Array) -> _Seen:
        return function(rows)

    @batched.def_vmap
    def _(*_: Any) -> Any:
        raise ValueError(
            "an Atari game needs exactly one batch axis: call init and step under a single jax.vmap"
        )

    @jax.custom_batching.custom_vmap
    def single(row: jax.Array) -> _Seen:
        return jax.tree.map(lambda leaf: leaf[0], function(row[None]))

    @single.def_vmap
    def _(axis_size: int, in_batched: list[bool], rows: jax.Array) -> tuple[_Seen, Any]:
        rows = rows if in_batched[0] else jnp.broadcast_to(rows, axis_size)
        seen = batched(rows)
        return seen, jax.tree.map(lambda _: True, seen)

    return single


@functools.cache
def _register() -> None:
    """Registers ale-py's XLA calls with JAX, once per process."""
    from ale_py import _ale_py

    for name, handler in (("reset", "VectorXLAReset"), ("step", "VectorXLAStep")):
        for platform, ending in (("cpu", ""), ("CUDA", "GPU")):
            if hasattr(_ale_py, handler + ending):
                target = getattr(_ale_py, handler + ending)()
                jax.ffi.register_ffi_target(f"jzero_ale_{name}", target, platform=platform)


def _vary_like(like: jax.Array, x: jax.Array) -> jax.Array:
    """`x`, marked as varying over the mesh axes of `like`: `shard_map` cannot infer it for a call's result."""
    missing = jax.typeof(like).manual_axis_type.varying - jax.typeof(x).manual_axis_type.varying
    return jax.lax.pcast(x, tuple(missing), to="varying") if missing else x


def _repeat(frame: jax.Array) -> jax.Array:
    """The frame stack of a game that has shown only `frame`."""
    return jnp.broadcast_to(frame, (STACK, *frame.shape))


def _stack(frames: jax.Array) -> jax.Array:
    """u8[96, 96, 12] of frames u8[4, 96, 96, 3], oldest first."""
    return jnp.moveaxis(frames, 0, 2).reshape(SIZE, SIZE, -1)
