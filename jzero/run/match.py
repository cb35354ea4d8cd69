r"""Plays runs and opponents against each other, all pairs of them, and rates them.

    python -m jzero match runs/connect_four/20261121-101500 open_spiel_mcts:1000
    python -m jzero match RUN_A RUN_B RUN_B:0 rollouts:100 --games 400 --simulations 64
    python -m jzero match runs/blob/20261121-101500 experiments.players.blob:rule_based random
    python -m jzero match random rollouts:100 minimax:4 --env tic_tac_toe --out match

A player is the directory of a run, with simulations per move as in RUN:64 (0 is the network's policy alone), or an
opponent: random, rollouts:1000, minimax:4, open_spiel_mcts:1000, gnu_go:10, bitbully, or module:function, where the
function makes a player of the environment (see jzero.evaluate.players).

The game decides how they are compared (jzero.evaluate.strength.contest). "pairs": two players whose rewards sum to
zero meet in both seats from paired random openings; scores give Elo ratings. "tables": of more players, or for
points with chance, one sits against the other in all other seats, the same deals from every seat. "returns": one
player's mean return over the same episodes.

`match.json` and the page `match.html` in the folder --out are written after every encounter; the same command goes
on where it was interrupted, and other players and settings add to the file. A run that has trained on starts anew.

    {"env": "connect_four", "contest": "pairs" | "tables" | "returns",
     "players": {name: {"words": what it is, "weights": a checksum of a run's weights or null}},
     "results": [{"player": name, "opponent": name or null for returns,
                  "games": played, "asked": --games, "opening_plies": [fewest, most] or null, "seed", "seconds",
                  "value": score 0..1 | return above the others' | mean return, "low", "high": its 95 % interval,
                  pairs: "wins", "draws", "losses", "first", "second": [wins, draws, losses] by who moved first,
                         "distinct_games", "mean_plies",
                  tables: "own", "others": mean returns,
                  returns: "cut": episodes cut short}],
     "ratings": [{"player", "elo", "low", "high"}]  of the last command's players in pairs, the first one's being 0}
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.devices import set_up
from jzero.env import Env
from jzero.evaluate.encounters import Record, encounters, play_encounter, rate
from jzero.evaluate.gtp import GtpError
from jzero.evaluate.players import DEFAULTS
from jzero.evaluate.strength import Contest, contest, openings
from jzero.run.entrants import Entrant, entrants_of, game_of, named_run
from jzero.settings import full_path
from jzero.show.match import match_page, rating_lines, result_line
from jzero.storage.run_dir import read_json, to_json, write_atomic

MATCH, PAGE = "match.json", "match.html"
_HELP = (__doc__ or "").partition("\n    {")[0]  # without the format of the file


@dataclass(frozen=True)
class Config:
    """Who plays what, and how long."""

    players: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PLAYER ...")]
    """Runs and opponents; two at least, or one where one plays alone."""
    env: str | None = None
    """The game, as `jzero.make` names it; that of the runs by default."""
    games: int = 200
    """Games of each encounter, in pairs an even number; episodes where one plays alone."""
    simulations: int | None = None
    """Simulations per move of the runs that name none; by default those of their training. 0: the policy alone."""
    opening_plies: tuple[int, int] | None = None
    """Fewest and most random plies that open a pair of games; by default 0 and at most 4, fewer in short games."""
    seed: int = 0
    """Of openings, deals, episodes and opponents."""
    out: Path | None = None
    """Folder of match.json and match.html; by default the first run's directory, or ./match."""

    def __post_init__(self) -> None:
        """The home folder is meant by `~`."""
        if self.out is not None:
            object.__setattr__(self, "out", full_path(self.out))


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=list(argv), prog="python -m jzero match", description=_HELP)
    set_up()
    try:
        match(config)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the encounters that are left", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, GtpError) as error:
        if os.environ.get("JZERO_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def match(config: Config) -> Record:
    """Plays the match and prints it; returns the content of match.json.

    Raises:
        ValueError: an option is out of range, a player does not exist or does not play the game, or the folder
            holds a match of another game.
        ImportError: an opponent is not installed.
        OSError: a run or a file cannot be read or written.
    """
    _check_numbers(config)
    named = {text: named_run(text, config.simulations) for text in config.players}
    runs = {text: run for text, run in named.items() if run is not None}
    env, env_name = game_of(config.env, runs)
    kind = contest(env)
    _check_contest(config, kind, env_name)
    settings = {
        "asked": config.games,
        "opening_plies": list(config.opening_plies or openings(env)) if kind == "pairs" else None,
        "seed": config.seed,
    }
    out = config.out or next((run.path for run in runs.values()), Path("match"))
    with ExitStack() as programs:
        entrants = entrants_of(config.players, runs, env, env_name, programs, seed=config.seed)
        names = [entrant.name for entrant in entrants]
        record = _begin(out / MATCH, env_name, kind, entrants)
        by_name = {entrant.name: entrant for entrant in entrants}
        for name, other in encounters(kind, names, env.num_players):
            start = {"player": name, "opponent": other, **settings}
            if (found := _on_file(record, start)) is not None:
                print(f"{result_line(kind, found)} (on file)", flush=True)
                continue
            result = _play(env, kind, by_name, start)
            record["results"].append(result)
            _write(out, record)
            print(result_line(kind, result), flush=True)
        if kind == "pairs":
            record["ratings"] = rate(record["results"], names)
            print(*rating_lines(record["ratings"]), sep="\n")
        _write(out, record)
    print(f"wrote {out / MATCH} and {PAGE}")
    return record


def _check_numbers(config: Config) -> None:
    if not config.players:
        raise ValueError(
            f"no player is given; give runs or opponents: {', '.join(DEFAULTS)}, module:function"
        )
    if config.games < 1:
        raise ValueError(f"--games is {config.games}; expected at least 1")
    if config.simulations is not None and config.simulations < 0:
        raise ValueError(f"--simulations is {config.simulations}; expected 0 for the policy alone, or more")
    if config.seed < 0:
        raise ValueError(f"--seed is {config.seed}; expected at least 0")


def _check_contest(config: Config, kind: Contest, env_name: str) -> None:
    if kind != "returns" and len(config.players) < 2:
        raise ValueError(
            f"one player is given, {config.players[0]}, but {env_name} is played against others; give a second "
            "one, such as rollouts:100"
        )
    if kind != "pairs" and config.opening_plies is not None:
        raise ValueError(f"--opening-plies: {env_name} is played without random openings; leave it out")
    low, high = config.opening_plies or (0, 0)
    if not 0 <= low <= high:
        raise ValueError(
            f"--opening-plies is {low} {high}; expected the fewest and the most plies, such as 0 4"
        )
    if kind == "pairs" and config.games % 2:
        raise ValueError(
            f"--games is {config.games}; expected an even number, since each opening is played from both seats"
        )


def _play(env: Env, kind: Contest, entrants: dict[str, Entrant], start: Record) -> Record:
    begun, other = time.monotonic(), start["opponent"]
    low, high = start["opening_plies"] or (0, 0)
    result = play_encounter(
        env,
        kind,
        entrants[start["player"]].player,
        None if other is None else entrants[other].player,
        games=start["asked"],
        opening_plies=(low, high),
        seed=start["seed"],
    )
    return to_json({**start, **result, "seconds": round(time.monotonic() - begun, 1)})


def _begin(path: Path, env_name: str, kind: Contest, entrants: list[Entrant]) -> Record:
    """What is on file, with these players added and without results of a run's former weights.

    Raises:
        ValueError: the file is of another game, or is no such file.
    """
    record: Record = {"env": env_name, "contest": kind, "players": {}, "results": [], "ratings": []}
    if path.exists():
        found = read_json(path)
        if found is None or not found.keys() >= record.keys():
            raise ValueError(
                f"{path} is no record of matches: move it away, or give another folder with --out"
            )
        if (found["env"], found["contest"]) != (env_name, kind):
            raise ValueError(
                f"{path} is of {found['contest']} in {found['env']!r}, this match of {kind} in {env_name!r}: give "
                "another folder with --out"
            )
        record = {**found, "ratings": []}
    for name, words, _, weights in entrants:
        if record["players"].get(name, {}).get("weights") != weights:
            kept = [r for r in record["results"] if name not in (r["player"], r["opponent"])]
            if len(kept) < len(record["results"]):
                print(f"{name} has other weights than in {path}: its former results are dropped")
            record["results"] = kept
        record["players"][name] = {"words": words, "weights": weights}
    return record


def _on_file(record: Record, start: Record) -> Record | None:
    """The result of the same encounter with the same settings."""
    same = (r for r in record["results"] if all(r.get(name) == value for name, value in start.items()))
    return next(same, None)


def _write(out: Path, record: Record) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / MATCH, json.dumps(record, indent=2, allow_nan=False) + "\n")
    write_atomic(out / PAGE, match_page(record))
