"""Checks that a run fits its checkpoint, and finds the parts that no file holds."""

from __future__ import annotations

from pathlib import Path

from jzero.env import Env
from jzero.registry import made_as, make
from jzero.run.alike import alike
from jzero.run.build import Parts
from jzero.run.config import TrainConfig
from jzero.run.load import read_config
from jzero.settings import differences
from jzero.storage.run_dir import resume_command

FIXED = ("env", "seed", "algorithm", "games", "plies", "replay_plies", "network", "muzero", "ema_decay")
"""Settings that decide the shapes of the state."""


def handed_in(env: Env, train: TrainConfig, parts: Parts) -> list[str]:
    """The parts of a run that were passed in as objects: its settings do not name them."""
    found = [name for name, part in parts._asdict().items() if part is not None]
    return found if _is_named(env, train.env) else ["env", *found]


def _is_named(env: Env, name: str) -> bool:
    """Whether `make(name)` returns an environment like this one, as far as its data shows."""
    try:
        other = make(name)
    except (ValueError, ImportError):
        return False
    return made_as(env) in (None, name) and alike(env, other)


def check_resumable(path: Path, train: TrainConfig, parts: Parts) -> None:
    """Raises ValueError if the checkpoint in `path` does not fit the settings, or a part of the run is missing."""
    saved, handed = read_config(path)
    given = parts._asdict()
    if missing := [name for name in handed if name != "env" and given.get(name) is None]:
        raise ValueError(
            f"the run in {path} was trained with objects that no file holds ({', '.join(missing)}); resume it in "
            f"Python with {resume_command('train', path)}"
        )
    changed = [line for line in differences(saved, train) if line.split(" ")[0].split(".")[0] in FIXED]
    if changed:
        raise ValueError(
            f"the checkpoint in {path} does not fit: {'; '.join(changed)}; omit these options to resume, or "
            "start a new run"
        )
