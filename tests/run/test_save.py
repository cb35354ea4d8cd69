"""Which checkpoints are kept, and checkpoints without replay and games."""

import dataclasses
import shutil

import jax
import numpy as np
import optax
import pytest

import jzero
from jzero.evaluate.measures import Strength
from jzero.registry import make
from jzero.run.config import RunConfig
from jzero.run.export import export
from jzero.run.loop import Run
from jzero.run.save import Saver
from jzero.storage import checkpoint
from tests.helpers.tiny import TINY, same_bits

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def state():
    """The state of a run."""
    return jzero.run.build.build_program(make(TINY.env), TINY).init()


def saved(directory, state, config, plan):
    """Iterations on disk after saves at (iteration, minutes, strength or None)."""
    saver = Saver(directory, config)
    for iteration, minutes, strength in plan:
        best = config.keep_best and saver.is_best(strength)
        saver.save(state._replace(iteration=np.int32(iteration)), 60 * minutes, best=best)
    return checkpoint.iterations(directory)


PLAN = [(1, 1, 0.2), (2, 2, 0.9), (3, 3, 0.5), (4, 4, None), (5, 5, 0.9), (6, 6, None), (7, 7, 0.1)]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [6, 7]),
        ({"keep_newest": 3}, [5, 6, 7]),
        ({"keep_best": True}, [2, 6, 7]),
        ({"keep_every": 3.0}, [1, 4, 6, 7]),
        ({"keep_every": 3.0, "keep_best": True, "keep_newest": 1}, [1, 2, 4, 7]),
    ],
)
def test_the_rule_says_what_stays(tmp_path, state, options, kept):
    assert saved(tmp_path, state, RunConfig(train=TINY, save_replay=False, **options), PLAN) == kept


def test_checkpoints_come_as_often_as_they_are_kept(tmp_path):
    for every, expected in ((None, 120.0), (0.5, 30.0), (10.0, 120.0)):
        assert Saver(tmp_path, RunConfig(train=TINY, keep_every=every)).interval == expected


def test_a_resumed_run_remembers_what_it_keeps(tmp_path, state):
    config = RunConfig(train=TINY, save_replay=False, keep_best=True, keep_newest=1)
    assert saved(tmp_path, state, config, PLAN[:3]) == [2, 3]
    resumed = dataclasses.replace(config, resume=True)
    assert saved(tmp_path, state, resumed, [(8, 8, 0.8), (9, 9, 0.95), (10, 10, None)]) == [9, 10]


def test_a_run_without_its_replay_goes_on_with_new_games_and_is_shared(tmp_path):
    config = RunConfig(train=TINY, run_dir=tmp_path / "run", iterations=3, save_replay=False)

    def measure(agent):
        return Strength("nothing", 0.5, 0.5, 0.5)

    with Run("tiny", make(TINY.env), config) as run:
        run.train(measure, measure)
        weights, updates = run.agent().params, int(run.state.updates)
    on_disk = checkpoint.shapes(tmp_path / "run" / "checkpoints")["state"]
    assert set(on_disk) == {"params", "averaged", "opt_state", "key", "iteration", "updates"}
    for one, two in zip(
        jax.tree.leaves(weights), jax.tree.leaves(jzero.load(tmp_path / "run").params), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    export(tmp_path / "run", tmp_path / "shared")
    assert set(checkpoint.shapes(tmp_path / "shared" / "checkpoints")["state"]) == {"averaged"}
    for one, two in zip(
        jax.tree.leaves(weights), jax.tree.leaves(jzero.load(tmp_path / "shared").params), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    with Run("tiny", make(TINY.env), dataclasses.replace(config, resume=True, iterations=5)) as run:
        assert (run.iteration, int(run.state.updates), int(run.state.replay.head)) == (3, updates, 0)
        run.train(measure, measure)
        # The first iteration after the warm-up again: the replay was empty.
        assert int(run.state.updates) == updates + TINY.updates


def test_the_replay_lies_beside_the_newest_checkpoints_and_comes_back_to_the_bit(tmp_path, state):
    config = RunConfig(train=TINY, keep_best=True, keep_newest=2)
    state = state._replace(replay=state.replay._replace(ready=state.replay.ready + 3))
    assert saved(tmp_path, state, config, PLAN) == [2, 6, 7]
    assert checkpoint.iterations(tmp_path / "replay") == [6, 7]
    abstract = jzero.run.build.build_program(make(TINY.env), TINY).abstract
    found, seconds = Saver(tmp_path, config).restore(abstract)
    assert seconds == 60 * 7
    assert same_bits(found, state._replace(iteration=np.int32(7)))
    # Without the weights' checkpoint of 7, that of 6 has its own; a damaged replay is filled anew.
    shutil.rmtree(tmp_path / "7")
    assert same_bits(Saver(tmp_path, config).restore(abstract)[0].replay, state.replay)
    (tmp_path / "replay" / "6" / "_METADATA").unlink()
    shutil.rmtree(tmp_path / "replay" / "6" / "d", ignore_errors=True)
    with pytest.warns(UserWarning, match="the replay cannot be read; the run continues"):
        found, _ = Saver(tmp_path, config).restore(abstract)
    assert (int(found.iteration), found.replay, found.games) == (6, None, None)


def test_an_optimizer_goes_on_with_its_own_numbers_only(tmp_path, state):
    config = RunConfig(train=TINY, save_replay=False)
    state = state._replace(opt_state=optax.adam(1e-3).init(state.params))
    saved(tmp_path, state, config, PLAN[:1])
    assert int(Saver(tmp_path, config).restore(state)[0].iteration) == 1
    for other, states in (
        (optax.adabelief(1e-3), "ScaleByBeliefState, EmptyState"),  # the same arrays
        (optax.adamw(1e-3), "ScaleByAdamState, EmptyState, EmptyState"),  # a state without arrays more
    ):
        said = f"^optimizer: .* the states ScaleByAdamState, EmptyState, this optimizer {states}; pass the"
        with pytest.raises(ValueError, match=said):
            Saver(tmp_path, config).restore(state._replace(opt_state=other.init(state.params)))


def test_checkpoints_with_the_replay_among_the_weights_are_of_another_version(tmp_path, state):
    checkpoint.save(tmp_path, 3, {"state": state, "seconds": np.float32(1)})
    abstract = jzero.run.build.build_program(make(TINY.env), TINY).abstract
    with pytest.raises(ValueError, match=r"of jzero before 0.2.*jzero.load"):
        Saver(tmp_path, RunConfig(train=TINY)).restore(abstract)


def test_a_checkpoint_by_its_number(tmp_path, state):
    config = RunConfig(train=TINY, save_replay=False, keep_newest=3)
    saved(tmp_path / "checkpoints", state, config, PLAN[:3])
    with pytest.raises(FileNotFoundError, match="no checkpoint of iteration 9; there are 1, 2, 3"):
        checkpoint.restore_part(tmp_path / "checkpoints", ("state", "averaged"), 9)
    number, found = checkpoint.restore_part(tmp_path / "checkpoints", ("state", "averaged"), 2)
    assert number == 2
    assert jax.tree.structure(found) == jax.tree.structure(dict(state.averaged))
