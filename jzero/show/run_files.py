"""The files of a run; any of them may still be missing."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jzero.pytrees import Record
from jzero.show.curves import STRENGTH, column
from jzero.show.words import number
from jzero.storage.files import mapping, read_json
from jzero.storage.run_dir import CONFIG, read_metrics

NEEDED = frozenset(("env", "network", "algorithm"))
"""Parts that a user may pass in as objects; without one of them there is no agent."""


class RunFiles(NamedTuple):
    """The contents of a run directory."""

    path: Path
    """As the user gave it."""
    metrics: Sequence[Record]
    config: Record
    result: Record
    """Empty while the run goes on."""

    @property
    def experiment(self) -> str:
        """Its name."""
        return str(self.config.get("experiment") or self.path.resolve().parent.name)

    @property
    def settings(self) -> Record:
        """The settings; empty if they are not recorded."""
        return mapping(self.config.get("config"))

    @property
    def env(self) -> str:
        """The environment's name; "" if it is not recorded."""
        return str(mapping(self.settings.get("train")).get("env") or "")

    @property
    def loads(self) -> bool:
        """Whether its files hold the whole agent; they do not hold parts that were passed in as objects."""
        return not self.needed

    @property
    def needed(self) -> list[str]:
        """The parts to pass in where the agent is loaded."""
        return [name for name in self.settings.get("handed_in") or () if name in NEEDED]

    @property
    def trained(self) -> str:
        """Algorithm and environment, as far as they are recorded."""
        algorithm = str(mapping(self.settings.get("train")).get("algorithm") or "")
        return " in ".join(filter(None, (algorithm, self.env)))

    @property
    def strength(self) -> Record:
        """The final strength; empty while the run goes on."""
        return mapping(self.result.get("strength"))

    def measured(self) -> tuple[str, list[float | None]]:
        """The final strength, or the latest: its name, and its value, low and high, each None if unknown."""
        found = [number(self.strength.get(name)) for name in ("value", "low", "high")]
        if found[0] is not None:
            return str(self.strength.get("name") or "Strength"), found
        lines = [line for line in self.metrics if number(line.get("strength")) is not None]
        return "Strength so far", [number((lines or [{}])[-1].get(name)) for name in STRENGTH]

    def last(self, name: str) -> float | None:
        """A count from the result, else from the last line of metrics that has it."""
        final = number(self.result.get(name))
        return final if final is not None else next(iter(column(self.metrics, name)[-1:]), None)


def read_run(run_dir: str | Path) -> RunFiles:
    """Reads the files as they are now."""
    path = Path(run_dir)
    metrics = read_metrics(path)
    config, result = (read_json(path / name) or {} for name in (CONFIG, "result.json"))
    return RunFiles(path, metrics, config, result if _is_current(result, metrics) else {})


def _is_current(result: Record, metrics: Sequence[Record]) -> bool:
    """False if the run was resumed after its result: then metrics.jsonl is longer."""
    return max(column(metrics, "seconds"), default=0.0) <= (number(result.get("seconds")) or math.inf)
