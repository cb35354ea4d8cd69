"""A GTP 2 server: an agent as a Go engine, with the analysis commands of Leela Zero.

The rules are those of `go` or of pgx's Go (see `jzero.evaluate.gtp`); `gtp_game` describes where GTP allows more.
Source: G. Farneback, Specification of the Go Text Protocol, version 2, draft 2 (2002).
"""

from __future__ import annotations

from collections.abc import Callable

from jzero.engine import gtp_commands
from jzero.engine.game import Game
from jzero.engine.gtp_analysis import STREAMS
from jzero.engine.gtp_game import GtpGame, Refusal
from jzero.engine.lines import Lines
from jzero.engine.thinker import Thinks


class GtpServer:
    """The state of one session."""

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
        """Starts a session.

        Args:
            game: a Go game at its start.
            thinker: searches its positions.
            lines: the controller's lines.
            write: sends text to the controller.
            komi: komi of the environment.
            simulations: simulations per move, at most; None: as many as the clock and the thinker allow.
            name: name of the engine.
            version: version of the engine, and the run it plays with.

        Raises:
            ValueError: the game is not Go.
        """
        self.game = GtpGame(game, thinker, komi=komi, simulations=simulations)
        self.lines, self.write, self.name, self.version = lines, write, name, version
        self.running = True

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
                STREAMS[name](self.game, self.lines, self.write, arguments)
                self.write("\n")
                return
            if name not in COMMANDS:
                raise Refusal("unknown command")
            said = COMMANDS[name](self, arguments)
            self.write(f"={number} {said}".rstrip() + "\n\n")
        except Refusal as refusal:
            self.write(f"?{number} {refusal}\n\n")


def _list_commands(server: GtpServer, words: list[str]) -> str:
    return "\n".join(sorted([*COMMANDS, *STREAMS]))


def _known_command(server: GtpServer, words: list[str]) -> str:
    return "true" if words and words[0] in {*COMMANDS, *STREAMS} else "false"


def _quit(server: GtpServer, words: list[str]) -> str:
    server.running = False
    return ""


Command = Callable[[GtpServer, list[str]], str]


def _of_game(command: Callable[[GtpGame, list[str]], str]) -> Command:
    return lambda server, words: command(server.game, words)


COMMANDS: dict[str, Command] = {
    "name": lambda server, words: server.name,
    "version": lambda server, words: server.version,
    "known_command": _known_command,
    "list_commands": _list_commands,
    "quit": _quit,
    **{name: _of_game(command) for name, command in gtp_commands.COMMANDS.items()},
}
"""All commands by name, except those of `STREAMS`."""
