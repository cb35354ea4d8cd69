"""Analysis for GTP controllers, line by line, in the formats of Leela Zero and KataGo."""

from __future__ import annotations

from collections.abc import Callable

from jzero.engine.gtp_commands import color_or_mover
from jzero.engine.gtp_game import GtpGame, Refusal
from jzero.engine.lines import Lines
from jzero.engine.thinker import Finding, think
from jzero.evaluate.gtp import to_vertex

ANALYSED = 16
"""Number of moves in a line of analysis."""
Write = Callable[[str], None]
"""Sends text to the controller."""
Stream = Callable[[GtpGame, Lines, Write, list[str]], None]
"""(game, the controller's lines, write, arguments) -> None: a command that answers line by line."""
_STYLES: dict[str, Callable[[float], str]] = {
    "lz": lambda share: str(round(10000 * share)),
    "kata": lambda share: f"{share:.4f}",
}
"""How Leela Zero and KataGo write a number 0 .. 1."""


def _info(game: GtpGame, finding: Finding, style: Callable[[float], str]) -> str:
    """A line of analysis: the moves that a search tried, best first."""
    parts = []
    for order, action in enumerate(finding.ranked()[:ANALYSED]):
        visits = int(finding.visits[action])
        value = float(finding.qvalues[action]) if visits else finding.value
        line = " ".join(to_vertex(a, game.size) for a in finding.lines[action])
        parts.append(
            f"info move {to_vertex(action, game.size)} visits {visits} winrate {style(_winrate(value))} "
            f"prior {style(float(finding.prior[action]))} order {order} pv {line}"
        )
    return " ".join(parts)


def _winrate(value: float) -> float:
    """A value -1 .. 1 as a win rate."""
    return min(1.0, max(0.0, 0.5 * (1 + value)))


def _analyze(style: Callable[[float], str]) -> Stream:
    """The command that analyses until the next line of input."""

    def stream(game: GtpGame, lines: Lines, write: Write, words: list[str]) -> None:
        color = color_or_mover(game, words)
        try:
            states = game.ready_for(color)
        except Refusal:
            return  # nothing is to be said of a game that is over
        for finding in think(game.thinker, states, attend=lines.waiting):
            game.found = finding
            write(f"{_info(game, finding, style)}\n")
        while not lines.waiting(1.0):
            pass

    return stream


def _genmove_analyze(style: Callable[[float], str]) -> Stream:
    """The command that analyses and then plays."""

    def stream(game: GtpGame, lines: Lines, write: Write, words: list[str]) -> None:
        color = color_or_mover(game, words)
        vertex = game.move(color, tell=lambda found: write(f"{_info(game, found, style)}\n"))
        write(f"play {vertex}\n")

    return stream


STREAMS: dict[str, Stream] = {
    f"{name}-{kind}": make(style)
    for name, style in _STYLES.items()
    for kind, make in (("analyze", _analyze), ("genmove_analyze", _genmove_analyze))
}
"""The streaming commands by name."""
