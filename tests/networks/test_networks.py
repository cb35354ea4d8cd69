"""The networks: shapes, dtypes, first outputs, and that rows do not see each other. Axes: B rows, A actions."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.compiler import KEEP_BARRIERS
from jzero.networks import MuZeroNet, make_learned_network, make_network
from jzero.networks.heads import CellsHead, Head
from jzero.networks.learned import MapDynamics, to_unit_range
from jzero.networks.make import NetworkSettings
from jzero.networks.supports import from_unit
from jzero.networks.towers import AtariTower, ResidualTower
from jzero.networks.transformer import Transformer
from tests.helpers.search_tables import quick_jit

BOARD = (6, 5, 3)
ALL = [
    NetworkSettings(kind="mlp", width=16, blocks=2),
    NetworkSettings(kind="resnet", width=16, blocks=2, norm="layer"),
    NetworkSettings(kind="resnet", width=16, blocks=2, norm="group"),
    NetworkSettings(kind="mlp", width=16, blocks=2, bf16=True),
    NetworkSettings(kind="resnet", width=16, blocks=2, bf16=True),
    NetworkSettings(kind="mlp", width=16, blocks=2, norm="none"),
    NetworkSettings(kind="resnet", width=16, blocks=2, norm="none"),
    NetworkSettings(kind="resnet", width=16, blocks=2, norm="none", bf16=True),
]
NAMES = ["mlp", "layer", "group", "mlp-bf16", "layer-bf16", "mlp-none", "none", "none-bf16"]
each_network = pytest.mark.parametrize("config", ALL, ids=NAMES)


@functools.cache
def built(config, num_actions=7):
    """(compiled apply, parameters that give every layer a say)."""
    network = make_network(config, num_actions)
    params = quick_jit(network.init)(jax.random.key(0), jnp.zeros((1, *BOARD)))
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    noisy = [np.asarray(x + 0.1 * rng.normal(size=x.shape), np.float32) for x in leaves]
    return quick_jit(network.apply), params, jax.tree.unflatten(treedef, noisy)


def boards(batch, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *BOARD)).astype(np.float32)


@each_network
def test_outputs_are_float32_logits_and_values_and_parameters_float32(config):
    apply, first, params = built(config)
    logits, value = apply(params, boards(4))
    assert (logits.shape, logits.dtype) == ((4, 7), jnp.float32)
    assert (value.shape, value.dtype) == ((4,), jnp.float32)
    assert (jnp.abs(value) < 1).all()
    assert len(set(value.tolist())) == 4
    assert {leaf.dtype for leaf in jax.tree.leaves(first)} == {np.dtype("float32")}


@each_network
def test_the_first_policy_is_uniform_and_the_first_value_zero(config):
    apply, first, _ = built(config)
    logits, value = apply(first, boards(3))
    assert not np.asarray(logits).any()
    assert not np.asarray(value).any()


@each_network
def test_a_row_does_not_depend_on_the_other_rows(config):
    apply, _, params = built(config)
    batch = boards(5)
    others = np.concatenate([batch[:2], 100 * boards(3, seed=1)])
    for one, two in zip(apply(params, batch), apply(params, others), strict=True):
        np.testing.assert_array_equal(one[:2], two[:2])
        assert (np.asarray(one[2:]) != np.asarray(two[2:])).any()


@pytest.mark.parametrize("config", [c for c in ALL if c.bf16], ids=[name for name in NAMES if "bf16" in name])
def test_bfloat16_computes_nearly_the_same_with_the_same_parameters(config):
    full = dataclasses.replace(config, bf16=False)
    _, _, params = built(full)
    assert jax.tree.structure(params) == jax.tree.structure(built(config)[2])
    wide, narrow = (built(c)[0](params, boards(32)) for c in (full, config))
    for one, two in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(one, two, atol=0.1 * float(jnp.abs(one).max()))
        assert (np.asarray(one) != np.asarray(two)).any()
    text = jax.jit(make_network(config, 7).apply).lower(params, boards(2)).as_text()
    assert "bf16" in text
    assert "bf16" not in jax.jit(make_network(full, 7).apply).lower(params, boards(2)).as_text()


def tower_outputs(norm, width):
    """The feature map [B, H, W, C] of a tower without blocks on boards whose channels differ in scale."""
    tower = ResidualTower(width, 0, norm=norm)
    variables = quick_jit(tower.init)(jax.random.key(0), boards(1))
    scales = np.repeat([1.0, 1e3], width // 2).astype(np.float32)
    kernel = variables["params"]["Conv_0"]["kernel"] * scales
    variables = {"params": {**variables["params"], "Conv_0": {"kernel": kernel}}}
    features = quick_jit(tower.apply)(variables, boards(3))
    assert features.shape == (3, *BOARD[:2], width)
    convolution = nn.Conv(width, (3, 3), use_bias=False)
    before = quick_jit(convolution.apply)({"params": {"kernel": kernel}}, boards(3))
    return np.asarray(features, np.float64), np.asarray(before, np.float64)


@pytest.mark.parametrize(("norm", "groups"), [("layer", 1), ("group", 2)])
def test_layer_norm_is_over_the_whole_position_and_group_norm_over_eight_channels(norm, groups):
    found, before = tower_outputs(norm, 16)
    parts = before.reshape(3, *BOARD[:2], groups, 16 // groups)
    mean = parts.mean(axis=(1, 2, 4), keepdims=True)
    spread = np.sqrt(parts.var(axis=(1, 2, 4), keepdims=True) + 1e-6)
    expected = np.maximum((parts - mean) / spread, 0).reshape(before.shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def by_hand(x, layer):
    """A 3x3 convolution [B, H, W, F] of boards [B, H, W, C], cell by cell, or a product of vectors."""
    kernel = np.asarray(layer["kernel"], np.float64)
    outputs = kernel.reshape(-1, kernel.shape[-1])
    outputs = outputs - outputs.mean(0)
    outputs *= layer["scale"] / np.linalg.norm(outputs, axis=0)
    kernel = outputs.reshape(kernel.shape)
    if x.ndim == 2:
        return x @ kernel + layer["bias"]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    shifted = [padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
    return sum(shifted) + layer["bias"]


def blocks_of(params, kind):
    """(inner, outer layer) of both blocks."""
    if kind == "mlp":
        return [tuple(params[f"Standardised_{2 * block + i}"] for i in (1, 2)) for block in range(2)]
    blocks = [params[f"ResidualBlock_{block}"] for block in range(2)]
    return [(block["Standardised_0"], block["Standardised_1"]) for block in blocks]


def test_a_cell_has_a_number_from_its_own_features_and_later_actions_have_the_head_alone():
    head = CellsHead(outputs=12, width=4)
    maps = np.random.default_rng(0).normal(size=(5, 2, 5, 3)).astype(np.float32)
    first = head.init(jax.random.key(0), maps, maps)
    np.testing.assert_array_equal(head.apply(first, maps, maps), np.zeros((5, 12)))
    params = noisy(first)["params"]
    dense = Head(outputs=12, width=4).apply({"params": params["all"]}, maps)
    cells = maps @ params["cells"]["kernel"] + params["cells"]["bias"]
    found = np.asarray(head.apply({"params": params}, maps, maps) - dense)
    np.testing.assert_allclose(found[:, :10].reshape(5, 2, 5, 1), cells, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[:, 10:], np.zeros((5, 2)))


def test_an_mlps_cell_has_a_number_from_what_is_observed_there():
    network = make_network(NetworkSettings("mlp", width=8, blocks=1, policy_head="cells", head_width=4), 32)
    seen = boards(3)
    params = noisy(quick_jit(network.init)(jax.random.key(0), seen))["params"]
    found, _ = quick_jit(network.apply)({"params": params}, seen)
    without = params | {
        "policy": params["policy"] | {"cells": jax.tree.map(np.zeros_like, params["policy"]["cells"])}
    }
    rest, _ = quick_jit(network.apply)({"params": without}, seen)
    planes, cells = params["policy"]["planes"], params["policy"]["cells"]
    hidden = np.maximum(seen @ planes["kernel"] + planes["bias"], 0)
    expected = (hidden @ cells["kernel"] + cells["bias"]).reshape(3, 30)
    np.testing.assert_allclose(found - rest, np.pad(expected, ((0, 0), (0, 2))), rtol=1e-3, atol=1e-4)


def test_a_policy_of_cells_needs_a_board():
    network = make_network(NetworkSettings("mlp", width=8, blocks=1, policy_head="cells"), 4)
    with pytest.raises(ValueError, match=r"needs observations \[H, W, C\], not \(1, 7\) .*: use dense"):
        jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 7)))


def test_a_policy_of_cells_needs_an_action_for_each():
    network = make_network(NetworkSettings("resnet", width=8, blocks=1, policy_head="cells"), 29)
    with pytest.raises(
        ValueError, match="29 actions for 6 x 5 cells; expected an action for each cell: use dense"
    ):
        jax.eval_shape(network.init, jax.random.key(0), boards(1))


@functools.cache
def without_norm(kind):
    """(body of two blocks without normalisation, its first parameters)."""
    body = make_network(NetworkSettings(kind=kind, width=8, blocks=2, norm="none"), 7).body
    return body, quick_jit(body.init)(jax.random.key(0), boards(1))


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_without_normalisation_weights_are_standardised(kind):
    body, first = without_norm(kind)
    variables = noisy(first)
    found = quick_jit(body.apply)(variables, boards(3))
    params = variables["params"]
    x = boards(3).astype(np.float64)
    x = by_hand(x.reshape(3, -1) if kind == "mlp" else x, params["Standardised_0"])
    for inner, outer in blocks_of(params, kind):
        y = np.maximum(by_hand(np.maximum(x, 0), inner), 0)
        x = x + by_hand(y, outer)
    np.testing.assert_allclose(found, np.maximum(x, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_scales_start_so_that_variance_is_kept_and_are_learned(kind):
    body, variables = without_norm(kind)
    gain = np.sqrt(2 / (1 - 1 / np.pi))  # of a relu
    for inner, outer in blocks_of(variables["params"], kind):
        np.testing.assert_allclose(inner["scale"], np.full(8, gain), rtol=1e-6)
        np.testing.assert_allclose(outer["scale"], np.full(8, gain / 2), rtol=1e-6)

    def loss(variables):
        return jnp.sum(body.apply(variables, boards(3)) ** 2)

    gradient = quick_jit(jax.grad(loss))(noisy(variables))["params"]
    for layers in blocks_of(gradient, kind):
        for layer in layers:
            assert (np.abs(layer["scale"]) > 1e-4).any()
    # Blocks that add nothing leave the identity.
    still = jax.tree_util.tree_map_with_path(
        lambda path, x: x if path[1].key == "Standardised_0" else 0 * x, variables
    )
    none = make_network(NetworkSettings(kind=kind, width=8, blocks=0, norm="none"), 7).body
    found, expected = (quick_jit(b.apply)(still, boards(3)) for b in (body, none))
    np.testing.assert_array_equal(found, expected)


def test_a_deep_tower_keeps_the_variance_of_its_features():
    body = make_network(NetworkSettings(kind="resnet", width=32, blocks=12, norm="none"), 7).body
    x = np.asarray(np.random.default_rng(0).normal(size=(8, 6, 7, 4)), np.float32)
    variables = quick_jit(body.init)(jax.random.key(0), x)
    assert 0.3 < float(jnp.std(quick_jit(body.apply)(variables, x))) < 3


def test_a_transformer_keeps_its_normalisation():
    with pytest.raises(ValueError, match=r"network\.norm is 'none', but a transformer needs LayerNorm"):
        NetworkSettings(kind="transformer", width=32, norm="none")


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_pixels_stay_in_bfloat16_to_the_end(norm):
    tower, pixels = AtariTower(8, 1, norm, jnp.bfloat16), jnp.zeros((1, 96, 96, 3), jnp.uint8)
    params = jax.eval_shape(tower.init, jax.random.key(0), pixels)
    _, seen = jax.eval_shape(functools.partial(tower.apply, capture_intermediates=True), params, pixels)
    assert {leaf.dtype for leaf in jax.tree.leaves(seen)} == {jnp.dtype("bfloat16")}


@pytest.mark.optimised
def test_updates_on_a_cpu_compute_a_residual_stream_once():
    tower, board = ResidualTower(8, 2), jnp.ones((2, 3, 3, 3))
    params = jax.eval_shape(tower.init, jax.random.key(0), board)
    gradient = jax.grad(lambda params: tower.apply(params, board).sum())
    kept = jax.jit(gradient, compiler_options=KEEP_BARRIERS).lower(params).compile().as_text()
    # One a block, there and back: without the option XLA drops them.
    assert kept.count(" opt-barrier(") == 4


def test_a_width_that_eight_does_not_divide_is_one_group():
    one, two = (tower_outputs(norm, 6)[0] for norm in ("layer", "group"))
    np.testing.assert_array_equal(one, two)


def test_depth_does_not_blow_up_the_features():
    """What the last normalisation sees: the first layer plus what every block adds."""
    spread = []
    for blocks in (1, 16):
        body = make_network(NetworkSettings(kind="mlp", width=64, blocks=blocks), 7).body

        def residual_stream(x, body=body, blocks=blocks):
            variables = body.init(jax.random.key(0), x)
            _, seen = body.apply(variables, x, capture_intermediates=True)
            added = [
                seen["intermediates"][f"Dense_{2 * block}"]["__call__"][0] for block in range(blocks + 1)
            ]
            return jnp.std(sum(added))

        spread.append(float(quick_jit(residual_stream)(boards(64))))
    assert 0.8 < spread[1] / spread[0] < 1.2


def test_an_mlp_takes_any_pytree_of_arrays():
    network = make_network(NetworkSettings(width=8, blocks=1), 3)
    observation = {
        "cards": jnp.ones((2, 4), jnp.int32),
        "flags": jnp.zeros((2, 3, 2), bool),
        "age": jnp.ones(2),
    }
    (logits, value), params = quick_jit(network.init_with_output)(jax.random.key(0), observation)
    assert logits.shape == (2, 3)
    assert value.shape == (2,)
    kernel = params["params"]["body"]["Dense_0"]["kernel"]
    assert kernel.shape == (1 + 4 + 6, 8)


@pytest.mark.parametrize("observation", [jnp.zeros((2, 9)), {"board": jnp.zeros((2, 3, 3, 2))}])
def test_a_convolution_needs_a_board(observation):
    network = make_network(NetworkSettings(kind="resnet", width=8, blocks=1), 3)
    with pytest.raises(ValueError, match=r"use --network\.kind mlp"):
        network.init(jax.random.key(0), observation)


def noisy(params):
    """Parameters that give every layer a say."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    return treedef.unflatten([np.asarray(x + 0.1 * rng.normal(size=x.shape), np.float32) for x in leaves])


def test_a_head_starts_at_zero_and_reads_maps_and_vectors():
    head = Head(5, 8)
    for features in (boards(3), boards(3)[:, 0, 0]):
        found, params = quick_jit(head.init_with_output)(jax.random.key(0), features)
        assert (found.shape, found.dtype) == ((3, 5), jnp.float32)
        assert not np.asarray(found).any()
        found = quick_jit(head.apply)(noisy(params), features)
        assert len({tuple(row) for row in found.tolist()}) == 3


def test_pixels_become_maps_of_six_by_six():
    tower = AtariTower(8, 1)
    pixels = np.random.default_rng(0).integers(256, size=(2, 96, 96, 3)).astype(np.uint8)
    maps, params = quick_jit(tower.init_with_output)(jax.random.key(0), pixels)
    assert maps.shape == (2, 6, 6, 8)
    # Bytes are brought to 0 .. 1 first, so floats of the same size are the same picture.
    same = quick_jit(tower.apply)(params, pixels.astype(np.float32))
    np.testing.assert_array_equal(maps, same)
    kernel = params["params"]["Conv_0"]["kernel"]
    convolution = nn.Conv(4, (3, 3), 2, use_bias=False)
    first = quick_jit(convolution.apply)({"params": {"kernel": kernel}}, (pixels / 255).astype(np.float32))
    assert 0.1 < np.std(first) < 2
    with pytest.raises(ValueError, match=r"needs pixels \[96, 96, C\]"):
        tower.init(jax.random.key(0), boards(2))


LEARNED = {
    "mlp": ({"kind": "mlp"}, {}),
    "efficientzero": ({"kind": "mlp"}, {"prefix_width": 6, "projection_width": 5}),
    "resnet": ({"kind": "resnet"}, {}),
    "mlp-none": ({"kind": "mlp", "norm": "none"}, {}),
    "none": ({"kind": "resnet", "norm": "none"}, {}),
    "bf16": ({"kind": "resnet", "bf16": True}, {"prefix_width": 6, "projection_width": 5}),
}


@functools.cache
def learned_network(kind):
    """(network, first parameters, parameters that give every layer a say)."""
    network, widths = LEARNED[kind]
    config = NetworkSettings(width=8, blocks=1, head_width=8, **network)
    net = make_learned_network(config, 3, atoms=11, **widths)
    params = quick_jit(net.init)(jax.random.key(0), boards(1))
    return net, params, noisy(params)


@functools.cache
def compiled(net):
    @quick_jit
    def call(params, observation, action):
        latent = net.apply(params, observation, method="represent")
        memory = net.no_memory(len(action))
        after, memory, reward = net.apply(params, latent, memory, action, method="step")
        policy, value = net.apply(params, after, method="predict")
        found = {"latent": latent, "after": after, "reward": reward, "policy": policy, "value": value}
        if net.prefix_width:
            found["memory"] = memory[0]
        if net.projection_width:
            found["projection"] = net.apply(params, after, method="project")
            found["prediction"] = net.apply(params, found["projection"], method="predict_projection")
        return found

    return call


def everything(net, params, observation, action):
    """All that a learned network says of observations and one action each."""
    return jax.tree.map(np.asarray, compiled(net)(params, observation, action))


@pytest.mark.parametrize("kind", LEARNED)
def test_a_learned_network_says_what_was_asked_for_in_float32(kind):
    net, first, params = learned_network(kind)
    action = np.array([0, 1, 2, 1])
    found = everything(net, params, boards(4), action)
    latent = (4, 8) if "mlp" in LEARNED[kind][0].values() else (4, *BOARD[:2], 8)
    shapes = {"latent": latent, "after": latent, "reward": (4, 11), "policy": (4, 3), "value": (4, 11)}
    if LEARNED[kind][1]:
        shapes |= {"memory": (4, 6), "projection": (4, 5), "prediction": (4, 5)}
    assert {name: array.shape for name, array in found.items()} == shapes
    assert {array.dtype for array in found.values()} == {np.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(first)} == {np.dtype("float32")}
    for name in ("latent", "after"):
        rows = found[name].reshape(4, -1)
        np.testing.assert_allclose(rows.min(axis=1), 0, atol=1e-6)
        np.testing.assert_allclose(rows.max(axis=1), 1, atol=1e-6)
    before = everything(net, first, boards(4), action)
    assert not any(before[name].any() for name in ("reward", "policy", "value"))


@pytest.mark.parametrize("kind", LEARNED)
def test_a_row_of_a_learned_network_depends_on_its_action_and_on_no_other_row(kind):
    net, _, params = learned_network(kind)
    batch, action = boards(5), np.array([0, 1, 2, 1, 0])
    one = everything(net, params, batch, action)
    mates = np.concatenate([batch[:2], 100 * boards(3, seed=1)])
    two = everything(net, params, mates, np.array([0, 1, 0, 2, 1]))
    for name in one:
        np.testing.assert_array_equal(one[name][:2], two[name][:2], err_msg=name)
    other = everything(net, params, batch, (action + 1) % 3)
    np.testing.assert_array_equal(one["latent"], other["latent"])
    for name in one.keys() - {"latent"}:
        assert (one[name] != other[name]).any(axis=tuple(range(1, one[name].ndim))).all(), name


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_afterstates_depend_on_the_action_states_on_the_code_and_codes_on_both_observations(kind):
    config = NetworkSettings(kind=kind, width=8, blocks=1, head_width=8, chance_codes=6)
    net = make_learned_network(config, 3, atoms=11)
    first = quick_jit(net.init)(jax.random.key(0), boards(1))
    params = noisy(first)

    def call(params, before, after, action, code):
        latent = net.apply(params, before, method="represent")
        afterstate = net.apply(params, latent, action, method="decide")
        chance, value = net.apply(params, afterstate, method="predict_afterstate")
        state, _, reward = net.apply(params, afterstate, (), jax.nn.one_hot(code, 6), method="step")
        coded = net.apply(params, before, after, method="encode")
        return {
            "afterstate": afterstate,
            "chance": chance,
            "value": value,
            "state": state,
            "reward": reward,
            "coded": coded,
        }

    call = quick_jit(call)
    one, two = boards(5), boards(5, seed=1)
    action, code = np.array([0, 1, 2, 1, 0]), np.array([5, 4, 3, 2, 1])
    found = call(params, one, two, action, code)
    latent = (5, 8) if kind == "mlp" else (5, *BOARD[:2], 8)
    shapes = {"afterstate": latent, "chance": (5, 6), "value": (5, 11)}
    shapes |= {"state": latent, "reward": (5, 11), "coded": (5, 6)}
    assert {name: array.shape for name, array in found.items()} == shapes
    changes = {
        "action": (call(params, one, two, (action + 1) % 3, code), {"coded"}),
        "code": (call(params, one, two, action, code - 1), {"afterstate", "chance", "value", "coded"}),
        "what came": (call(params, one, one, action, code), shapes.keys() - {"coded"}),
    }
    for what, (other, same) in changes.items():
        for name in shapes:
            changed = np.abs(found[name] - other[name]).max(axis=tuple(range(1, found[name].ndim))) > 0
            assert changed.tolist() == [name not in same] * 5, (what, name)
    rows = (np.arange(5) < 3)[:, None, None, None]
    mates = call(params, np.where(rows, one, 9.0), np.where(rows, two, 7.0), action, code)
    for name in shapes:
        np.testing.assert_array_equal(found[name][:3], mates[name][:3], err_msg=name)
    # A new network takes all codes for equally likely, and tells observations apart.
    before = call(first, one, two, action, code)
    assert not before["chance"].any()
    assert not before["value"].any()
    assert np.std(before["coded"], axis=0).min() > 0.05


@pytest.mark.parametrize(
    ("num_actions", "cells"),
    [
        (6, lambda action: {action}),  # the cells of a board of 2 x 3
        (7, lambda action: {action} if action < 6 else set()),  # and passing
        (3, lambda action: {action, action + 3}),  # its columns
    ],
)
def test_an_action_shows_on_the_board_where_its_number_says(num_actions, cells):
    parameters = quick_jit(MapDynamics(4, 0, num_actions).init)(
        jax.random.key(0), np.ones((1, 2, 3, 4), np.float32), np.zeros(1, np.int32)
    )
    planes = np.asarray(parameters["params"]["Embed_0"]["embedding"])
    for action in range(num_actions):
        assert {int(cell) for cell in planes[action].nonzero()[0]} == cells(action)
        assert set(planes[action]) <= {0.0, 1.0}


def test_actions_that_are_no_places_differ_by_noise():
    parameters = quick_jit(MapDynamics(4, 0, 50).init)(
        jax.random.key(0), np.ones((1, 4, 4, 4), np.float32), np.zeros(1, np.int32)
    )
    planes = np.asarray(parameters["params"]["Embed_0"]["embedding"])
    assert abs(planes.std() - 1) < 0.1
    assert len(np.unique(planes)) == planes.size


def test_the_memory_of_a_value_prefix_matters_and_begins_at_zero():
    net, _, params = learned_network("efficientzero")
    step = quick_jit(functools.partial(net.apply, method="step"))
    latent = quick_jit(functools.partial(net.apply, method="represent"))(params, boards(2))
    action, zero = np.array([0, 1]), net.no_memory(2)
    assert not any(np.asarray(part).any() for part in zero)
    _, memory, first = step(params, latent, zero, action)
    _, _, second = step(params, latent, memory, action)
    assert (np.asarray(first) != np.asarray(second)).any(axis=1).all()
    assert MuZeroNet(3).no_memory(2) == ()


def test_the_range_of_a_latent_state_is_its_own_and_a_constant_one_stays_finite():
    latent = np.array([[1.0, 3.0, 2.0], [-5.0, 5.0, 0.0], [4.0, 4.0, 4.0]], np.float32)
    expected = [[0.0, 1.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(quick_jit(to_unit_range)(latent), expected, atol=1e-6)
    gradient = quick_jit(jax.grad(lambda x: jnp.sum(to_unit_range(x) ** 2)))
    assert np.isfinite(gradient(latent)).all()


@pytest.mark.optimised
@pytest.mark.parametrize("level", [0, None], ids=["compiled little", "compiled"])
def test_gradients_of_a_latent_state_are_finite_however_they_are_compiled(level):
    """The largest number may be computed twice, with different rounding: then no number equals it."""
    net, _, params = learned_network("mlp")
    observation = np.random.default_rng(3).normal(size=(500, 4)).astype(np.float32)
    params = noisy(quick_jit(net.init)(jax.random.key(0), observation))
    options = {} if level is None else {"xla_backend_optimization_level": level}

    def loss(params):
        return jnp.sum(net.apply(params, observation, method="represent") ** 2)

    grads = jax.jit(jax.grad(loss), compiler_options=options)(params)
    assert all(np.isfinite(grad).all() for grad in jax.tree.leaves(grads))


TOKENS = NetworkSettings(kind="transformer", width=32, blocks=2)


def token_observation(batch=5, seed=0):
    """Six tokens of three features, two of four, and a single one."""
    shapes, rng = {"cards": (6, 3), "players": (2, 4), "table": (5,)}, np.random.default_rng(seed)
    return {name: rng.normal(size=(batch, *shape)).astype(np.float32) for name, shape in shapes.items()}


def test_a_transformer_attends_to_every_token():
    net = make_network(TOKENS, 7, num_values=3)
    observation = token_observation()
    params = noisy(quick_jit(net.init)(jax.random.key(0), observation))
    apply = quick_jit(net.apply)
    logits, value = apply(params, observation)
    assert logits.shape == (5, 7)
    assert value.shape == (5, 3)
    assert (np.abs(value) < 1).all()
    for name, leaf in observation.items():
        tokens = leaf.shape[1] if leaf.ndim == 3 else 1
        for token in range(tokens):
            at = (slice(None), token) if leaf.ndim == 3 else slice(None)
            changed = leaf.copy()
            changed[at] += 1
            changed = apply(params, observation | {name: changed})[0]
            assert (np.abs(changed - logits).max(axis=1) > 1e-5).all(), (name, token)


def test_a_value_limit_makes_room_for_scores():
    observation = np.ones((4, 5), np.float32)
    plain, wide = (
        make_network(NetworkSettings(width=8, blocks=1, value_limit=limit), 3) for limit in (1, 500)
    )
    params = noisy(quick_jit(plain.init)(jax.random.key(0), observation))
    apply = quick_jit(wide.apply)
    expected = quick_jit(lambda params: from_unit(plain.apply(params, observation)[1], 500))(params)
    np.testing.assert_allclose(apply(params, observation)[1], expected)
    loud = jax.tree.map(lambda x: 1e3 * x, params)
    np.testing.assert_allclose(np.abs(apply(loud, observation)[1]), 500, rtol=1e-3)
    with pytest.raises(ValueError, match=r"value_limit is 0\.5"):
        NetworkSettings(value_limit=0.5)


def test_a_row_of_a_transformer_depends_on_its_tokens_places_and_on_no_other_row():
    net = make_network(TOKENS, 7)
    observation = token_observation()
    params = noisy(quick_jit(net.init)(jax.random.key(0), observation))
    apply = quick_jit(net.apply)
    together = apply(params, observation)
    alone = jax.tree.map(lambda x: np.zeros_like(x), observation)
    for name, leaf in alone.items():
        leaf[3] = observation[name][3]
    alone = apply(params, alone)
    np.testing.assert_allclose(alone[0][3], together[0][3], atol=1e-5)
    np.testing.assert_allclose(alone[1][3], together[1][3], atol=1e-5)
    # A token's place tells it apart: the same cards at other places are something else.
    swapped = observation["cards"][:, [1, 0, 2, 3, 4, 5]]
    assert not np.allclose(apply(params, observation | {"cards": swapped})[0], together[0], atol=1e-5)


def test_a_transformers_attention_is_a_softmax_over_all_tokens():
    """One block's attention by hand: heads of 32 units, the query of every token against the keys of all."""
    net = Transformer(width=64, blocks=1)
    observation = token_observation(batch=2)
    params = quick_jit(net.init)(jax.random.key(0), observation)
    _, state = quick_jit(functools.partial(net.apply, capture_intermediates=True))(params, observation)
    attention = params["params"]["MultiHeadDotProductAttention_0"]
    x = np.asarray(state["intermediates"]["LayerNorm_0"]["__call__"][0])

    def project(name):
        return np.einsum("bnd,dhe->bnhe", x, attention[name]["kernel"]) + attention[name]["bias"]

    query, key, value = map(project, ("query", "key", "value"))
    assert query.shape == (2, 6 + 2 + 1 + 1, 2, 32)
    scores = np.exp(np.einsum("bnhe,bmhe->bhnm", query, key) / np.sqrt(32))
    mixed = np.einsum("bhnm,bmhe->bnhe", scores / scores.sum(-1, keepdims=True), value)
    expected = np.einsum("bnhe,hed->bnd", mixed, attention["out"]["kernel"]) + attention["out"]["bias"]
    found = state["intermediates"]["MultiHeadDotProductAttention_0"]["__call__"][0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_transformer_needs_tokens():
    with pytest.raises(ValueError, match=r"needs observation leaves \[f\] or \[n, f\], not \(3, 3, 2\)"):
        make_network(TOKENS, 7).init(jax.random.key(0), jnp.zeros((1, 3, 3, 2)))
