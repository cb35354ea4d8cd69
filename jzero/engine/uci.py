"""A UCI server: an agent as a chess engine.

Chess and Gardner's minichess of pgx; see `jzero.engine.chess` for the names of moves and the rules.
Source: S. Meyer-Kahlen, Description of the Universal Chess Interface (2006).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from jzero.engine import chess
from jzero.engine.clock import for_move
from jzero.engine.game import Game, row
from jzero.engine.lines import Lines
from jzero.engine.thinker import MAX_LINES, Finding, Thinks, think
from jzero.pytrees import OneState, States

ENDLESS = ("infinite", "ponder")
MAX_DIGITS = 15
"""Digits of a number that are read: more is as good as endless."""
NUMBERS = ("nodes", "movetime", "wtime", "btime", "winc", "binc", "movestogo", "depth", "mate")


class UciServer:
    """The state of one session."""

    def __init__(
        self,
        game: Game,
        thinker: Thinks,
        lines: Lines,
        write: Callable[[str], None],
        *,
        simulations: int | None = None,
        name: str = "jzero",
        warm_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts a session with one game at a time.

        Args:
            game: a game of pgx's chess or Gardner's chess at its start.
            thinker: searches its positions.
            lines: the controller's lines.
            write: sends text to the controller.
            simulations: simulations per move, at most; None: as many as the clock and the thinker allow.
            name: name of the engine.
            warm_up: compiles the programs of `thinker`; called once, before the first search or `readyok`.

        Raises:
            ValueError: the game is not one of pgx's chess games.
        """
        self.side = chess.side_of(game.env, game.state)
        self.game, self.thinker, self.lines, self.write = game, thinker, lines, write
        self.simulations, self.name, self._warm_up = simulations, name, warm_up
        self.multipv, self.running, self.valid = 1, True, True
        self._warm = self._stopped = self._ended = self._endless = False
        self._known: tuple[str, ...] = ()
        self._later: deque[str] = deque()  # lines that came during a search

    def serve(self) -> None:
        """Executes each line until `quit` or the end of the input."""
        while self.running:
            line = self._later.popleft() if self._later else self.lines.next()
            if line is None:
                self.running = False
            else:
                self.answer(line)

    def answer(self, line: str) -> None:
        """Executes a line; words before a known command are skipped, as UCI requires."""
        words = line.split()
        while words and words[0] not in COMMANDS:
            words.pop(0)
        if words:
            COMMANDS[words[0]](self, words[1:])

    def say(self, text: str) -> None:
        """Sends a line to the controller."""
        self.write(f"{text}\n")

    def ready(self) -> None:
        """Compiles what is not yet compiled."""
        if not self._warm:
            self._warm_up()
            self._warm = True

    # Positions.

    def set_position(self, words: list[str]) -> None:
        """Sets up `startpos | fen FEN [moves ...]`.

        Raises:
            ValueError: it is not a position, or a move is illegal.
        """
        at = words.index("moves") if "moves" in words else len(words)
        setup, moves = words[:at], words[at + 1 :]
        if not setup or setup[0] not in ("startpos", "fen"):
            raise ValueError("position: expected startpos or fen, then moves")
        known = (*setup, "moves", *moves)
        if self._known and known[: len(self._known)] == self._known:
            moves = moves[len(self._known) - len(setup) - 1 :]  # the game goes on
        else:
            self._known = ()
            self.game.begin(None if setup[0] == "startpos" else self._from_fen(" ".join(setup[1:])))
        for move in moves:
            self.play(move)
        self._known = known

    def play(self, move: str) -> None:
        """Plays a move by name, also after a draw in pgx if the controller continues.

        Raises:
            ValueError: it is illegal.
        """
        moves = self._moves()
        action = moves.get(move.lower())
        if action is None:
            self._known = ()
            raise ValueError(f"position: {move} is illegal after {len(self.game.positions) - 1} moves")
        self.game.play(action)

    def _moves(self) -> dict[str, int]:
        """The moves of the newest position. A draw by pgx's rules that the controller ignores is undone."""
        if self.game.over and (to_fen := getattr(self.game.env, "to_fen", None)) is not None:
            fields = to_fen(self.game.state).split()
            fields[4] = "0"  # plies without a capture; repetitions are not in a FEN
            self.game.begin(self._from_fen(" ".join(fields)))
        return {} if self.game.over else chess.legal_moves(self.game.env, self.game.state, self.game.legal)

    def _from_fen(self, fen: str) -> OneState:
        """The environment's state for a FEN.

        Raises:
            ValueError: it is invalid, or the environment cannot set it up.
        """
        from_fen: Callable[[str], OneState] | None = getattr(self.game.env, "from_fen", None)
        if from_fen is None:
            raise ValueError("position: this environment has no from_fen(text); use startpos and moves")
        return from_fen(fen)

    # Searches.

    def go(self, words: list[str]) -> None:
        """Searches, and sends the findings and the move."""
        self.ready()
        begun = time.monotonic()
        options, only = _options(words)
        self._endless = any(name in options for name in ENDLESS)
        self._stopped = self._ended and self._endless
        moves = self._moves() if self.valid else {}
        if not moves:
            self.say(f"info string {'the game is over' if self.valid else 'there is no position'}")
            self._wait()
            self.say("bestmove 0000")
            return
        states = self._restricted({move: moves[move] for move in only if move in moves} or moves)
        action = -1  # there is one finding at least
        for finding in self._findings(states, options):
            self.tell(finding, begun)
            action = finding.action
        self._wait()
        self.say(f"bestmove {chess.to_uci(self.game.env, action, self.game.state)}")

    def _restricted(self, moves: dict[str, int]) -> States:
        """The newest states with only these moves legal."""
        mask = np.zeros((1, self.game.env.num_actions), bool)
        mask[0, list(moves.values())] = True
        return self.game.states.replace(legal_action_mask=mask)

    def _findings(self, states: States, options: dict[str, float]) -> Iterator[Finding]:
        """Findings of searches within the limits of the options of `go` and the clock."""
        number, seconds = self.simulations, self._seconds(options)
        if "nodes" in options:
            number = max(1, int(min(options["nodes"], self.thinker.most)))
        if self._endless:
            number = number if "nodes" in options else None
        return think(self.thinker, states, simulations=number, seconds=seconds, attend=self._attend)

    def _seconds(self, options: dict[str, float]) -> float | None:
        """Seconds for this move; None without a clock."""
        if self._endless:
            return None
        if "movetime" in options:
            return max(0.0, options["movetime"] / 1000 - 0.02)
        own, more = ("btime", "binc") if chess.is_black(self.game.state) else ("wtime", "winc")
        if own not in options:
            return None
        togo = max(1, int(options["movestogo"])) if options.get("movestogo") else None
        return for_move(options[own] / 1000, increment=options.get(more, 0.0) / 1000, moves_to_go=togo)

    def _attend(self, seconds: float) -> bool:
        """Reads the controller's input during a search; returns whether to stop.

        Other commands wait for the end of the search. At the end of the input only an endless search stops.
        """
        if not self._stopped and not self._ended and self.lines.waiting(seconds):
            line = self.lines.next()
            said = "" if line is None else line.strip()
            if line is None:
                self._ended, self._stopped = True, self._endless
            elif said == "isready":
                self.say("readyok")
            elif said in ("quit", "stop", "ponderhit"):
                self.running, self._stopped = said != "quit", True
            else:
                self._later.append(line)
        return self._stopped

    def _wait(self) -> None:
        """After an infinite search that has ended: waits until the controller asks for the move."""
        if self._endless:
            while not self._attend(1.0):
                pass

    def tell(self, finding: Finding, begun: float) -> None:
        """Sends the lines of a finding, best first."""
        seconds = time.monotonic() - begun
        ranked = finding.ranked()[: self.multipv]
        deepest = max(len(finding.lines[action]) for action in ranked)
        for place, action in enumerate(ranked, start=1):
            line = self._names(finding.lines[action])
            value = float(finding.qvalues[action]) if finding.visits[action] else finding.value
            self.say(
                f"info depth {len(line)} seldepth {deepest} multipv {place} score {self._score(action, value)} "
                f"nodes {finding.simulations} nps {round(finding.simulations / max(1e-3, finding.seconds))} "
                f"time {round(1000 * seconds)} pv {' '.join(line)}"
            )

    def _names(self, actions: list[int]) -> list[str]:
        """Names of a line of actions from the newest position."""
        states, names = self.game.states, []
        for action in actions:
            names.append(chess.to_uci(self.game.env, action, row(states)))
            states = self.game.after(action, states)
        return names

    def _score(self, action: int, value: float) -> str:
        """Centipawns of a value -1 .. 1, or mate in one."""
        after = self.game.after(action)
        mover = int(self.game.states.current_player[0])
        if bool(after.terminated[0]) and float(after.rewards[0, mover]) > 0:
            return "mate 1"
        return f"cp {centipawns(value)}"


def centipawns(value: float) -> int:
    """A value -1 .. 1 in centipawns, with the formula of Leela Chess Zero."""
    return round(90 * math.tan(1.5637541897 * min(1.0, max(-1.0, value))))


def _options(words: list[str]) -> tuple[dict[str, float], list[str]]:
    """The options of `go`: numbers and flags by name, and the moves of `searchmoves`."""
    found: dict[str, float] = {}
    only: list[str] = []
    into = False
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in NUMBERS:
            into = False
            try:
                found[word] = float(int(following[:MAX_DIGITS]))
            except ValueError:
                continue  # as if it were not there
        elif word in ENDLESS:
            into, found[word] = False, 1.0
        elif word == "searchmoves":
            into = True
        elif into:
            only.append(word.lower())
    return found, only


def _uci(server: UciServer, words: list[str]) -> None:
    server.say(f"id name {server.name}")
    server.say("id author the jzero authors")
    server.say(f"option name MultiPV type spin default 1 min 1 max {MAX_LINES}")
    default = server.simulations or server.thinker.most
    server.say(f"option name Simulations type spin default {default} min 1 max {server.thinker.most}")
    server.say("option name Ponder type check default false")
    server.say("uciok")


def _isready(server: UciServer, words: list[str]) -> None:
    server.ready()
    server.say("readyok")


def _setoption(server: UciServer, words: list[str]) -> None:
    """`setoption name NAME value VALUE`; unknown options are ignored."""
    text = " ".join(words)
    name, _, value = text.partition(" value ")
    name = name.removeprefix("name ").strip().lower()
    if name == "ponder":
        return
    most = {"multipv": MAX_LINES, "simulations": server.thinker.most}.get(name)
    try:
        number = int(value)
    except ValueError:
        number = 0
    if most is None or not 1 <= number <= most:
        expected = f"expected 1 to {most}" if most else "known options are MultiPV and Simulations"
        server.say(f"info string option {text!r} is ignored: {expected}")
    elif name == "multipv":
        server.multipv = number
    else:
        server.simulations = number


def _position(server: UciServer, words: list[str]) -> None:
    try:
        server.set_position(words)
        server.valid = True
    except ValueError as error:
        server.valid = False
        server.say(f"info string {error}")


def _ucinewgame(server: UciServer, words: list[str]) -> None:
    server.game.begin()
    server._known, server.valid = (), True


def _quit(server: UciServer, words: list[str]) -> None:
    server.running = False


COMMANDS: dict[str, Callable[[UciServer, list[str]], None]] = {
    "uci": _uci,
    "isready": _isready,
    "ucinewgame": _ucinewgame,
    "setoption": _setoption,
    "position": _position,
    "go": lambda server, words: server.go(words),
    "quit": _quit,
    # Only during a search do these mean anything.
    "stop": lambda server, words: None,
    "ponderhit": lambda server, words: None,
    "debug": lambda server, words: None,
    "register": lambda server, words: None,
}
