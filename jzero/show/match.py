"""A match in words and as a page: results, ratings, players. The record is that of `jzero.run.match`."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from jzero.pytrees import Record
from jzero.show.page import page
from jzero.show.words import number, whole_number

CSS = """
th{width:auto}
thead th{color:var(--muted);font-size:13px}
td:not(:first-child),thead th:not(:first-child){padding-left:16px}
.wide{overflow-x:auto}
"""
HOW = {
    "pairs": "Games of two in pairs: the same random opening from both seats. The score counts a draw as 1/2.",
    "tables": "One player sits against the other in all other seats, the same deals from every seat. The value is "
    "its return above the mean of the others'.",
    "returns": "Each player by itself in the same episodes. The value is its mean return.",
}


def result_line(contest: str, result: Record) -> str:
    """One encounter in a line."""
    value, interval = _value(contest, result), _interval(contest, result)
    if contest == "returns":
        return (
            f"{result['player']}: mean return of {result['games']} episodes {value} {interval}{_cut(result)}"
        )
    who = f"{result['player']} against {result['opponent']}"
    if contest == "tables":
        return f"{who}: {value} {interval} above the others in {result['games']} games"
    games = f"{result['wins']} won, {result['draws']} drawn, {result['losses']} lost of {result['games']}"
    return f"{who}: {games}; score {value} {interval}"


def rating_lines(ratings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The players from the strongest to the weakest, with intervals of the difference to the first one named."""
    width = max(len(rating["player"]) for rating in ratings)
    lines = [f"Elo with 95 % intervals; {ratings[0]['player']} has 0"]
    for rating in _ranked(ratings):
        interval = _elo_interval(rating) if rating is not ratings[0] else ""
        lines.append(f"  {rating['player']:<{width}} {rating['elo']:+6.0f} {interval}".rstrip())
    return lines


def match_page(record: Record) -> str:
    """The HTML of the page; it needs nothing else."""
    contest, players, ratings = record["contest"], record["players"], record["ratings"]
    sections = [
        f"<header><p>Match</p><h1>{escape(record['env'])}</h1><p>{escape(HOW[contest])}</p></header>",
    ]
    if ratings:
        rows = [
            (r["player"], f"{r['elo']:+.0f}", "" if r is ratings[0] else _elo_interval(r))
            for r in _ranked(ratings)
        ]
        sections.append(_table("Ratings", ("player", "Elo", "95 % interval of the difference"), rows))
    sections.append(_table("Results", *_results(contest, record["results"])))
    sections.append(
        _table("Players", ("player", ""), [(name, about["words"]) for name, about in players.items()])
    )
    return page(f"Match of {record['env']}", "\n".join(sections), css=CSS)


def _results(contest: str, results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the columns."""
    more = {
        "pairs": ("won, drawn, lost", "moving first", "moving second", "openings"),
        "tables": ("own return", "others' return"),
        "returns": ("cut short",),
    }[contest]
    value = {"pairs": "score", "tables": "above the others", "returns": "mean return"}[contest]
    who = ("player",) if contest == "returns" else ("player", "against")
    rows = []
    for result in results:
        if contest == "pairs":
            all_games = (result["wins"], result["draws"], result["losses"])
            tallies = [", ".join(map(str, tally)) for tally in (all_games, result["first"], result["second"])]
            extra = [*tallies, "{} to {} plies".format(*result["opening_plies"])]
        elif contest == "tables":
            extra = [whole_number(result["own"]), whole_number(result["others"])]
        else:
            extra = [str(result["cut"])]
        names = [result[name] for name in ("player", "opponent") if result[name] is not None]
        numbers = [str(result["games"]), _value(contest, result), _interval(contest, result)]
        rows.append([*names, *numbers, *extra, str(result["seed"])])
    return [*who, "games", value, "95 % interval", *more, "seed"], rows


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return (
        f'<section><h2>{title}</h2><div class="card wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _ranked(ratings: Sequence[Mapping[str, Any]]) -> list[Record]:
    return sorted(ratings, key=lambda rating: -rating["elo"])


def _elo_interval(rating: Record) -> str:
    return f"[{rating['low']:+.0f}, {rating['high']:+.0f}]"


def _cut(result: Record) -> str:
    return f", {result['cut']} of them cut short" if result["cut"] else ""


def _value(contest: str, result: Record) -> str:
    return _number(contest, result["value"])


def _interval(contest: str, result: Record) -> str:
    """The interval; "" where one game has none."""
    low, high = result["low"], result["high"]
    if number(low) is None or number(high) is None:
        return ""
    return f"[{_number(contest, low)}, {_number(contest, high)}]"


def _number(contest: str, value: float) -> str:
    return f"{value:.3f}" if contest == "pairs" else whole_number(value)
