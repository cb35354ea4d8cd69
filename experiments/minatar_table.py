"""Fills the MinAtar table cell by cell: games x variants x frames, several seeds, and prints what is still missing.

    python experiments/minatar_table.py                                     continues where it stopped
    python experiments/minatar_table.py --games Breakout --variants muzero --frames 100000 --seeds 0 1 2
    python experiments/minatar_table.py --show                              only prints the table

A cell is one run to that number of frames, measured on 50 whole episodes that it was not watched on. A run with
more frames continues the one with fewer. Every cell is a small JSON file; delete it to measure it again. Under each
variant stands the interquartile mean over games and seeds of the score divided by DQN's after 1,000,000 frames
(Young and Tian 2019), with its 95 % interval by a bootstrap stratified by game (Agarwal et al. 2021).
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from minatar import FINAL, MEASURE, PRESETS
from scipy import stats

from jzero.devices import set_up
from jzero.registry import make
from jzero.run.config import TrainConfig
from jzero.run.loop import Run
from jzero.storage.run_dir import versions

DQN = {"Breakout": 9.0, "Asterix": 7.0, "SpaceInvaders": 32.0, "Freeway": 48.0}
"""DQN's mean returns after 1,000,000 frames, as read from the figure of Young and Tian (2019)."""

Game = Literal["Breakout", "Asterix", "SpaceInvaders", "Freeway"]
Variant = Literal["muzero", "gumbel", "consistency", "reanalyse"]


@dataclass(frozen=True)
class Config:
    """The cells to fill."""

    games: tuple[Game, ...] = ("Breakout", "Asterix", "SpaceInvaders", "Freeway")
    """Games."""
    variants: tuple[Variant, ...] = ("muzero", "gumbel", "consistency", "reanalyse")
    """minatar.py's MuZero; that with Gumbel search; then with consistency too; then with reanalyse too."""
    frames: tuple[int, ...] = (100_000, 200_000, 1_000_000)
    """Frames after which a run is measured."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds."""
    runs: Path = Path("runs/minatar_table")
    """Folder of the runs, which later calls continue."""
    results: Path = Path("experiments/results/minatar")
    """Folder of the cells."""
    cpu_devices: int | None = None
    """CPU devices. None: one per core."""
    show: bool = False
    """Run nothing."""


def train_config(game: Game, variant: Variant, seed: int) -> TrainConfig:
    """The settings of a run."""
    train = PRESETS["muzero"].train
    if variant != "muzero":
        search = PRESETS["gumbel_muzero"].train.search
        train = dataclasses.replace(train, algorithm="gumbel_muzero", search=search, temperature_plies=0)
    muzero, parts = train.muzero, PRESETS["efficientzero"].train.muzero
    if variant in ("consistency", "reanalyse"):
        muzero = dataclasses.replace(muzero, consistency_weight=parts.consistency_weight)
    if variant == "reanalyse":
        muzero = dataclasses.replace(muzero, reanalyse=parts.reanalyse)
    env = f"gymnax:{game}-MinAtar?sticky_actions=0.1"
    return dataclasses.replace(train, env=env, seed=seed, muzero=muzero)


def cell_file(config: Config, game: Game, variant: Variant, seed: int, frames: int) -> Path:
    """The file of a cell."""
    return config.results / f"{game}-{variant}-{seed}-{frames}.json"


def fill(config: Config, game: Game, variant: Variant, seed: int, frames: int) -> None:
    """Runs, or resumes, up to `frames` and writes the cell; an interrupted run writes none."""
    train = train_config(game, variant, seed)
    run_dir = config.runs / f"{game}-{variant}-{seed}"
    if run_dir.exists() and not (run_dir / "checkpoints").exists():
        shutil.rmtree(run_dir)  # ended before there was anything to go on with
    settings = dataclasses.replace(
        PRESETS["muzero"],
        train=train,
        minutes=1e6,
        iterations=frames // (train.games * train.plies),
        run_dir=run_dir,
        resume=(run_dir / "checkpoints").exists(),
        evaluate_every=600,
    )
    env = make(train.env)
    with Run("minatar_table", env, settings, "python experiments/minatar_table.py") as run:
        strength = run.train(MEASURE(env), FINAL(env))
        if strength is None:
            raise SystemExit(130)
        cell = {
            "game": game,
            "variant": variant,
            "seed": seed,
            "frames": run.positions,
            "strength": strength._asdict(),
            "minutes": run.seconds / 60,
            "train": dataclasses.asdict(train),
            "versions": versions(),
        }
    config.results.mkdir(parents=True, exist_ok=True)
    cell_file(config, game, variant, seed, frames).write_text(json.dumps(cell, indent=1) + "\n")


def interquartile_mean(scores: list[np.ndarray], draws: int = 2000) -> tuple[float, float, float]:
    """(IQM, low, high) of the scores of several games, f64[seeds] each; the bootstrap draws seeds within a game."""
    rng = np.random.default_rng(0)
    resampled = [np.concatenate([rng.choice(game, len(game)) for game in scores]) for _ in range(draws)]
    low, high = np.quantile([stats.trim_mean(sample, 0.25) for sample in resampled], [0.025, 0.975])
    return float(stats.trim_mean(np.concatenate(scores), 0.25)), float(low), float(high)


def show(config: Config) -> None:
    """Prints the cells there are, what is missing, and the means over games."""
    missing = []
    for frames in config.frames:
        print(f"\n{frames:,} frames: mean return, one number per seed (minutes of the run)")
        for variant in config.variants:
            scores, parts = [], []
            for game in config.games:
                files = [cell_file(config, game, variant, seed, frames) for seed in config.seeds]
                cells = [json.loads(file.read_text()) for file in files if file.exists()]
                missing += [file.stem for file in files if not file.exists()]
                values = [cell["strength"]["value"] for cell in cells]
                shown = ", ".join(
                    f"{cell['strength']['value']:.1f} ({cell['minutes']:.0f})" for cell in cells
                )
                parts.append(f"{game} {shown or '-'}")
                if values:
                    scores.append(np.array(values) / DQN[game])
            print(f"  {variant:12s} {'; '.join(parts)}")
            if len(scores) == len(config.games):
                mean, low, high = interquartile_mean(scores)
                print(
                    f"  {'':12s} IQM of DQN's score after 1,000,000 frames: {mean:.2f} [{low:.2f}, {high:.2f}]"
                )
    print(f"\nmissing: {len(missing)} cells" + "".join(f"\n  {name}" for name in missing))


def main(config: Config) -> None:
    """Fills what is missing, then prints the table."""
    if not config.show:
        set_up(cpu_devices=config.cpu_devices)
        for frames in sorted(config.frames):
            for seed in config.seeds:
                for game in config.games:
                    for variant in config.variants:
                        if not cell_file(config, game, variant, seed, frames).exists():
                            fill(config, game, variant, seed, frames)
    show(config)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
