"""Memory, disk and time that a run needs, printed before it starts.

Axes: B games per device, W worlds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jzero.models.model import Model
from jzero.models.policies import evaluates_afterstates
from jzero.program import TrainState
from jzero.pytrees import Embedding, Params, PyTree, States
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.save import HEAVY, LIGHT
from jzero.search import tree_nbytes
from jzero.search.chance import Decide


def least_seconds(model: Model, train: TrainConfig, state: TrainState) -> float | None:
    """A lower bound on an iteration's self-play: the network's time at this device's speed of matrix products.

    None if JAX has no CPU backend, which counts the operations. For the arguments see `describe`.
    """
    flops = _play_flops(train, model, state)
    return None if flops is None else flops / _flops_per_second()


def describe(model: Model, config: RunConfig, state: TrainState, least: float | None) -> str:
    """One line with the main settings, memory (trees, replay), disk (checkpoints) and the least time per iteration.

    Args:
      model: the model that the search plans with.
      config: the settings.
      state: arrays, or only their shapes and dtypes.
      least: the result of `least_seconds`.
    """
    train, size = config.train, sum(x.size for x in jax.tree.leaves(state.params))
    search = train.search
    worlds = f"{search.worlds} worlds x " if search.worlds > 1 else ""
    trees, replay = _tree_bytes(train, model, state), _nbytes(state.replay)
    narrow = (
        " in bfloat16" if train.network.bf16 else ", products in bfloat16" if train.network.narrow else ""
    )
    bound = "" if least is None else f": at least {least:.2g} s at this device's speed of matrix products"
    return (
        f"{train.algorithm} in {train.env}, {train.games} games side by side on {jax.device_count()} "
        f"{jax.devices()[0].platform} device(s), {search.policy} search with {worlds}{search.num_simulations} "
        f"simulations (trees of {_mebibytes(trees)} per device), replay of "
        f"{train.games * train.replay_plies:,} positions ({_mebibytes(replay)}), "
        f"{train.network.kind} network of {size:,} parameters{narrow} (an iteration plays "
        f"{train.games * train.plies:,} positions{bound}), {_on_disk(config, state)}, seed {train.seed}"
    )


def _on_disk(config: RunConfig, state: TrainState) -> str:
    """The size of a checkpoint as text, before compression."""
    light, heavy = (_nbytes([getattr(state, name) for name in names]) for names in (LIGHT, HEAVY))
    text = f"checkpoints of {_mebibytes(light)} on disk"
    if not config.save_replay:
        return text
    newest = "the newest" if config.keep_newest == 1 else f"the newest {config.keep_newest}"
    return f"{text}, {newest} with a replay of {_mebibytes(heavy)} (--no-save-replay leaves it out)"


def check_memory(model: Model, train: TrainConfig, state: TrainState) -> None:
    """Raises ValueError if a device's memory does not hold its search trees and its part of the replay.

    A device that does not report its memory, such as a CPU, is not checked.
    """
    room = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if room is None:
        return
    trees = _tree_bytes(train, model, state)
    replay = _nbytes(state.replay) // jax.device_count()
    if trees + replay <= room:
        return
    games, share = train.games // jax.device_count(), room / (trees + replay)
    raise ValueError(
        f"JAX has {_mebibytes(room)} of memory per device, but search trees of {games:,} games x "
        f"{train.search.num_simulations + 1} nodes take {_mebibytes(trees)} and the replay's "
        f"{train.replay_plies:,} plies per game take {_mebibytes(replay)}: lower --games (now {train.games:,}; "
        f"{int(train.games * share):,} would fit), --search.num-simulations or --replay-plies"
    )


def _nbytes(tree: PyTree) -> int:
    """Bytes of arrays, or of their shapes and dtypes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _mebibytes(size: float) -> str:
    """A number of bytes as text."""
    size /= 2**20
    return f"{size:,.0f} MiB" if size >= 10 else f"{size:.2g} MiB"


def _tree_bytes(train: TrainConfig, model: Model, state: TrainState) -> int:
    """Bytes of a device's search trees."""
    roots = _roots(model, state.averaged, state.games.states)
    # Of a reused tree there are two at a time: what was kept and what grows from it.
    nodes = train.search.num_simulations + 1
    if train.search.reuse:
        nodes = 2 * (2 * train.search.num_simulations + 1)
    actions, embedding = roots.prior_logits.shape[1], roots.embedding
    if model.decide is not None:
        actions += _afterstates(model, state.averaged, roots)[0].shape[1]
        if evaluates_afterstates(train.search, model):
            embedding = (embedding, embedding)  # of either kind of node
        else:
            nodes += train.search.num_simulations
    players = roots.value.shape[1] if roots.value.ndim == 2 else 1
    return tree_nbytes(_rows(train), actions, nodes, embedding, players, solve=train.search.solve)


def _rows(train: TrainConfig) -> int:
    """B x W: rows of a device's batches."""
    return train.games // jax.device_count() * train.search.worlds


def _roots(model: Model, params: Params, states: States) -> PyTree:
    """Shapes of the roots of a search."""
    key = jax.random.key(0)
    return jax.eval_shape(
        lambda params, states: model.sample_actions(key, model.root(params, states)), params, states
    )


def _afterstates(model: Model, params: Params, roots: Any) -> PyTree:
    """Shapes of the chance logits and the afterstates that follow the roots."""
    action = jnp.zeros(roots.prior_logits.shape[0], jnp.int32)
    return jax.eval_shape(cast(Decide, model.decide), params, jax.random.key(0), action, roots.embedding)


def _play_flops(train: TrainConfig, model: Model, state: TrainState) -> float | None:
    """Floating-point operations of a device's self-play per iteration; None if JAX has no CPU backend."""
    rows = _rows(train)
    one = jax.eval_shape(lambda states: jax.tree.map(lambda x: x[:1], states), state.games.states)
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), one)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state.averaged)
    roots = _roots(model, params, states)
    key, action = jax.eval_shape(lambda: jax.random.key(0)), jax.ShapeDtypeStruct((rows,), jnp.int32)

    def flops(function: Callable, embedding: Embedding) -> float:
        # A GPU's client has no analysis of a program that is not compiled.
        with jax.default_device(cpu):
            cost: Any = jax.jit(function).lower(params, key, action, embedding).cost_analysis()
        return float(cost["flops"])

    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return None
    if model.decide is None:
        each = flops(model.recurrent, roots.embedding)
    else:
        each = flops(model.decide, roots.embedding)
        each += flops(model.recurrent, _afterstates(model, params, roots)[1])
        if evaluates_afterstates(train.search, model):
            each /= 2  # a simulation adds a node of one kind or of the other
    return train.plies * (train.search.num_simulations + 1) * each


def _flops_per_second(rounds: int = 5) -> float:
    """FLOP/s of the first device in a product of two square matrices; the best of a few rounds.

    On a CPU the matrices are small and float32; on an accelerator large and bfloat16, as the networks are there.
    """
    on_cpu = jax.default_backend() == "cpu"
    size = 512 if on_cpu else 8192
    matrix = jnp.full((size, size), 1 / size, jnp.float32 if on_cpu else jnp.bfloat16)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(matrix, matrix))
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(product(matrix, matrix))
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / float(np.min(seconds))
