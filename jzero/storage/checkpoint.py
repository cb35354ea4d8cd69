"""Checkpoints: the whole state of a run, saved and restored with orbax.

`<directory>/<iteration>/` holds one checkpoint; by default `trim` keeps the newest two, so that one is left if the
newest is damaged.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jzero.pytrees import OneState, PyTree
from jzero.storage.run_dir import iterations

NEWEST = 2


def save(directory: str | Path, iteration: int, state: OneState) -> None:
    """Writes `state` (a pytree of arrays) as the checkpoint of `iteration` and waits until it is on disk.

    Raises:
      OSError: the disk is full or not writable; earlier checkpoints are unchanged.
    """
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(directory / str(iteration), _plain(state), force=True)
            checkpointer.wait_until_finished()
    except (OSError, ValueError, RuntimeError) as error:
        _remove_failed(directory)
        raise OSError(
            f"cannot write the checkpoint of iteration {iteration} in {directory} "
            f"({_first_line(error)}); free some space or choose another --run-dir: "
            f"earlier checkpoints are intact"
        ) from error
    _remove_unfinished(directory)


def trim(directory: str | Path, *, newest: int = NEWEST, kept: Collection[Any] = ()) -> None:
    """Removes all checkpoints except the `newest` and those of the iterations `kept`."""
    directory = Path(directory)
    if jax.process_index() == 0:
        for old in set(iterations(directory)[:-newest]) - set(kept):
            shutil.rmtree(directory / str(old), ignore_errors=True)


def restore(
    directory: str | Path, template: PyTree, *, partial: bool = False, iteration: int | None = None
) -> tuple[int, PyTree]:
    """Restores the newest readable checkpoint, or that of an iteration.

    Args:
      directory: the directory of `save`.
      template: a state with the same structure, of arrays or `jax.ShapeDtypeStruct`s with shardings.
      partial: the template is a part of the saved state (named tuples as dictionaries); only that is read.
      iteration: iteration of the checkpoint; None for the newest.

    Returns:
      its iteration and state. A damaged one is skipped with a warning.

    Raises:
      FileNotFoundError: there is no checkpoint that can be read.
    """
    directory = Path(directory).absolute()
    plain = jax.eval_shape(_plain, template)
    plain = jax.tree.map(_with_sharding, plain, template)
    for number in _numbers(directory, iteration):
        try:
            found = _read(directory / str(number), plain, partial)
            jax.block_until_ready(found)
        except Exception as error:  # orbax and tensorstore raise many kinds for a damaged file
            warnings.warn(
                f"checkpoint {directory / str(number)} cannot be read ({_first_line(error)}); "
                "trying the one before",
                stacklevel=2,
            )
            continue
        return number, jax.tree.map(_typed, found, template)
    raise FileNotFoundError(f"{directory} holds no checkpoint that can be read")


def restore_part(
    directory: str | Path, names: Sequence[str], iteration: int | None = None
) -> tuple[int, PyTree]:
    """Restores a part of a checkpoint without a template: named tuples become dictionaries.

    Args:
      directory: the directory of `save`.
      names: path of the part, from the outside in.
      iteration: iteration of the checkpoint; None for the newest.

    Returns:
      its iteration and the part.

    Raises:
      FileNotFoundError: there is no such checkpoint.
    """
    directory = Path(directory).absolute()
    number = _numbers(directory, iteration)[0]
    with ocp.StandardCheckpointer() as checkpointer:
        part: Any = checkpointer.metadata(directory / str(number)).item_metadata.tree
    for name in names:
        part = part[name]
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    template: Any = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), part)
    for name in reversed(names):
        template = {name: template}
    found = _read(directory / str(number), template, partial=True)
    for name in names:
        found = found[name]
    return number, found


def _numbers(directory: Path, iteration: int | None) -> list[int]:
    """The iterations to try, newest first."""
    there = iterations(directory)
    if iteration is not None and iteration not in there:
        raise FileNotFoundError(
            f"{directory} holds no checkpoint of iteration {iteration}; there are "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    if not there:
        raise FileNotFoundError(f"{directory} holds no checkpoint that can be read")
    return there[::-1] if iteration is None else [iteration]


def _read(path: Path, template: PyTree, partial: bool) -> PyTree:
    if not partial:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path, template)
    arguments = ocp.checkpoint_utils.construct_restore_args(template)
    with ocp.PyTreeCheckpointer() as checkpointer:
        return checkpointer.restore(
            path, ocp.args.PyTreeRestore(template, restore_args=arguments, partial_restore=True)
        )


def shapes(directory: str | Path, iteration: int | None = None) -> PyTree:
    """Shapes and dtypes of a checkpoint, named tuples as dictionaries.

    It is that of `iteration`, or the newest with metadata; None if there is none.
    """
    for number in reversed(iterations(directory)) if iteration is None else [iteration]:
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                found: Any = checkpointer.metadata(Path(directory).absolute() / str(number))
            return found.item_metadata.tree
        except Exception:  # a damaged one, of which `restore` warns
            continue
    return None


def first_difference(saved: PyTree, wanted: PyTree) -> str | None:
    """The first array that `saved`, from `shapes`, and the state `wanted` do not share; None if they fit."""
    there, here = _arrays(saved), _arrays(jax.eval_shape(_plain, wanted))
    for path in dict.fromkeys([*here, *there]):
        if there.get(path) != here.get(path):
            return f"{path} is {there.get(path, 'missing')} in the checkpoint and {here.get(path, 'missing')} here"
    return None


def _arrays(tree: PyTree) -> dict[str, str]:
    """Dtype and shape of each array by its path."""

    def step(entry: object) -> str:
        names = (getattr(entry, name, None) for name in ("key", "name", "idx"))
        return str(next(name for name in names if name is not None))

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        "/".join(map(step, path)): f"{x.dtype}{list(x.shape)}" for path, x in leaves if hasattr(x, "shape")
    }


def _remove_unfinished(directory: Path) -> bool:
    """Removes unfinished writes of a failed or killed process; returns whether there were any."""
    if jax.process_index() > 0:
        return False
    unfinished = list(directory.glob("*.orbax-checkpoint-tmp*"))
    for entry in unfinished:
        shutil.rmtree(entry, ignore_errors=True)
    return bool(unfinished)


def _remove_failed(directory: Path) -> None:
    """Removes the files of a failed `save`, until no more appear.

    Orbax raises at the first array that cannot be written while its threads continue with the others and recreate
    their directories.
    """
    quiet = 0
    for _ in range(50):
        quiet = 0 if _remove_unfinished(directory) else quiet + 1
        if quiet == 3:
            return
        time.sleep(0.05)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_key(leaf: PyTree) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(state: OneState) -> PyTree:
    """Random keys as integers, and a number for an empty array, which orbax rejects."""

    def plain(leaf: PyTree) -> PyTree:
        if np.size(leaf) == 0:
            return np.int8(0)
        return jax.random.key_data(leaf) if _is_key(leaf) else leaf

    return jax.tree.map(plain, state)


def _typed(leaf: PyTree, like: PyTree) -> PyTree:
    if np.size(like) == 0:
        return jnp.zeros(like.shape, like.dtype, device=getattr(like, "sharding", None))
    return jax.random.wrap_key_data(leaf) if _is_key(like) else leaf


def _with_sharding(shape: jax.ShapeDtypeStruct, like: PyTree) -> jax.ShapeDtypeStruct:
    sharding = getattr(like, "sharding", None) if np.size(like) else None
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)
