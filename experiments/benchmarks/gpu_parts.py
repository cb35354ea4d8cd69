"""Measurements of parts for gpu.py: the card's peak rates, kernel launches, the tree, the network alone.

Axes: A actions, B games, N simulations.
"""

from __future__ import annotations

import importlib.metadata
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from gpu_rig import GRAPHS, MODES, NO_GRAPHS, Cell, Options, Rig
from jzero_envs.connect_four import ConnectFour
from search import STATES, make_policy, make_tables

from jzero import search
from jzero.env import init_batch, observe_batch
from jzero.networks import make_network, prepared
from jzero.networks.make import NetworkSettings

PACKAGES = ("mctx", "chex", "orbax-checkpoint", "pgx", "jax-cuda13-plugin", "jax-cuda12-plugin")


def versions(rig: Rig) -> list[Cell]:
    """The card and the packages; the rates of one large product and one large copy."""
    size, length = (128, 2**16) if rig.tiny else (8192, 2**28)
    # Random, of norm-preserving size: a GPU multiplies constants at less power, and so faster.
    matrix = (jax.random.normal(jax.random.key(0), (size, size)) / math.sqrt(size)).astype(jnp.bfloat16)
    row = jnp.ones(length)

    def products(matrix: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 8, lambda _, x: x @ matrix, matrix)

    def copies(row: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 8, lambda _, x: x + 1, row)

    programs = {
        "products": rig.compile(lambda: jax.jit(products).lower(matrix)),
        "copies": rig.compile(lambda: jax.jit(copies).lower(row)),
    }

    def rates() -> dict[str, Any]:
        made, missing = rig.ready(programs)
        found: dict[str, Any] = {"missing": missing} if missing else {}
        if "products" in made:
            seconds = rig.median(lambda: made["products"](matrix))
            found["bf16_product_tflops"] = round(8 * 2 * size**3 / seconds / 1e12, 1)
        if "copies" in made:
            seconds = rig.median(lambda: made["copies"](row))
            found["copy_gb_per_second"] = round(8 * 2 * 4 * length / seconds / 1e9, 1)
        return found

    return [Cell({"what": "machine"}, machine), Cell({"what": "ceilings"}, rates)]


def machine() -> dict[str, Any]:
    """Card, driver, and packages beyond those of `provenance`."""
    fields = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem"
    return {
        "nvidia_smi": _said("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"),
        "devices": [f"{device.device_kind} ({device.platform})" for device in jax.devices()],
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        return str(error)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


CHAIN = 20
"""Kernels per iteration of `_chain`; XLA adds one that counts the iterations. `_steps` has three."""


def _chain(times: int, x: jax.Array) -> jax.Array:
    """A loop that needs no host: small kernels, each of which reads the output of the one before."""

    def links(_: Any, x: jax.Array) -> jax.Array:
        return reduce(lambda x, _: jax.lax.optimization_barrier(jnp.sin(x) + 1e-3), range(CHAIN), x)

    return jax.lax.fori_loop(0, times, links, x)


def _steps(times: int, x: jax.Array) -> jax.Array:
    """A loop whose end depends on its data, like a descent."""

    def goes_on(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return (carry[0] < times) & (carry[1][0] < 1e9)

    def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return carry[0] + 1, jnp.sin(carry[1]) + 1e-3

    return jax.lax.while_loop(goes_on, step, (jnp.int32(0), x))[1]


def micro(rig: Rig) -> list[Cell]:
    """Microseconds per kernel, launched by the host or in a graph, and per iteration of a `while`."""
    times, x = (4 if rig.tiny else 1000), jnp.zeros(1024)
    kernels = times * (CHAIN + 1)
    kinds: dict[str, tuple[Callable, int, Options | None]] = {
        "kernel, launched": (_chain, kernels, NO_GRAPHS),
        "kernel, in a graph per loop iteration": (_chain, kernels, None),
        "kernel, in one graph with the loop": (_chain, kernels, GRAPHS),
        "while iteration, driven by the host": (_steps, times, NO_GRAPHS),
        "while iteration, in a graph": (_steps, times, GRAPHS),
    }
    programs = {
        name: rig.compile(lambda loop=loop: jax.jit(partial(loop, times)).lower(x), options)
        for name, (loop, _, options) in kinds.items()
    }

    def measure() -> dict[str, Any]:
        made, missing = rig.ready(programs)
        seconds = rig.medians({name: partial(program, x) for name, program in made.items()})
        each = {name: round(1e6 * seconds[name] / kinds[name][1], 2) for name in made}
        return {"microseconds": each} | ({"missing": missing} if missing else {})

    return [Cell({}, measure)]


def _table_search(module: Any, policy: str, num_simulations: int) -> Callable:
    """`(tables, key, states [B]) -> (visits [B, A], policy [B, A], parents [B, N + 1], actions [B, N + 1])`."""
    run = make_policy(module, policy, num_simulations)

    def search_all(tables: Any, key: jax.Array, states: jax.Array) -> Any:
        output = run(tables, key, states)
        tree = output.search_tree
        return (
            tree.summary().visit_counts,
            output.action_weights,
            tree.parents,
            tree.action_from_parent,
        )

    return search_all


def tree(rig: Rig) -> list[Cell]:
    """The search with a table as its model, in every mode and by mctx: its cost, and whether the trees agree."""
    num_simulations = 8 if rig.tiny else 64
    grid = [(8, 7, "gumbel")]
    if not rig.tiny:
        grid = [(b, a, policy) for b in (1024, 4096) for a in (7, 82) for policy in ("gumbel", "puct")]
    return [_tree_cell(rig, policy, a, num_simulations, b) for b, a, policy in grid]


def _tree_cell(rig: Rig, policy: str, num_actions: int, num_simulations: int, batch_size: int) -> Cell:
    key, states = jax.random.key(1), jnp.arange(batch_size, dtype=jnp.int32) * 7 % STATES
    arguments = make_tables(num_actions), key, states
    cpu = jax.device_put(arguments, jax.devices("cpu")[0])

    def lower(module: Any = search, arguments: Any = arguments) -> jax.stages.Lowered:
        return jax.jit(_table_search(module, policy, num_simulations)).lower(*arguments)

    programs = rig.compile_modes(lower, MODES) | {"mctx": rig.compile(lambda: lower(mctx))}
    reference = rig.compile_modes(lambda: lower(arguments=cpu), {"walk on the CPU": MODES["walk"]})

    def measure() -> dict[str, Any]:
        made, missing = rig.ready(programs)
        on_cpu, not_on_cpu = rig.ready(reference)
        found = {name: jax.device_get(program(*arguments)) for name, program in made.items()}
        seconds = rig.medians({name: partial(made[name], *arguments) for name in made})
        compared = {}
        if "walk" in found:
            compared["to_walk"] = {name: _compare(x, found["walk"]) for name, x in found.items()}
        for program in on_cpu.values():
            truth = jax.device_get(program(*cpu))
            compared["to_walk_on_cpu"] = {name: _compare(x, truth) for name, x in found.items()}
        missing |= not_on_cpu
        return {
            "us_per_simulation": {name: round(1e6 * s / num_simulations, 1) for name, s in seconds.items()},
            **compared,
        } | ({"missing": missing} if missing else {})

    labels = {"policy": policy, "A": num_actions, "N": num_simulations, "B": batch_size}
    return Cell(labels, measure)


def _compare(found: tuple, truth: tuple) -> dict[str, Any]:
    """The share of rows with equal visits; for the others, how far they are apart.

    Once rounding changes one decision, the rest of a row may be entirely different.
    """
    visits, policy, parents, actions = found
    true_visits, true_policy, true_parents, true_actions = truth
    differs = (visits != true_visits).any(-1)
    result: dict[str, Any] = {"equal": round(1 - float(differs.mean()), 4)}
    if differs.any():
        turned = (parents != true_parents) | (actions != true_actions)
        first = np.where(turned.any(-1), turned.argmax(-1), 0)[differs]
        moved = np.abs(visits - true_visits).sum(-1)[differs] / 2
        result |= {
            "rows": int(differs.sum()),
            "first_simulation_that_differs": {"least": int(first.min()), "median": float(np.median(first))},
            "visits_moved": {"median": float(np.median(moved)), "most": float(moved.max())},
            "policy_apart": round(float(np.abs(policy - true_policy)[differs].max()), 5),
        }
    return result


CALLS = 32
"""Evaluations per timed run of the network alone."""
FORMS = {
    "float32": (False, False, None),
    "bf16": (True, False, None),
    "bf16, prepared": (True, True, None),
    "bf16, prepared, graphs": (True, True, GRAPHS),
}
"""(computes in bf16, weights are prepared once as for a search, XLA's options)."""
TOWERS = {
    "resnet 6x64": NetworkSettings(kind="resnet", width=64, blocks=6),
    "resnet 6x128": NetworkSettings(kind="resnet", width=128, blocks=6),
    "mlp 3x384": NetworkSettings(kind="mlp", width=384, blocks=3),
}
"""Networks to measure alone, on Connect Four's board."""


def norms(config: NetworkSettings) -> list[NetworkSettings]:
    """The network as it is, and without normalisation."""
    return [config, replace(config, norm="none")]


def network(rig: Rig) -> list[Cell]:
    """Evaluations per second of the network alone: an upper bound of any search."""
    if rig.tiny:
        return [
            _network_cell(rig, "mlp 1x16", NetworkSettings(kind="mlp", width=16, blocks=1), 8, tuple(FORMS))
        ]
    sizes = [("resnet 6x64", 4096), ("resnet 6x64", 1024), ("resnet 6x64", 16384), ("resnet 6x128", 4096)]
    return [
        _network_cell(rig, name, config, batch_size, tuple(FORMS) if number == 0 else ("bf16, prepared",))
        for number, (name, batch_size) in enumerate([*sizes, ("mlp 3x384", 4096)])
        for config in norms(TOWERS[name])
    ]


def _network_cell(
    rig: Rig, name: str, config: NetworkSettings, batch_size: int, forms: tuple[str, ...]
) -> Cell:
    env = ConnectFour()

    def apply_of(bf16: bool) -> Callable:
        return make_network(replace(config, bf16=bf16), env.num_actions).apply

    def make() -> tuple[Any, Any, jax.Array]:
        """Weights, the same prepared for bfloat16, and boards."""
        boards = observe_batch(env, init_batch(env, jax.random.key(0), batch_size)).astype(jnp.float32)
        weights = make_network(config, env.num_actions).init(jax.random.key(0), boards)
        return weights, prepared(apply_of(True), weights, boards), boards

    def pick(made: Any, form: str) -> tuple[Any, Any]:
        weights, ready, boards = made
        return (ready if FORMS[form][1] else weights), boards

    abstract = jax.eval_shape(make)
    first = {"inputs": rig.compile(jax.jit(make).lower)}
    programs = {
        form: rig.compile(
            partial(jax.jit(many(apply_of(FORMS[form][0]))).lower, *pick(abstract, form)), FORMS[form][2]
        )
        for form in forms
    }

    def measure() -> dict[str, Any]:
        made, missing = rig.ready(first | programs)
        inputs = made.pop("inputs")()
        seconds = rig.medians(
            {form: partial(program, *pick(inputs, form)) for form, program in made.items()}, 5
        )
        flops = matmul_flops(abstract[0], math.prod(abstract[2].shape[1:3])) * batch_size * CALLS
        return {
            "us_per_call": {form: round(1e6 * s / CALLS, 1) for form, s in seconds.items()},
            "evaluations_per_second": {form: round(batch_size * CALLS / s) for form, s in seconds.items()},
            "tflops": {form: round(flops / s / 1e12, 2) for form, s in seconds.items()},
        } | ({"missing": missing} if missing else {})

    return Cell({"network": name, "norm": config.norm, "B": batch_size}, measure)


def many(apply: Callable) -> Callable[[Any, Any], Any]:
    """`(weights, observations) -> observations`: `CALLS` evaluations, each of the output of the one before."""

    def changed(weights: Any, views: Any) -> Any:
        def once(_: Any, views: Any) -> Any:
            logits, value = apply(weights, views)
            change = 1e-6 * (logits.sum(-1) + value.reshape(value.shape[0], -1).sum(-1))
            return jax.tree.map(lambda x: x + change.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype), views)

        return jax.lax.fori_loop(0, CALLS, once, views)

    return changed


def matmul_flops(weights: Any, cells: int) -> int:
    """Operations of an evaluation's products: two per weight, for convolutions at each of the board's `cells`."""
    kernels = [x for x in jax.tree.leaves(weights) if x.ndim > 1]
    return sum(2 * x.size * (cells if x.ndim == 4 else 1) for x in kernels)
