"""A tiny GTP program for tests: keeps what it is told, and answers or misbehaves as its command line says.

    python fake_gtp.py MOVES [--refuse COMMAND] [--die COMMAND] [--hang COMMAND] [--babble COMMAND] [--deaf]

MOVES are the answers to `genmove`, separated by commas, the first again after the last. `log` answers all commands
so far, separated by semicolons. A deaf program does not end with its input.
"""

import argparse
import itertools
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("moves")
    for habit in ("--refuse", "--die", "--hang", "--babble"):
        parser.add_argument(habit, default="")
    parser.add_argument("--deaf", action="store_true")
    habits = parser.parse_args()
    moves, log = itertools.cycle(habits.moves.split(",")), []
    for line in sys.stdin:
        command = line.split()[0]
        if command == "log":
            print(f"= {'; '.join(log)}\n", flush=True)
            continue
        log.append(line.strip())
        if command == "quit" and not habits.deaf:
            print("=\n", flush=True)
            return
        if command == habits.die:
            print("no stones left", file=sys.stderr, flush=True)
            sys.exit(3)
        if command == habits.hang:
            time.sleep(600)
        if command == habits.babble:
            print("Welcome to Go!\n", flush=True)
        elif command == habits.refuse:
            print("? illegal move\n", flush=True)
        else:
            said = {"name": "Fake", "version": "1.0", "genmove": "", "final_score": "W+3.5"}.get(command, "")
            print(f"= {next(moves) if command == 'genmove' else said}\r\n\r\n", end="", flush=True)
    if habits.deaf:
        time.sleep(600)


if __name__ == "__main__":
    main()
