"""Trains a few iterations on a mesh and prints what happened as one line of JSON.

A process of its own, because JAX's devices are fixed when it starts:

    python -m tests.helpers.mesh_worker <CPU devices of this process> <iterations> [more | options]
"""

import dataclasses
import functools
import hashlib
import json
import re
import sys

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from jzero.algorithms.alphazero import alphazero_loss
from jzero.devices import set_up
from jzero.env_spec import describe
from jzero.metrics import read
from jzero.models.plan import SearchSettings
from jzero.optimizer import make_optimizer
from jzero.program import AXIS, make_mesh
from jzero.registry import make
from jzero.run.build import build_algorithm, build_network, build_program
from tests.helpers.tiny import numbers, tiny

COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"


def collectives(compiled):
    """The collective instructions in a compiled program's text."""
    return re.findall(rf" ({COLLECTIVES})(?:-start)?\(", compiled.as_text())


def digest(tree):
    """A hash of all bits of a pytree."""
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in numbers(tree))).hexdigest()[:16]


def by_device(tree):
    """The hash of each of this process's copies (or shards) of a pytree."""
    shards = [[s.data for s in leaf.addressable_shards] for leaf in jax.tree.leaves(tree)]
    return [digest(list(copies)) for copies in zip(*shards, strict=True)]


def train(program, iterations, learns_from=1):
    """The state after some iterations and, by iteration, the metrics as exact text."""
    state, log = program.init(), []
    for iteration in range(iterations):
        state, metrics = program.play(state)
        if iteration >= learns_from:
            state, losses = program.learn(state)
            metrics |= losses
        log.append({name: value.hex() for name, value in read(metrics).items()})
    return state, log


def raised(function, *arguments):
    """The text of the ValueError that a call raises."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return "nothing was raised"


def compiled_search(env, config, mesh):
    """The search alone, compiled for lanes that are split over the mesh."""
    model, planner, *_ = build_algorithm(env, config)

    def search(params, key, states):
        root, invalid = model.root(params, states), ~states.legal_action_mask
        return planner.plan(params, key, root, invalid, num_simulations=4, explore=True)

    sharded = jax.shard_map(search, mesh=mesh, in_specs=(P(), P(), P(AXIS)), out_specs=P(AXIS))
    state = build_program(env, config, mesh).abstract
    return jax.jit(sharded).lower(state.averaged, state.key, state.games.states).compile()


def one_update_by_hand(env, config, state, num_devices):
    """The parameters after one update, the gradient being the mean of what each device computes on its lanes."""
    lanes = config.games // num_devices
    spec = describe(env)
    network, algorithm = build_network(spec, config), build_algorithm(env, config)

    @jax.jit
    def gradient(params, replay, device):
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.updates)
        sample_key, image_key = jax.random.split(jax.random.fold_in(key, device))
        _, batch = algorithm.batch(params, replay, sample_key, config.batch_size // num_devices)
        loss = functools.partial(alphazero_loss, spec, network, config)
        return jax.grad(lambda params: loss(params, batch, image_key)[0])(params)

    state = jax.device_get(state._replace(key=jax.random.key_data(state.key)))
    state = state._replace(key=jax.random.wrap_key_data(state.key))
    grads = []
    for device in range(num_devices):
        rows = slice(device * lanes, (device + 1) * lanes)
        replay = state.replay._replace(
            plies=jax.tree.map(lambda x, rows=rows: x[:, rows], state.replay.plies),
            targets=state.replay.targets[:, rows],
            ready=state.replay.ready[rows],
        )
        grads.append(gradient(state.params, replay, device))
    mean = jax.tree.map(lambda *x: sum(x) / num_devices, *grads)
    updates, _ = make_optimizer(config).update(mean, state.opt_state, state.params)
    return optax.apply_updates(state.params, updates)


def error_of_an_update(env, config):
    """The greatest difference of a parameter from `one_update_by_hand`, as a share of the greatest step."""
    config = dataclasses.replace(config, updates=1)
    program = build_program(env, config)
    state, _ = train(program, 2)
    state, _ = program.play(state)
    before = jax.device_get(state.params)
    expected = one_update_by_hand(env, config, state, jax.device_count())
    after = jax.device_get(program.learn(state)[0].params)
    pairs = list(zip(*(jax.tree.leaves(tree) for tree in (before, expected, after)), strict=True))
    step = max(float(np.abs(one - old).max()) for old, one, _ in pairs)
    return max(float(np.abs(one - other).max()) for _, one, other in pairs) / step


OPTIONS = {
    "worlds": {
        "env": "blob?players=3&cards=1",
        "plies": 6,
        "opening_plies": 0,
        "temperature_plies": 6,
        "search": SearchSettings(num_simulations=2, worlds=2),
    },
    "reuse and resignation": {
        "search": SearchSettings(num_simulations=4, reuse=True),
        "resign_below": -1e-6,
    },
}


def trained_with(changes, iterations):
    """Whether all devices have the same weights after some iterations with other settings, and the metrics."""
    config = tiny(**changes)
    state, log = train(build_program(make(config.env), config), iterations)
    weights = by_device((state.params, state.averaged, state.opt_state))
    return {"equal": len(set(weights)) == 1, "log": log}


def main(iterations, more_checks):
    config = tiny(plies=9, ema_decay=0.9)
    env = make(config.env)
    program = build_program(env, config)
    state, log = train(program, iterations)
    weights = (state.params, state.averaged, state.opt_state)
    report = {
        "processes": jax.process_count(),
        "devices": jax.device_count(),
        "weights": by_device(weights),
        "learned": digest(state.params) != digest(program.init().params),
        "lanes": by_device(state.replay.plies.position),
        "keys": by_device(state.key),
        "updates": int(state.updates),
        "log": log,
    }
    if more_checks:
        again, same_log = train(program, iterations)
        report["again"] = [by_device(again), same_log] == [by_device(state), log]
        other, _ = train(build_program(env, tiny(plies=9, ema_decay=0.9, seed=1)), 1)
        report["other seed"] = by_device(other.replay.plies.policy) == by_device(state.replay.plies.policy)
        report["play"] = collectives(program.play.lower(program.abstract).compile())
        report["search"] = collectives(compiled_search(env, config, make_mesh()))
        report["errors"] = [
            raised(build_program, env, tiny(games=6)),
            raised(build_program, env, tiny(batch_size=18)),
        ]
        report["update"] = error_of_an_update(env, config)
        half, half_log = train(build_program(env, config, make_mesh(jax.devices()[:2])), iterations)
        report["two devices"] = {
            "weights": by_device((half.params, half.averaged, half.opt_state)),
            "lanes": by_device(half.replay.plies.position),
            "log": half_log,
        }
    print(json.dumps(report))


if __name__ == "__main__":
    set_up(cpu_devices=int(sys.argv[1]))
    if sys.argv[3:] == ["options"]:
        print(
            json.dumps({name: trained_with(changes, int(sys.argv[2])) for name, changes in OPTIONS.items()})
        )
    else:
        main(int(sys.argv[2]), more_checks=sys.argv[3:] == ["more"])
