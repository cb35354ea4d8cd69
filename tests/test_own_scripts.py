"""The scripts that the pages on one's own network and training show: they run, and what they train is strong."""

import functools
import runpy

import jax
import pytest

import jzero
from jzero.algorithms.alphazero import position_of
from tests.helpers.tiny import REPOSITORY

EXPERIMENTS = REPOSITORY / "experiments"


def test_the_own_training_learns():
    script = runpy.run_path(str(EXPERIMENTS / "own_training.py"))
    state = jax.jit(script["init"])(jax.random.key(0))
    losses = []
    for number in range(6):
        state, (_, loss) = script["iteration"](state, jax.random.key(number))
        losses.append(float(loss.mean()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_the_own_training_never_loses_at_tic_tac_toe(capsys):
    script = runpy.run_path(str(EXPERIMENTS / "own_training.py"))
    assert script["main"](iterations=120) == 0
    assert ", 0 lost" in capsys.readouterr().out.splitlines()[-1]


def test_the_own_network_has_its_loss(tmp_path, capsys):
    script = runpy.run_path(str(EXPERIMENTS / "own_network.py"))
    env = jzero.make("connect_four")
    spec = jzero.describe(env)
    settings = jzero.algorithms.alphazero.AlphaZeroSettings()
    plain, mine = (
        make(spec, script["network"](spec), settings) for make in (jzero.alphazero, script["small_weights"])
    )
    params = plain.init(jax.random.key(0))
    state = jzero.init_batch(env, jax.random.key(1), 4)
    batch = jzero.replay.Sample(
        position=jax.vmap(functools.partial(position_of, spec))(state),
        policy=jax.numpy.full((4, 7), 1 / 7),
        policy_weight=jax.numpy.ones(4),
        value=jax.numpy.zeros(4),
        weight=jax.numpy.ones(4),
    )
    losses = [float(each.loss(params, batch, jax.random.key(2))[0]) for each in (plain, mine)]
    norm = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(params))
    assert losses[1] == pytest.approx(losses[0] + 1e-5 * norm, rel=1e-4)
    assert len((EXPERIMENTS / "own_network.py").read_text().splitlines()) < 50
