"""The command line: `python -m jzero COMMAND`."""

from __future__ import annotations

import sys

COMMANDS = {"check": "says in plain words whether an environment keeps the protocol"}


def main() -> int:
    """Runs the command that the first argument names; returns the exit code."""
    from jzero.run import check

    if sys.argv[1:2] != ["check"]:
        print("usage: python -m jzero check ENV")
        return 2
    return check.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
