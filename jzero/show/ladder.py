"""A match's cross table, rating curve over training time, and games; `jzero.run.match` documents the record."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from jzero.env import Env
from jzero.pytrees import Json, Record
from jzero.show.games import games_section
from jzero.show.plots import figure, interval_series, key, line_chart

GAMES = 24
"""Largest number of games on the page."""
BOARD_BYTES = 1_500_000
"""Largest size of all pictures in bytes."""


def labels(names: Sequence[str]) -> dict[str, str]:
    """Short names of the players: runs without their common folder, a program without its options.

    Full names if short ones would be ambiguous.
    """
    paths = [name for name in names if os.path.isabs(name)]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""

    def label(name: str) -> str:
        if name in paths:
            return os.path.relpath(name, folder)
        return name.split()[0] if name.startswith("gtp:") else name

    short = {name: label(name) for name in names}
    return short if len(set(short.values())) == len(short) else dict(zip(names, names, strict=True))


def cross_table(results: Sequence[Record], ranked: Sequence[str]) -> list[list[str]]:
    """The score of each player against each other one and in total: cells [M][M + 1].

    Args:
        results: results of encounters in pairs; those of the same two players are added.
        ranked: the players, strongest first.
    """
    place = {name: number for number, name in enumerate(ranked)}
    points, games = np.zeros((2, len(ranked), len(ranked)))
    for result in results:
        if result["player"] in place and result["opponent"] in place:
            one, other = place[result["player"]], place[result["opponent"]]
            score = result["wins"] + result["draws"] / 2
            points[one, other] += score
            points[other, one] += result["games"] - score
            games[one, other] += result["games"]
            games[other, one] += result["games"]
    cells = [
        [
            "\u2013" if row == column else _score(points[row, column], games[row, column])
            for column in place.values()
        ]
        for row in place.values()
    ]
    return [[*row, _score(p, g)] for row, p, g in zip(cells, points.sum(1), games.sum(1), strict=True)]


def _score(points: float, games: float) -> str:
    return f"{points:g}/{games:g}" if games else ""


def curve_section(ratings: Sequence[Record], players: Mapping[str, Record], names: Mapping[str, str]) -> str:
    """Elo over the minutes of training of runs with several checkpoints; "" without any."""
    found = _curves(ratings, players)
    if not found:
        return ""
    lines, keys = [], []
    for place, curve in enumerate(found):
        minutes = [players[rating["player"]]["seconds"] / 60 for rating in curve]
        columns = [[rating[name] for rating in curve] for name in ("elo", "low", "high")]
        lines.append(interval_series(minutes, *columns))
        run = re.sub(r"(@\d+)?:\d+$", "", names[curve[0]["player"]])
        simulations = players[curve[0]["player"]]["simulations"]
        keys.append(key(place, f"{run}, {simulations} simulations"))
    chart = line_chart(lines, x_label="minutes of training", size=(9.4, 2.9), markers=True)
    band = f"the band is the 95 % interval of the difference to {names[ratings[0]['player']]}"
    caption = f"<b>Elo</b>{''.join(keys)}<span>{escape(band)}</span>"
    return f"<section><h2>Elo over training time</h2>{figure(caption, chart, 'wide')}</section>"


def _curves(ratings: Sequence[Record], players: Mapping[str, Record]) -> list[list[Record]]:
    """The ratings of each run with several checkpoints, by training time; one curve per number of simulations."""
    curves: dict[tuple[str, int], list[Record]] = {}
    for rating in ratings:
        about = players.get(rating["player"], {})
        if about.get("seconds") is not None:
            curves.setdefault((about["run"], about["simulations"]), []).append(rating)
    by_time = [sorted(c, key=lambda rating: players[rating["player"]]["seconds"]) for c in curves.values()]
    return [curve for curve in by_time if len(curve) > 1]


def match_games(results: Sequence[Record], names: Mapping[str, str], env: Env | None) -> tuple[str, str]:
    """The section of recorded games and its style sheet: both seats of evenly spread encounters."""
    recorded = [result for result in results if result.get("sample_games")]
    each = max((len(result["sample_games"]) for result in recorded), default=1)
    places = np.linspace(0, len(recorded) - 1, min(len(recorded), GAMES // each)).round().astype(int)
    games = [
        _game(recorded[place], game, names) for place in places for game in recorded[place]["sample_games"]
    ]
    total = sum(len(result["sample_games"]) for result in recorded)
    return games_section(
        {"games": games},
        env,
        title="Games",
        most=GAMES,
        board_bytes=BOARD_BYTES,
        elsewhere=(total - len(games), "match.json"),
    )


def _game(result: Record, game: Record, names: Mapping[str, str]) -> Json:
    """The game in the format of `games_section`, with the seats in its title."""
    seats = [result["player"], result["opponent"]]
    if game["player_seat"] == 1:
        seats.reverse()
    one, two = (names[name] for name in seats)
    return {**game, "title": f"{one} (player 1) against {two} (player 2)"}
