"""Networks of flax, equinox, haiku and plain functions compute what their modules compute, and train alike."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jzero
from jzero.networks import LearnedNetwork, Network, from_equinox, from_flax, from_haiku, learned_from_flax
from jzero.networks.check import NetworkError, check_network

KEY = jax.random.key(0)
A, WIDTH, ATOMS = 9, 16, 21
SPEC = jzero.describe(jzero.make("tic_tac_toe"))


class Net(nn.Module):
    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.Dense(WIDTH)(observation.reshape(observation.shape[0], -1)))
        return nn.Dense(A)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


class Learned(nn.Module):
    def setup(self):
        self.read, self.change = nn.Dense(WIDTH), nn.Dense(WIDTH)
        self.policy, self.value, self.reward = nn.Dense(A), nn.Dense(ATOMS), nn.Dense(ATOMS)

    def represent(self, observation):
        return nn.relu(self.read(observation.reshape(observation.shape[0], -1)))

    def dynamics(self, latent, action):
        after = nn.relu(self.change(jnp.concatenate([latent, jax.nn.one_hot(action, A)], axis=-1)))
        return after, self.reward(after)

    def predict(self, latent):
        return self.policy(latent), self.value(latent)


def plain():
    """Two functions, no library."""

    def init(key, observation):
        size = observation[0].size
        return {"w": 0.1 * jax.random.normal(key, (size, A)), "v": jnp.zeros(size)}

    def apply(params, observation):
        x = observation.reshape(observation.shape[0], -1)
        return x @ params["w"], jnp.tanh(x @ params["v"])

    return Network(init, apply)


def of_equinox():
    eqx = pytest.importorskip("equinox")

    class Module(eqx.Module):
        policy: eqx.nn.MLP
        value: eqx.nn.MLP

        def __init__(self, key):
            one, two = jax.random.split(key)
            self.policy = eqx.nn.MLP(18, A, WIDTH, 1, key=one)
            self.value = eqx.nn.MLP(18, "scalar", WIDTH, 1, key=two)

        def __call__(self, observation):
            x = observation.reshape(-1)
            return self.policy(x), jnp.tanh(self.value(x))

    return from_equinox(Module), Module


def of_haiku():
    hk = pytest.importorskip("haiku")

    def forward(observation):
        x = jax.nn.relu(hk.Linear(WIDTH)(observation.reshape(observation.shape[0], -1)))
        return hk.Linear(A)(x), jnp.tanh(hk.Linear(1)(x))[:, 0]

    return from_haiku(hk.transform(forward))


def first_observations(count=3):
    return jzero.observe_batch(SPEC.env, jzero.init_batch(SPEC.env, KEY, count))


def test_flax_functions_are_the_modules():
    seen, network = first_observations(), from_flax(Net())
    params = network.init(KEY, seen[:1])
    for found, wanted in zip(network.apply(params, seen), Net().apply(params, seen), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_equinox_reads_one_observation_at_a_time():
    network, module = of_equinox()
    seen = jax.random.normal(KEY, first_observations().shape)
    logits, value = network.apply(network.init(KEY, seen[:1]), seen)
    each = [module(KEY)(row) for row in seen]
    np.testing.assert_allclose(logits, jnp.stack([row[0] for row in each]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, jnp.stack([row[1] for row in each]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: from_flax(Net()), lambda: of_equinox()[0], of_haiku, plain])
def test_a_network_of_any_library_keeps_the_contract(make):
    check_network(SPEC, make())


def test_a_learned_network_of_flax_has_the_parameters_of_all_parts():
    network, seen = learned_from_flax(Learned()), first_observations(1)
    params = network.init(KEY, seen)
    assert set(params["params"]) == {"read", "change", "policy", "value", "reward"}
    check_network(SPEC, network, ATOMS)
    latent, reward = network.dynamics(params, network.represent(params, seen), jnp.zeros(1, jnp.int32))
    assert latent.shape == (1, WIDTH)
    assert reward.shape == (1, ATOMS)


def broken(change):
    """A network whose (logits, value) are changed."""

    def apply(params, observation):
        return change(*plain().apply(params, observation))

    return Network(plain().init, apply)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda logits, value: (logits[:, :-1], value), ["policy", "[4, 8]", "[4, 9]"]),
        (lambda logits, value: (logits, value[:, None]), ["value", "[4, 1]", "[4]", "squeeze"]),
        (lambda logits, value: (logits.astype(int), value), ["policy", "int32", "float32"]),
        (lambda logits, value: (logits, value / 0), ["value", "not finite"]),
        (lambda logits, value: logits, ["network returns", "policy, value"]),
        (lambda logits, value: (logits - logits.mean(0), value), ["policy", "other rows", "BatchNorm"]),
        (lambda logits, value: (logits, value + jnp.arange(4.0) / 9), ["value", "other rows"]),
    ],
)
def test_what_is_wrong_with_a_network_is_named(change, named):
    with pytest.raises(NetworkError) as error:
        check_network(SPEC, broken(change))
    assert all(text in str(error.value) for text in named), str(error.value)


def test_a_network_of_the_wrong_kind_is_refused():
    learned = learned_from_flax(Learned())
    assert isinstance(learned, LearnedNetwork)
    with pytest.raises(ValueError, match=r"network is LearnedNetwork; expected .*Network.* 'alphazero'"):
        jzero.train("tic_tac_toe", algorithm="alphazero", network=learned, minutes=0.1)
