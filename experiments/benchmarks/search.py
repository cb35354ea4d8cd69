"""Cost of the tree: jzero.search against mctx, with a model that costs almost nothing (a table).

    python experiments/benchmarks/search.py --out experiments/benchmarks/results/search_cpu.json
    python experiments/benchmarks/search.py --device gpu --out experiments/benchmarks/results/search_gpu.json
    python experiments/benchmarks/search.py --actions 7 --simulations 32 64 --batch 256      a few cells

Both take turns in one process; medians of the rounds are reported. A cell is one compiled search that returns the
action, the policy and the root's visits. jzero runs under `shard_map` on `devices` CPU devices, mctx under plain
`jit` on one of them. Then, with a network (`with_network.py`): the latency of one game with several leaves per
call, and the share of the network's throughput that a search keeps.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import tyro
from hardware import provenance
from jax.sharding import PartitionSpec as P
from with_network import latency, network_share

from jzero import search
from jzero.devices import set_up
from jzero.networks.make import NetworkSettings
from jzero.program import AXIS, make_mesh

STATES = 1024


@dataclass(frozen=True)
class Config:
    """The grid and the number of repetitions."""

    device: Literal["cpu", "gpu"] = "cpu"
    """`gpu` uses the larger batches and a bfloat16 network; an error without a GPU."""
    actions: tuple[int, ...] = (7, 82, 362)
    """Actions A."""
    simulations: tuple[int, ...] = (32, 64, 128, 256)
    """Simulations N."""
    batch: tuple[int, ...] | None = None
    """Games B; None for 64, 256, 1024 on a CPU and 256, 1024, 4096 on a GPU."""
    rounds: int = 5
    """Timed repetitions of each search."""
    seconds: float = 20.0
    """Time limit per cell: fewer repetitions, at least one, if they would take longer."""
    devices: int = 1
    """CPU devices that jzero's search is split over."""
    growth: int | None = 512
    """Also compare this N with N = 64 at A = 7, B = 256; None: do not."""
    max_gigabytes: float = 4.0
    """Skip and list cells whose mctx tree is larger."""
    network: bool = True
    """Also measure with a network."""
    out: Path | None = None
    """Where to write the result as JSON; it is rewritten after every cell."""


def make_tables(num_actions: int) -> dict[str, jax.Array]:
    """Prior logits [STATES, A] and values [STATES] of random positions."""
    rng = np.random.default_rng(0)
    return {
        "logits": jnp.asarray(1.5 * rng.standard_normal((STATES, num_actions)), jnp.float32),
        "value": jnp.asarray(rng.uniform(-1, 1, STATES), jnp.float32),
    }


def root_of(tables: Any, states: jax.Array) -> mctx.RootFnOutput:
    """The model's root output for the positions `states` i32[B]."""
    return mctx.RootFnOutput(
        prior_logits=tables["logits"][states], value=tables["value"][states], embedding=states
    )


def recurrent_fn(tables: Any, key: jax.Array, action: jax.Array, state: jax.Array) -> Any:
    """A two-player game of STATES positions; the embedding is the position's number."""
    del key
    state = (state * 421 + action * 97 + 13) % STATES
    step = mctx.RecurrentFnOutput(
        reward=jnp.zeros_like(tables["value"], shape=state.shape),
        discount=-jnp.ones_like(tables["value"], shape=state.shape),
        prior_logits=tables["logits"][state],
        value=tables["value"][state],
    )
    return step, state


def make_policy(module: ModuleType, policy: str, num_simulations: int, **options: Any) -> Callable:
    """`(tables, key, states [B]) -> PolicyOutput`; the same search from either module without `options`."""
    if policy == "gumbel":
        transform = functools.partial(module.qtransform_completed_by_mix_value, epsilon=1e-8)
        run = functools.partial(module.gumbel_muzero_policy, qtransform=transform)
    else:
        run = functools.partial(module.muzero_policy, dirichlet_fraction=0.0)

    return lambda tables, key, states: run(
        tables, key, root_of(tables, states), recurrent_fn, num_simulations, **options
    )


def make_search(module: ModuleType, policy: str, num_simulations: int, **options: Any) -> Callable:
    """`(tables, key, states [B]) -> (action, policy, root's visits)`."""
    run = make_policy(module, policy, num_simulations, **options)

    def search_all(tables: Any, key: jax.Array, states: jax.Array) -> Any:
        output = run(tables, key, states)
        return output.action, output.action_weights, output.search_tree.summary().visit_counts

    return search_all


def tree_bytes(module: ModuleType, batch_size: int, num_actions: int, num_simulations: int) -> int:
    """Bytes of the search tree's arrays."""

    def tree(tables: Any, key: jax.Array, states: jax.Array) -> Any:
        root = root_of(tables, states)
        return module.muzero_policy(tables, key, root, recurrent_fn, num_simulations).search_tree

    states = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    shapes = jax.eval_shape(tree, make_tables(num_actions), jax.random.key(0), states)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def timed(function: Callable, *arguments: Any) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begun


def measure(config: Config, policy: str, num_actions: int, num_simulations: int, batch_size: int) -> dict:
    """Measures one cell."""
    tables, key = make_tables(num_actions), jax.random.key(1)
    states = jnp.arange(batch_size, dtype=jnp.int32) * 7 % STATES
    ours = make_search(search, policy, num_simulations)
    if config.devices > 1:
        rows = P(AXIS)
        mesh = make_mesh(jax.devices()[: config.devices])
        ours = jax.shard_map(ours, mesh=mesh, in_specs=(P(), P(), rows), out_specs=rows)
    jitted = {"mctx": jax.jit(make_search(mctx, policy, num_simulations)), "ours": jax.jit(ours)}
    contestants, compile_seconds, found = {}, {}, {}
    seconds: dict[str, list[float]] = {name: [] for name in jitted}
    first_runs = 0.0
    for name, function in jitted.items():
        begun = time.perf_counter()
        contestants[name] = function.lower(tables, key, states).compile()
        compile_seconds[name] = time.perf_counter() - begun
        begun = time.perf_counter()
        found[name] = jax.block_until_ready(contestants[name](tables, key, states))
        first_runs += time.perf_counter() - begun
    rounds = max(1, min(config.rounds, int(config.seconds / first_runs)))
    for _ in range(rounds):
        for name, function in contestants.items():
            seconds[name].append(timed(function, tables, key, states))
    nanoseconds = {
        name: statistics.median(times) / batch_size / num_simulations * 1e9 for name, times in seconds.items()
    }
    ratios = [theirs / mine for theirs, mine in zip(seconds["mctx"], seconds["ours"], strict=True)]
    same = jnp.all(found["mctx"][2] == found["ours"][2], axis=-1)
    bytes_of = {
        name: tree_bytes(module, batch_size, num_actions, num_simulations)
        for name, module in (("mctx", mctx), ("ours", search))
    }
    return {
        "policy": policy,
        "actions": num_actions,
        "simulations": num_simulations,
        "batch": batch_size,
        "mctx_ns": round(nanoseconds["mctx"], 1),
        "ours_ns": round(nanoseconds["ours"], 1),
        "rounds": rounds,
        "ratio": round(statistics.median(ratios), 2),
        "rows_with_equal_visits": round(float(jnp.mean(same)), 4),
        "compile_ratio": round(compile_seconds["ours"] / compile_seconds["mctx"], 2),
        "bytes_ratio": round(bytes_of["ours"] / bytes_of["mctx"], 3),
    }


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


def summarise(cells: list[dict]) -> dict[str, Any]:
    """The grid in a few numbers."""
    of = {name: [cell[name] for cell in cells] for name in ("ratio", "compile_ratio", "bytes_ratio")}
    return {
        "cells": len(cells),
        "ratio_geometric_mean": round(geometric_mean(of["ratio"]), 2),
        "ratio_least": min(of["ratio"]),
        "compile_ratio_geometric_mean": round(geometric_mean(of["compile_ratio"]), 2),
        "bytes_ratio_geometric_mean": round(geometric_mean(of["bytes_ratio"]), 3),
        "bytes_ratio_greatest": max(of["bytes_ratio"]),
    }


def path_lengths(policy: str, num_actions: int, num_simulations: int, batch_size: int) -> dict[str, float]:
    """Edges from the root to a simulation's leaf: the mean, and the batch's maximum, a mean over simulations."""
    states = jnp.arange(batch_size, dtype=jnp.int32) * 7 % STATES
    run = jax.jit(make_policy(search, policy, num_simulations))
    parents = np.asarray(run(make_tables(num_actions), jax.random.key(1), states).search_tree.parents)
    depth = np.zeros_like(parents)
    for node in range(1, num_simulations + 1):  # no game ends here: every simulation adds a node
        depth[:, node] = depth[np.arange(batch_size), parents[:, node]] + 1
    return {
        "mean": round(float(depth[:, 1:].mean()), 1),
        "longest": round(float(depth[:, 1:].max(0).mean()), 1),
    }


def growth(config: Config, policy: str, num_simulations: int) -> dict[str, Any]:
    """Cost per simulation at N = `num_simulations` over that at N = 64, and the paths of both; A = 7, B = 256."""
    sizes = 64, num_simulations
    small, large = (measure(config, policy, 7, n, 256) for n in sizes)
    return {
        "policy": policy,
        "simulations": num_simulations,
        **{name: round(large[f"{name}_ns"] / small[f"{name}_ns"], 2) for name in ("ours", "mctx")},
        "path_lengths": [path_lengths(policy, 7, n, 256) for n in sizes],
    }


def main(config: Config) -> None:
    """Measures the grid, smallest cells first."""
    set_up(cpu_devices=config.devices, cache=None)
    if jax.default_backend() != config.device:
        raise SystemExit(f"--device is {config.device}, but JAX runs on {jax.default_backend()}")
    batches = config.batch or ((64, 256, 1024) if config.device == "cpu" else (256, 1024, 4096))
    result: dict[str, Any] = {"config": asdict(config) | {"out": None}, **provenance()}
    cells, left_out = [], []
    result |= {"cells": cells, "left_out": left_out}

    def save() -> None:
        if cells:
            result["summary"] = summarise(cells)
        if config.out is not None:
            config.out.parent.mkdir(parents=True, exist_ok=True)
            config.out.write_text(json.dumps(result, indent=1) + "\n")

    grid = [(a, n, b) for a in config.actions for n in config.simulations for b in batches]
    for num_actions, num_simulations, batch_size in sorted(grid, key=math.prod):
        if tree_bytes(mctx, batch_size, num_actions, num_simulations) > config.max_gigabytes * 1e9:
            left_out.append([num_actions, num_simulations, batch_size])
            continue
        for policy in ("gumbel", "puct"):
            cell = measure(config, policy, num_actions, num_simulations, batch_size)
            cells.append(cell)
            print(
                f"{policy:6s} A {num_actions:3d} N {num_simulations:3d} B {batch_size:4d}: "
                f"mctx {cell['mctx_ns']:9.0f} ns, ours {cell['ours_ns']:7.0f} ns, {cell['ratio']:6.2f} times; "
                f"compile x {cell['compile_ratio']:.2f}, bytes x {cell['bytes_ratio']:.2f}, "
                f"equal visits {cell['rows_with_equal_visits']:.3f}",
                flush=True,
            )
            save()
    if config.growth is not None:
        result["growth"] = [growth(config, policy, config.growth) for policy in ("gumbel", "puct")]
        save()
    if config.network:
        on_gpu = config.device == "gpu"
        width, batch_size = (128, 4096) if on_gpu else (32, 256)
        tower = NetworkSettings(kind="resnet", width=width, blocks=6 if on_gpu else 3, bf16=on_gpu)
        result["latency_of_one_game"] = latency(config.rounds)
        result["network_share"] = network_share(tower, batch_size, 32, config.rounds)
        save()
    shown = ("summary", "growth", "latency_of_one_game", "network_share")
    print(json.dumps({name: result[name] for name in shown if name in result}, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
