"""Exports an agent: to share it, for other programs, for a browser.

    python -m jzero export RUN --out my_agent                a run without its replay, for `jzero.load`
    python -m jzero export RUN --weights agent.safetensors   the weights by name, for any framework
    python -m jzero export RUN --stablehlo agent.stablehlo   the network, for jax.export without jzero
    python -m jzero export RUN --onnx agent.onnx             the network, for ONNX Runtime and others
    python -m jzero export RUN --html agent.html             a page that plays offline

Options combine. The weights are the averaged ones, which an agent plays with.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import jzero
from jzero.env import Env
from jzero.env_spec import describe
from jzero.export import RootNetwork, root_network
from jzero.export.html import title_of, write_html
from jzero.export.onnx import write_onnx
from jzero.export.stablehlo import PLATFORMS, write_stablehlo
from jzero.export.weights import write_weights
from jzero.networks import Support
from jzero.pytrees import Params
from jzero.registry import make
from jzero.run.build import build_network
from jzero.run.config import TrainConfig
from jzero.run.load import read_config
from jzero.settings import full_path
from jzero.storage import checkpoint as checkpoints
from jzero.storage.run_dir import CHECKPOINTS, CONFIG


@dataclass(frozen=True)
class Config:
    """What to export, and where."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The directory of the run."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A new folder for the weights and the settings: a run without its replay."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The weights as safetensors."""
    stablehlo: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The network from observations to policy and value, in jax.export's format."""
    onnx: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The same as ONNX."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A page that plays tic-tac-toe, Connect Four or Quoridor in a browser."""
    checkpoint: int | None = None
    """Iteration of the checkpoint; the newest by default."""


FILES = ("weights", "stablehlo", "onnx", "html")


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=argv, prog="python -m jzero export", description=__doc__)
    try:
        _export_all(config)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


def _export_all(config: Config) -> None:
    """Writes the requested files and prints their paths."""
    run_dir = full_path(config.run)
    files = {name: full_path(path) for name in FILES if (path := getattr(config, name)) is not None}
    _check(config, files)
    if config.out is not None:
        export(run_dir, full_path(config.out), config.checkpoint)
        print(full_path(config.out))
    if not files:
        return
    source = _read(run_dir, config.checkpoint)
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"{path}: {_WRITERS[name](source, path)}")


def _check(config: Config, files: dict[str, Path]) -> None:
    """Raises ValueError for options that do not fit together."""
    if not files and config.out is None:
        raise ValueError(
            f"nothing to export; give --out FOLDER or {', '.join(f'--{name} FILE' for name in FILES)}"
        )
    if config.out is not None and full_path(config.out).exists():
        raise ValueError(f"--out is {full_path(config.out)}, which already exists; expected a new folder")
    for name, path in files.items():
        if path.is_dir():
            raise ValueError(f"--{name} is {path}, which is a folder; expected a file")


def export(run_dir: Path, out: Path, checkpoint: int | None = None) -> None:
    """Copies the averaged weights of a run's checkpoint, and its settings, into the new folder `out`.

    Raises:
      FileNotFoundError: `run_dir` holds no run, or lacks this checkpoint.
    """
    iteration, params = _weights(run_dir, checkpoint)
    out.mkdir(parents=True)
    shutil.copy(run_dir / CONFIG, out / CONFIG)
    checkpoints.save(out / CHECKPOINTS, iteration, {"state": {"averaged": params}})


def _weights(run_dir: Path, checkpoint: int | None) -> tuple[int, Params]:
    """The iteration of a checkpoint and its averaged weights, named tuples as dictionaries."""
    if not (run_dir / CONFIG).is_file():
        raise FileNotFoundError(
            f"{run_dir} holds no run (no {CONFIG}); give the directory that a run printed"
        )
    return checkpoints.restore_part(run_dir / CHECKPOINTS, ("state", "averaged"), checkpoint)


@dataclass(frozen=True)
class _Source:
    """A run read from disk."""

    run_dir: Path
    config: TrainConfig
    handed: list[str]
    """Which of its parts were passed in as objects."""
    iteration: int
    params: Params

    def env(self) -> Env:
        """Its environment."""
        return make(self.config.env)

    def check_named(self) -> None:
        """Raises ValueError if its network or environment was passed in as an object."""
        if missing := [name for name in ("env", "network") if name in self.handed]:
            raise ValueError(
                f"{self.run_dir} was trained with objects that no file holds ({' and '.join(missing)}): use "
                "jzero.export.root_network in Python, or train with --network.kind module:function"
            )

    def root(self, config: TrainConfig) -> RootNetwork:
        """Its network and weights, with these settings."""
        self.check_named()
        spec = describe(self.env(), config.env)
        support = Support(config.muzero.value_limit, config.muzero.atoms)
        return root_network(spec, build_network(spec, config), self.params, support)

    def in_float32(self) -> TrainConfig:
        """Its settings without bfloat16."""
        network = self.config.network.in_float32()
        return dataclasses.replace(self.config, network=network)

    def read_as(self) -> str:
        """What the exported network consists of."""
        learned = self.config.algorithm != "alphazero"
        return "representation and prediction" if learned else "policy and value"


def _read(run_dir: Path, checkpoint: int | None) -> _Source:
    iteration, params = _weights(run_dir, checkpoint)
    return _Source(run_dir, *read_config(run_dir), iteration, params)


def _write_weights(source: _Source, path: Path) -> str:
    config = source.config
    metadata = {
        "environment": config.env,
        "algorithm": config.algorithm,
        "network": config.network.kind,
        "network_settings": json.dumps(dataclasses.asdict(config.network)),
        "iteration": str(source.iteration),
        "jzero": jzero.__version__,
    }
    write_weights(source.params, path, metadata)
    return f"weights of iteration {source.iteration}"


def _write_stablehlo(source: _Source, path: Path) -> str:
    write_stablehlo(source.root(source.config), path)
    return f"{source.read_as()} for {', '.join(PLATFORMS)}, any number of rows"


def _write_onnx(source: _Source, path: Path) -> str:
    policy, value = write_onnx(source.root(source.in_float32()), path)
    bf16 = ", computed in float32" if source.config.network != source.in_float32().network else ""
    return f"{source.read_as()}{bf16}; differs from JAX by {policy:.0e} (policy), {value:.0e} (value)"


def _write_html(source: _Source, path: Path) -> str:
    source.check_named()
    config, env = source.config, source.env()
    title_of(env)
    if config.algorithm != "alphazero":
        raise ValueError(
            f"--html takes AlphaZero's networks only (mlp, resnet), and this run is of {config.algorithm!r}: use "
            "--onnx or --stablehlo"
        )
    note = f"Exported by jzero {jzero.__version__} from iteration {source.iteration:,} of {config.env}."
    found = write_html(
        path, env, config.network, source.params, config.search, discount=config.discount, note=note
    )
    text = f"{found.bytes / 1e6:.1f} MB, weights of {found.bits} bits"
    if found.bits == 16:
        text += f" ({found.policy_difference:.0e} in the policy, {found.value_difference:.0e} in the value)"
    return text + (
        "" if config.search.policy == "puct" else f"; it searches with PUCT, not with {config.search.policy}"
    )


_WRITERS: dict[str, Callable[[_Source, Path], Any]] = {
    "weights": _write_weights,
    "stablehlo": _write_stablehlo,
    "onnx": _write_onnx,
    "html": _write_html,
}
