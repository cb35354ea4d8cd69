"""Runs the page's scripts in node, to compare them with the library and to play matches."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np

from jzero.evaluate.turns import Player, Turn
from jzero.export.html import offline
from jzero.pytrees import Record

SCRIPTS = ("network.js", "search.js", "games.js", "board.js")

PLAY = """
  const game = GAMES[data.game.name](data.game.options);
  const network = makeNetwork(data.network);
  return data.games.map((actions) => {
    const state = actions.reduce((state, action) => game.step(state, action), game.init());
    const tree = newTree(game, network, state, data.search);
    for (let i = 0; i < data.simulations; i++) simulate(tree);
    const { actions: found, value, best } = summary(tree);
    return { visits: found.map(({ visits }) => visits), value, best };
  });
"""
"""Searches the positions after `data.games`, lists of actions from the initial state."""


def run_javascript(code: str, data: Any) -> Any:
    """The result of `code`, the body of a function of `data`, run with the page's scripts; both are JSON.

    Raises:
      ValueError: node is not installed, or the code fails.
    """
    node = shutil.which("node")
    if node is None:
        raise ValueError("this needs node: install it from nodejs.org")
    program = "\n".join(
        [
            '"use strict";',
            *map(offline, SCRIPTS),
            f"function main(data) {{ {code} }}",
            'const text = require("fs").readFileSync(0, "utf-8");',
            "process.stdout.write(JSON.stringify(main(JSON.parse(text))));",
        ]
    )
    child = subprocess.run([node, "-e", program], input=json.dumps(data), capture_output=True, text=True)
    if child.returncode:
        raise ValueError(f"node: {child.stderr[-2000:]}")
    return json.loads(child.stdout)


def page_player(data: Record, num_simulations: int) -> Player:
    """The page as a player, given `jzero.export.html.page_data`."""

    def play(turn: Turn) -> np.ndarray:
        rows = np.flatnonzero(turn.rows)
        games = [list(map(int, turn.histories[row])) for row in rows]
        found = run_javascript(PLAY, {**data, "games": games, "simulations": num_simulations})
        actions = np.zeros(len(turn.rows), np.int32)
        actions[rows] = [one["best"] for one in found]
        return actions

    return play
