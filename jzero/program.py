"""The compiled program: self-play and updates as functions of one state, under `shard_map` on all devices.

Parameters and the optimiser are replicated, games and replay are split by lane, gradients are averaged over
the mesh axis, random keys are folded with the device's index. Self-play has no collectives but the mean of its
metrics at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jzero.algorithms.algorithm import Algorithm
from jzero.env import Env
from jzero.env_spec import describe
from jzero.metrics import Mean, Metrics, finite_sum, one
from jzero.pytrees import PyTree
from jzero.replay import Replay, add, cut, init_replay, lost
from jzero.self_play import Games, SelfPlaySettings, self_play, start_games
from jzero.settings import check

AXIS = "devices"
GRAPH_OPTION = "xla_gpu_enable_command_buffer"
GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,CONVOLUTION"
"""What programs put into CUDA graphs: XLA's defaults and convolutions, so that the host launches a simulation with
its network at once. Without convolutions it launches every layer by itself."""
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
"""Stops XLA's CPU compiler from dropping `jax.lax.optimization_barrier` before it fuses operations."""


@dataclass(frozen=True)
class ProgramSettings(SelfPlaySettings):
    """What a compiled program does in an iteration."""

    seed: int = 0
    """Seed of the networks, the games and the sampling."""
    replay_plies: int = 512
    """Plies per game row in the replay, which holds games x replay_plies positions."""
    batch_size: int = 1024
    """Positions per update, summed over all devices."""
    updates: int = 64
    """Updates per iteration."""
    ema_decay: float = 0.99
    """Decay per update of the averaged weights, which play and are measured; 0 uses the newest weights."""
    surprise: float = 0.0
    """Share of a position's sampling weight that is proportional to its surprise, the divergence of the search's
    policy from the network's. 0 samples uniformly. Not with `muzero.priority_exponent`."""
    cooldown: float = 0.0
    """Last share of the run, over which the optimiser's steps shrink linearly to 0."""

    def __post_init__(self) -> None:
        """Raises ValueError for a setting out of range."""
        super().__post_init__()
        for name in ("batch_size", "updates"):
            check(name, getattr(self, name), low=1)
        check("replay_plies", self.replay_plies, low=self.plies)
        check("ema_decay", self.ema_decay, low=0, below=1)
        check("surprise", self.surprise, low=0, high=1)
        check("cooldown", self.cooldown, low=0, high=1)


class TrainState(NamedTuple):
    """Everything a run needs to go on to the same bits."""

    params: Any
    """The network's newest weights."""
    averaged: Any
    """Exponential average of the weights: these play."""
    opt_state: Any
    """The optimiser's state."""
    games: Games
    """[B] games in progress."""
    replay: Replay
    """[R, B] recorded plies."""
    key: jax.Array
    """The run's key; iterations and updates fold their number into it."""
    iteration: jax.Array
    """i32[] iterations done."""
    updates: jax.Array
    """i32[] updates done."""


_SAME: Any = P()
_ROWS: Any = P(AXIS)
_RING: Any = P(None, AXIS)
STATE_SPECS = TrainState(
    params=_SAME,
    averaged=_SAME,
    opt_state=_SAME,
    games=_ROWS,
    replay=Replay(
        plies=_RING, targets=_RING, ready=_ROWS, head=_SAME, short_targets=_RING, ends=_RING, priority=_RING
    ),
    key=_SAME,
    iteration=_SAME,
    updates=_SAME,
)
"""How the state lies on the mesh."""


class Program(NamedTuple):
    """The compiled functions of a run."""

    init: Callable[[], TrainState]
    """The first state."""
    play: Callable[..., tuple[TrainState, Metrics]]
    """(state, progress=0.0): self-play of one iteration into the replay; the state is donated. `progress` is the
    share of the run that has passed, in [0, 1]; few settings read it."""
    learn: Callable[..., tuple[TrainState, Metrics]]
    """(state, progress=0.0): the updates of one iteration; the state is donated. Losses are means, see
    `jzero.metrics.finite_sum`."""
    abstract: TrainState
    """Shapes, dtypes and shardings of the state."""


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over `devices`, by default all of them (of all processes)."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def make_program(
    env: Env,
    algorithm: Algorithm,
    optimizer: optax.GradientTransformation,
    settings: ProgramSettings,
    mesh: Mesh | None = None,
) -> Program:
    """The functions of a run on `mesh` (by default all devices).

    Raises:
      ValueError: games or batch size do not divide by the number of devices, or the ring by the plies; the ring is
        too short for the targets or the unrolled steps; resigning does not fit the players.
    """
    mesh = make_mesh() if mesh is None else mesh
    num_devices = mesh.size
    _check(env, algorithm, settings, num_devices)

    def shard(function: Callable) -> Callable:
        # Unchecked: an environment's own loops would have to declare what varies over the devices.
        sharded = jax.shard_map(
            function, mesh=mesh, in_specs=(STATE_SPECS, P()), out_specs=(STATE_SPECS, P()), check_vma=False
        )

        def called(state: TrainState, progress: float | jax.Array = 0.0) -> tuple[TrainState, Metrics]:
            return sharded(state, jnp.float32(progress))

        called.__name__ = function.__name__  # of the compiled program
        return called

    def play(state: TrainState, progress: jax.Array) -> tuple[TrainState, Metrics]:
        key = _device_key(state.key, 0, state.iteration)
        games, transitions, metrics = self_play(
            env,
            algorithm.model,
            algorithm.planner,
            settings,
            state.averaged,
            key,
            state.games,
            record=algorithm.record,
            outcome=algorithm.outcome,
            progress=progress,
        )
        positions = jnp.float32(settings.games * settings.plies / num_devices)
        metrics["lost_share"] = Mean(lost(state.replay, settings.plies), positions)
        priority = _by_surprise(settings.surprise, transitions.surprise) if settings.surprise else None
        replay = add(
            state.replay,
            transitions._replace(surprise=()),
            algorithm.targets,
            lookahead=algorithm.lookahead,
            priority=priority,
            short_targets=algorithm.short_targets,
        )
        state = state._replace(games=games, replay=replay, iteration=state.iteration + 1)
        return state, mean_over_devices(metrics)

    def learn_once(state: TrainState, progress: jax.Array) -> tuple[TrainState, Metrics]:
        batch_key, loss_key = jax.random.split(_device_key(state.key, 1, state.updates))
        size = settings.batch_size // num_devices
        replay, batch = algorithm.batch(state.averaged, state.replay, batch_key, size, progress)
        grads, (metrics, priorities) = jax.grad(algorithm.loss, has_aux=True)(state.params, batch, loss_key)
        replay = algorithm.update_priorities(replay, batch, priorities)
        grads, metrics = mean_over_devices((grads, metrics))
        with jax.numpy_dtype_promotion("standard"):  # optax promotes the number of its updates
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        if settings.cooldown:
            scale = jnp.minimum((1 - progress) / settings.cooldown, 1.0)
            updates = jax.tree.map(lambda x: scale.astype(x.dtype) * x, updates)
        params = optax.apply_updates(state.params, updates)
        number = state.updates.astype(jnp.float32)
        decay = jnp.minimum(settings.ema_decay, number / (number + 10.0))
        averaged = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.averaged, params)
        metrics = metrics | {"grad_norm": one(optax.tree.norm(grads))}
        return state._replace(
            params=params,
            averaged=averaged,
            opt_state=opt_state,
            replay=replay,
            updates=state.updates + 1,
        ), metrics

    init = _init_function(env, algorithm, optimizer, settings)
    return Program(
        init=jax.jit(init, out_shardings=shardings(mesh)),
        play=jax.jit(shard(play), donate_argnums=0, compiler_options=compiler_options(mesh, loops=True)),
        learn=_repeat(
            shard(learn_once),
            settings.updates,
            on_cpu=mesh.devices.flat[0].platform == "cpu",
            options=compiler_options(mesh),
        ),
        abstract=_abstract(init, mesh),
    )


def _check(env: Env, algorithm: Algorithm, settings: ProgramSettings, num_devices: int) -> None:
    """Raises ValueError for settings that do not fit the devices, the algorithm or the environment."""
    for name in ("games", "batch_size"):
        if getattr(settings, name) % num_devices:
            raise ValueError(
                f"{name} is {getattr(settings, name)}; it must be a multiple of the {num_devices} devices"
            )
    if settings.replay_plies % settings.plies:
        raise ValueError(
            f"replay_plies is {settings.replay_plies}; it must be a multiple of plies, {settings.plies}"
        )
    if algorithm.lookahead is not None and settings.replay_plies <= algorithm.lookahead:
        raise ValueError(
            f"replay_plies is {settings.replay_plies}; it must be greater than {algorithm.lookahead}, the later "
            "plies that a position's targets need (td_lookahead, or muzero.unroll_steps + muzero.td_steps), or no "
            "position ever has its targets"
        )
    simulations = algorithm.planner.settings.num_simulations
    if settings.first_simulations > simulations:
        raise ValueError(
            f"first_simulations is {settings.first_simulations}; they grow to search.num_simulations, "
            f"{simulations}: use a smaller number, or 0"
        )
    if settings.surprise and algorithm.prioritised:
        raise ValueError(
            f"surprise is {settings.surprise:g}; the algorithm has priorities of its own: use 0, or "
            "--muzero.priority-exponent 0"
        )
    steps = algorithm.unroll_steps
    if steps and settings.replay_plies <= steps:
        raise ValueError(
            f"muzero.unroll_steps is {steps}; it must be less than replay_plies, {settings.replay_plies}, or the "
            "ring holds no position with all of them: lower --muzero.unroll-steps or raise --replay-plies"
        )
    spec = describe(env)
    if settings.resign_below > -1 and (spec.num_players != 2 or spec.values_by_seat):
        raise ValueError(
            f"resign_below is {settings.resign_below:g}; resigning is for two players whose rewards sum to 0: "
            "use -1"
        )


def _by_surprise(share: float, surprise: jax.Array) -> jax.Array:
    """Sampling weights of new plies by their surprise [T, B]: 1 on average.

    Of AlphaZero-like programs KataGo does so (Wu 2019; "policy surprise weighting" in its documentation).
    """
    mean = jnp.maximum(jnp.mean(surprise), 1e-6)
    return (1 - share) + share * jnp.maximum(surprise, 0.0) / mean


def begin_new_games(env: Env, settings: ProgramSettings, state: TrainState) -> TrainState:
    """`state` with its games cut short and new ones begun: an emulator's games are lost with its process."""
    # Streams 0 and 1 are those of play and learn.
    key = jax.random.fold_in(jax.random.fold_in(state.key, 2), state.iteration)
    games = start_games(env, settings, key, settings.games)
    return state._replace(games=games, replay=cut(state.replay))


def _init_function(
    env: Env, algorithm: Algorithm, optimizer: optax.GradientTransformation, settings: ProgramSettings
) -> Callable[[], TrainState]:
    """A function that makes the first state of a run."""

    def init() -> TrainState:
        key = jax.random.key(settings.seed)
        params = algorithm.init(jax.random.fold_in(key, 0))
        games = start_games(env, settings, jax.random.fold_in(key, 1), settings.games)
        play = partial(
            self_play,
            env,
            algorithm.model,
            algorithm.planner,
            settings,
            record=algorithm.record,
            outcome=algorithm.outcome,
        )
        shapes = jax.eval_shape(lambda: play(params, key, games)[1])
        one_ply = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes._replace(surprise=())
        )
        return TrainState(
            params=params,
            averaged=params,
            opt_state=optimizer.init(params),
            games=games,
            replay=init_replay(
                one_ply,
                settings.replay_plies,
                prioritised=algorithm.prioritised or settings.surprise > 0,
                short_targets=algorithm.short_targets,
            ),
            key=jax.random.fold_in(key, 2),
            iteration=jnp.int32(0),
            updates=jnp.int32(0),
        )

    return init


def _abstract(init: Callable[[], TrainState], mesh: Mesh) -> TrainState:
    def place(spec: P, part: PyTree) -> PyTree:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), part)

    return jax.tree.map(place, STATE_SPECS, jax.eval_shape(init), is_leaf=_is_spec)


def _is_spec(part: PyTree) -> bool:
    return isinstance(part, P)


def shardings(mesh: Mesh) -> TrainState:
    """The shardings of the state's parts on `mesh`."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), STATE_SPECS, is_leaf=_is_spec)


def mean_over_devices(tree: PyTree) -> PyTree:
    """Means of a pytree of float32 arrays over the mesh, in a single collective.

    One, not one a leaf: on a CPU every waiting collective holds a thread of the pool that the other devices'
    work runs in, and several at once can hold all of them.
    """
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))


def _device_key(key: jax.Array, stream: int, number: jax.Array) -> jax.Array:
    """A key of this device for the `number`-th use of `stream`."""
    key = jax.random.fold_in(jax.random.fold_in(key, stream), number)
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


def compiler_options(mesh: Mesh, *, loops: bool = False) -> dict[str, str] | None:
    """XLA's options for a program on `mesh`: CUDA graphs on NVIDIA's cards.

    With `loops` they hold those of unknown length too, which the host would drive (pgx's Go counts its stones by
    one), where that was seen to give the same results: on Hopper, with jax 0.11.2.
    """
    device = mesh.devices.flat[0]
    if "NVIDIA" not in device.device_kind:
        return None
    capability = float(getattr(device, "compute_capability", 0))
    loops = loops and capability >= 9 and jax.__version_info__ >= (0, 11, 2)
    return unless_chosen({GRAPH_OPTION: GRAPHS + ",WHILE" * loops})


def unless_chosen(options: dict[str, str]) -> dict[str, str] | None:
    """XLA's `options` without those that the user's XLA_FLAGS name, which would not be heeded."""
    flags = {flag.lstrip("-").partition("=")[0] for flag in os.environ.get("XLA_FLAGS", "").split()}
    return {name: value for name, value in options.items() if name not in flags} or None


def _repeat(update: Callable, times: int, *, on_cpu: bool, options: dict[str, str] | None = None) -> Callable:
    """A function that does `times` updates and averages their metrics.

    On an accelerator they are one compiled loop. On a CPU they are dispatched one by one: XLA's CPU backend
    runs the gradient of a convolution inside a loop many times slower than outside of it, and computes a residual
    stream over and over unless `networks.towers.computed_once` is heeded.
    """
    if not on_cpu:

        def scanned(state: TrainState, progress: float | jax.Array = 0.0) -> tuple[TrainState, Metrics]:
            state, metrics = jax.lax.scan(lambda state, _: update(state, progress), state, length=times)
            return state, finite_sum(metrics)

        return jax.jit(scanned, donate_argnums=0, compiler_options=options)

    one = jax.jit(update, donate_argnums=0, compiler_options=unless_chosen(KEEP_BARRIERS))
    stack_mean = jax.jit(lambda metrics: finite_sum(jax.tree.map(lambda *x: jnp.stack(x), *metrics)))

    def dispatched(state: TrainState, progress: float | jax.Array = 0.0) -> tuple[TrainState, Metrics]:
        metrics = []
        for _ in range(times):
            state, one_metrics = one(state, progress)
            metrics.append(one_metrics)
        return state, stack_mean(metrics)

    return dispatched
