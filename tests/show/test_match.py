"""The page of a match: complete, safe, without requests."""

import re

import pytest

from jzero.show.match import match_page, rating_lines, result_line

NUMBERS = {"games": 20, "value": 0.675, "low": 0.5, "high": 0.8, "seed": 7, "seconds": 1.5}
PAIRS = {
    "player": "runs/a:4",
    "opponent": "rollouts:10",
    **NUMBERS,
    "wins": 12,
    "draws": 3,
    "losses": 5,
    "first": [7, 1, 2],
    "second": [5, 2, 3],
    "opening_plies": [0, 2],
}
TABLES = {"player": "runs/a:4", "opponent": "random", **NUMBERS, "value": -1.25, "own": 3.0, "others": 4.25}
RETURNS = {"player": "random", "opponent": None, **NUMBERS, "value": 1234.5, "cut": 2}
RATINGS = [
    {"player": "runs/a:4", "elo": 0.0, "low": 0.0, "high": 0.0},
    {"player": "rollouts:10", "elo": -127.4, "low": -250.2, "high": -4.6},
    {"player": "random", "elo": 3.2, "low": -1.0, "high": 7.0},
]


def record(contest, result, ratings=()):
    players = {name: {"words": f"who is {name}", "weights": None} for name in ("runs/a:4", "random")}
    return {
        "env": "some_game",
        "contest": contest,
        "players": players,
        "results": [result],
        "ratings": list(ratings),
    }


def cells(html):
    return [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", html)]


def test_an_encounter_is_a_line():
    assert (
        result_line("pairs", PAIRS)
        == "runs/a:4 against rollouts:10: 12 won, 3 drawn, 5 lost of 20; score 0.675 [0.500, 0.800]"
    )
    assert (
        result_line("tables", TABLES)
        == "runs/a:4 against random: -1.25 [0.5, 0.8] above the others in 20 games"
    )
    assert (
        result_line("returns", RETURNS)
        == "random: mean return of 20 episodes 1,234 [0.5, 0.8], 2 of them cut short"
    )
    alone = RETURNS | {"games": 1, "low": None, "high": None, "cut": 0}
    assert result_line("returns", alone).rstrip() == "random: mean return of 1 episodes 1,234"


def test_ratings_are_listed_from_the_strongest_to_the_weakest():
    assert rating_lines(RATINGS) == [
        "Elo with 95 % intervals; runs/a:4 has 0",
        "  random          +3 [-1, +7]",
        "  runs/a:4        +0",
        "  rollouts:10   -127 [-250, -5]",
    ]


@pytest.mark.parametrize(
    ("contest", "result", "expected"),
    [
        ("pairs", PAIRS, ["0.675", "[0.500, 0.800]", "12, 3, 5", "7, 1, 2", "5, 2, 3", "0 to 2 plies", "7"]),
        ("tables", TABLES, ["runs/a:4", "random", "20", "-1.25", "[0.5, 0.8]", "3", "4.25", "7"]),
        ("returns", RETURNS, ["random", "20", "1,234", "[0.5, 0.8]", "2", "7"]),
    ],
)
def test_the_page_has_every_number_and_asks_for_nothing(contest, result, expected):
    html = match_page(record(contest, result, RATINGS if contest == "pairs" else ()))
    found = cells(html)
    start = next(i for i in range(len(found)) if found[i : i + len(expected)] == expected)
    assert start > 0
    assert "who is runs/a:4" in found
    assert ("-127" in found) == (contest == "pairs")
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", html)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    tables = re.findall(r"<table>(.*?)</table>", html, re.DOTALL)
    assert len(tables) == 2 + (contest == "pairs")
    for table in tables:
        widths = {len(re.findall("<t[dh]>", row)) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)}
        assert len(widths) == 1
    assert rows


def test_names_are_text_and_no_html():
    evil = "<script>alert(1)</script>"
    html = match_page(record("returns", RETURNS | {"player": evil}) | {"env": evil})
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 3
