"""Go programs as opponents: any program that speaks GTP, the Go Text Protocol, in a child process.

A program is a player of matches like the engines of `jzero.evaluate.engines`. It receives each position as the
moves from the start, so one process plays all games of a match.

Actions are numbered as in `go` and pgx's Go: size * row + column with row 0 at the top; size^2 passes. GTP's
columns are A, B, C, ... without I, its rows count from the bottom: on a 9x9 board 0 is A9, 8 is J9 and 80 is J1.
Source: G. Farneback, Specification of the Go Text Protocol, version 2, draft 2 (2002).

The rules of `go` and of pgx's Go (pgx 2.6), and the options that `gnu_go` gives GNU Go for them:

| rule | the game | GNU Go |
|---|---|---|
| komi | 7.5; in `go` any | the command `komi` |
| score | area; stones not captured are alive (Tromp and Taylor) | `--chinese-rules --capture-all-dead` |
| suicide | illegal | its default |
| repeated position | illegal; in pgx legal in the mask, but loses at once | `--positional-superko` |
| end | two passes, or 2 size^2 plies | never resigns |

The game alone decides the winner: dead stones that a program leaves on the board count as alive.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, cast

import numpy as np

from jzero.env import Env
from jzero.evaluate.turns import Player, Turn

COLUMNS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""GTP's column letters; their number is the largest board size."""
COLORS = ("black", "white")
"""The player at even and at odd plies."""
GRACE = 5
"""Seconds for a program to end by itself."""


class GtpError(RuntimeError):
    """A program died, took too long, refused a command, or gave an answer that is not a move."""


def to_vertex(action: int, size: int) -> str:
    """GTP's name of an action 0 .. size^2 on a board of `size` rows."""
    row, column = divmod(int(action), size)
    return "pass" if row == size else f"{COLUMNS[column]}{size - row}"


def to_action(vertex: str, size: int) -> int:
    """The action of the GTP name `vertex`, in upper or lower case.

    Raises:
        ValueError: it is neither a point of the board nor pass.
    """
    name = vertex.strip().upper()
    if name == "PASS":
        return size**2
    column, row = COLUMNS.find(name[:1] or "?"), name[1:]
    if not 0 <= column < size or not row.isdecimal() or not 1 <= int(row) <= size:
        raise ValueError(
            f"vertex: expected pass or a point such as C3 of a board of {size} rows, got {vertex!r}"
        )
    return size * (size - int(row)) + column


def go_rules(env: Env) -> tuple[int, float] | None:
    """Rows of the board and komi, of this repository's Go or pgx's; None for other games."""
    if getattr(env, "name", "") == "go":
        go = cast(Any, env)
        return int(go.size), float(go.komi)
    rules = getattr(getattr(env, "inner", None), "_game", None)
    if rules is None or not getattr(env, "name", "").startswith("go_"):
        return None
    return int(rules.size), float(rules.komi)


class GtpProcess:
    """A GTP program in a child process, which ends with the `with` block, with this object or with Python.

    Example:
        with GtpProcess(["gnugo", "--mode", "gtp"], size=9, komi=7.5) as engine:
            engine.choose([40, 41])
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: int,
        komi: float,
        timeout: float = 60.0,
        before_game: Sequence[str] = (),
    ) -> None:
        """Starts the program and sets the board.

        Args:
            command: the program with the options that make it speak GTP on stdin and stdout.
            size: rows of the board, 2 .. 25.
            komi: points for white, who moves second.
            timeout: seconds for one answer.
            before_game: commands to send after each `clear_board`, such as a seed.

        Raises:
            ImportError: there is no such program.
            ValueError: an argument is out of range.
            GtpError: the program cannot play with these settings, or does not speak GTP.
        """
        if not 2 <= size <= len(COLUMNS):
            raise ValueError(f"size: expected a number of rows from 2 to {len(COLUMNS)}, got {size}")
        if timeout <= 0:
            raise ValueError(f"timeout: expected a number of seconds > 0, got {timeout}")
        self.size, self._timeout, self._unread = size, timeout, b""
        self._before_game = ("clear_board", *before_game)
        # A file takes what a pipe that nobody reads would block on.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        # A session of its own: Ctrl-C reaches this process only, which then closes the child.
        self._process = subprocess.Popen(
            [_find(command), *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, self._process, self._words)
        self._program = os.path.basename(command[0])
        try:
            said = self.ask("name", "version", f"boardsize {size}", "clear_board", f"komi {komi}")
        except GtpError:
            self.close()
            raise
        self.name = " ".join(said[:2])
        """The program's name for itself, and its version."""

    def __enter__(self) -> GtpProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Asks the program to quit and ends it if it does not; may be called twice."""
        self._end()

    def choose(self, history: Sequence[int]) -> int:
        """The action that the program plays after the actions of a game.

        Raises:
            GtpError: it resigns, or its answer is not a point of the board.
        """
        said = self.ask(*self._replay(history), f"genmove {COLORS[len(history) % 2]}")[-1]
        if said.lower() == "resign":
            raise GtpError(
                f"{self._program} resigned after {list(history)}, but games are played to the end here: start it "
                "so that it never resigns (GNU Go: --never-resign)"
            )
        try:
            return to_action(said, self.size)
        except ValueError as error:
            raise GtpError(f"{self._program} answered genmove after {list(history)}: {error}") from error

    def final_score(self, history: Sequence[int]) -> float:
        """The program's score after the actions of a game: black's lead, negative if white wins.

        Raises:
            GtpError: its answer is not a score.
        """
        said = self.ask(*self._replay(history), "final_score")[-1]
        winner, _, points = said.partition("+")
        try:
            return 0.0 if said == "0" else {"B": 1, "W": -1}[winner.upper()] * float(points)
        except (KeyError, ValueError):
            raise GtpError(
                f"{self._program} answered final_score with {said!r}, which is not a score"
            ) from None

    def ask(self, *commands: str) -> list[str]:
        """Sends commands all at once; returns the answers without their marks and outer spaces.

        Raises:
            GtpError: the program refuses one, has ended, or takes too long and is ended.
        """
        try:
            assert self._process.stdin is not None
            self._process.stdin.write("".join(f"{command}\n" for command in commands).encode())
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._died(commands[0]) from error
        answers = [
            self._answer(command) for command in commands
        ]  # all, so that none is left for the next time
        for command, answer in zip(commands, answers, strict=True):
            if not answer.startswith("="):
                raise GtpError(f"{self._program} refused {command!r}: {answer.lstrip('?0123456789 ')}")
        return [answer[1:].strip() for answer in answers]

    def _replay(self, history: Sequence[int]) -> list[str]:
        """Commands that set up the position after the actions of a game."""
        plays = [f"play {COLORS[ply % 2]} {to_vertex(a, self.size)}" for ply, a in enumerate(history)]
        return [*self._before_game, *plays]

    def _answer(self, command: str) -> str:
        """The next answer: "=" or "?" and a text, ended by an empty line."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise GtpError(
                        f"{self._program} gave no answer to {command!r} within {self._timeout:g} s and was ended; "
                        "raise timeout, or give it options that make it speak GTP (GNU Go: --mode gtp)"
                    )
                read = os.read(self._process.stdout.fileno(), 1 << 16)
                if not read:
                    raise self._died(command)
                self._unread = (self._unread + read.replace(b"\r", b"")).lstrip(b"\n")
        answer, self._unread = self._unread.split(b"\n\n", 1)
        self._unread = self._unread.lstrip(b"\n")
        text = answer.decode(errors="replace")
        if not text.startswith(("=", "?")):
            self.close()
            raise GtpError(f"{self._program} does not speak GTP: it answered {command!r} with {text[:200]!r}")
        return text

    def _died(self, command: str) -> GtpError:
        """The error for a program that has ended, with its last output."""
        if not self._end.alive:
            return GtpError(f"{self._program} has been closed; start a new GtpProcess")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # its end comes a moment after that of its output
        code = self._process.poll()
        self._words.seek(0)
        words = self._words.read()[-1000:].decode(errors="replace").strip()
        self.close()
        said = f"its output: {words}" if words else "it wrote nothing"
        return GtpError(f"{self._program} ended at {command!r} with exit code {code}; {said}")


def gtp_player(engine: GtpProcess) -> Player:
    """The player that plays the program's moves."""

    def play(turn: Turn) -> np.ndarray:
        actions = np.zeros(len(turn.rows), np.int32)
        for row in np.flatnonzero(turn.rows):
            actions[row] = engine.choose(turn.histories[row])
        return actions

    return play


def gnu_go(size: int, komi: float, *, level: int = 10, seed: int = 1, timeout: float = 60.0) -> GtpProcess:
    """GNU Go with the rules of `go`; see this module's table.

    It is licensed under the GPL and runs as a separate program.

    Args:
        size: rows of the board, up to 19.
        komi: points for white, who moves second.
        level: strength, 1 .. 10.
        seed: decides between moves that it values equally.
        timeout: seconds for one answer.

    Raises:
        ImportError: GNU Go is not installed.
        ValueError: an argument is out of range.
    """
    if level < 1 or seed < 0:
        raise ValueError(f"level is {level} and seed {seed}: expected a level >= 1 and a seed >= 0")
    rules = ("--chinese-rules", "--capture-all-dead", "--positional-superko", "--never-resign")
    command = ["gnugo", "--mode", "gtp", "--level", str(level), *rules]
    # It would take another seed for every game.
    again = (f"set_random_seed {seed}",)
    return GtpProcess(command, size=size, komi=komi, timeout=timeout, before_game=again)


def _find(command: Sequence[str]) -> str:
    """The path of a command's program.

    Raises:
        ImportError: there is none.
    """
    # Debian puts games where the PATH of root does not look.
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/games"])
    found = shutil.which(command[0], path=folders)
    if found is None:
        raise ImportError(
            f"{command[0]} is not installed or not on the PATH; install it (GNU Go: apt-get install gnugo, or "
            "brew install gnu-go)"
        )
    return found


def _end(process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
    """Ends a program: asks first, then kills it."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.stdin.write(b"quit\n")
        process.stdin.close()
        process.wait(GRACE)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, words):
        with contextlib.suppress(OSError):
            stream.close()
