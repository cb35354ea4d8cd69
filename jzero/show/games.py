"""The report's sample games: strips of boards with the agent's values, which the page's script plays."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple
from xml.etree import ElementTree

from jzero.env import Env
from jzero.pytrees import Record
from jzero.show.boards import Album, Position, drawn, vector_name
from jzero.show.page import PANELS, as_one, shown
from jzero.show.words import number, spaced

BOARD_BYTES = 600_000  # of all pictures in a report
GAMES = 12  # at most
BUTTONS = 200  # letters of all titles that buttons may show


class Ply(NamedTuple):
    """One position of a game, as far as known; the last one has no action."""

    number: int
    mover: int | None  # None: the game is over, or unknown
    action: int | None  # continuous actions: the search's candidate that was played, or -1
    value: float | None  # as the mover estimates it
    first_value: float | None  # with two players only: for player 0, and at the end player 0's return
    found: float | None = None  # the search's value for player 0
    move: str | None = None  # the action's name, or number
    earned: float | None = None  # by the only player so far


def games_section(
    record: Record | None,
    env: Env | None,
    *,
    title: str = "Sample games",
    most: int = GAMES,
    board_bytes: int | None = None,
    elsewhere: tuple[int, str] = (0, "games.json"),
) -> tuple[str, str]:
    """The HTML of the games in games.json's `record` and the CSS of their boards; ("", "") without games.

    Args:
      record: the games, as `jzero.evaluate.record.record_games` returns them.
      env: draws their boards; None draws none.
      title: of the section.
      most: games that are shown.
      board_bytes: of all pictures; None for `BOARD_BYTES`.
      elsewhere: further games, and the file that has all.
    """
    found = (record or {}).get("games")
    games = [game for game in found if _is_game(game)] if isinstance(found, list) else []
    if not games:
        return "", ""
    album = Album(BOARD_BYTES if board_bytes is None else board_bytes)
    titles, articles = [], []
    for place, game in enumerate(games[:most], 1):
        name = str(game.get("title") or f"Game {place}")
        if article := _article(name, game, env, album, first=not articles):
            titles.append(name)
            articles.append(article)
    left = len(games) - len(articles) + elsewhere[0]
    more = f'<p class="note">{left} more in {elsewhere[1]}.</p>' if left else ""
    chooser = f'<div class="tabs">{_chooser(titles)}</div>'
    return f"<section><h2>{title}</h2>{chooser}{''.join(articles)}{more}</section>", shown(
        "panels.css"
    ) + album.css()


def games_script() -> str:
    """The script that plays the games of a page, and draws what their searches found."""
    return "'use strict';\n" + as_one(map(shown, (*PANELS, "report.js")))


def _chooser(titles: Sequence[str]) -> str:
    """What chooses the game: buttons, or a list where these would fill the page."""
    if len(titles) < 2:
        return ""
    if sum(map(len, titles)) <= BUTTONS:
        return "".join(f"<button>{escape(title)}</button>" for title in titles)
    options = "".join(f"<option>{escape(title)}</option>" for title in titles)
    return f'<select aria-label="Game">{options}</select>'


def plies(game: Record, positions: Sequence[Position]) -> list[Ply]:
    """The game's plies, [number of actions + 1]; `positions` are as many, or [] where it cannot be replayed."""
    actions, outcome = game["actions"], _numbers(game.get("outcome"))
    values = _numbers(game.get("values"))[: len(actions)]
    values += [None] * (len(actions) + 1 - len(values))
    movers = [position.mover for position in positions] or [None] * len(values)
    names = [position.move for position in positions] or [*map(_name, actions), None]
    earned = [position.earned for position in positions] or [None] * len(values)
    thoughts = thoughts_of(game)
    found_values = [_numbers(thought["value"])[0] for thought in thoughts]
    found_values += [None] * (len(values) - len(found_values))
    two_players = len(outcome) == 2 or (not outcome and max(filter(None, movers), default=0) == 1)
    found = []
    for ply, (mover, value, searched) in enumerate(zip(movers, values, found_values, strict=True)):
        action = actions[ply] if ply < len(actions) else None
        if isinstance(action, list):
            action = thoughts[ply]["action"] if thoughts else -1
        first_value = None
        if two_players and action is None:
            first_value = outcome[0] if outcome else None
        elif two_players and mover is not None and value is not None:
            first_value = -value if mover else value
        found.append(Ply(ply, mover, action, value, first_value, searched, names[ply], earned[ply]))
    return found


def thoughts_of(game: Record) -> list[Record]:
    """What the searches of a game found, of each ply but the last; [] where that is not recorded as a whole."""
    found = game.get("thoughts")
    whole = isinstance(found, list) and len(found) == len(game["actions"]) and all(map(_is_thought, found))
    return found if whole else []


def _is_thought(found: Any) -> bool:
    known = found if isinstance(found, dict) else {}
    return bool(_numbers(known.get("value"))) and isinstance(known.get("actions"), list)


def outcome_text(outcome: Sequence[float | None]) -> str:
    """What the players got: "player 1 wins", "draw", "return 12" (one player); "" when unknown."""
    known = [reward for reward in outcome if reward is not None]
    if not known or len(known) < len(outcome):
        return ""
    if len(known) == 1:
        return f"return {known[0]:.4g}"
    winners = [str(player) for player, reward in enumerate(known, 1) if reward == max(known)]
    if len(winners) == len(known):
        return "draw"
    return f"player {winners[0]} wins" if len(winners) == 1 else f"players {' and '.join(winners)} win"


def _numbers(values: Any) -> list[float | None]:
    return [number(value) for value in values] if isinstance(values, list) else []


def _is_game(game: Any) -> bool:
    actions = game.get("actions") if isinstance(game, dict) else None
    return isinstance(actions, list) and bool(actions) and all(map(_is_action, actions))


def _is_action(action: Any) -> bool:
    return isinstance(action, int) or (bool(_numbers(action)) and None not in _numbers(action))


def _name(action: int | list[float]) -> str:
    return str(action) if isinstance(action, int) else vector_name(action)


def _article(title: str, game: Record, env: Env | None, album: Album, first: bool) -> str:
    """One game, or "" when its boards do not fit any more; of the `first` one as many boards as fit."""
    positions, problem = drawn(env, game)
    svgs = [position.svg for position in positions]
    pictures = album.add(svgs) or (album.add_thinned(svgs) if first else {})
    if positions and not pictures and not first:
        return ""
    found = plies(game, positions)
    end = outcome_text(_numbers(game.get("outcome")))
    if game.get("outcome", ()) is None:
        end = "cut short"
    length = f"{len(found) - 1} {_units(found)[1]}"
    head = f"<h3>{escape(title)} <span>{escape(f'{end}, ' if end else '')}{length}</span></h3>"
    if not pictures:
        problem = problem or "one picture is too large for this page"
        strip = "".join(_item(ply, found, end, "") for ply in found if ply.action is not None)
        note = f'<p class="note">Moves only: {escape(problem)}.</p>'
        return f'<article class="card game plain">{head}{note}<ol class="strip">{strip}</ol></article>'
    strip = "".join(_item(found[ply], found, end, picture) for ply, picture in pictures.items())
    left = len(found) - len(pictures)
    note = f'<p class="note">{left} of the positions between are left out.</p>' if left else ""
    player = _player(found, len(pictures), pictures[0], thoughts_of(game))
    body = f'{head}{player}<ol class="strip">{strip}</ol>{note}'
    return f'<article class="card game" style="--shape:{_aspect(svgs[0]):.4g}">{body}</article>'


def _item(ply: Ply, game: Sequence[Ply], end: str, picture: str) -> str:
    """One entry of the strip, with the player's text for it."""
    value = "" if ply.value is None else f"{ply.value:+.2f}"
    if ply.action is None:
        name, move, says = "The end", end, [end]
    else:
        name, move = f"{spaced(_units(game)[0])} {ply.number}", f"plays {ply.move}"
        who = "" if ply.mover is None else f"player {ply.mover + 1} to move"
        who = who if ply.earned is None else f"return so far {ply.earned:.4g}"
        says = [who, f"value {value}" if value else "", move]
    said = ", ".join(filter(None, says))
    title = escape(f"{name}: {said}" if said else name)
    board = f'<i class="board {picture}" role="img" aria-label="{title}"></i>' if picture else ""
    place = name if ply.action is None else f"{name} of {len(game) - 1}"
    told = f'data-ply="{place}" data-says="{escape(said)}"'
    told += f' data-number="{ply.number}" data-action="{"" if ply.action is None else ply.action}"'
    data = f'{told} data-at="{_at(ply, game)}" data-share="{_share(ply)}"'
    return f'<li title="{title}" {data}>{board}<span><b>{value}</b>{escape(move)}</span></li>'


def _units(game: Sequence[Ply]) -> tuple[str, str]:
    """What a game is counted in, one and several: one player takes steps."""
    return ("ply", "plies") if game[-1].earned is None else ("step", "steps")


def _player(game: Sequence[Ply], length: int, picture: str, thoughts: Sequence[Record]) -> str:
    """The controls with which the page's script steps through the strip's `length` boards."""
    bar = '<div class="bar" title="Value for player 1"><i></i></div>' if _is_score(game) else "<div></div>"
    buttons = (("go", 0, "First", "&#171;"), ("by", -1, "Previous", "&#8249;"), ("by", 1, "Next", "&#8250;"))
    buttons = (*buttons, ("go", length - 1, "Last", "&#187;"))
    controls = "".join(
        f'<button data-{kind}="{by}" aria-label="{name}" title="{name}">{sign}</button>'
        for kind, by, name, sign in buttons
    )
    slider = f'<input type="range" min="0" max="{length - 1}" value="0" aria-label="Position">'
    return (
        f'<div class="player">{bar}<i class="board {picture}" role="img"></i>'
        f'<div class="side"><p class="ply"></p>'
        f'<p class="says" aria-live="polite"></p><div class="controls">{controls}{slider}</div>'
        f'{_trace(game)}<p class="legend">The arrow keys step through the game.</p>'
        f"{_thoughts(thoughts)}</div></div>"
    )


def _thoughts(thoughts: Sequence[Record]) -> str:
    """What the page's script draws of the searches; the action that was played has an arrow."""
    if not thoughts:
        return ""
    data = json.dumps(thoughts, separators=(",", ":")).replace("<", "\\u003c")
    return f'<div class="jz thoughts"></div><script type="application/json">{data}</script>'


def _trace(game: Sequence[Ply]) -> str:
    """Player 1's value over the plies, or the only player's; "" where values or movers are not known."""
    one_player = all(ply.mover in (0, None) for ply in game) and any(ply.mover == 0 for ply in game)
    values = [ply.value if one_player else ply.first_value for ply in game]
    known = [value for value in (*values, *(ply.found for ply in game)) if value is not None]
    if len(known) < 2:
        return ""
    low, high = (-1.0, 1.0) if _is_score(game) else (min(known), max(known))
    scale = 88 / ((high - low) or 1.0)  # of a picture that is 100 high

    def path(values: Sequence[float | None], kind: str) -> str:
        points = [
            f"{_at(ply, game)} {94 - scale * (value - low):.3g}"
            for ply, value in zip(game, values, strict=True)
            if value is not None
        ]
        return f'<path class="{kind}" d="M{"L".join(points)}"/>' if points else ""

    found = path([ply.found for ply in game], "found")
    zero = '<line x1="0" x2="100" y1="50" y2="50"/>' if _is_score(game) else ""
    legend = "Value" if one_player else "Value for player 1"
    legend += ": the search's, and thin the network's" if found else ""
    cursor = '<line class="cursor" x1="0" x2="0" y1="0" y2="100"/>'
    return (
        f'<p class="legend over">{legend}, from {low:.3g} to {high:.3g}</p>'
        f'<svg class="trace" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f"{zero}{path(values, 'network')}{found}{cursor}</svg>"
    )


def _is_score(game: Sequence[Ply]) -> bool:
    """Values between a loss (-1) and a win (+1) of one of two players."""
    known = [ply.first_value for ply in game if ply.first_value is not None]
    return len(known) > 1 and all(abs(value) <= 1.0 for value in known)


def _at(ply: Ply, game: Sequence[Ply]) -> str:
    """Where the ply is in the trace, in percent of its width."""
    return f"{100 * ply.number / (len(game) - 1):.4g}"


def _share(ply: Ply) -> str:
    """Player 1's share of the value bar in percent; 50 where it is not known."""
    return f"{50 + 50 * (ply.first_value or 0.0):.3g}"


def _aspect(svg: str) -> float:
    """Width / height of a picture, 1 where it has none."""
    try:
        root = ElementTree.fromstring(svg)
        box = root.get("viewBox", "").replace(",", " ").split()[2:]
        sides = box or (root.get("width", ""), root.get("height", ""))
        width, height = (float(side.removesuffix("px")) for side in sides)
        return width / height
    except (ElementTree.ParseError, ValueError, ZeroDivisionError):
        return 1.0
