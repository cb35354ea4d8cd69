"""Plays games of a run's engine against another program or random moves; this script is the referee.

    python experiments/benchmarks/engine_games.py RUN --protocol gtp --games 20 --out FILE   # gnugo
    python experiments/benchmarks/engine_games.py RUN --protocol uci --games 20 --out FILE   # pip install chess

Go: the engine and GNU Go run as two processes, and each gets the other's moves, as with twogtp; each refuses moves
that its own rules forbid. After two passes both state the score, and the scores must agree.
Chess: python-chess has the rules and the protocol (GPL: this script is the only one that imports it, and runs by
itself); the opponent plays random moves. An illegal move, an unreadable line or a loss on time ends the script with
an error.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from hardware import provenance

from jzero.evaluate.gtp import GtpProcess, gnu_go

COLORS = ("black", "white")


@dataclass(frozen=True)
class Config:
    """What to play."""

    run: Annotated[str, tyro.conf.Positional]
    """The run's directory, or RUN:simulations."""
    protocol: Literal["gtp", "uci"] = "gtp"
    """Go or chess."""
    games: int = 20
    """Number of games; colours alternate."""
    size: int = 9
    """Rows of the Go board."""
    level: int = 1
    """GNU Go's level."""
    seconds: float = 10.0
    """Seconds per side and game; in chess the increment is a hundredth of it."""
    max_plies: int = 300
    """A longer game of Go is an error."""
    seed: int = 0
    """Seed of the opponent."""
    out: Path | None = None
    """Where to write the result as JSON."""


def command(config: Config) -> list[str]:
    """The command that starts the engine."""
    return [sys.executable, "-m", "jzero", config.protocol, config.run]


def play_go(config: Config) -> list[dict[str, Any]]:
    """Plays Go; one row per game."""
    games = []
    with (
        GtpProcess(command(config), size=config.size, komi=7.5, timeout=600) as ours,
        gnu_go(config.size, 7.5, level=config.level, seed=1 + config.seed) as gnu,
    ):
        for number in range(config.games):
            begun, own = time.monotonic(), number % 2
            clock = f"time_settings {config.seconds:.0f} 0 0"
            ours.ask("clear_board", clock)
            gnu.ask("clear_board", f"set_random_seed {1 + config.seed + number}")
            left, moves = config.seconds, []
            while moves[-2:] != ["pass", "pass"]:
                if len(moves) > config.max_plies:
                    raise RuntimeError(f"game {number} has more than {config.max_plies} plies")
                color, (mover, other) = len(moves) % 2, (ours, gnu)
                if color != own:
                    mover, other = gnu, ours
                else:
                    ours.ask(f"time_left {COLORS[color]} {max(0, int(left))} 0")
                moved = time.monotonic()
                vertex = mover.ask(f"genmove {COLORS[color]}")[0].lower()
                left -= (time.monotonic() - moved) if color == own else 0.0
                other.ask(f"play {COLORS[color]} {vertex}")
                moves.append(vertex)
            if left < 0:
                raise RuntimeError(f"game {number}: lost on time by {-left:.2f} s")
            scores = [engine.ask("final_score")[0] for engine in (ours, gnu)]
            if scores[0] != scores[1]:
                raise RuntimeError(f"game {number}: the engine says {scores[0]}, GNU Go {scores[1]}")
            games.append(
                {
                    "color": COLORS[own],
                    "plies": len(moves),
                    "score": scores[0],
                    "won": scores[0][0] == "BW"[own],
                    "seconds_left": round(left, 2),
                    "seconds": round(time.monotonic() - begun, 1),
                }
            )
            print(games[-1], flush=True)
    return games


def play_chess(config: Config) -> list[dict[str, Any]]:
    """Plays chess; one row per game."""
    import chess
    import chess.engine

    rng, games = random.Random(config.seed), []
    with chess.engine.SimpleEngine.popen_uci(command(config), timeout=600) as engine:
        engine.timeout = 600  # of the first `isready`, which compiles
        engine.ping()
        for number in range(config.games):
            begun, own, board = time.monotonic(), number % 2 == 0, chess.Board()
            left, increment, mates = config.seconds, config.seconds / 100, 0
            while not board.is_game_over(claim_draw=True):
                if board.turn != own:
                    board.push(rng.choice(list(board.legal_moves)))
                    continue
                clocks = {"white_clock": left, "black_clock": left}
                more = {"white_inc": increment, "black_inc": increment}
                moved = time.monotonic()
                limit = chess.engine.Limit(**clocks, **more)
                found = engine.play(board, limit, game=number, info=chess.engine.INFO_ALL)
                left += increment - (time.monotonic() - moved)
                if left < 0:
                    raise RuntimeError(f"game {number}: lost on time by {-left:.2f} s")
                if found.move is None:
                    raise RuntimeError(f"game {number}: no move in {board.fen()}")
                score = found.info.get("score")
                mates += score is not None and score.relative.is_mate()
                board.push(found.move)
            outcome = board.outcome(claim_draw=True)
            assert outcome is not None
            won = 0.5 if outcome.winner is None else float(outcome.winner == own)
            games.append(
                {
                    "color": "white" if own else "black",
                    "plies": board.ply(),
                    "score": won,
                    "end": outcome.termination.name.lower(),
                    "mates_said": mates,
                    "seconds_left": round(left, 2),
                    "seconds": round(time.monotonic() - begun, 1),
                }
            )
            print(games[-1], flush=True)
    return games


def main(config: Config) -> None:
    """Plays the games and writes the result."""
    begun = time.monotonic()
    games = play_go(config) if config.protocol == "gtp" else play_chess(config)
    result = {
        "benchmark": "engine_games",
        "date": time.strftime("%Y-%m-%d"),
        "config": asdict(config) | {"run": Path(config.run).name, "out": None},
        **provenance(),
        "games": games,
        "errors": 0,
        "seconds": round(time.monotonic() - begun),
    }
    if config.out is not None:
        config.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(games)} games without an error")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
