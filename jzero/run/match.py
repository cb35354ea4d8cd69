r"""Plays runs and opponents against each other and rates them.

    python -m jzero match runs/connect_four/20261121-101500 open_spiel_mcts:1000
    python -m jzero match rollouts:100 runs/connect_four/20261121-101500@all:16 --games 40
    python -m jzero match RUN_A RUN_B RUN_B@120 RUN_B:0 rollouts:100 --games 400 --simulations 64
    python -m jzero match runs/go/20261121-101500 gnu_go:1 "gtp:my-program --gtp"
    python -m jzero match runs/blob/20261121-101500 experiments.players.blob:rule_based random
    python -m jzero match random rollouts:100 minimax:4 --env tic_tac_toe --out match

A player is the directory of a run, RUN@120 (its checkpoint of that iteration) or RUN@all (its checkpoints, at most
--checkpoints of them; a run keeps them with --keep-every). Each takes simulations per move as in RUN@120:64 (0
plays the network's policy without search). Or a player is an opponent: random, rollouts:1000, minimax:4,
open_spiel_mcts:1000, gnu_go:10, bitbully, gtp:COMMAND (a program that speaks GTP), or module:function, where the
function makes a player for the environment (see jzero.evaluate.players).

The game decides the format (jzero.evaluate.strength.contest). "pairs": two players whose rewards sum to zero play
each random opening from both seats; scores give Elo ratings. "tables": with more players, or points and chance, one
player sits against copies of the other, with the same deals from every seat. "returns": each player's mean return
over the same episodes.

`match.json` and the page `match.html` in the folder --out are written after every encounter. The same command
continues an interrupted match; other players and settings add to the file. Results of a run that has trained
further are dropped.

    {"env": "connect_four", "contest": "pairs" | "tables" | "returns",
     "players": {name: {"words": what it is, "weights": a checksum of a run's weights or null,
                        runs: "run": its directory, "simulations", "iteration", "seconds": of training or null}},
     "results": [{"player": name, "opponent": name or null for returns,
                  "games": played, "asked": --games, "opening_plies": [fewest, most] or null, "seed", "seconds",
                  "value": score 0..1 | return above the others' | mean return, "low", "high": its 95 % interval,
                  pairs: "wins", "draws", "losses", "first", "second": [wins, draws, losses] by who moved first,
                         "distinct_games", "mean_plies",
                         "sample_games": [{"player_seat": 0 or 1, "actions", "outcome": of each seat -1, 0 or 1,
                                           "seed": see jzero.env.seeded_key, or null}],
                  tables: "own", "others": mean returns,
                  returns: "cut": episodes cut short}],
     "ratings": [{"player", "elo", "low", "high"}]  of the last command's players in pairs, the first one's being 0}

Files of earlier versions, without "run" to "seconds" and "sample_games", are read too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jzero.devices import set_up
from jzero.env import Env
from jzero.evaluate.encounters import Record, play_encounter, rate
from jzero.evaluate.players import DEFAULTS
from jzero.evaluate.schedule import Pairs, encounters
from jzero.evaluate.strength import Contest, contest, openings
from jzero.run.commands import exit_code
from jzero.run.entrants import MOST, Entrant, entrants_of, game_of, named_runs
from jzero.run.match_file import MATCH, PAGE, MatchFile
from jzero.run.progress import print_anything
from jzero.settings import full_path
from jzero.show.match import rating_lines, result_line
from jzero.storage.files import to_json

_HELP = (__doc__ or "").partition("\n    {")[0]  # without the format of the file


@dataclass(frozen=True)
class Config:
    """The players, the game and the number of games."""

    players: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PLAYER ...")]
    """Runs and opponents; at least two, or one in a single-player game."""
    env: str | None = None
    """The game, a name for `jzero.make`; by default that of the runs."""
    games: int = 200
    """Games per encounter, an even number for pairs; episodes per player in a single-player game."""
    simulations: int | None = None
    """Simulations per move of runs without a number; by default those of their training. 0: no search."""
    opening_plies: tuple[int, int] | None = None
    """Fewest and most random plies that open a pair of games; by default 0 and at most 4, fewer in short games."""
    seed: int = 0
    """Seed of openings, deals, episodes and opponents."""
    checkpoints: int = MOST
    """Checkpoints of each RUN@all, evenly spread in training time, including the first and the last."""
    pairs: Pairs | None = None
    """all: everyone plays everyone. neighbours: a checkpoint plays the next two of its run and all opponents; the
    last checkpoints of the runs play each other. By default all, for up to 10 players."""
    out: Path | None = None
    """Folder of match.json and match.html; by default the first run's directory, or ./match."""

    def __post_init__(self) -> None:
        """Expands `~`."""
        if self.out is not None:
            object.__setattr__(self, "out", full_path(self.out))


def main(argv: Sequence[str]) -> int:
    """The command with these options; returns the exit code."""
    config = tyro.cli(Config, args=list(argv), prog="python -m jzero match", description=_HELP)
    set_up()
    print_anything()
    text = "interrupted; the same command continues with the remaining encounters"
    return exit_code(lambda: match(config), interrupted=text)


def match(config: Config) -> Record:
    """Plays the match and prints it; returns the content of match.json.

    Raises:
        ValueError: an option is out of range, a player does not exist or does not play the game, or the folder
            holds a match of another game.
        ImportError: an opponent is not installed.
        OSError: a run or a file cannot be read or written.
    """
    _check_numbers(config)
    named = {text: named_runs(text, config.simulations, config.checkpoints) for text in config.players}
    runs = {text: found for text, found in named.items() if found}
    env, env_name = game_of(config.env, runs)
    kind = contest(env)
    _check_contest(config, kind, env_name)
    settings = {
        "asked": config.games,
        "opening_plies": list(config.opening_plies or openings(env)) if kind == "pairs" else None,
        "seed": config.seed,
    }
    out = config.out or next((run.path for run, *_ in runs.values()), Path("match"))
    with ExitStack() as programs:
        entrants = entrants_of(config.players, runs, env, env_name, programs, seed=config.seed)
        if len(entrants) < 2 and kind != "returns":
            raise ValueError(_alone(config.players[0], env_name))
        file = MatchFile(out, env, env_name, kind)
        file.begin(entrants)
        _play_all(env, kind, entrants, config.pairs, settings, file)
        if kind == "pairs":
            file.record["ratings"] = rate(file.record["results"], [entrant.name for entrant in entrants])
            print(*rating_lines(file.record["ratings"]), sep="\n")
        file.write()
    print(f"wrote {out / MATCH} and {PAGE}")
    return file.record


def _play_all(
    env: Env,
    kind: Contest,
    entrants: Sequence[Entrant],
    pairs: Pairs | None,
    settings: Record,
    file: MatchFile,
) -> None:
    """Plays the encounters that are not in the file, and adds each to it."""
    by_name = {entrant.name: entrant for entrant in entrants}
    rungs = [entrant.rung for entrant in entrants]
    chosen = encounters(kind, list(by_name), env.num_players, rungs=rungs, pairs=pairs)
    for number, (name, other) in enumerate(chosen, 1):
        start = {"player": name, "opponent": other, **settings}
        found, note = file.found(start), " (on file)"
        if found is None:
            found, note = _play(env, kind, by_name, start), ""
            file.record["results"].append(found)
            file.write()
        print(f"[{number}/{len(chosen)}] {result_line(kind, found)}{note}", flush=True)


def _check_numbers(config: Config) -> None:
    if not config.players:
        raise ValueError(
            f"no player is given; give runs or opponents: {', '.join(DEFAULTS)}, gtp:COMMAND, module:function"
        )
    if config.games < 1:
        raise ValueError(f"--games is {config.games}; expected at least 1")
    if config.simulations is not None and config.simulations < 0:
        raise ValueError(f"--simulations is {config.simulations}; expected 0 for the policy alone, or more")
    if config.checkpoints < 1:
        raise ValueError(f"--checkpoints is {config.checkpoints}; expected at least 1")
    if config.seed < 0:
        raise ValueError(f"--seed is {config.seed}; expected at least 0")


def _check_contest(config: Config, kind: Contest, env_name: str) -> None:
    if kind != "pairs" and config.opening_plies is not None:
        raise ValueError(f"--opening-plies: {env_name} is played without random openings; omit it")
    if kind == "returns" and config.pairs is not None:
        raise ValueError(f"--pairs: in {env_name} players do not meet; omit it")
    low, high = config.opening_plies or (0, 0)
    if not 0 <= low <= high:
        raise ValueError(
            f"--opening-plies is {low} {high}; expected the smallest and the largest number of plies, such as 0 4"
        )
    if kind == "pairs" and config.games % 2:
        raise ValueError(
            f"--games is {config.games}; expected an even number, since each opening is played from both seats"
        )


def _alone(player: str, env_name: str) -> str:
    return f"{player} is the only player, but {env_name} needs two or more; give a second one, such as rollouts:100"


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
