"""Games on disk: one small JSON file each, rewritten at every move."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path

from jzero.play.game import Game, Gone, Refused
from jzero.pytrees import Json
from jzero.show.rules import Rules
from jzero.storage.files import read_json, write_atomic

FOLDER = "play"
NAME = re.compile(r"[A-Za-z0-9_-]{12}")
LIVE = 64
"""Number of games whose states are kept in memory."""
MOST = 5_000
"""Largest number of files."""


class Store:
    """Games by id. Without a folder they are in memory only."""

    def __init__(self, rules: Rules, folder: Path | None) -> None:
        self._rules, self._folder = rules, folder
        self._live: OrderedDict[str, Game] = OrderedDict()

    def add(self, game: Game) -> None:
        """Adds a new game; it gets a file at its first move."""
        self._touch(game)
        if game.ply:
            self.save(game)

    def get(self, name: str) -> Game:
        """The game with this id.

        Raises:
            Gone: there is none.
        """
        if not NAME.fullmatch(name):
            raise Gone("there is no such game")
        game = self._live.get(name) or self._read(name)
        self._touch(game)
        game.replay(self._rules)
        return game

    def save(self, game: Game) -> None:
        """Writes the game's file.

        Raises:
            Refused: there are too many files, or the disk is full.
        """
        if self._folder is None:
            return
        path = self._folder / f"{game.id}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and sum(1 for _ in self._folder.glob("*.json")) >= MOST:
                raise Refused(f"{self._folder} holds {MOST} games; move some away")
            write_atomic(path, json.dumps(game.to_json(self._rules.spec.name)) + "\n")
        except OSError as error:
            raise Refused(f"the game cannot be saved in {self._folder}: {error}") from error

    def _touch(self, game: Game) -> None:
        self._live[game.id] = game
        self._live.move_to_end(game.id)
        while len(self._live) > LIVE:
            self._live.popitem(last=False)

    def _read(self, name: str) -> Game:
        found = None if self._folder is None else read_json(self._folder / f"{name}.json")
        if not isinstance(found, dict) or found.get("env") != self._rules.spec.name:
            raise Gone("there is no such game")
        return _of_json(found)


def _of_json(found: Json) -> Game:
    values = {int(ply): value for ply, value in found["values"].items()}
    names = ("id", "seed", "seats", "simulations", "actions", "created")
    return Game(**{name: found[name] for name in names}, values=values)
