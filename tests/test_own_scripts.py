"""The scripts that the pages on one's own network and training show: they run, and what they train is strong."""

import functools
import re
import runpy
import subprocess
import sys

import jax
import pytest

import jzero
from jzero.algorithms.alphazero import position_of
from jzero.evaluate.measures import Strength
from jzero.models.plan import SearchSettings
from tests.helpers.tiny import REPOSITORY, child_environment

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


SCRIPTS = ["own_network.py", "own_equinox_network.py"]
SMALL = {
    "games": 16,
    "replay_plies": 16,
    "batch_size": 16,
    "updates": 2,
    "warmup_iterations": 1,
    "iterations": 3,
    "search": SearchSettings(num_simulations=4),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_with_an_own_network_is_short(name):
    code = re.sub(r'""".*?"""', "", (EXPERIMENTS / name).read_text(), count=1, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_own_network_trains_and_is_analysed_in_another_folder_and_process(name, tmp_path, cache):
    pytest.importorskip("equinox")
    script, before = runpy.run_path(str(EXPERIMENTS / name)), []
    agent = script["train"](
        run_dir=tmp_path / "run",
        measure=lambda agent: before.append(agent) or Strength("nothing", 0.5, 0.4, 0.6),
        **SMALL,
    )
    assert len(before) == 2
    states = jzero.init_batch(agent.env, jax.random.key(0), 1)
    visits = agent.analyse(states, jax.random.key(1), num_simulations=200).visits[0]
    (tmp_path / "elsewhere").mkdir()
    said = subprocess.run(
        [sys.executable, EXPERIMENTS / name, tmp_path / "run"],
        cwd=tmp_path / "elsewhere",
        env=child_environment(cache),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"visits: {visits}" in said
    assert visits.sum() == 200
