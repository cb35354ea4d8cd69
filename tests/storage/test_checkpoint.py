"""Checkpoints: bits, order, and what a damaged file or a full disk leaves behind."""

import errno
import resource
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jzero.program import make_mesh
from jzero.registry import make
from jzero.run.build import build_program
from jzero.storage import checkpoint
from tests.helpers.tiny import TINY, same_bits

pytestmark = pytest.mark.usefixtures("quick_compilation")


def small_state(number):
    """A state with every kind of leaf, whose bits depend on `number`."""
    noise = jax.random.normal(jax.random.key(number), (2000,))
    return {
        "weights": {"kernel": noise, "half": noise[:8].astype(jnp.bfloat16)},
        "flags": noise[:9] > 0,
        "board": (noise[:9] * 10).astype(jnp.int8),
        "count": jnp.int32(number),
        "key": jax.random.key(number),
        "seconds": np.float32(number / 3),
        "nothing": jnp.zeros((4, 0), jnp.bfloat16),  # such as the muscles of a robot that has none
    }


TEMPLATE = jax.eval_shape(lambda: small_state(0))


@pytest.fixture(scope="module")
def run_state():
    """(program, state) of a run with games in progress and optimiser moments."""
    program = build_program(make(TINY.env), TINY, make_mesh(jax.devices()[:1]))
    state, _ = program.play(program.init())
    state, _ = program.play(state)
    state, _ = program.learn(state)
    return program, state


@pytest.fixture
def two_checkpoints(tmp_path):
    checkpoint.save(tmp_path, 3, small_state(3))
    checkpoint.save(tmp_path, 5, small_state(5))
    return tmp_path


def test_a_whole_run_state_comes_back_to_the_bit(tmp_path, run_state):
    program, state = run_state
    checkpoint.save(tmp_path / "new" / "folder", 2, {"state": state, "seconds": np.float32(1.25)})
    template = {"state": program.abstract, "seconds": np.float32(0)}
    iteration, found = checkpoint.restore(tmp_path / "new" / "folder", template)
    assert iteration == 2
    assert float(found["seconds"]) == 1.25
    assert jax.tree.structure(found["state"]) == jax.tree.structure(state)
    assert same_bits(found["state"], state)
    # ... and what comes next is the same too.
    (one, metrics), (two, same_metrics) = program.play(found["state"]), program.play(state)
    assert same_bits(one, two)
    assert same_bits(metrics, same_metrics)


def test_every_kind_of_leaf_comes_back(two_checkpoints):
    iteration, found = checkpoint.restore(two_checkpoints, TEMPLATE)
    assert iteration == 5
    assert same_bits(found, small_state(5))
    assert jax.random.key_impl(found["key"]) == jax.random.key_impl(small_state(5)["key"])


def test_the_newest_two_are_kept_in_the_order_of_their_numbers(tmp_path):
    for iteration in (8, 9, 10, 11):
        checkpoint.save(tmp_path, iteration, small_state(iteration))
        checkpoint.trim(tmp_path)
    assert checkpoint.iterations(tmp_path) == [10, 11]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "11"]
    assert checkpoint.restore(tmp_path, TEMPLATE)[0] == 11


def test_an_iteration_is_written_again_over_the_old_one(tmp_path):
    checkpoint.save(tmp_path, 3, small_state(3))
    checkpoint.save(tmp_path, 3, small_state(4))
    iteration, found = checkpoint.restore(tmp_path, TEMPLATE)
    assert iteration == 3
    assert same_bits(found, small_state(4))


def test_unfinished_and_foreign_entries_are_no_checkpoints(two_checkpoints):
    (two_checkpoints / "6.orbax-checkpoint-tmp").mkdir()
    (two_checkpoints / "notes").mkdir()
    assert checkpoint.iterations(two_checkpoints) == [3, 5]
    assert checkpoint.iterations(two_checkpoints / "missing") == []


def spoil(path, how):
    """Damages a file as crashes and full disks do."""
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "half":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-1])


@pytest.mark.filterwarnings("ignore:checkpoint .* cannot be read")
@pytest.mark.parametrize("how", ["deleted", "empty", "half", "last byte"])
def test_whatever_file_is_damaged_no_garbage_is_restored(two_checkpoints, tmp_path_factory, how):
    whole = tmp_path_factory.mktemp("whole") / "checkpoints"
    shutil.copytree(two_checkpoints, whole)
    files = [path.relative_to(whole) for path in sorted(whole.rglob("5/**/*")) if path.is_file()]
    older = 0
    for name in files:
        shutil.rmtree(two_checkpoints)
        shutil.copytree(whole, two_checkpoints)
        spoil(two_checkpoints / name, how)
        iteration, found = checkpoint.restore(two_checkpoints, TEMPLATE)
        assert same_bits(found, small_state(iteration)), name
        older += iteration == 3
    assert older >= 3  # the description, the index and the data


def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(two_checkpoints):
    (two_checkpoints / "5" / "_METADATA").unlink()
    with pytest.warns(
        UserWarning, match=r"checkpoint .*/5 cannot be read \(.*\); trying the one before"
    ) as found:
        iteration, state = checkpoint.restore(two_checkpoints, TEMPLATE)
    assert all("\n" not in str(warning.message) for warning in found)
    assert iteration == 3
    assert same_bits(state, small_state(3))


@pytest.mark.filterwarnings("ignore:checkpoint .* cannot be read")
def test_without_a_readable_checkpoint_nothing_is_restored(two_checkpoints):
    for iteration in (3, 5):
        shutil.rmtree(two_checkpoints / str(iteration))
        (two_checkpoints / str(iteration)).mkdir()
    for directory in (two_checkpoints, two_checkpoints / "missing"):
        with pytest.raises(FileNotFoundError, match="holds no checkpoint that can be read"):
            checkpoint.restore(directory, TEMPLATE)


def test_a_state_of_other_shapes_is_not_squeezed_into_the_template(two_checkpoints):
    other = TEMPLATE | {"board": jax.ShapeDtypeStruct((7,), jnp.int8)}
    with pytest.warns(UserWarning, match="cannot be read"), pytest.raises(FileNotFoundError):
        checkpoint.restore(two_checkpoints, other)


def assert_intact(directory):
    assert checkpoint.iterations(directory) == [3, 5]
    iteration, found = checkpoint.restore(directory, TEMPLATE)
    assert iteration == 5
    assert same_bits(found, small_state(5))


def test_the_first_array_that_differs_is_named(two_checkpoints):
    saved = checkpoint.shapes(two_checkpoints)
    assert checkpoint.first_difference(saved, TEMPLATE) is None
    fewer = {name: part for name, part in TEMPLATE.items() if name != "board"}
    assert checkpoint.first_difference(saved, fewer) == "board is int8[9] in the checkpoint and missing here"
    more = TEMPLATE | {"bias": jnp.zeros(3)}
    assert checkpoint.first_difference(saved, more) == "bias is missing in the checkpoint and float32[3] here"


def test_what_the_kernel_refuses_leaves_the_earlier_checkpoints_intact(two_checkpoints, file_size_limit):
    file_size_limit(4096)  # the 8,000 random bytes do not fit
    with pytest.raises(
        OSError, match=r"cannot write the checkpoint of iteration 7 .*free some space"
    ) as error:
        checkpoint.save(two_checkpoints, 7, small_state(7))
    assert "\n" not in str(error.value)
    file_size_limit(resource.RLIM_INFINITY)
    assert_intact(two_checkpoints)
    assert sorted(path.name for path in two_checkpoints.iterdir()) == ["3", "5"]  # nothing takes up the space
    checkpoint.save(two_checkpoints, 7, small_state(7))
    assert checkpoint.restore(two_checkpoints, TEMPLATE)[0] == 7


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("RESOURCE"), OSError()]
)
def test_a_full_disk_is_one_line_that_says_what_to_do(two_checkpoints, monkeypatch, error):
    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", full)
    with pytest.raises(OSError, match="free some space or choose another --run-dir") as found:
        checkpoint.save(two_checkpoints, 7, small_state(7))
    assert "\n" not in str(found.value)
    assert_intact(two_checkpoints)


def test_writers_that_go_on_after_the_error_leave_nothing(two_checkpoints, monkeypatch):
    unfinished = two_checkpoints / "7.orbax-checkpoint-tmp"
    late = threading.Timer(0.08, lambda: unfinished.mkdir())

    def save(*args, **kwargs):
        late.start()
        raise ValueError("the first of several writers")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", save)
    with pytest.raises(OSError, match="the first of several writers"):
        checkpoint.save(two_checkpoints, 7, small_state(7))
    late.join()
    assert_intact(two_checkpoints)
    assert sorted(path.name for path in two_checkpoints.iterdir()) == ["3", "5"]


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        checkpoint.save(tmp_path / "file" / "checkpoints", 1, small_state(1))
