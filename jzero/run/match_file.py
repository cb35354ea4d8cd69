"""The file and the page of a match; `jzero.run.match` documents the format."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from jzero.env import Env
from jzero.evaluate.encounters import Record
from jzero.evaluate.strength import Contest
from jzero.run.entrants import Entrant
from jzero.show.match import match_page
from jzero.storage.files import read_json, write_atomic

MATCH, PAGE = "match.json", "match.html"


class MatchFile:
    """The stored results of a match in a folder."""

    def __init__(self, folder: Path, env: Env, env_name: str, kind: Contest) -> None:
        """Reads the file if there is one.

        Raises:
            ValueError: it belongs to another game, or is not such a file.
        """
        self.folder, self.env = folder, env
        self.record: Record = {
            "env": env_name,
            "contest": kind,
            "players": {},
            "results": [],
            "ratings": [],
        }
        path = folder / MATCH
        if not path.exists():
            return
        found = read_json(path)
        if found is None or not found.keys() >= self.record.keys():
            raise ValueError(
                f"{path} is not a record of matches: move it away, or give another folder with --out"
            )
        if (found["env"], found["contest"]) != (env_name, kind):
            raise ValueError(
                f"{path} holds {found['contest']} in {found['env']!r}, and this match is {kind} in {env_name!r}: "
                "give another folder with --out"
            )
        self.record = {**found, "ratings": []}

    def begin(self, entrants: Sequence[Entrant]) -> None:
        """Adds players; drops results of a run's older weights."""
        players = self.record["players"]
        for entrant in entrants:
            name = entrant.name
            if players.get(name, {}).get("weights") != entrant.about["weights"]:
                results = self.record["results"]
                kept = [r for r in results if name not in (r["player"], r["opponent"])]
                if len(kept) < len(results):
                    print(
                        f"{name} has changed weights since {self.folder / MATCH} was written: its results are "
                        "dropped"
                    )
                self.record["results"] = kept
            players[name] = entrant.about

    def found(self, start: Record) -> Record | None:
        """The result of the same encounter with the same settings."""
        results = self.record["results"]
        same = (r for r in results if all(r.get(name) == value for name, value in start.items()))
        return next(same, None)

    def write(self) -> None:
        """Writes the file and the page."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.record, indent=2, allow_nan=False)
        write_atomic(self.folder / MATCH, _on_one_line(text) + "\n")
        write_atomic(self.folder / PAGE, match_page(self.record, self.env))


def _on_one_line(text: str) -> str:
    """JSON with each list of numbers (the actions of a game) on one line."""
    return re.sub(r"\[\n[-\d.,\s]+\]", lambda found: " ".join(found[0].split()), text)
