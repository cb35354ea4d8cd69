"""GTP's commands for a Go game: moves, time, score, and the numbers that GoGui shows.

Each takes the game and the arguments, and returns the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jzero.engine import go
from jzero.engine.clock import Clock
from jzero.engine.gtp_game import GtpGame, Refusal
from jzero.engine.thinker import Finding
from jzero.evaluate.gtp import to_action, to_vertex

COLORS = {"b": 0, "black": 0, "w": 1, "white": 1}
GOGUI = (
    "string/Value/jzero-value",
    "dboard/Prior/jzero-prior",
    "dboard/Visits/jzero-visits",
)
"""Answer of `gogui-analyze_commands`: type, label, command."""


# Reading of arguments.


MOST = 10**9
"""Largest number in a command."""


def _color(words: list[str]) -> int:
    if not words or words[0].lower() not in COLORS:
        raise Refusal("syntax error: expected a colour, black or white")
    return COLORS[words[0].lower()]


def color_or_mover(game: GtpGame, words: list[str]) -> int:
    """The colour in the first argument, else the one to move."""
    named = bool(words) and words[0].lower() in COLORS
    return _color(words) if named else go.to_move(game.game.state)


def _numbers(words: list[str], count: int) -> list[int]:
    """The first `count` arguments as integers."""
    try:
        found = [int(word) for word in words[:count]]
    except ValueError:
        found = []
    if len(found) < count or max(map(abs, found)) > MOST:
        raise Refusal(f"syntax error: expected {count} integer{'s' if count > 1 else ''}")
    return found


def _vertex(game: GtpGame, word: str) -> int:
    try:
        return to_action(word, game.size)
    except ValueError:
        raise Refusal(f"invalid coordinate {word!r}") from None


# Commands that change the game.


def _boardsize(game: GtpGame, words: list[str]) -> str:
    (size,) = _numbers(words, 1)
    if size != game.size:
        raise Refusal("unacceptable size")
    return _clear_board(game, words)


def _clear_board(game: GtpGame, words: list[str]) -> str:
    game.game.begin()
    game.found = None
    return ""


def _komi(game: GtpGame, words: list[str]) -> str:
    try:
        komi = float(words[0])
    except (IndexError, ValueError):
        komi = math.nan
    if not math.isfinite(komi):
        raise Refusal("syntax error: expected a number")
    game.komi = komi
    return ""


def _play(game: GtpGame, words: list[str]) -> str:
    color = _color(words)
    if len(words) < 2:
        raise Refusal("syntax error: expected a colour and a vertex")
    if words[1].lower() == "resign":
        return ""
    if not game.play(color, _vertex(game, words[1])):
        raise Refusal("illegal move")
    return ""


def _undo(game: GtpGame, words: list[str]) -> str:
    if not game.game.undo():
        raise Refusal("cannot undo")
    return ""


def _place(game: GtpGame, vertices: list[str]) -> str:
    """Places handicap stones on an empty board; white passes between them."""
    if len(game.game.positions) > 1:
        raise Refusal("board not empty")
    actions = [_vertex(game, vertex) for vertex in vertices]
    if len(set(actions)) < len(actions) or game.passing in actions:
        raise Refusal("bad vertex list: expected different points")
    states, played = game.game.states, []
    for number, action in enumerate(actions):
        played += [game.passing, action] if number else [action]
    game.game.play(*played, states=states)
    return " ".join(to_vertex(action, game.size) for action in actions)


def _set_free_handicap(game: GtpGame, words: list[str]) -> str:
    if not 2 <= len(words) < game.size**2:
        raise Refusal("bad vertex list: expected at least two points")
    _place(game, words)
    return ""


def _fixed_handicap(game: GtpGame, words: list[str]) -> str:
    (stones,) = _numbers(words, 1)
    try:
        vertices = go.fixed_handicap(stones, game.size)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return _place(game, vertices)


# Commands about time.


def _time_settings(game: GtpGame, words: list[str]) -> str:
    main, period, stones = _numbers(words, 3)
    if min(main, period, stones) < 0:
        raise Refusal("syntax error: expected times of at least 0")
    unlimited = (period > 0 and stones == 0) or (main, period) == (0, 0)
    game.clocks = [None if unlimited else Clock(main, period, stones) for _ in range(2)]
    return ""


def _kgs_time_settings(game: GtpGame, words: list[str]) -> str:
    kind = words[0].lower() if words else ""
    if kind == "none":
        return _time_settings(game, ["0", "0", "0"])
    counts = {"absolute": 1, "byoyomi": 3, "canadian": 3}
    if kind not in counts:
        raise Refusal("syntax error: expected none, absolute, byoyomi or canadian")
    main, *more = _numbers(words[1:], counts[kind])
    period, stones = (*more, 0, 0)[:2]
    japanese = kind == "byoyomi"
    game.clocks = [Clock(main, period, 1 if japanese else stones, japanese) for _ in range(2)]
    return ""


def _time_left(game: GtpGame, words: list[str]) -> str:
    color = _color(words)
    left, stones = _numbers(words[1:], 2)
    clock = game.clocks[color] or Clock(left)
    clock.said(max(0, left), max(0, stones))
    game.clocks[color] = clock
    return ""


# Commands that search.


def _genmove(game: GtpGame, words: list[str]) -> str:
    return game.move(_color(words))


def _reg_genmove(game: GtpGame, words: list[str]) -> str:
    return game.move(_color(words), keep=False)


# Commands that ask about the position.


def _showboard(game: GtpGame, words: list[str]) -> str:
    actions = game.game.positions[-1].actions
    last = actions[-1] if actions and actions[-1] != game.passing else None
    mover = "white" if go.to_move(game.game.state) else "black"
    return f"\n{go.picture(go.board(game.game.state), last)}\n{mover} to move, komi {game.komi:g}"


def _final_score(game: GtpGame, words: list[str]) -> str:
    return go.score_text(go.score(go.board(game.game.state), game.komi))


def _final_status_list(game: GtpGame, words: list[str]) -> str:
    if not words or words[0] not in ("alive", "dead", "seki"):
        raise Refusal("syntax error: expected alive, dead or seki")
    if words[0] != "alive":
        return ""
    chains = [points for kind, points in go.regions(go.board(game.game.state)) if kind]
    return "\n".join(" ".join(to_vertex(point, game.size) for point in chain) for chain in chains)


def _gogui_analyze_commands(game: GtpGame, words: list[str]) -> str:
    return "\n".join(GOGUI)


def _latest(game: GtpGame) -> Finding:
    """The result of the smallest search in the newest position."""
    states = game.ready_for(go.to_move(game.game.state))
    return game.thinker.begin(states, 1).finding()


def _value(game: GtpGame, words: list[str]) -> str:
    return f"{_latest(game).value:.3f}"


def _board_of(game: GtpGame, numbers: np.ndarray) -> str:
    """Numbers per point in GoGui's format, top row first."""
    rows = np.asarray(numbers)[: game.passing].reshape(game.size, game.size)
    return "\n" + "\n".join(" ".join(f"{x:g}" for x in line) for line in rows.round(4).tolist())


def _prior(game: GtpGame, words: list[str]) -> str:
    return _board_of(game, _latest(game).prior)


def _visits(game: GtpGame, words: list[str]) -> str:
    nothing = np.zeros(game.passing + 1, np.int32)
    return _board_of(game, nothing if game.found is None else game.found.visits)


COMMANDS: dict[str, Callable[[GtpGame, list[str]], str]] = {
    "protocol_version": lambda game, words: "2",
    "boardsize": _boardsize,
    "clear_board": _clear_board,
    "komi": _komi,
    "play": _play,
    "genmove": _genmove,
    "reg_genmove": _reg_genmove,
    # An agent's own passes come after it has captured what counts as dead: to it all stones live.
    "kgs-genmove_cleanup": _genmove,
    "undo": _undo,
    "showboard": _showboard,
    "time_settings": _time_settings,
    "time_left": _time_left,
    "kgs-time_settings": _kgs_time_settings,
    "final_score": _final_score,
    "final_status_list": _final_status_list,
    "fixed_handicap": _fixed_handicap,
    "place_free_handicap": _fixed_handicap,
    "set_free_handicap": _set_free_handicap,
    "gogui-analyze_commands": _gogui_analyze_commands,
    "jzero-value": _value,
    "jzero-prior": _prior,
    "jzero-visits": _visits,
}
"""The commands by name."""
