"""The page of a match: complete, safe, without requests."""

import re

import pytest
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.show.ladder import cross_table, labels
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
    "distinct_games": 19,
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
        (
            "pairs",
            PAIRS,
            ["0.675", "[0.500, 0.800]", "12, 3, 5", "7, 1, 2", "5, 2, 3", "19", "0 to 2 plies", "7"],
        ),
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
    assert len(tables) == 2 + 2 * (contest == "pairs")
    for table in tables:
        widths = {len(re.findall("<t[dh]>", row)) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)}
        assert len(widths) == 1
    assert rows


def test_names_are_text_and_no_html():
    evil = "<script>alert(1)</script>"
    html = match_page(record("returns", RETURNS | {"player": evil}) | {"env": evil})
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 3


def game(seat, outcome):
    return {"player_seat": seat, "seed": 0, "actions": [0, 3, 1, 4, 2], "outcome": outcome}


def with_run(**changes):
    """A record of two checkpoints of one run and an opponent."""
    names = ["/runs/<b>/x@5:4", "/runs/<b>/x@9:4", "random"]
    players = {name: {"words": "who", "weights": None} for name in names}
    for name, seconds in zip(names[:2], (60.0, 300.0), strict=True):
        players[name] |= {"run": "/runs/<b>/x", "simulations": 4, "iteration": 1, "seconds": seconds}
    met = [(names[0], names[1]), (names[1], names[0]), (names[0], names[2])]
    games = [game(0, [1, -1]), game(1, [1, -1])]
    results = [PAIRS | {"player": a, "opponent": b, "sample_games": games} for a, b in met]
    ratings = [{**rating, "player": name} for rating, name in zip(RATINGS, names, strict=True)]
    about = {"env": "tic_tac_toe", "contest": "pairs", "players": players}
    return {**about, "results": results, "ratings": ratings, **changes}


def test_a_cross_table_adds_up_the_results_of_two():
    table = cross_table(with_run()["results"], ["random", "/runs/<b>/x@5:4", "/runs/<b>/x@9:4"])
    assert table == [
        ["\u2013", "6.5/20", "", "6.5/20"],
        ["13.5/20", "\u2013", "20/40", "33.5/60"],
        ["", "20/40", "\u2013", "20/40"],
    ]


def test_a_runs_checkpoints_are_a_curve_and_games_have_boards():
    html = match_page(with_run(), TicTacToe())
    assert "Elo over training time" in html
    assert "x, 4 simulations" in html
    assert "minutes of training" in html
    assert html.count('<article class="card game"') == 6
    assert "<option>x@5:4 (player 1) against x@9:4 (player 2)</option>" in html
    assert "<option>x@9:4 (player 1) against x@5:4 (player 2)</option>" in html
    assert "player 1 wins" in html
    assert "<b>/x" not in html
    assert 'url("data:image/svg+xml' in html
    without = match_page(with_run(), None)
    assert without.count("Moves only: its environment is not installed here") == 6


def test_a_page_has_a_bounded_number_of_games_of_encounters_spread_evenly():
    first = with_run()["results"][0]
    results = [first | {"player": f"p{number}", "opponent": "random"} for number in range(40)]
    html = match_page(with_run(results=results, ratings=[]), None)
    assert html.count("<option>") == html.count("<article") == 24
    assert "p0 (player 1)" in html
    assert "p39 (player 1)" in html
    assert "56 more in match.json" in html


def test_a_file_without_the_new_fields_has_a_page():
    old = with_run(players={}, results=[PAIRS], ratings=RATINGS)
    html = match_page(old, TicTacToe())
    assert "Cross table" in html
    assert "Elo over training time" not in html
    assert "<article" not in html


def test_labels_are_short_and_tell_players_apart():
    assert labels(["/a/b/x@1:4", "/a/b/y:4", "random"]) == {
        "/a/b/x@1:4": "x@1:4",
        "/a/b/y:4": "y:4",
        "random": "random",
    }
    assert labels(["gtp:go --fast", "random"]) == {"gtp:go --fast": "gtp:go", "random": "random"}
    assert labels(["gtp:go 1", "gtp:go 2"]) == {"gtp:go 1": "gtp:go 1", "gtp:go 2": "gtp:go 2"}
    assert labels(["/a/random", "random"]) == {"/a/random": "/a/random", "random": "random"}
