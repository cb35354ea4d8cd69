"""The runs of `strength.py` as a table: each setting beside the base, by the same seeds.

    python experiments/benchmarks/strength_table.py experiments/benchmarks/results/strength_switches_cpu.json

A difference is the mean over the seeds of a setting's share minus the base's, averaged over both sets of positions;
its interval is Student's, 95 %, over the seeds. It has none for one seed.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from scipy import stats

SHARES = {"64 simulations": "64 simulations", "policy's share": "share of the policy"}
"""Column -> group of the parts of a measurement."""


@dataclass(frozen=True)
class Config:
    """Options."""

    results: Annotated[Path, tyro.conf.Positional]
    """File of the runs."""
    base: str = "preset"
    """Name of the runs that the others are compared with."""


def shares(run: Mapping[str, Any], group: str) -> list[float]:
    """A group's share on each set of positions."""
    return [part["value"] for part in run["strength"]["parts"] if part["group"] == group]


def by_seed(runs: Sequence[Mapping[str, Any]], name: str) -> dict[int, Mapping[str, Any]]:
    """The runs of a setting by their seed."""
    return {run["seed"]: run for run in runs if run["name"] == name}


def changed(run: Mapping[str, Any]) -> str:
    """The options of a run but for its time and seed."""
    text = f" {' '.join(run['options'])}".replace(f" --minutes {run['options'][1]}", "")
    return text.replace(f" --seed {run['seed']}", "").strip()


def difference(one: Mapping[int, Any], base: Mapping[int, Any], group: str) -> str:
    """How much greater a group's share is, as text with its interval."""
    both = sorted(one.keys() & base.keys())
    found = [
        statistics.mean(shares(one[seed], group)) - statistics.mean(shares(base[seed], group))
        for seed in both
    ]
    if len(found) < 2:
        return " ".join(f"{value:+.3f}" for value in found)
    half = stats.t.ppf(0.975, len(found) - 1) * statistics.stdev(found) / len(found) ** 0.5
    return f"{statistics.mean(found):+.3f} +-{half:.3f}"


def table(runs: Sequence[Mapping[str, Any]], base: str) -> list[str]:
    """The lines of the table."""
    heads = [f"{column}: after value-keeping moves; after best moves" for column in SHARES]
    heads += [f"difference, {column}" for column in SHARES]
    lines = [f"| setting | seeds | positions | {' | '.join(heads)} |"]
    lines.append("|---" * (3 + len(heads)) + "|")
    for name in dict.fromkeys(run["name"] for run in runs):
        own, others = by_seed(runs, name), by_seed(runs, base)
        values = list(own.values())
        positions = statistics.mean(run["positions"] for run in values)
        setting = f"`{options}`" if (options := changed(values[0])) else name
        cells = [setting, ", ".join(map(str, sorted(own))), f"{positions / 1000:,.0f}k"]
        for group in SHARES.values():
            sets = zip(*(shares(run, group) for run in values), strict=True)
            cells.append("; ".join(f"{statistics.mean(each):.3f}" for each in sets))
        cells += ["" if name == base else difference(own, others, group) for group in SHARES.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    config = tyro.cli(Config)
    print("\n".join(table(json.loads(config.results.read_text())["runs"], config.base)))
