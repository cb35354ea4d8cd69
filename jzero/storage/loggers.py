"""TensorBoard and Weights & Biases, imported only when used."""

import os
import secrets
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from jzero.pytrees import Record
from jzero.storage.files import to_json, write_atomic


class Logger(Protocol):
    """A destination of metrics in addition to metrics.jsonl."""

    def log(self, step: int, metrics: Record) -> None:
        """Writes the finite numbers among `metrics` under `step`, the iteration."""
        ...

    def close(self) -> None:
        """Flushes pending writes."""
        ...


def make_loggers(
    run_dir: str | Path, tensorboard: bool, wandb: bool, config: Any, *, resumed_at: int | None = None
) -> list[Logger]:
    """The chosen loggers.

    Args:
      run_dir: TensorBoard's events go to its folder `tensorboard`, W&B's files to its folder `wandb`.
      tensorboard: log to TensorBoard.
      wandb: log to Weights & Biases, configured by its environment variables (WANDB_PROJECT, WANDB_MODE, ...).
      config: the run's configuration, shown by W&B.
      resumed_at: iteration at which a run resumes; TensorBoard hides later entries.

    Raises:
      ImportError: a package is missing; the message says what to install.
    """
    loggers: list[Logger] = []
    if tensorboard:
        loggers.append(_TensorBoard(Path(run_dir), resumed_at))
    if wandb:
        loggers.append(_Wandb(Path(run_dir), config))
    return loggers


class _TensorBoard:
    def __init__(self, run_dir: Path, resumed_at: int | None) -> None:
        writer = _import("tensorboardX", "tensorboard").SummaryWriter
        purge = None if resumed_at is None else resumed_at + 1
        self._writer = writer(str(run_dir / "tensorboard"), purge_step=purge)

    def log(self, step: int, metrics: Record) -> None:
        for name, value in _numbers(metrics).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, run_dir: Path, config: Any) -> None:
        module = _import("wandb", "wandb")
        self._run = module.init(
            project=os.environ.get("WANDB_PROJECT", "jzero"),
            name=f"{run_dir.parent.name}/{run_dir.name}",
            dir=str(run_dir),
            config=to_json(config),
            id=_wandb_id(run_dir),
            resume="allow",
        )

    def log(self, step: int, metrics: Record) -> None:
        self._run.log(_numbers(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


def _wandb_id(run_dir: Path) -> str:
    """The run's id at W&B, stored in the directory so that a resumed run continues the same curves."""
    path = run_dir / "wandb_id"
    if not path.exists():
        write_atomic(path, secrets.token_hex(4))
    return path.read_text(encoding="utf-8").strip()


def _numbers(metrics: Record) -> dict[str, float]:
    return {
        name: value
        for name, value in to_json(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _import(module: str, option: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f'logging to {option} needs {module}: pip install "jzero[log]"') from error
