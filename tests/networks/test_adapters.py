"""Networks of flax, equinox, haiku and plain functions compute what their modules compute, and train alike."""

from functools import partial

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


def refusing(make, said):
    with pytest.raises(NetworkError, match=said):
        check_network(SPEC, make())


class Unsteady(Net):
    """With what changes in a forward pass, or is random."""

    norm: type[nn.Module] | None = None
    steady: bool | None = None

    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.Dense(WIDTH)(observation.reshape(observation.shape[0], -1)))
        if self.norm is nn.BatchNorm:
            x = nn.BatchNorm(use_running_average=self.steady)(x)
        if self.norm is nn.Dropout:
            x = nn.Dropout(0.5, deterministic=self.steady)(x)
        return nn.Dense(A)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


@pytest.mark.parametrize("steady", [False, True])
def test_a_flax_module_with_batch_statistics_is_refused(steady):
    said = r"Unsteady has the variables batch_stats besides params.* LayerNorm or GroupNorm"
    refusing(lambda: from_flax(Unsteady(nn.BatchNorm, steady)), said)


def test_dropout_gets_its_hint():
    said = (
        r"^network\.apply raised InvalidRngError \(.*dropout.*\) for float32\[4, 3, 3, 2\]: .*remove dropout"
    )
    refusing(lambda: from_flax(Unsteady(nn.Dropout, steady=False)), said)
    check_network(SPEC, from_flax(Unsteady(nn.Dropout, steady=True)))


def test_dropout_of_other_libraries_gets_its_hint():
    hk, eqx = pytest.importorskip("haiku"), pytest.importorskip("equinox")

    def forward(observation):
        x = hk.dropout(hk.next_rng_key(), 0.5, observation.reshape(observation.shape[0], -1))
        return hk.Linear(A)(x), hk.Linear(1)(x)[:, 0]

    class Drops(of_equinox()[1]):
        drop: eqx.nn.Dropout = eqx.nn.Dropout(0.5)

        def __call__(self, observation):
            return super().__call__(self.drop(observation))

    refusing(
        lambda: from_haiku(hk.transform(forward)),
        r"^network\.apply raised MissingRNGError .*: .*remove dropout",
    )
    refusing(lambda: from_equinox(Drops), r"^network\.apply raised RuntimeError .*: .*remove dropout")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: from_flax(Net), r"^module is the class Net; .*: from_flax\(Net\(\.\.\.\)\)$"),
        (lambda: from_flax(jnp.tanh), r"^module is the function tanh; expected an instance of a flax\.linen"),
        (
            lambda: learned_from_flax(Learned),
            r"the class Learned; .*: learned_from_flax\(Learned\(\.\.\.\)\)$",
        ),
        (lambda: learned_from_flax(Net()), r"^module Net lacks represent, dynamics, predict; expected"),
        (
            lambda: from_haiku(plain),
            r"^transformed is the function plain; expected haiku\.transform\(forward\)$",
        ),
        (lambda: from_equinox(3), r"^make is an object of class int; expected a function key -> module"),
    ],
)
def test_an_adapter_names_what_it_was_given(make, said):
    with pytest.raises(NetworkError, match=said):
        make()


def test_a_module_of_equinox_in_place_of_a_function_of_a_key_is_named():
    module = of_equinox()[1]
    with pytest.raises(
        NetworkError, match=r"^make is an object of class Module; .*lambda key: Net\(..., key=key\)"
    ):
        from_equinox(module(KEY))
    refusing(
        lambda: from_equinox(lambda key: (module(key), None)),
        r"^make returns an object of class tuple; .*state",
    )


def test_a_haiku_function_with_state_is_refused():
    hk = pytest.importorskip("haiku")
    with pytest.raises(
        NetworkError, match=r"TransformedWithState; expected haiku\.transform\(forward\), .*GroupNorm"
    ):
        from_haiku(hk.transform_with_state(lambda x: x))


def test_constants_of_an_equinox_module_are_numpy_arrays():
    pytest.importorskip("equinox")

    class Scaled(of_equinox()[1]):
        numbers: object = None

        def __call__(self, observation):
            policy, value = super().__call__(observation)
            return policy + self.numbers, value

    def with_numbers(numbers):
        return from_equinox(partial(make_scaled, numbers))

    def make_scaled(numbers, key):
        made = Scaled(key)
        object.__setattr__(made, "numbers", numbers)
        return made

    refusing(
        lambda: with_numbers(jnp.arange(A)),
        r"params\.numbers is int32\[9\], .*such as NumPy arrays in the module",
    )
    check_network(SPEC, with_numbers(np.arange(A, dtype=np.float32)))


@pytest.mark.parametrize("part", ["init", "apply"])
def test_an_error_of_a_networks_function_is_named_with_its_input(part):
    def fails(_, observation):
        raise KeyError(f"no weights\nfor {observation.shape[0]}")

    with pytest.raises(NetworkError, match=r"no weights\\nfor|no weights for") as error:
        check_network(SPEC, plain()._replace(**{part: fails}))
    rows = {"init": 1, "apply": 4}[part]
    assert str(error.value).startswith(f"network.{part} raised KeyError (")
    assert str(error.value).endswith(f"for float32[{rows}, 3, 3, 2]")
    assert isinstance(error.value.__cause__, KeyError)


def test_an_error_in_a_part_of_a_learned_network_is_named_with_its_inputs():
    network = learned_from_flax(Learned())._replace(dynamics=lambda params, latent, action: latent @ action)
    said = rf"^network\.dynamics raised TypeError \(.*\) for float32\[4, {WIDTH}\], int32\[4\]"
    with pytest.raises(NetworkError, match=said):
        check_network(SPEC, network, ATOMS)
