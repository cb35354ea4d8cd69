"""Arguments of `jzero.train` that are of another kind than what their names say: one line says what to type."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from jzero_envs.tic_tac_toe import TicTacToe

import jzero
from jzero.metrics import Mean, one
from jzero.networks import NetworkSettings, from_flax, learned_network, make_learned_network
from jzero.networks.make import policy_value_network
from jzero.program import make_program
from jzero.run import train as train_lib
from jzero.run.build import Parts, build, build_algorithm, build_network
from jzero.run.config import RunConfig, TrainConfig
from jzero.run.train import _kind_of
from tests.helpers.tiny import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

SPEC = jzero.describe(jzero.make("tic_tac_toe"))
SMALL = {"games": 8, "plies": 6, "replay_plies": 18, "batch_size": 16, "updates": 2, "iterations": 1}


@pytest.fixture(autouse=True)
def devices_of_this_process(monkeypatch):
    """Chosen already, for all tests."""
    monkeypatch.setattr(train_lib, "set_up", lambda **_: None)


class Net(nn.Module):
    @nn.compact
    def __call__(self, observation):
        x = observation.reshape(observation.shape[0], -1)
        return nn.Dense(9)(x), jnp.tanh(nn.Dense(1)(x))[:, 0]


def without_return(spec, network, settings):
    jzero.alphazero(spec, network, settings)


def never(*_, **__):
    raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"optimizer": optax.adam},
            r"^optimizer is the function adam; .* call it, as in optax\.adam\(1e-3\)$",
        ),
        (
            {"optimizer": 1e-3},
            r"^optimizer is 0\.001; expected an optax transformation, .* setting learning_rate$",
        ),
        (
            {"search": {"num_simulations": 8}},
            r"^search is \{'num_simulations': 8\}; expected jzero\.\S+\.SearchSettings: write "
            r"search=SearchSettings\(num_simulations=8\)$",
        ),
        ({"muzero": {"td_steps": 3}}, r"MuZeroSettings: write muzero=MuZeroSettings\(td_steps=3\)$"),
        ({"auxiliary": 0.5}, r"^auxiliary is 0\.5; expected .*write auxiliary=AuxiliarySettings\(\.\.\.\)$"),
        ({"minutes": "10"}, r"^minutes is '10', of type str; expected a number$"),
        ({"env": TicTacToe}, r"^env is the class TicTacToe; .* make one, TicTacToe\(\.\.\.\)$"),
        ({"algorithm": 3}, r"^algorithm is int; expected alphazero, .*, or a function"),
    ],
)
def test_an_argument_of_another_kind_is_named_before_the_game_is_looked_at(arguments, said, monkeypatch):
    monkeypatch.setattr(train_lib, "seen", never)
    monkeypatch.setattr(train_lib, "check_shapes", never)
    with pytest.raises(ValueError, match=said):
        jzero.train(**({"env": "tic_tac_toe"} | SMALL | arguments))


@pytest.mark.parametrize(("name", "value"), [("network", {"width": 8}), ("search", None), ("muzero", {})])
def test_settings_are_no_dictionaries(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .*; expected jzero\.\S+Settings: write {name}="):
        tiny(**{name: value})
    with pytest.raises(ValueError, match=r"^train is \{\}; expected jzero\.run\.config\.TrainConfig"):
        RunConfig(train={})


@pytest.mark.parametrize("games", ["8", None, [8]])
def test_a_setting_that_is_no_number_is_named_with_its_type(games):
    with pytest.raises(
        ValueError, match=rf"^games is .*, of type {type(games).__name__}; expected a number$"
    ):
        TrainConfig(games=games)


def test_an_algorithm_that_returns_nothing_is_named():
    with pytest.raises(ValueError, match=r"^algorithm without_return returns NoneType; .*`return algorithm`"):
        build_algorithm(SPEC.env, tiny(), Parts(algorithm=without_return))
    with pytest.raises(ValueError, match=r"^algorithm partial returns NoneType"):
        build_algorithm(SPEC.env, tiny(), Parts(algorithm=functools.partial(without_return)))


def test_a_program_needs_an_optax_transformation():
    algorithm = build_algorithm(SPEC.env, tiny())
    with pytest.raises(ValueError, match="optimizer is the function sgd"):
        make_program(SPEC.env, algorithm, optax.sgd, tiny())


def with_loss(change):
    """AlphaZero whose loss is what `change` makes of its results."""

    def algorithm(spec, network, settings):
        found = jzero.alphazero(spec, network, settings)

        def loss(params, batch, key):
            total, (metrics, priorities) = found.loss(params, batch, key)
            return change(total, metrics, priorities)

        return found._replace(loss=loss)

    return algorithm


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda total, metrics, _: total, r"^loss returns float32\[\]; expected \(loss f32\[\], \(metrics"),
        (lambda total, metrics, _: (total, metrics), r"^loss returns dict next to its loss; expected"),
        (
            lambda total, metrics, _: (total, metrics, ()),
            r"^loss returns \(float32\[\], dict, \(\)\); expected",
        ),
        (lambda total, metrics, _: (total[None], (metrics, ())), r"^loss returns float32\[1\] as its loss"),
        (
            lambda total, metrics, _: (total, (metrics | {"new": total}, ())),
            r"^loss: metrics\['new'\] is float32\[\]; expected jzero\.metrics\.Mean: .*jzero\.metrics\.one\(x\)",
        ),
        (
            lambda total, metrics, _: (total, (metrics | {"new": Mean(jnp.ones(3), jnp.ones(3))}, ())),
            r"^loss: metrics\['new'\] is Mean\(float32\[3\], float32\[3\]\); expected .*sum over the samples",
        ),
    ],
)
def test_a_loss_with_other_results_is_named_before_any_game(change, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        jzero.train("tic_tac_toe", algorithm=with_loss(change), run_dir=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_loss_in_a_script_is_checked_in_its_first_update():
    def change(total, metrics, priorities):
        return total, (metrics | {"new": 1.0}, priorities)

    algorithm = build_algorithm(SPEC.env, tiny(), Parts(algorithm=with_loss(change)))
    program = make_program(SPEC.env, algorithm, optax.sgd(0.1), tiny())
    with pytest.raises(ValueError, match=r"metrics\['new'\] is float; expected jzero\.metrics\.Mean"):
        jax.eval_shape(program.learn, program.abstract)


def test_a_metric_of_ones_own_is_accepted():
    def change(total, metrics, priorities):
        return total, (metrics | {"new": one(total)}, priorities)

    build(SPEC.env, tiny(), parts=Parts(algorithm=with_loss(change)))


def learned():
    return learned_network(make_learned_network(NetworkSettings(width=8, blocks=1), 9, atoms=21))


def test_each_algorithm_names_the_network_that_it_needs():
    network = policy_value_network(SPEC, NetworkSettings(width=8, blocks=1))
    with pytest.raises(ValueError, match=r"^network is LearnedNetwork; expected \S+\.Network, .*'alphazero'"):
        jzero.alphazero(SPEC, learned(), tiny())
    with pytest.raises(
        ValueError, match=r"^network is Network; expected \S+\.LearnedNetwork, .*from_flax.*like="
    ):
        jzero.muzero(SPEC, network, tiny())
    assert isinstance(jzero.muzero(SPEC, learned(), tiny()), jzero.Algorithm)


def test_muzero_itself_brings_its_own_network():
    assert _kind_of(jzero.muzero, None, SPEC.env) == "gumbel_muzero"
    assert _kind_of(jzero.alphazero, None, SPEC.env) == "alphazero"
    assert _kind_of(jzero.muzero, lambda spec: learned(), SPEC.env) == "gumbel_muzero"


def test_a_network_for_scores_has_their_limit():
    config = tiny(network=NetworkSettings(width=8, blocks=1, value_limit=500))
    with pytest.raises(
        ValueError, match=r"value_limit 1, .* reach 500 .*value_limit=500 to from_flax.*from_unit"
    ):
        build_network(SPEC, config, Parts(from_flax(Net())))
    for network, settings in (
        (from_flax(Net(), value_limit=400.0), config),
        (from_flax(Net()), tiny()),
        (learned(), dataclasses.replace(config, algorithm="muzero")),
    ):
        assert build_network(SPEC, settings, Parts(network)) is network
