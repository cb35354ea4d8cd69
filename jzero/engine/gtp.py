"""An agent that plays Go as an engine: GTP 2 on its input and output, with the commands of Leela Zero's analysis.

The rules are those of `go` or of pgx's Go (see `jzero.evaluate.gtp`). What GTP allows and they do not is brought
together so:
- a colour that moves twice: the other one passes in between;
- moves after two passes: the passes are taken out of the game that the agent sees;
- a move that brings a former board back: illegal (by pgx's rules it can be played, and loses);
- komi: `final_score` counts with it; the agent plays for the komi that it was trained with.
Source: G. Farneback, Specification of the Go Text Protocol, version 2, draft 2 (2002).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from jzero.engine import go
from jzero.engine.clock import Clock
from jzero.engine.game import Game, Position, row
from jzero.engine.lines import Lines
from jzero.engine.thinker import Finding, Thinks, think
from jzero.evaluate.gtp import to_action, to_vertex
from jzero.pytrees import States

COLORS = {"b": 0, "black": 0, "w": 1, "white": 1}
ANALYSED = 16
"""Moves in a line of analysis."""
GOGUI = (
    "string/Value/jzero-value",
    "dboard/Prior/jzero-prior",
    "dboard/Visits/jzero-visits",
)
"""What `gogui-analyze_commands` answers: type, label, command."""


class Refusal(Exception):
    """A command cannot be done; the text is the answer behind the question mark."""


class GtpServer:
    """The state of one conversation."""

    def __init__(
        self,
        game: Game,
        thinker: Thinks,
        lines: Lines,
        write: Callable[[str], None],
        *,
        komi: float,
        simulations: int | None = None,
        name: str = "jzero",
        version: str = "",
    ) -> None:
        """A conversation about one game.

        Args:
            game: of Go, at its beginning.
            thinker: searches its positions.
            lines: the controller's.
            write: takes text for the controller.
            komi: of the environment.
            simulations: per move, at most; None for as many as the clock and the thinker allow.
            name: what the engine calls itself.
            version: of the engine, and what it plays with.

        Raises:
            ValueError: the game is not Go.
        """
        self.size = go.rules_of(game.env)[0]
        self.game, self.thinker, self.lines, self.write = game, thinker, lines, write
        self.komi, self.simulations, self.name, self.version = komi, simulations, name, version
        self.clocks: list[Clock | None] = [None, None]
        self.found: Finding | None = None
        self.running = True

    @property
    def passing(self) -> int:
        """The action that passes."""
        return self.size**2

    def serve(self) -> None:
        """Answers every line until `quit` or the end of the input."""
        while self.running and (line := self.lines.next()) is not None:
            self.answer(line)

    def answer(self, line: str) -> None:
        """Answers one line; an empty one, or a comment, gets no answer."""
        words = "".join(c if c >= " " else " " for c in line.partition("#")[0] if c != "\x7f").split()
        number = words.pop(0) if words and words[0].isascii() and words[0].isdecimal() else ""
        if not words:
            return
        name, *arguments = words
        try:
            if name in STREAMS:
                self.write(f"={number}\n")
                for text in STREAMS[name](self, arguments):
                    self.write(f"{text}\n")
                self.write("\n")
                return
            if name not in COMMANDS:
                raise Refusal("unknown command")
            said = COMMANDS[name](self, arguments)
            self.write(f"={number} {said}".rstrip() + "\n\n")
        except Refusal as refusal:
            self.write(f"?{number} {refusal}\n\n")

    # The game.

    def ready_for(self, color: int) -> States:
        """The states in which `color` is to move.

        Raises:
            Refusal: the game has ended by its number of moves.
        """
        positions, at, passes = self.game.positions, len(self.game.positions) - 1, 0
        while at and set(positions[at].actions) == {self.passing}:
            passes, at = passes + len(positions[at].actions), at - 1
        newest, before = self.game.states, positions[at].states
        if not self.game.over:
            if go.to_move(row(newest)) == color:
                return newest
        elif passes < 2:
            raise Refusal("illegal move: the game has as many moves as the environment allows")
        if passes and go.to_move(row(before)) == color:
            return before
        return self.game.after(self.passing, before)

    def play(self, color: int, action: int) -> bool:
        """Plays a move of `color`; False where it is illegal."""
        if action == self.passing and self.game.over:
            self.game.positions.append(Position(self.game.states, (action,)))
            return True
        states = self.ready_for(color)
        if not bool(states.legal_action_mask[0, action]):
            return False
        after = self.game.after(action, states)
        if go.repeats(row(after)):
            return False
        self.game.positions.append(Position(after, (action,)))
        return True

    def choose(self, color: int, finding: Finding, states: States) -> int:
        """The action of a search in `states`, or the best other one where that would bring a former board back."""
        legal = np.asarray(states.legal_action_mask[0])
        others = np.argsort(-finding.prior, kind="stable")
        for action in (*finding.ranked(), *others.tolist()):
            if action == self.passing:
                break
            if legal[action] and not go.repeats(row(self.game.after(action, states))):
                return action
        return self.passing

    def move(
        self, color: int, *, keep: bool = True, tell: Callable[[Finding], None] = lambda found: None
    ) -> str:
        """Searches and plays a move of `color`; the vertex."""
        begun, clock = time.monotonic(), self.clocks[color]
        try:
            states = self.ready_for(color)
        except Refusal:
            return "pass"
        if clock is None:
            number = self.thinker.most if self.simulations is None else self.simulations
            findings = iter([self.thinker.begin(states, number).finding()])
        else:
            findings = think(self.thinker, states, simulations=self.simulations, seconds=clock.seconds())
        for finding in findings:
            self.found = finding
            tell(finding)
        action = self.choose(color, finding, states)
        if keep:
            self.game.positions.append(Position(self.game.after(action, states), (action,)))
        if clock is not None and keep:
            clock.used(time.monotonic() - begun)
        return to_vertex(action, self.size)


# Reading of arguments.


def _color(words: list[str]) -> int:
    if not words or words[0].lower() not in COLORS:
        raise Refusal("syntax error: expected a colour, black or white")
    return COLORS[words[0].lower()]


def _color_or_mover(server: GtpServer, words: list[str]) -> int:
    named = bool(words) and words[0].lower() in COLORS
    return _color(words) if named else go.to_move(server.game.state)


def _numbers(words: list[str], count: int) -> list[int]:
    """The first `count` arguments as whole numbers."""
    try:
        found = [int(word) for word in words[:count]]
    except ValueError:
        found = []
    if len(found) < count:
        raise Refusal(f"syntax error: expected {count} whole number{'s' if count > 1 else ''}")
    return found


def _vertex(server: GtpServer, word: str) -> int:
    try:
        return to_action(word, server.size)
    except ValueError:
        raise Refusal(f"invalid coordinate {word!r}") from None


# Commands that say what the engine is.


def _list_commands(server: GtpServer, words: list[str]) -> str:
    return "\n".join(sorted([*COMMANDS, *STREAMS]))


def _known_command(server: GtpServer, words: list[str]) -> str:
    return "true" if words and words[0] in {*COMMANDS, *STREAMS} else "false"


def _quit(server: GtpServer, words: list[str]) -> str:
    server.running = False
    return ""


# Commands that change the game.


def _boardsize(server: GtpServer, words: list[str]) -> str:
    (size,) = _numbers(words, 1)
    if size != server.size:
        raise Refusal("unacceptable size")
    return _clear_board(server, words)


def _clear_board(server: GtpServer, words: list[str]) -> str:
    server.game.begin()
    server.found = None
    return ""


def _komi(server: GtpServer, words: list[str]) -> str:
    try:
        komi = float(words[0])
    except (IndexError, ValueError):
        komi = math.nan
    if not math.isfinite(komi):
        raise Refusal("syntax error: expected a number")
    server.komi = komi
    return ""


def _play(server: GtpServer, words: list[str]) -> str:
    color = _color(words)
    if len(words) < 2:
        raise Refusal("syntax error: expected a colour and a vertex")
    if words[1].lower() == "resign":
        return ""
    if not server.play(color, _vertex(server, words[1])):
        raise Refusal("illegal move")
    return ""


def _undo(server: GtpServer, words: list[str]) -> str:
    if not server.game.undo():
        raise Refusal("cannot undo")
    return ""


def _place(server: GtpServer, vertices: list[str]) -> str:
    """Handicap stones on an empty board; white passes between them."""
    if len(server.game.positions) > 1:
        raise Refusal("board not empty")
    actions = [_vertex(server, vertex) for vertex in vertices]
    if len(set(actions)) < len(actions) or server.passing in actions:
        raise Refusal("bad vertex list: expected different points")
    states, played = server.game.states, []
    for number, action in enumerate(actions):
        played += [server.passing, action] if number else [action]
    server.game.play(*played, states=states)
    return " ".join(to_vertex(action, server.size) for action in actions)


def _set_free_handicap(server: GtpServer, words: list[str]) -> str:
    if not 2 <= len(words) < server.size**2:
        raise Refusal("bad vertex list: expected at least two points")
    _place(server, words)
    return ""


def _fixed_handicap(server: GtpServer, words: list[str]) -> str:
    (stones,) = _numbers(words, 1)
    try:
        vertices = go.fixed_handicap(stones, server.size)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return _place(server, vertices)


# Commands about time.


def _time_settings(server: GtpServer, words: list[str]) -> str:
    main, period, stones = _numbers(words, 3)
    unlimited = (period > 0 and stones == 0) or (main, period) == (0, 0)
    server.clocks = [None if unlimited else Clock(main, period, stones) for _ in range(2)]
    return ""


def _kgs_time_settings(server: GtpServer, words: list[str]) -> str:
    kind = words[0].lower() if words else ""
    if kind == "none":
        return _time_settings(server, ["0", "0", "0"])
    counts = {"absolute": 1, "byoyomi": 3, "canadian": 3}
    if kind not in counts:
        raise Refusal("syntax error: expected none, absolute, byoyomi or canadian")
    main, *more = _numbers(words[1:], counts[kind])
    period, stones = (*more, 0, 0)[:2]
    japanese = kind == "byoyomi"
    server.clocks = [Clock(main, period, 1 if japanese else stones, japanese) for _ in range(2)]
    return ""


def _time_left(server: GtpServer, words: list[str]) -> str:
    color = _color(words)
    left, stones = _numbers(words[1:], 2)
    clock = server.clocks[color] or Clock(left)
    clock.said(left, stones)
    server.clocks[color] = clock
    return ""


# Commands that search.


def _genmove(server: GtpServer, words: list[str]) -> str:
    return server.move(_color(words))


def _reg_genmove(server: GtpServer, words: list[str]) -> str:
    return server.move(_color(words), keep=False)


_STYLES: dict[str, Callable[[float], str]] = {
    "lz": lambda share: str(round(10000 * share)),
    "kata": lambda share: f"{share:.4f}",
}
"""How the programs that an analysis is known from, Leela Zero and KataGo, write a number 0 .. 1."""


def _info(server: GtpServer, finding: Finding, style: Callable[[float], str]) -> str:
    """A line of analysis: the moves that a search tried, the best one first."""
    parts = []
    for order, action in enumerate(finding.ranked()[:ANALYSED]):
        visits = int(finding.visits[action])
        value = float(finding.qvalues[action]) if visits else finding.value
        line = " ".join(to_vertex(a, server.size) for a in finding.lines[action])
        parts.append(
            f"info move {to_vertex(action, server.size)} visits {visits} winrate {style(_winrate(value))} "
            f"prior {style(float(finding.prior[action]))} order {order} pv {line}"
        )
    return " ".join(parts)


def _winrate(value: float) -> float:
    """A value -1 .. 1 as a share of games won."""
    return min(1.0, max(0.0, 0.5 * (1 + value)))


def _analyze(style: Callable[[float], str]) -> Callable[[GtpServer, list[str]], Iterator[str]]:
    """The command that analyses until the next line of input."""

    def stream(server: GtpServer, words: list[str]) -> Iterator[str]:
        color = _color_or_mover(server, words)
        try:
            states = server.ready_for(color)
        except Refusal:
            return  # nothing is to be said of a game that is over
        for finding in think(server.thinker, states, attend=server.lines.waiting):
            server.found = finding
            yield _info(server, finding, style)
        while not server.lines.waiting(1.0):
            pass

    return stream


def _genmove_analyze(style: Callable[[float], str]) -> Callable[[GtpServer, list[str]], Iterator[str]]:
    """The command that analyses and then plays."""

    def stream(server: GtpServer, words: list[str]) -> Iterator[str]:
        color = _color_or_mover(server, words)
        vertex = server.move(color, tell=lambda found: server.write(f"{_info(server, found, style)}\n"))
        yield f"play {vertex}"

    return stream


# Commands that ask about the position.


def _showboard(server: GtpServer, words: list[str]) -> str:
    actions = server.game.positions[-1].actions
    last = actions[-1] if actions and actions[-1] != server.passing else None
    mover = "white" if go.to_move(server.game.state) else "black"
    return f"\n{go.picture(go.board(server.game.state), last)}\n{mover} to move, komi {server.komi:g}"


def _final_score(server: GtpServer, words: list[str]) -> str:
    return go.score_text(go.score(go.board(server.game.state), server.komi))


def _final_status_list(server: GtpServer, words: list[str]) -> str:
    if not words or words[0] not in ("alive", "dead", "seki"):
        raise Refusal("syntax error: expected alive, dead or seki")
    if words[0] != "alive":
        return ""
    chains = [points for kind, points in go.regions(go.board(server.game.state)) if kind]
    return "\n".join(" ".join(to_vertex(point, server.size) for point in chain) for chain in chains)


def _gogui_analyze_commands(server: GtpServer, words: list[str]) -> str:
    return "\n".join(GOGUI)


def _latest(server: GtpServer) -> Finding:
    """What is known of the newest position by the least search."""
    states = server.ready_for(go.to_move(server.game.state))
    return server.thinker.begin(states, 1).finding()


def _value(server: GtpServer, words: list[str]) -> str:
    return f"{_latest(server).value:.3f}"


def _board_of(server: GtpServer, numbers: np.ndarray) -> str:
    """Numbers of points as GoGui reads them, the top row first."""
    rows = np.asarray(numbers)[: server.passing].reshape(server.size, server.size)
    return "\n" + "\n".join(" ".join(f"{x:g}" for x in line) for line in rows.round(4).tolist())


def _prior(server: GtpServer, words: list[str]) -> str:
    return _board_of(server, _latest(server).prior)


def _visits(server: GtpServer, words: list[str]) -> str:
    nothing = np.zeros(server.passing + 1, np.int32)
    return _board_of(server, nothing if server.found is None else server.found.visits)


COMMANDS: dict[str, Callable[[GtpServer, list[str]], str]] = {
    "protocol_version": lambda server, words: "2",
    "name": lambda server, words: server.name,
    "version": lambda server, words: server.version,
    "known_command": _known_command,
    "list_commands": _list_commands,
    "quit": _quit,
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
STREAMS: dict[str, Callable[[GtpServer, list[str]], Iterator[str]]] = {
    f"{name}-{kind}": make(style)
    for name, style in _STYLES.items()
    for kind, make in (("analyze", _analyze), ("genmove_analyze", _genmove_analyze))
}
"""Commands whose answers come line by line."""
