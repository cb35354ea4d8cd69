"""A match as text and as a page: results, ratings, players. `jzero.run.match` documents the record."""

from collections.abc import Mapping, Sequence
from html import escape

from jzero.env import Env
from jzero.pytrees import Record
from jzero.show.games import games_script
from jzero.show.ladder import cross_table, curve_section, labels, match_games
from jzero.show.page import page
from jzero.show.tables import table
from jzero.show.words import duration, number, whole_number

HOW = {
    "pairs": "Games come in pairs: the same random opening from both seats. A draw counts 1/2.",
    "tables": "One player sits against copies of the other, with the same deals from every seat. The value is its "
    "return minus the mean of the others'.",
    "returns": "Each player plays the same episodes. The value is its mean return.",
}


def result_line(contest: str, result: Record) -> str:
    """One encounter as a line of text."""
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


def rating_lines(ratings: Sequence[Record]) -> list[str]:
    """The players from strongest to weakest, with intervals of the difference to the first player named."""
    width = max(len(rating["player"]) for rating in ratings)
    lines = [f"Elo with 95 % intervals; {ratings[0]['player']} has 0"]
    for rating in _ranked(ratings):
        interval = _elo_interval(rating) if rating is not ratings[0] else ""
        lines.append(f"  {rating['player']:<{width}} {rating['elo']:+6.0f} {interval}".rstrip())
    return lines


def match_page(record: Record, env: Env | None = None) -> str:
    """The HTML of the self-contained page. With `env` it has boards of the recorded games."""
    contest, players, ratings = record["contest"], record["players"], record["ratings"]
    names = labels([*players, *_strangers(record)])
    games, games_css = match_games(record["results"], names, env)
    sections = [
        f"<header><p>Match</p><h1>{escape(record['env'])}</h1><p>{escape(HOW[contest])}</p></header>",
        *(_rating_sections(record, names) if ratings else ()),
        games,
        table("Results", *_results(contest, record["results"], names)),
        table("Players", ("player", ""), [(name, about["words"]) for name, about in players.items()]),
    ]
    script = games_script() if games else ""
    return page(f"Match of {record['env']}", "\n".join(sections), css=games_css, script=script)


def _strangers(record: Record) -> list[str]:
    """Players of results that are not listed, in a file of another version."""
    met = [result[name] for result in record["results"] for name in ("player", "opponent")]
    met += [rating["player"] for rating in record["ratings"]]
    return [name for name in dict.fromkeys(met) if name is not None and name not in record["players"]]


def _rating_sections(record: Record, names: Mapping[str, str]) -> list[str]:
    """Ratings, their curve over training time, and the cross table."""
    ratings, players = record["ratings"], record["players"]
    ranked = _ranked(ratings)
    rows = [
        (
            str(rank),
            names[rating["player"]],
            f"{rating['elo']:+.0f}",
            "" if rating is ratings[0] else _elo_interval(rating),
            _trained(players.get(rating["player"])),
        )
        for rank, rating in enumerate(ranked, 1)
    ]
    columns = ("", "player", "Elo", "95 % interval of the difference to 0", "training")
    cells = cross_table(record["results"], [rating["player"] for rating in ranked])
    head = ("", "player", *(str(rank) for rank in range(1, len(ranked) + 1)), "all")
    crossed = [(*row[:2], *scores) for row, scores in zip(rows, cells, strict=True)]
    return [
        table("Ratings", columns, rows),
        curve_section(ratings, players, names),
        table("Cross table", head, crossed, "Points of the row's player, and games."),
    ]


def _trained(about: Record | None) -> str:
    """Training time of a run; "" for other players."""
    seconds = (about or {}).get("seconds")
    return "" if seconds is None else duration(seconds)


def _results(
    contest: str, results: Sequence[Record], labels: Mapping[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the columns."""
    more = {
        "pairs": ("won, drawn, lost", "moving first", "moving second", "distinct", "openings"),
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
            opened = "{} to {} plies".format(*result["opening_plies"])
            extra = [*tallies, str(result.get("distinct_games", "")), opened]
        elif contest == "tables":
            extra = [whole_number(result["own"]), whole_number(result["others"])]
        else:
            extra = [str(result["cut"])]
        names = [labels[result[name]] for name in ("player", "opponent") if result[name] is not None]
        numbers = [str(result["games"]), _value(contest, result), _interval(contest, result)]
        rows.append([*names, *numbers, *extra, str(result["seed"])])
    return [*who, "games", value, "95 % interval", *more, "seed"], rows


def _ranked(ratings: Sequence[Record]) -> list[Record]:
    return sorted(ratings, key=lambda rating: -rating["elo"])


def _elo_interval(rating: Record) -> str:
    return f"[{rating['low']:+.0f}, {rating['high']:+.0f}]"


def _cut(result: Record) -> str:
    return f", {result['cut']} of them cut short" if result["cut"] else ""


def _value(contest: str, result: Record) -> str:
    return _number(contest, result["value"])


def _interval(contest: str, result: Record) -> str:
    """The interval; "" for a single game."""
    low, high = result["low"], result["high"]
    if number(low) is None or number(high) is None:
        return ""
    return f"[{_number(contest, low)}, {_number(contest, high)}]"


def _number(contest: str, value: float) -> str:
    return f"{value:.3f}" if contest == "pairs" else whole_number(value)
