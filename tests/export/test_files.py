"""Weights, StableHLO and ONNX next to the network in JAX."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.env import reveal_batch
from jzero.env_spec import describe
from jzero.export import onnx, root_network
from jzero.export.root import RootNetwork, random_observations, random_states
from jzero.export.stablehlo import write_stablehlo
from jzero.export.weights import flat, write_weights
from jzero.networks import Support, from_flax
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.build import build_agent, build_network
from tests.helpers.exporting import random_network, random_root
from tests.helpers.tiny import tiny

MLP = NetworkSettings(width=16, blocks=1)
TOWER = NetworkSettings("resnet", width=8, blocks=3, head_width=16)


def test_weights_come_back_to_the_bit_under_their_names(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    _, _, params = random_network("tic_tac_toe", MLP)
    write_weights(params, tmp_path / "w.safetensors", {"environment": "tic_tac_toe"})
    found = load_file(tmp_path / "w.safetensors")
    assert "params/body/Dense_0/kernel" in found
    leaves = jax.tree.leaves_with_path(params)
    assert len(found) == len(leaves)
    for path, leaf in leaves:
        array = found["/".join(key.key for key in path)]
        assert (array.dtype, array.tobytes()) == (leaf.dtype, leaf.tobytes())
    with safetensors.safe_open(tmp_path / "w.safetensors", "np") as file:
        assert file.metadata() == {"environment": "tic_tac_toe"}


def test_names_of_lists_and_attributes():
    from jzero.env import Revealed

    tree = {"a": [np.zeros(1), np.ones(2)], "b": Revealed(np.zeros(3), np.zeros(4))}
    assert {name: x.shape for name, x in flat(tree).items()} == {
        "a/0": (1,), "a/1": (2,), "b/seen": (3,), "b/hidden": (4,),
    }  # fmt: skip


def test_stablehlo_says_what_the_agent_says_whatever_the_number_of_rows(tmp_path):
    pytest.importorskip("flatbuffers")
    config = tiny(network=TOWER)
    spec, network, params = random_network("tic_tac_toe", TOWER)
    write_stablehlo(root_network(spec, network, params), tmp_path / "net")
    states = random_states(spec, 64)
    agent = build_agent(spec.env, config, params)
    loaded = jax.export.deserialize((tmp_path / "net").read_bytes())
    assert set(loaded.platforms) == {"cpu", "cuda", "tpu"}
    for rows in (1, 64):
        some = jax.tree.map(lambda leaf, rows=rows: leaf[:rows], states)
        policy, value = loaded.call(seen(spec, some))
        legal = policy * some.legal_action_mask
        expected_policy, expected_value = agent.evaluate(some)
        np.testing.assert_allclose(legal / legal.sum(axis=1, keepdims=True), expected_policy, atol=1e-6)
        np.testing.assert_allclose(value, expected_value, atol=1e-6)
        assert policy.shape == (rows, 9)
    assert np.std(value) > 0.01


def seen(spec, states):
    return jax.device_get(reveal_batch(spec.env, states))


def test_a_network_that_reads_the_number_of_rows_has_a_clear_error(tmp_path):
    pytest.importorskip("flatbuffers")
    spec, network, params = random_network("tic_tac_toe", MLP)
    fixed = network._replace(apply=lambda params, x: network.apply(params, jnp.zeros((4, 3, 3, 2)) + x))
    with pytest.raises(ValueError, match="cannot be exported as StableHLO for cpu and any number of rows"):
        write_stablehlo(root_network(spec, fixed, params), tmp_path / "net", ["cpu"])
    assert not (tmp_path / "net").exists()


def test_a_learned_models_representation_and_prediction():
    config = tiny(algorithm="gumbel_muzero", network=MLP)
    spec = describe(make("tic_tac_toe"))
    network = build_network(spec, config)
    params = network.init(jax.random.key(0), spec.observed(jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32), params)
    net = root_network(spec, network, params, Support(config.muzero.value_limit, config.muzero.atoms))
    states = random_states(spec, 16)
    policy, value = net.apply(net.observe(states))
    legal = policy * states.legal_action_mask
    expected = build_agent(spec.env, config, params).evaluate(states)
    np.testing.assert_allclose(legal / legal.sum(axis=1, keepdims=True), expected[0], atol=1e-6)
    np.testing.assert_allclose(value, expected[1], atol=1e-6)


class Own(nn.Module):
    """A user's own network."""

    actions: int

    @nn.compact
    def __call__(self, observation):
        x = nn.Conv(8, (3, 3))(observation)
        x = nn.LayerNorm()(nn.gelu(nn.Dense(16)(x.reshape(x.shape[0], -1))))
        return nn.Dense(self.actions)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


def own_root(name: str) -> RootNetwork:
    spec = describe(make(name), name)
    network = from_flax(Own(spec.num_actions))
    return root_network(spec, network, network.init(jax.random.key(0), spec.seen(jax.random.key(0))))


def with_onnx():
    for package in ("jax2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(package)


@pytest.mark.parametrize("name", ["mlp", "tower", "own"])
def test_onnx_says_what_jax_says(tmp_path, name):
    with_onnx()
    if name == "own":
        net = own_root("tic_tac_toe")
    else:
        net = random_root("tic_tac_toe", {"mlp": MLP, "tower": TOWER}[name])
    found = onnx.write_onnx(net, tmp_path / "net.onnx")
    assert max(found) <= 1e-5
    observation = random_observations(net, 5)
    model = onnx.session((tmp_path / "net.onnx").read_bytes())
    policy, value = model.run(["policy", "value"], {"observation": observation})
    expected = net.apply(observation)
    np.testing.assert_allclose(policy, expected[0], atol=1e-5)
    np.testing.assert_allclose(value, expected[1], atol=1e-5)
    assert np.std(policy) > 0.01


def test_onnx_that_differs_is_not_written(tmp_path, monkeypatch):
    with_onnx()
    net, other = (random_root("tic_tac_toe", MLP) for _ in range(2))
    content = onnx.convert(net)
    monkeypatch.setattr(onnx, "convert", lambda net: content)
    wrong = other._replace(apply=lambda x: (other.apply(x)[0], other.apply(x)[1] + 1e-3))
    with pytest.raises(ValueError, match=r"differs from JAX by .* 1.0e-03 in the value"):
        onnx.write_onnx(wrong, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_onnx_of_what_jax2onnx_cannot_do_has_a_clear_error(tmp_path):
    with_onnx()
    net = random_root("tic_tac_toe", NetworkSettings(width=16, blocks=1, bf16=True))
    with pytest.raises(
        ValueError, match="cannot be exported as ONNX, unlike MLPs and residual towers in float32"
    ):
        onnx.write_onnx(net, tmp_path / "net.onnx")


def test_a_missing_extra_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'this needs safetensors: pip install "jzero\[export\]"'):
        write_weights({}, tmp_path / "w", {})


GAMES = ("tic_tac_toe", "connect_four", "quoridor?size=5&walls=3", "pgx:othello", "pgx:go_9x9")
NETWORKS = {
    "mlp": NetworkSettings(width=64, blocks=2),
    "layer": NetworkSettings("resnet", width=32, blocks=3),
    "group": NetworkSettings("resnet", width=32, blocks=3, norm="group"),
    "none": NetworkSettings("resnet", width=32, blocks=3, norm="none"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("kind", [*NETWORKS, "own"])
def test_onnx_on_a_thousand_positions_of_random_play(name, kind):
    with_onnx()
    net = own_root(name) if kind == "own" else random_root(name, NETWORKS[kind])
    found = onnx.compare(net, onnx.convert(net), random_observations(net, 1000))
    assert max(found) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tic_tac_toe", "pgx:go_9x9"])
def test_onnx_of_a_policy_with_a_number_for_each_cell(name):
    with_onnx()
    net = random_root(name, NetworkSettings("resnet", width=32, blocks=2, policy_head="cells"))
    assert max(onnx.compare(net, onnx.convert(net), random_observations(net, 200))) <= 1e-4
