"""A run's directory, with one writer at a time.

    runs/<experiment>/<YYYYmmdd-HHMMSS>/
      lock            held while a process writes here; freed when that process ends
      config.json     {"experiment": str, "config": {...}, "versions": {...}, "command": str}
      metrics.jsonl   one line per iteration
      result.json     the final strength and totals
      games.json      sample games
      traceback.txt   traceback of the error that ended the run
      checkpoints/    see `jzero.storage.checkpoint`

JSON files are written by `jzero.storage.files`: as a whole or not at all.
"""

import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import shutil
import socket
import tempfile
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from jzero.pytrees import Json, PyTree, Record
from jzero.storage.files import (
    RunDirError,
    explained,
    half_written,
    mapping,
    read_json,
    to_json,
    write_atomic,
)

try:
    import fcntl
except ImportError:  # Windows: runs work there, without the check for a second process
    fcntl = None

LOCK, CONFIG, METRICS = "lock", "config.json", "metrics.jsonl"
TRACEBACK, CHECKPOINTS = "traceback.txt", "checkpoints"
UNSAVED = {
    CONFIG,
    METRICS,
    TRACEBACK,
    CHECKPOINTS,
    "games.json",
    "report.html",
    "comparison.html",
    "tensorboard",
    "wandb",
    "wandb_id",
}
"""Files that a run without a checkpoint may leave."""
PACKAGES = ("jzero", "jax", "jaxlib", "flax", "optax", "numpy")


class RunDir:
    """A run directory locked by this process; made by `RunDir.create`, closed by `with` or `close`.

    On several hosts only process 0 makes one.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: str | Path | None,
        experiment: str,
        config: Any,
        resume: bool = False,
        *,
        device: str = "",
        command: str | None = None,
        root: str | Path = "runs",
    ) -> Self:
        """Claims a run directory, a new one or (with `resume`) an existing one, and writes its config.json.

        A directory of a run without a checkpoint counts as new: its files are removed, and so is what a process
        killed during a write leaves.

        Args:
          path: the directory; None for a new `<root>/<experiment>/<YYYYmmdd-HHMMSS>`, or with `resume` for
            the newest run there.
          experiment: name of the script or preset.
          config: a dataclass or mapping of the settings, nested or flat; other values become text.
          resume: continue the run in the directory. A truncated last line of its metrics is removed; call
            `rewind_metrics` once the checkpoint's iteration is known.
          device: the kind of device, for the record.
          command: the command that starts this experiment, for `resume_command`; "" if there is none.
          root: directory of runs without a `path`.

        Raises:
          RunDirError: it holds another run (with `resume`: no run), is in use by another process, or cannot be
            written.
        """
        chosen = _choose(path, experiment, resume, Path(root))
        _check_letters(chosen)
        with explained(chosen):
            chosen.mkdir(parents=True, exist_ok=True)
            run = cls(chosen, _acquire(chosen))
        if not os.access(tempfile.gettempdir(), os.W_OK):
            tempfile.tempdir = str(chosen.absolute())  # the one folder that can be written
        try:
            run._check_content(experiment, resume)
            if resume:
                run._remove({TRACEBACK} & {entry.name for entry in chosen.iterdir()})
                run.rewind_metrics(math.inf)
            record = {"experiment": experiment, "config": config, "versions": versions(device)}
            run.write_json(CONFIG, record | ({} if command is None else {"command": command}))
        except BaseException:
            run.close()
            raise
        return run

    @staticmethod
    def find(experiment: str, root: str | Path = "runs") -> Path:
        """The newest run of `experiment` under `root`.

        Raises:
          RunDirError: there is none.
        """
        return _choose(None, experiment, True, Path(root))

    def _check_content(self, experiment: str, resume: bool) -> None:
        with explained(self.path):
            names = sorted(entry.name for entry in self.path.iterdir() if entry.name != LOCK)
        left = [name for name in names if half_written(name) in UNSAVED]  # of a process that was killed
        content = [name for name in names if name not in left]
        if not resume and CONFIG in content and UNSAVED.issuperset(content) and not has_checkpoint(self.path):
            self._remove(set(content) - {CONFIG})
        elif content and not resume:
            found = ", ".join(content[:3]) + ", ..." * (len(content) > 3)
            command = resume_command(experiment, self.path)
            raise RunDirError(
                f"run directory {self.path} is not empty (it has {found}): "
                f"continue that run with `{command}`, or choose another directory"
            )
        if resume and CONFIG not in content:
            raise RunDirError(
                f"run directory {self.path} holds no run to resume (no {CONFIG}): "
                "give the directory of a run, or omit --resume"
            )
        self._remove(left)

    def _remove(self, names: Collection[str]) -> None:
        with explained(self.path):
            for entry in (self.path / name for name in names):
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def write_json(self, name: str, value: PyTree) -> None:
        """Atomically replaces the file `name` in the directory with `value` as JSON."""
        write_atomic(self.path / name, json.dumps(to_json(value), indent=2, allow_nan=False) + "\n")

    def append_metrics(self, metrics: Record) -> None:
        """Appends one line to metrics.jsonl; a partial line is removed."""
        line = (json.dumps(to_json(metrics), allow_nan=False) + "\n").encode()
        path = self.path / METRICS
        # Unbuffered: nothing may linger in Python and be written after the error was reported.
        with explained(path), open(path, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(size)
                raise

    def rewind_metrics(self, iteration: float) -> None:
        """Removes the lines of metrics.jsonl after `iteration`, which will be repeated, and broken ones."""
        path = self.path / METRICS
        if not path.exists():
            return
        with explained(path):
            old = path.read_bytes()
        kept = [line for line in read_metrics(self.path) if line.get("iteration", 0) <= iteration]
        new = "".join(json.dumps(line) + "\n" for line in kept)
        if new.encode() != old:
            write_atomic(path, new)

    def close(self) -> None:
        """Frees the directory for other processes."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(run_dir: str | Path) -> list[Json]:
    """The lines of a run's metrics.jsonl, oldest first; [] without the file.

    Broken lines, such as from a process killed during a write, are skipped.
    """
    try:
        lines = (Path(run_dir) / METRICS).read_bytes().split(b"\n")
    except OSError:
        return []
    metrics = []
    for line in lines:
        with contextlib.suppress(ValueError):
            metrics.append(json.loads(line))
    return [line for line in metrics if isinstance(line, dict)]


def iterations(directory: str | Path) -> list[int]:
    """Iterations of the finished checkpoints in `directory`, oldest first."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if entry.name.isdigit())


def has_checkpoint(path: Path) -> bool:
    """Whether the run in `path` has saved a checkpoint."""
    return bool(iterations(path / CHECKPOINTS))


def resume_command(experiment: str, path: str | Path, minutes: float | None = None) -> str:
    """What resumes the run in `path`, for `minutes` in all: the command that began it.

    It is a call of `jzero.train` where the run has parts that no command names, or began in a notebook.
    """
    record = read_json(Path(path) / CONFIG) or {}
    config, command = mapping(record.get("config")), record.get("command")
    handed, env = config.get("handed_in") or [], mapping(config.get("train")).get("env")
    if handed or (env and command == ""):
        given = "env" if "env" in handed else repr(env)
        more = "".join(f", {name}={name}" for name in handed if name != "env")
        more += f", minutes={minutes:g}" if minutes else ""
        return f"jzero.train({given}, run_dir={str(path)!r}, resume=True{more})"
    command = command or f"python experiments/{experiment}.py"
    return f"{command} --run-dir {shlex.quote(str(path))} --resume" + (
        f" --minutes {minutes:g}" if minutes else ""
    )


def versions(device: str = "") -> dict[str, str]:
    """Versions of jzero and its dependencies, the platform, the kind of device."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | {"python": platform.python_version(), "platform": platform.platform(), "device": device}


def _check_letters(path: Path) -> None:
    """Raises RunDirError if the path has characters outside this locale's encoding.

    Nothing could be written there, since orbax needs paths as text.
    """
    try:
        os.fspath(path.absolute()).encode()
    except UnicodeEncodeError:
        raise RunDirError(
            f"run directory {os.fspath(path.absolute())!a} has characters outside this locale's encoding: set "
            "PYTHONUTF8=1 (or LANG=C.UTF-8), or choose another --run-dir"
        ) from None


def _choose(path: str | Path | None, experiment: str, resume: bool, root: Path) -> Path:
    """`path`, or by default a new directory named by the time, or the newest run when resuming."""
    if path is not None:
        chosen = Path(path)
        if resume and not chosen.is_dir():
            raise RunDirError(
                f"run directory {chosen} does not exist: "
                "give the directory of a run to resume, or omit --resume"
            )
        return chosen
    runs = root / (re.sub(r"[^\w.-]+", "-", experiment).strip(".-") or "run")
    if resume:
        found = sorted((config.parent for config in runs.glob(f"*/{CONFIG}")), key=_begun)
        if not found:
            raise RunDirError(f"{runs} has no run to resume: give the directory of a run, or omit --resume")
        return found[-1]
    return _new_directory(runs, f"{datetime.datetime.now():%Y%m%d-%H%M%S}")


def _begun(path: Path) -> list[int]:
    """The numbers in a run's name, which sort runs by time."""
    return [int(digits) for digits in re.findall(r"\d+", path.name)]


def _new_directory(runs: Path, name: str) -> Path:
    """Makes `runs/name`, or `runs/name-2`, ... if other runs started in the same second."""
    with explained(runs / name):
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            path = runs / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    raise RunDirError(
        f"run directory {runs / name} exists with every number up to 999: give another directory"
    )


def in_use(path: Path) -> bool:
    """Whether a process trains in this run directory; False where that cannot be known."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(lock)
    return False


def _acquire(path: Path) -> int:
    """Locks the directory for this process; closing the file descriptor, or the end of the process, frees it."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 200).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise RunDirError(
            f"run directory {path} is in use by {owner}: wait for it, stop it, or choose another directory"
        ) from None
    except OSError as error:
        # Some cluster file systems are mounted without locks; runs there go on without the check.
        advice = (
            f"run directory {path} cannot be locked ({error.strerror}): make sure that no second process writes to "
            "it"
        )
        warnings.warn(advice, stacklevel=4)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except BaseException:
        os.close(lock)
        raise
    return lock
