"""Files of a run: JSON, and atomic writes.

Files are replaced as a whole (temporary file, fsync, rename): a reader, a full disk or a power cut finds the old
file or the new one, never half of one. Numbers that JSON does not have (nan, inf) are written as null.
"""

import contextlib
import dataclasses
import errno
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jzero.pytrees import Json, PyTree


class RunDirError(ValueError):
    """A run directory cannot be used; the message says what to do."""


def read_json(path: Path) -> Json | None:
    """Reads a JSON object from a file; None if it is missing, broken or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def to_json(value: PyTree) -> PyTree:
    """`value` in JSON's types: dataclasses and named tuples as mappings, arrays as lists, nan and inf None.

    Anything else becomes text.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "__array__"):
        # bfloat16 and the other floats of accelerators turn into Python floats only by way of float64.
        array = np.asarray(value)
        return to_json((array if array.dtype.kind in "biu" else array.astype(np.float64)).tolist())
    return str(value)


def write_atomic(path: Path, text: str) -> None:
    """Atomically replaces the file at `path` with `text`; on failure the old file stays and nothing else remains.

    Raises:
      RunDirError: the directory cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path):
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def half_written(name: str) -> str | None:
    """The file that `write_atomic` was writing when its process was killed and left a file called `name`.

    None if `name` is not that of a temporary file.
    """
    found = re.fullmatch(r"\.(.+)\.\d+\.tmp", name)
    return found[1] if found else None


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns OS errors into one line about `path`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space, then continue with --resume" if full else "give a writable directory"
        raise RunDirError(f"cannot write {path}: {error.strerror or error}: {advice}") from error


def mapping(found: object) -> Json:
    """What a JSON file has where an object is expected: it, or {} in place of anything else."""
    return found if isinstance(found, dict) else {}
