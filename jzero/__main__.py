"""The command line: `python -m jzero COMMAND`, or `jzero COMMAND` if jzero is installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "check": (
        "jzero.run.check",
        "checks whether an environment follows the protocol, and explains each problem",
    ),
    "export": (
        "jzero.run.export",
        "exports an agent: weights, StableHLO, ONNX, a page that plays offline",
    ),
    "gtp": ("jzero.run.gtp", "serves a Go run as an engine for programs that speak GTP"),
    "match": ("jzero.run.match", "plays runs and opponents against each other and rates them"),
    "play": (
        "jzero.run.play",
        "plays against an agent in the browser or in the terminal, and shows its search",
    ),
    "report": ("jzero.run.report", "rewrites the report of a run, or writes a page that compares several"),
    "train": ("jzero.run.train_command", "trains and measures an agent in any environment"),
    "uci": ("jzero.run.uci", "serves a chess run as an engine for programs that speak UCI"),
}
"""Command -> (module whose `main(argv)` returns the exit code, description)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names; returns the exit code.

    Args:
        argv: the command and its options; by default the process's.
    """
    name, *options = (sys.argv[1:] if argv is None else argv) or [""]
    if name in COMMANDS:
        return importlib.import_module(COMMANDS[name][0]).main(options)
    asked = name in ("-h", "--help", "help")
    print(usage(), file=sys.stdout if asked else sys.stderr)
    if name and not asked:
        from jzero.registry import unknown_name

        print(unknown_name("command", name, list(COMMANDS)), file=sys.stderr)
    return 0 if asked else 2


def usage() -> str:
    """The commands, one per line."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {does}" for name, (_, does) in COMMANDS.items()]
    return "\n".join(["usage: python -m jzero COMMAND ...; COMMAND --help lists its options", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
