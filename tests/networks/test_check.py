"""The check of a network before training: what it refuses, and that it refuses no correct network."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jzero
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.models.learned import LearnedModel
from jzero.networks import (
    LearnedNetwork,
    Network,
    NetworkSettings,
    Support,
    ValuePrefix,
    from_flax,
    learned_network,
    make_learned_network,
    policy_value_network,
)
from jzero.networks.check import NetworkError, check_network
from tests.helpers.env_examples import Aim, Emulator, TwoPiles
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

WIDTH, ATOMS, CODES = 16, 5, 3
SPEC = jzero.describe(jzero.make("tic_tac_toe"))


def flat(observation):
    leaves = [x.reshape(x.shape[0], -1).astype(jnp.float32) for x in jax.tree.leaves(observation)]
    return jnp.concatenate(leaves, axis=1)


class Net(nn.Module):
    """A layer, then what is done between layers, then two heads."""

    actions: int = 9
    between: str = ""
    zeros: bool = False
    norm: nn.Module | None = None

    @nn.compact
    def __call__(self, observation):
        x = flat(observation)
        x = nn.relu(nn.Dense(WIDTH)(x - x.mean(0) if self.between == "mean first" else x))
        if self.between == "mean":
            x = x - x.mean(0)
        if self.norm is not None:
            x = self.norm(x)
        last = nn.initializers.zeros if self.zeros else nn.initializers.lecun_normal()
        policy, value = nn.Dense(self.actions, kernel_init=last)(x), nn.Dense(1, kernel_init=last)(x)
        return policy, jnp.tanh(value)[:, 0]


class Bools(TwoPiles):
    """Its observation tells in bools what is on the piles."""

    dtype = bool

    def observe(self, state):
        seen = super().observe(state)
        return jnp.concatenate([seen == n / 2 for n in range(7)]).astype(self.dtype)


class Integers(Bools):
    """The same in numbers of 0 and 1."""

    dtype = jnp.uint8


def test_rows_that_depend_on_each_other_are_seen_behind_last_layers_of_zeros():
    with pytest.raises(NetworkError, match=r"policy of a row changes with the other rows"):
        check_network(SPEC, from_flax(Net(between="mean", zeros=True)))


@pytest.mark.parametrize("env", [Bools(), Integers()], ids=["bools", "integers"])
@pytest.mark.parametrize("zeros", [False, True])
def test_rows_that_depend_on_each_other_are_seen_where_observations_are_not_floats(env, zeros):
    spec = jzero.describe(env)
    with pytest.raises(NetworkError, match="changes with the other rows"):
        check_network(spec, from_flax(Net(spec.num_actions, between="mean first", zeros=zeros)))
    check_network(spec, from_flax(Net(spec.num_actions, zeros=zeros)))


def test_an_emulator_is_not_stepped():
    class Whole(Emulator):
        def observe(self, state):
            return super().observe(state).astype(jnp.int32)

        def step(self, state, action, key):
            raise AssertionError

    check_network(jzero.describe(Whole()), from_flax(Net(4)))


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(), nn.GroupNorm(4), nn.RMSNorm()], ids=lambda norm: type(norm).__name__
)
@pytest.mark.parametrize("zeros", [False, True])
def test_a_network_of_independent_rows_is_accepted(norm, zeros):
    check_network(SPEC, from_flax(Net(norm=norm, zeros=zeros)))


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(kind="mlp"),
        NetworkSettings(kind="mlp", width=64, norm="none", bf16=True),
        NetworkSettings(kind="resnet", width=16, blocks=6, norm="none"),
        NetworkSettings(kind="resnet", width=16, blocks=2, norm="group", policy_head="cells", bf16=True),
    ],
    ids=lambda settings: settings.kind,
)
def test_the_built_in_networks_are_accepted(settings):
    check_network(SPEC, policy_value_network(SPEC, settings))


def test_a_transformer_and_values_of_scores_are_accepted():
    spec, settings = jzero.describe(TwoPiles()), NetworkSettings("transformer", width=32, value_limit=500)
    check_network(spec, policy_value_network(spec, settings))


def test_a_network_that_reads_numbers_as_names_is_accepted():
    """Changed observations, which the check makes up, are no names; the outputs are then not numbers."""

    class Names(nn.Module):
        @nn.compact
        def __call__(self, observation):
            x = nn.Embed(4, WIDTH)(observation.astype(jnp.int32)).reshape(observation.shape[0], -1)
            return nn.Dense(4)(x), nn.Dense(1)(x)[:, 0]

    check_network(jzero.describe(TwoPiles()), from_flax(Names()))


@pytest.mark.parametrize(
    ("weight", "named"),
    [(jnp.arange(3), r"params\['n'\] is int32\[3\]"), (True, r"params\['n'\] is bool"), ("x", "is str")],
)
def test_a_weight_without_a_gradient_is_named(weight, named):
    network = from_flax(Net())

    def init(key, observation):
        return network.init(key, observation) | {"n": weight}

    def apply(params, observation):
        return network.apply({"params": params["params"]}, observation)

    with pytest.raises(NetworkError, match=rf"{named}.* no gradient.* keep constants outside of params"):
        check_network(SPEC, Network(init, apply))


@functools.cache
def built_in(kind="mlp", env=SPEC, codes=0, prefix=0):
    settings = NetworkSettings(kind=kind, width=8, blocks=1, head_width=8, chance_codes=codes)
    sizes = {"atoms": ATOMS, "prefix_width": prefix, "projection_width": 4}
    return learned_network(make_learned_network(settings, env.num_actions, env.action_size, **sizes))


@pytest.mark.parametrize(
    ("kind", "env", "codes", "prefix"),
    [("mlp", SPEC, 0, 0), ("resnet", SPEC, CODES, 4), ("mlp", jzero.describe(Aim()), CODES, 0)],
    ids=["smallest", "all parts", "continuous"],
)
def test_the_built_in_learned_networks_are_accepted(kind, env, codes, prefix):
    check_network(env, built_in(kind, env, codes, prefix), ATOMS)


def shorter(function, index):
    """The function with the last number of its output (or of output `index`) left out."""

    def changed(*arguments):
        found = function(*arguments)
        if index is None:
            return found[:, :-1]
        return tuple(x[:, :-1] if i == index else x for i, x in enumerate(found))

    return changed


def part_of(network, path):
    for name in path.split("."):
        network = getattr(network, name)
    return network


def with_part(network, path, new):
    first, _, rest = path.partition(".")
    return network._replace(**{first: with_part(getattr(network, first), rest, new) if rest else new})


@pytest.mark.parametrize(
    ("path", "index", "named"),
    [
        ("predict", 0, r"policy is float32\[4, 8\] .*expected float32\[4, 9\]"),
        ("predict", 1, r"value is float32\[4, 4\] .*expected float32\[4, 5\], since .* muzero\.atoms is 5"),
        ("dynamics", 0, r"latent after a step is float32\[4, 7\]; expected float32\[4, 8\], as the latent"),
        ("dynamics", 1, r"reward is .* muzero\.atoms is 5"),
        ("prefix.dynamics", 0, r"latent after a step is float32\[4, 7\]"),
        ("prefix.dynamics", 2, r"reward is .* muzero\.atoms is 5"),
        ("afterstate.predict", 0, r"codes of afterstate\.predict is float32\[4, 2\] .*float32\[4, 3\]"),
        ("afterstate.predict", 1, r"value of afterstate\.predict is .* muzero\.atoms is 5"),
        ("afterstate.encode", None, r"code of afterstate\.encode is float32\[4, 2\] .*float32\[4, 3\]"),
        (
            "projection.predict",
            None,
            r"prediction of projection\.predict is float32\[4, 3\].*float32\[4, 4\]",
        ),
    ],
)
def test_a_part_of_a_learned_network_with_another_shape_is_named(path, index, named):
    network = built_in(codes=CODES if "afterstate" in path else 0, prefix=4 if "prefix" in path else 0)
    with pytest.raises(NetworkError, match=named):
        check_network(SPEC, with_part(network, path, shorter(part_of(network, path), index)), ATOMS)


def test_a_value_prefix_keeps_its_memory():
    network = built_in(prefix=4)

    def forgets(*arguments):
        latent, _, reward = network.prefix.dynamics(*arguments)
        return latent, (), reward

    with pytest.raises(NetworkError, match=r"memory after a step is \(\); expected .*float32\[4, 4\]"):
        check_network(SPEC, with_part(network, "prefix.dynamics", forgets), ATOMS)


def test_a_memory_of_any_shape_is_set_back():
    network = built_in(prefix=4)

    def reshaped(memory, *shape):
        return jax.tree.map(lambda x: x.reshape(x.shape[0], *shape), memory)

    def dynamics(params, latent, memory, action):
        latent, memory, reward = network.prefix.dynamics(params, latent, reshaped(memory, 4), action)
        return latent, reshaped(memory, 2, 2), reward

    prefix = ValuePrefix(lambda rows: reshaped(network.prefix.memory(rows), 2, 2), dynamics)
    check_network(SPEC, network._replace(prefix=prefix), ATOMS)
    seen = jzero.observe_batch(SPEC.env, jzero.init_batch(SPEC.env, jax.random.key(0), 3))
    params, found = jax.jit(network.init)(jax.random.key(1), seen[:1]), []
    for each in (network, network._replace(prefix=prefix)):
        learned = LearnedModel(each, Support(1.0, ATOMS), Support(1.0, ATOMS), prefix_horizon=2, discount=1.0)
        latent, step = quick_jit(learned.represent)(params, seen), quick_jit(learned.step)
        for _ in range(3):
            latent, _ = step(params, latent, jnp.zeros(3, jnp.int32))
        found.append(reshaped(latent.memory, 4))
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_consistency_loss_needs_a_projection():
    settings = tiny(muzero=MuZeroSettings(consistency_weight=2.0, atoms=ATOMS))
    with pytest.raises(ValueError, match=r"consistency_weight is 2, but the network has no projection"):
        jzero.muzero(SPEC, built_in()._replace(projection=None), settings)


def test_the_latent_state_keeps_its_dtype():
    network = built_in()

    def narrow(params, latent, action):
        latent, reward = network.dynamics(params, latent, action)
        return latent.astype(jnp.bfloat16), reward

    with pytest.raises(NetworkError, match=r"after a step is bfloat16\[4, 8\]; expected float32\[4, 8\]"):
        check_network(SPEC, network._replace(dynamics=narrow), ATOMS)


def test_a_latent_state_is_one_array():
    network = built_in()._replace(represent=lambda params, observation: {"a": observation})
    assert isinstance(network, LearnedNetwork)
    with pytest.raises(
        NetworkError, match=r"latent of represent is dict .*expected one array float32\[4, \.\.\.\]"
    ):
        check_network(SPEC, network, ATOMS)


def test_rows_of_an_afterstate_are_independent():
    network = built_in(codes=CODES)

    def mixed(params, latent, action):
        after = network.afterstate.decide(params, latent, action)
        return after - after.mean(0)

    with pytest.raises(NetworkError, match=r"afterstate\.predict of a row changes with the other rows"):
        check_network(SPEC, with_part(network, "afterstate.decide", mixed), ATOMS)
