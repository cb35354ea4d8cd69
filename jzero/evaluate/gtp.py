"""Go programs as opponents: any program that speaks GTP, the Go Text Protocol, in a child process.

A program is a player of matches like the engines of `jzero.evaluate.engines`. It is told every game anew, move by
move, so one process plays all games of a match.

Actions have the numbers of `go` and of pgx's Go: size * row + column with row 0 at the top, and size^2 passes.
GTP's columns are A, B, C, ... without I, its rows count from the bottom: of a 9x9 board 0 is A9, 8 is J9 and 80 is
J1.
Source: G. Farneback, Specification of the Go Text Protocol, version 2, draft 2 (2002).

The rules of `go` and of pgx's Go (pgx 2.6), to which `gnu_go` sets GNU Go:

| rule | the game | GNU Go |
|---|---|---|
| komi | 7.5; of `go` any | the command `komi` |
| score | area; stones that were not captured are alive (Tromp and Taylor) | `--chinese-rules --capture-all-dead` |
| suicide | illegal | its default |
| a board that was there before | illegal; by pgx's rules in the mask, and loses at once | `--positional-superko` |
| end | two passes, or 2 size^2 plies | never resigns |

So the game alone decides who has won, and a program that leaves dead stones on the board has not captured them.
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
"""GTP's letters, which also bound the size of a board."""
COLORS = ("black", "white")
"""Who moves at even and at odd plies."""
GRACE = 5
"""Seconds that a program has to end by itself."""


class GtpError(RuntimeError):
    """A program died, took too long, refused a command, or gave an answer that is no move."""


def to_vertex(action: int, size: int) -> str:
    """What GTP calls an action 0 .. size^2 on a board of `size` rows."""
    row, column = divmod(int(action), size)
    return "pass" if row == size else f"{COLUMNS[column]}{size - row}"


def to_action(vertex: str, size: int) -> int:
    """The action that GTP calls `vertex`, in any case.

    Raises:
        ValueError: it is no point of the board and no pass.
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
    """Rows of the board and komi of Go, of this repository's game or of pgx's; None of other games."""
    if getattr(env, "name", "") == "go":
        go = cast(Any, env)
        return int(go.size), float(go.komi)
    rules = getattr(getattr(env, "inner", None), "_game", None)
    if rules is None or not getattr(env, "name", "").startswith("go_"):
        return None
    return int(rules.size), float(rules.komi)


class GtpProcess:
    """A GTP program in a child process, which ends with the `with` block, this object or Python.

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
            command: the program and its options, which make it speak GTP on stdin and stdout.
            size: rows of the board, 2 .. 25.
            komi: points that white gets for moving second.
            timeout: seconds that one answer may take.
            before_game: commands that follow each `clear_board`, a seed for instance.

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
        """What the program calls itself, with its version."""

    def __enter__(self) -> GtpProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Asks the program to quit and ends it if it does not; closing twice does no harm."""
        self._end()

    def choose(self, history: Sequence[int]) -> int:
        """The action that the program plays after a game's actions so far.

        Raises:
            GtpError: it resigns, or what it says is no point of the board.
        """
        said = self.ask(*self._replay(history), f"genmove {COLORS[len(history) % 2]}")[-1]
        if said.lower() == "resign":
            raise GtpError(
                f"{self._program} resigned after {list(history)}, but games are played to their end here: start it "
                "so that it never resigns (GNU Go: --never-resign)"
            )
        try:
            return to_action(said, self.size)
        except ValueError as error:
            raise GtpError(f"{self._program} answered genmove after {list(history)}: {error}") from error

    def final_score(self, history: Sequence[int]) -> float:
        """By how much black has won after a game's actions, in the program's opinion; white's win is negative.

        Raises:
            GtpError: it says no score.
        """
        said = self.ask(*self._replay(history), "final_score")[-1]
        winner, _, points = said.partition("+")
        try:
            return 0.0 if said == "0" else {"B": 1, "W": -1}[winner.upper()] * float(points)
        except (KeyError, ValueError):
            raise GtpError(f"{self._program} answered final_score by {said!r}, which is no score") from None

    def ask(self, *commands: str) -> list[str]:
        """The answers to commands that are sent all at once, without their marks and outer spaces.

        Raises:
            GtpError: the program refuses one, has ended, or takes too long; after the last two it is ended.
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
        """Commands that set up the position after a game's actions."""
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
                        "give it more time (timeout), or options that make it speak GTP (GNU Go: --mode gtp)"
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
            raise GtpError(f"{self._program} does not speak GTP: it answered {command!r} by {text[:200]!r}")
        return text

    def _died(self, command: str) -> GtpError:
        """The error of a program that has ended, with its last words."""
        if not self._end.alive:
            return GtpError(f"{self._program} has been closed; start a new GtpProcess")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # its end comes a moment after that of its output
        code = self._process.poll()
        self._words.seek(0)
        words = self._words.read()[-1000:].decode(errors="replace").strip()
        self.close()
        said = f"it said: {words}" if words else "it said nothing"
        return GtpError(f"{self._program} ended at {command!r} with exit code {code}; {said}")


def gtp_player(engine: GtpProcess) -> Player:
    """The player of matches that plays what the program says."""

    def play(turn: Turn) -> np.ndarray:
        actions = np.zeros(len(turn.rows), np.int32)
        for row in np.flatnonzero(turn.rows):
            actions[row] = engine.choose(turn.histories[row])
        return actions

    return play


def gnu_go(size: int, komi: float, *, level: int = 10, seed: int = 1, timeout: float = 60.0) -> GtpProcess:
    """GNU Go by the rules of `go`; see this file's head.

    It is licensed under the GPL: it runs as a program of its own.

    Args:
        size: rows of the board, up to 19.
        komi: points that white gets for moving second.
        level: its strength, 1 .. 10.
        seed: decides among moves that it finds equally good, the same way each time.
        timeout: seconds that one answer may take.

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
            f"{command[0]} is not installed, or not on the PATH; install it (GNU Go: apt-get install gnugo, or "
            "brew install gnu-go)"
        )
    return found


def _end(process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
    """Ends a program, politely at first."""
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
