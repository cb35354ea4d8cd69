"""What a first run is like: seconds to its first line, update and strength, and its strength at the end.

A run's own clock starts with the end of its first iteration and stands while programs compile: what it says at the
first update is there too.

    python experiments/benchmarks/first_minutes.py
    python experiments/benchmarks/first_minutes.py --envs pgx:go_19x19 --minutes 1
    python experiments/benchmarks/first_minutes.py --code ../before --out before.json  another checkout
    python experiments/benchmarks/first_minutes.py --show    prints the table only

`python -m jzero train` trains each environment in a child process, in an empty directory that is also its home, so
nothing is compiled or cached. The file is written after each run; an environment in it is not run again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from hardware import commit, cpu_name

from jzero.storage.files import read_json
from jzero.storage.run_dir import read_metrics, versions

Row = dict[str, Any]
ENVS = (
    "tic_tac_toe",
    "connect_four",
    "gomoku?size=9",
    "pgx:othello",
    "pgx:hex",
    "pgx:animal_shogi",
    "pgx:gardner_chess",
    "pgx:chess",
    "pgx:shogi",
    "pgx:go_19x19",
    "pgx:kuhn_poker",
    "pgx:sparrow_mahjong",
    "2048",
    "pgx:minatar-asterix",
    "gymnax:CartPole-v1",
    "jaxtari:pong",
    "craftax:Craftax-Symbolic-v1",
    "navix:Navix-Empty-5x5-v0",
    "meet:Meet",
)
MEET = Path(__file__).parents[2] / "docs" / "cooperative.md"
"""The page with the game of `meet:Meet`, which lies in the user's own file."""
LEARNED = {
    "gymnax:CartPole-v1",
    "craftax:Craftax-Symbolic-v1",
    "navix:Navix-Empty-5x5-v0",
}
"""Trained by --algorithm gumbel_muzero."""
RUN = "run"


@dataclass(frozen=True)
class Config:
    """What to try."""

    envs: tuple[str, ...] = ENVS
    """Names of environments."""
    minutes: float = 2.0
    """Budget of each run."""
    code: Path = Path(__file__).parents[2]
    """The checkout of jzero to run; an absolute path."""
    out: Path = Path("experiments/results/first_minutes_cpu.json")
    """The results: read first, written after each run."""
    show: bool = False
    """Print the table of `out` and run nothing."""


def try_one(config: Config, env: str, at: Path) -> Row:
    """The row of one environment, trained in the empty directory `at`."""
    command = ["-m", "jzero", "train", "--env", env, "--minutes", f"{config.minutes:g}", "--run-dir", RUN]
    command += ["--algorithm", "gumbel_muzero"] * (env in LEARNED)
    (game,) = re.findall(r"```python\n(.*?)```", MEET.read_text(), re.DOTALL)
    (at / "meet.py").write_text(game)
    load, begun = os.getloadavg()[0], time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=at,
        env=os.environ
        | {"HOME": str(at), "PYTHONPATH": f"{config.code}:{config.code / 'envs'}", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=(at / "stderr").open("w"),
        text=True,
    )
    said: list[tuple[float, str]] = []
    reader = threading.Thread(target=_read, args=(child, begun, said))
    reader.start()
    seen: dict[str, float] = {}
    while child.poll() is None:
        for name, there in _events(at / RUN).items():
            if there:
                seen.setdefault(name, time.monotonic() - begun)
        time.sleep(0.25)
    reader.join()
    result = read_json(at / RUN / "result.json") or {}
    lines = list(read_metrics(at / RUN))
    return {
        "env": env,
        "minutes": config.minutes,
        "first_line": said[0][0] if said else None,
        "first_update": seen.get("update"),
        "clock_at_first_update": next((line["seconds"] for line in lines if line.get("updates")), None),
        "first_strength": seen.get("strength"),
        "end": time.monotonic() - begun,
        "updates": result.get("updates"),
        "strength": result.get("strength"),
        "measured": [[line["seconds"], line["strength"]] for line in lines if "strength" in line],
        "said": [f"{seconds:.0f} s: {line}" for seconds, line in said],
        "exit_code": child.returncode,
        "error": (at / "stderr").read_text().splitlines()[-1:] if child.returncode else [],
        "load_before": load,
    }


def _read(child: subprocess.Popen, begun: float, said: list[tuple[float, str]]) -> None:
    """Notes the lines of the child's output and when they came."""
    assert child.stdout is not None
    said += ((time.monotonic() - begun, line.rstrip()) for line in child.stdout if line.strip())


def _events(run_dir: Path) -> dict[str, bool]:
    """Which events a run has reached."""
    if not (run_dir / "metrics.jsonl").is_file():
        return {}
    metrics = read_metrics(run_dir)
    return {
        "update": any(line.get("updates") for line in metrics),
        "strength": any("strength" in line for line in metrics) or _strength(run_dir) is not None,
    }


def _strength(run_dir: Path) -> float | None:
    """The final strength, or None."""
    return ((read_json(run_dir / "result.json") or {}).get("strength") or {}).get("value")


def show(rows: list[Row]) -> None:
    """Prints the table, as docs/results.md has it."""
    print(
        "| environment | first line | first update | by the run's clock | first strength | whole | at the end |"
    )
    print("|---|---|---|---|---|---|---|")
    times_of = ("first_line", "first_update", "clock_at_first_update", "first_strength", "end")
    for row in rows:
        times = [row.get(name) for name in times_of]  # older rows lack the clock
        cells = ["-" if seconds is None else f"{seconds:.0f} s" for seconds in times]
        strength = row["strength"]
        last = f"exit code {row['exit_code']}"
        if strength and strength["value"] is None:
            last = strength["name"]
        elif strength:
            last = (
                f"{strength['value']:.3g} [{strength['low']:.3g}, {strength['high']:.3g}], {strength['name']}"
            )
        print(f"| `{row['env']}` | {' | '.join(cells)} | {last} |")


def main(config: Config) -> None:
    """Tries what is missing, writes it, prints the table."""
    rows: list[Row] = (read_json(config.out) or {}).get("rows", [])
    missing = [env for env in config.envs if env not in {row["env"] for row in rows}]
    for env in [] if config.show else missing:
        with tempfile.TemporaryDirectory() as at:
            rows.append(try_one(config, env, Path(at)) | {"commit": commit(config.code)})
        result = {"benchmark": "first_minutes", "cpu": cpu_name(), "versions": versions(), "rows": rows}
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(result, indent=1) + "\n")
    show(rows)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
