"""Weights prepared for a search: the same results to the bit, and no cast left in a call. Axes: B rows.

Nothing here is compiled as a whole: a CPU computes bfloat16 in float32 and would leave out casts in between.
"""

import dataclasses
import functools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.env import init_batch
from jzero.models.plan import SearchSettings
from jzero.networks import make_learned_network, make_network, prepared
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.build import build_algorithm
from jzero.self_play import start_games
from tests.helpers.tiny import TINY, play_on, same_bits, tiny

SHAPES = {"mlp": (4, 5, 3), "resnet": (4, 5, 3), "transformer": (6, 3), "atari": (96, 96, 3)}


def observations(kind, batch=2):
    """[B, ...] numbers that `kind` of network reads."""
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(batch, *SHAPES[kind])), np.float32)


def noisy(params):
    """Parameters that give every layer a say."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    return treedef.unflatten([jnp.asarray(x + 0.1 * rng.normal(size=x.shape), jnp.float32) for x in leaves])


def learned(**changes):
    config = NetworkSettings(width=8, blocks=1, head_width=8, **changes)
    return make_learned_network(config, 3, atoms=11, prefix_width=6, projection_width=5)


def plain(**changes):
    return make_network(NetworkSettings(width=32, blocks=1, head_width=8, **changes), 7)


NETWORKS = {
    "mlp": (plain, {"kind": "mlp"}),
    "mlp-none": (plain, {"kind": "mlp", "norm": "none"}),
    "resnet": (plain, {"kind": "resnet"}),
    "none": (plain, {"kind": "resnet", "norm": "none"}),
    "transformer": (plain, {"kind": "transformer"}),
    "learned-mlp": (learned, {"kind": "mlp"}),
    "learned-resnet": (learned, {"kind": "resnet", "norm": "group"}),
    "learned-none": (learned, {"kind": "resnet", "norm": "none"}),
    "learned-chance": (learned, {"kind": "mlp", "chance_codes": 4}),
    "atari": (learned, {"kind": "atari"}),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def built(name, bf16):
    """(network, parameters, observation) of a network above."""
    build, changes = NETWORKS[name]
    net = build(**changes, bf16=bf16)
    observation = observations(changes["kind"])
    shapes = jax.eval_shape(net.init, jax.random.key(0), observation)
    return net, noisy(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)), observation


def casts(net, params, observation):
    """How many of the parameters a call of the network casts first."""
    jaxpr = jax.make_jaxpr(net.apply)(params, observation).jaxpr
    weights = set(map(id, jaxpr.invars[: len(jax.tree.leaves(params))]))
    return sum(
        equation.primitive.name == "convert_element_type" and id(equation.invars[0]) in weights
        for equation in jaxpr.eqns
    )


@each_network
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_prepared_weights_say_the_same_to_the_bit(name, bf16):
    net, params, observation = built(name, bf16)
    ready = prepared(net.apply, params, observation[:1])
    kept = jax.tree.structure(ready) == jax.tree.structure(params) and same_bits(ready, params)
    if not kept:  # equal weights say the same
        assert same_bits(net.apply(ready, observation), net.apply(params, observation))


@each_network
def test_nothing_is_left_to_cast_and_what_is_computed_in_float32_stays(name):
    net, params, observation = built(name, True)
    ready = prepared(net.apply, params, observation[:1])
    assert casts(net, params, observation)
    assert not casts(net, ready, observation)
    kinds = Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(ready):
        where = jax.tree_util.keystr(path, simple=True, separator="/")
        last = any(f"{head}/Dense_1" in where for head in ("policy", "value", "reward", "chance", "code"))
        if last or "Norm" in where or "prefix" in where:
            assert leaf.dtype == jnp.float32, where
        else:
            assert leaf.dtype == jnp.bfloat16, where
        kinds[leaf.dtype] += 1
    assert len(kinds) == 2
    # Once more changes nothing.
    assert same_bits(prepared(net.apply, ready, observation[:1]), ready)


def test_a_float32_network_is_left_as_it_is_but_for_its_scales():
    net, params, observation = built("resnet", False)
    assert same_bits(prepared(net.apply, params, observation), params)
    net, params, observation = built("none", False)
    ready = prepared(net.apply, params, observation)["params"]["body"]["ResidualBlock_0"]["Standardised_0"]
    assert set(ready) == {"kernel", "bias"}


def test_a_weight_that_is_read_in_two_dtypes_stays():
    def apply(params, x):
        return params["a"].astype(jnp.bfloat16) * x, params["a"] + x, params["b"].astype(jnp.bfloat16) * x

    params = {"a": jnp.float32(1.1), "b": jnp.float32(1.1), "unused": jnp.float32(1.1)}
    ready = prepared(apply, params, jnp.bfloat16(2))
    assert {name: leaf.dtype.name for name, leaf in ready.items()} == {
        "a": "float32",
        "b": "bfloat16",
        "unused": "float32",
    }


@pytest.mark.parametrize("algorithm", ["alphazero", "gumbel_muzero"])
def test_self_play_prepares_its_weights_once_before_all_plies(algorithm):
    network = dataclasses.replace(TINY.network, bf16=True)
    config = tiny(network=network, algorithm=algorithm, search=SearchSettings(num_simulations=2), plies=2)
    env = make(config.env)
    parts = build_algorithm(env, config)
    params = jax.eval_shape(parts.init, jax.random.key(0))
    games = jax.eval_shape(lambda: start_games(env, config, jax.random.key(0), config.games))

    def play(params, games):
        return play_on(env, parts.model, config, params, jax.random.key(0), games)

    jaxpr = jax.make_jaxpr(play)(params, games).jaxpr
    weights = set(map(id, jaxpr.invars[: len(jax.tree.leaves(params))]))
    read = [equation for equation in jaxpr.eqns if any(id(x) in weights for x in equation.invars)]
    (scan,) = (equation for equation in read if equation.primitive.name == "scan")
    done = [equation.primitive.name for equation in read if equation is not scan]
    assert set(done) == {"convert_element_type"}
    # All others go into the plies as they are: of a matrix in float32 none, but the last layers.
    shapes = jax.eval_shape(parts.model.prepare, params)
    narrow = [leaf for leaf in jax.tree.leaves(shapes) if leaf.dtype == jnp.bfloat16]
    assert len(done) == len(narrow) > 0
    states = init_batch(env, jax.random.key(1), 3)
    values = noisy(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), params))
    ready = parts.model.prepare(values)
    assert same_bits(parts.model.root(ready, states), parts.model.root(values, states))
