"""The compiled program: self-play and updates as functions of one state, under `shard_map` on all devices.

Parameters and the optimiser are replicated, games and replay are split by lane, gradients are averaged over the
mesh axis, random keys are folded with the device's index. Self-play has no collectives except the mean of its
metrics at the end.
"""

from __future__ import annotations

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
from jzero.algorithms.check import checked
from jzero.compiler import KEEP_BARRIERS, compiler_options, unless_chosen
from jzero.env import Env
from jzero.env_spec import describe
from jzero.metrics import Mean, Metrics, finite_sum, one
from jzero.optimizer import check_optimizer
from jzero.pytrees import PyTree
from jzero.replay import Replay, add, cut, init_replay, lost
from jzero.self_play import Games, SelfPlaySettings, self_play, start_games
from jzero.settings import check

AXIS = "devices"


@dataclass(frozen=True)
class ProgramSettings(SelfPlaySettings):
    """Settings of the compiled program."""

    seed: int = 0
    """Seed of the networks, the games and the sampling."""
    replay_plies: int = 512
    """Plies per game lane in the replay, which holds games x replay_plies positions."""
    batch_size: int = 1024
    """Positions per update, summed over all devices."""
    updates: int = 64
    """Updates per iteration."""
    ema_decay: float = 0.99
    """Decay per update of the averaged weights, which are used for play and measurements; 0 uses the newest
    weights."""
    surprise: float = 0.0
    """Share of a position's sampling weight that is proportional to its surprise, the divergence of the search's
    policy from the network's. 0 samples uniformly. Excludes `muzero.priority_exponent`."""
    cooldown: float = 0.0
    """Final share of the run, over which the step size falls linearly to 0."""

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
    """Everything that a run needs to resume bit-identically."""

    params: Any
    """The network's newest weights."""
    averaged: Any
    """Exponential average of the weights, used for play."""
    opt_state: Any
    """The optimiser's state."""
    games: Games
    """[B] games in progress."""
    replay: Replay
    """[R, B] recorded plies."""
    key: jax.Array
    """Key of the run; iterations and updates fold their number into it."""
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
"""Partition of the state over the mesh."""


class Program(NamedTuple):
    """The compiled functions of a run."""

    init: Callable[[], TrainState]
    """The initial state."""
    play: Callable[..., tuple[TrainState, Metrics]]
    """(state, progress=0.0): self-play of one iteration into the replay; the state is donated. `progress` is the
    completed share of the run, in [0, 1]; few settings read it."""
    learn: Callable[..., tuple[TrainState, Metrics]]
    """(state, progress=0.0): the updates of one iteration; the state is donated. Losses are means, see
    `jzero.metrics.finite_sum`."""
    abstract: TrainState
    """Shapes, dtypes and shardings of the state."""


def make_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis over `devices`, by default all devices of all processes."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def make_program(
    env: Env,
    algorithm: Algorithm,
    optimizer: optax.GradientTransformation,
    settings: ProgramSettings,
    mesh: Mesh | None = None,
) -> Program:
    """The compiled functions of a run on `mesh` (all devices by default).

    Raises:
      ValueError: games or batch size are not a multiple of the number of devices, or replay_plies of plies; the
        replay is too short for the targets or the unrolled steps; resignation does not fit the players; the
        optimiser is no optax transformation.
    """
    mesh = make_mesh() if mesh is None else mesh
    num_devices = mesh.size
    _check(env, algorithm, settings, num_devices)
    check_optimizer(optimizer)
    loss = checked(algorithm.loss)

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
        grads, (metrics, priorities) = jax.grad(loss, has_aux=True)(state.params, batch, loss_key)
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
            f"replay_plies is {settings.replay_plies}; it must be greater than {algorithm.lookahead}, the number "
            "of later plies in a position's targets (td_lookahead, or muzero.unroll_steps + muzero.td_steps)"
        )
    simulations = algorithm.planner.settings.num_simulations
    if settings.first_simulations > simulations:
        raise ValueError(
            f"first_simulations is {settings.first_simulations}; expected less than search.num_simulations, "
            f"{simulations}, to which they grow: use a smaller number, or 0"
        )
    if settings.surprise and algorithm.prioritised:
        raise ValueError(
            f"surprise is {settings.surprise:g}; the algorithm already has priorities: use 0, or "
            "--muzero.priority-exponent 0"
        )
    steps = algorithm.unroll_steps
    if steps and settings.replay_plies <= steps:
        raise ValueError(
            f"muzero.unroll_steps is {steps}; it must be less than replay_plies, {settings.replay_plies}: lower "
            "--muzero.unroll-steps or raise --replay-plies"
        )
    spec = describe(env)
    if settings.resign_below > -1 and (spec.num_players != 2 or spec.values_by_seat):
        raise ValueError(
            f"resign_below is {settings.resign_below:g}; resignation needs two players whose rewards sum to 0: use "
            "-1"
        )


def _by_surprise(share: float, surprise: jax.Array) -> jax.Array:
    """Sampling weights of new plies from their surprise [T, B]; 1 on average.

    Source: KataGo (Wu 2019; "policy surprise weighting" in its documentation).
    """
    mean = jnp.maximum(jnp.mean(surprise), 1e-6)
    return (1 - share) + share * jnp.maximum(surprise, 0.0) / mean


def begin_new_games(env: Env, settings: ProgramSettings, state: TrainState) -> TrainState:
    """`state` with its games cut short and new ones started: an emulator's games end with its process."""
    # Streams 0 and 1 are those of play and learn.
    key = jax.random.fold_in(jax.random.fold_in(state.key, 2), state.iteration)
    games = start_games(env, settings, key, settings.games)
    return state._replace(games=games, replay=cut(state.replay))


def _init_function(
    env: Env, algorithm: Algorithm, optimizer: optax.GradientTransformation, settings: ProgramSettings
) -> Callable[[], TrainState]:
    """A function that makes the initial state of a run."""

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

    One per leaf could deadlock: on a CPU every waiting collective holds a thread of the pool that the other devices
    need, and several at once can hold all threads.
    """
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))


def _device_key(key: jax.Array, stream: int, number: jax.Array) -> jax.Array:
    """This device's key for the `number`-th use of `stream`."""
    key = jax.random.fold_in(jax.random.fold_in(key, stream), number)
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


def _repeat(update: Callable, times: int, *, on_cpu: bool, options: dict[str, str] | None = None) -> Callable:
    """A function that runs `times` updates and averages their metrics.

    On an accelerator they are one compiled loop. On a CPU they are dispatched one by one: XLA's CPU backend
    runs the gradient of a convolution many times slower inside a loop than outside, and recomputes a residual
    stream repeatedly unless `networks.towers.computed_once` takes effect.
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
