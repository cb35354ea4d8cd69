"""Gathers finished runs (several seeds of one experiment) into one small JSON file, and draws the README's picture.

    python experiments/summarise.py runs/a runs/b runs/c --out experiments/results/connect_four_cpu.json
    python experiments/summarise.py runs/a --out x.json --picture docs/connect_four.svg

The file keeps, for every run, the settings, the versions, the curve of strength against seconds and positions, the
final result, and the matches that it has played (`python -m jzero match`).
"""

from __future__ import annotations

import io
import json
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure

from jzero.registry import make
from jzero.show.boards import replay
from jzero.storage.files import read_json
from jzero.storage.run_dir import CONFIG, read_metrics

CURVE = (
    "iteration",
    "seconds",
    "positions",
    "strength",
    "strength_low",
    "strength_high",
    "policy_loss",
    "value_loss",
)


@dataclass(frozen=True)
class Config:
    """What to gather."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories."""
    out: Path
    """The JSON file."""
    every: int = 0
    """Interval, in iterations, at which losses are kept too; 0 keeps none."""
    picture: Path | None = None
    """Also draw the curves and a game's boards as an SVG file."""


def gather(run: Path, every: int = 0) -> dict[str, Any]:
    """The summary of one run; see `Config.every`."""
    config, metrics = read_json(run / CONFIG) or {}, read_metrics(run)
    curve = [line for line in metrics if line.get("strength") is not None]
    losses = [line for line in metrics if every and "loss" in line and line["iteration"] % every == 0]
    settings = config.get("config") or {}
    return {
        "command": config.get("command"),
        "minutes": settings.get("minutes"),
        "train": settings.get("train"),
        "versions": config.get("versions"),
        "result": read_json(run / "result.json"),
        "match": read_json(run / "match.json"),
        "curve": [{name: _short(line.get(name)) for name in CURVE} for line in curve],
        "losses": [{name: _short(line[name]) for name in line if _is_of_losses(name)} for line in losses],
    }


def _is_of_losses(name: str) -> bool:
    kept = (*CURVE[:3], "updates", "loss", "positions_per_second", "self_play_share", "reward_per_ply")
    return name in kept or name.endswith("_loss")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def picture(runs: list[dict[str, Any]], games: dict[str, Any]) -> str:
    """An SVG: strength against minutes, one line a run, and four boards of a game."""
    figure = Figure(figsize=(5.2, 2.9))
    axes = figure.add_subplot()
    for index, run in enumerate(runs):
        curve = run["curve"]
        minutes = [line["seconds"] / 60 for line in curve]
        axes.plot(minutes, [line["strength"] for line in curve], linewidth=1.6, label=f"seed {index}")
        low, high = ([line[f"strength_{side}"] for line in curve] for side in ("low", "high"))
        axes.fill_between(minutes, low, high, alpha=0.12)
    axes.axhline(0.404, color="#888", linewidth=1, linestyle=":")
    axes.annotate("random player", (0.2, 0.415), fontsize=8, color="#666")
    axes.set(xlabel="minutes on 2 CPU cores", ylabel="moves that keep the game's value", ylim=(0.38, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    chart = _nested(text.getvalue(), 0, 0, 500, 280)
    game = games["games"][0]
    positions = replay(make(games["env"]), game["actions"], game.get("seed"))
    plies = [round(share * (len(positions) - 1)) for share in (0.3, 0.55, 0.8, 1.0)]
    boards = [
        _nested(positions[ply].svg, 510 + 190 * (index % 2), 4 + 138 * (index // 2), 150, 129)
        + f'<text x="{664 + 190 * (index % 2)}" y="{130 + 138 * (index // 2)}" font-size="11">{ply}</text>'
        for index, ply in enumerate(plies)
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 890 284" '
        f'font-family="sans-serif"><rect width="890" height="284" fill="#fff"/>{chart}{"".join(boards)}</svg>\n'
    )


def _nested(svg: str, x: float, y: float, width: float, height: float) -> str:
    """An SVG element to stand inside another at a place and size."""
    svg = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    head = f'<svg x="{x}" y="{y}" width="{width}" height="{height}" viewBox="{box.group(1)}">'
    return re.sub(r"<svg[^>]*>", head, svg, count=1)


def main(config: Config) -> None:
    """Writes the file and the picture, and prints the mean strength of the finished runs."""
    runs = [gather(run, config.every) for run in config.runs]
    values = [run["result"]["strength"]["value"] for run in runs if run["result"] is not None]
    mean = statistics.mean(values) if values else None
    summary = {"mean_strength": mean, "strengths": values, "runs": runs}
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(json.dumps(summary, indent=1) + "\n")
    if config.picture is not None:
        games = read_json(config.runs[0] / "games.json")
        assert games is not None, f"{config.runs[0]} has no games.json"
        config.picture.parent.mkdir(parents=True, exist_ok=True)
        config.picture.write_text(picture(runs, games))
    print(f"mean strength {mean} of {len(values)} runs: {values}; {len(runs) - len(values)} did not finish")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
