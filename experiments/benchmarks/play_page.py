"""How long a player waits: from `jzero play RUN` to a board that takes clicks, and for a move.

    python experiments/benchmarks/play_page.py runs/connect_four/20261121-101500 --out play_page.json

Cold: an empty home, so nothing is compiled yet; warm: the same home again. Answers are timed on a page that has
compiled its search.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from hardware import provenance, tell


@dataclass(frozen=True)
class Config:
    """What to play."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's directory."""
    simulations: int = 64
    """Simulations per answer, one of the page's levels."""
    answers: int = 20
    """Timed searches; the median is reported."""
    out: Path | None = None
    """Where to write the result as JSON."""


class Page:
    """A server in a child process, and requests to it."""

    def __init__(self, run: Path, home: Path) -> None:
        """Starts it with the home directory `home`."""
        self.begun = time.monotonic()
        command = [sys.executable, "-m", "jzero", "play", str(run), "--no-browser", "--port", "0"]
        self.child = subprocess.Popen(
            command,
            env=os.environ | {"HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.child.stdout is not None
        self.url = next(word for word in self.child.stdout.readline().split() if word.startswith("http"))

    def ask(self, method: str, **body: Any) -> bytes:
        """The answer to a request."""
        data, headers = json.dumps(body).encode(), {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}api/{method}", data, headers)) as got:
            return got.read()

    def click(self) -> dict[str, Any]:
        """Starts a new game and plays its first legal move."""
        seats = ["human"] * json.loads(self.ask("info"))["players"]
        game = json.loads(self.ask("new", seats=seats))
        action = int(next(iter(game["legal"])))
        return json.loads(self.ask("play", game=game["id"], ply=0, action=action))

    def close(self) -> None:
        """Stops the server."""
        self.child.terminate()
        self.child.wait()


def main(config: Config) -> None:
    """Measures and prints JSON."""
    result: dict[str, Any] = {"benchmark": "play_page", "run": config.run.name, **provenance()}
    with tempfile.TemporaryDirectory() as home:
        for start in ("cold", "warm"):
            page = Page(config.run, Path(home))
            page.click()
            result[f"{start}_seconds_to_a_move"] = round(time.monotonic() - page.begun, 2)
            game = page.click()
            begun, seconds = time.monotonic(), []
            for number in range(config.answers + 1):
                page.ask("think", game=game["id"], ply=1, simulations=config.simulations)
                seconds.append(time.monotonic() - begun)
                begun = time.monotonic()
                if not number:
                    result[f"{start}_seconds_to_the_first_answer"] = round(seconds[0], 2)
            page.close()
    result["simulations"] = config.simulations
    result["milliseconds_per_answer"] = round(1000 * statistics.median(seconds[1:]), 1)
    tell(result, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
