"""The tables of gpu.py's result, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def tables(result: dict[str, Any]) -> str:
    """The tree against mctx, self-play as a share of the network alone, and the training run."""
    steps = result["steps"]
    parts = [_machine(result), _tree(steps), _play(steps), _updates(steps), _training(steps)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(result: dict[str, Any]) -> str:
    cells = result["steps"].get("versions", [])
    found = {name: value for cell in cells for name, value in cell.items()}
    card = found.get("nvidia_smi") or ", ".join(found.get("devices", []))
    rates = {"bf16_product_tflops": "TFLOP/s in a bf16 product", "copy_gb_per_second": "GB/s in a copy"}
    said = [f"{found[name]} {words}" for name, words in rates.items() if name in found]
    versions = result["versions"]
    packages = f"jax {versions['jax']}, Python {versions['python']}"
    return "; ".join([card, packages, *said, f"{result['date'][:10]}, commit {result['commit'][:10]}"])


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as text; numbers have separators, a missing value is an empty cell."""
    rows = list(rows)
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_text, line))} |" for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _tree(steps: dict[str, Any]) -> str:
    rows = []
    for cell in steps.get("tree", []):
        us = cell.get("us_per_simulation", {})
        ours = {name: value for name, value in us.items() if name != "mctx"}
        best = min(ours.values(), default=None)
        ratio = round(us["mctx"] / best, 1) if best and "mctx" in us else None
        equal = cell.get("to_walk", {})
        least = min((equal[name]["equal"] for name in ours if name in equal), default=None)
        names = ("walk", "walk, graphs", "kernels", "kernels, graphs", "mctx")
        sizes = (cell.get("policy"), cell.get("A"), cell.get("B"))
        rows.append([*sizes, *(us.get(name) for name in names), ratio, least])
    header = (
        "search",
        "A",
        "B",
        "walk, us per simulation",
        "with graphs",
        "kernels",
        "with graphs",
        "mctx",
        "mctx / best",
        "rows with equal visits",
    )
    return table(header, rows)


def _play(steps: dict[str, Any]) -> str:
    rows = []
    for cell in [*steps.get("play", []), *steps.get("games", [])]:
        for mode, found in cell.get("modes", {}).items():
            network = cell["network"] + ("" if cell["norm"] == "layer" else f", norm {cell['norm']}")
            speeds = (found["positions_per_second"], found["evaluations_per_second"])
            rows.append([cell["game"], network, cell["B"], mode, *speeds, f"{found['share_of_ceiling']:.0%}"])
    header = (
        "self-play",
        "network",
        "games",
        "search",
        "positions/s",
        "evaluations/s",
        "of the network alone",
    )
    return table(header, rows)


def _updates(steps: dict[str, Any]) -> str:
    rows = [
        [cell[name] for name in ("game", "algorithm", "batch_size", "updates_per_second")]
        + [cell.get("reanalysed_per_second")]
        for cell in steps.get("updates", [])
        if "updates_per_second" in cell
    ]
    return table(("learning", "algorithm", "batch", "updates/s", "positions searched again/s"), rows)


def _training(steps: dict[str, Any]) -> str:
    lines = []
    for cell in steps.get("training", []):
        strength = cell.get("strength")
        if strength is None:
            continue
        interval = f"{strength['low']:.1%} to {strength['high']:.1%}"
        curve = ", ".join(f"{line['strength']:.1%} at {line['seconds']:.0f} s" for line in cell["curve"])
        lines.append(
            f"Connect Four, {cell['minutes']:g} minutes: {strength['value']:.1%} ({interval}) of moves keep the "
            f"game's value; {cell['positions']:,} positions, {cell['updates']:,} updates. On the way: {curve}."
        )
    return "\n".join(lines)
