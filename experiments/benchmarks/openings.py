"""How much of a match's score the random openings decide.

    python experiments/benchmarks/openings.py RUN experiments.players.quoridor:minimax --out FILE

Run it from the repository's top folder. The agent plays the opponent and then itself, from the same openings in
both seats. A seat that loses both games of an opening between equals counts as lost from there: the agent's losses
there are the opening's work, its wins the opponent's mistakes. A finite search judges; it is no proof.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro
from hardware import provenance

import jzero
from jzero.env import Env
from jzero.evaluate.arena import MatchResult, play_match
from jzero.evaluate.players import agent_player, open_opponent
from jzero.evaluate.turns import Player
from jzero.storage.files import to_json, write_atomic


@dataclass(frozen=True)
class Config:
    """Options."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's directory."""
    opponent: Annotated[str, tyro.conf.Positional]
    """As for `python -m jzero match`."""
    games: int = 100
    """Games of each match, an even number."""
    simulations: int = 512
    """The agent's simulations per move."""
    opening_plies: tuple[int, int] = (0, 4)
    """Fewest and most random plies."""
    seed: int = 0
    """Of openings and players."""
    out: Path | None = None
    """JSON file for the result."""


class Decided(NamedTuple):
    """Games by what the opening decides for the agent's seat; (won, drawn, lost) each."""

    won: tuple[int, int, int]
    open: tuple[int, int, int]
    lost: tuple[int, int, int]


def decided(match: MatchResult, equals: MatchResult) -> Decided:
    """Sorts the games of `match` by what their seats earn between `equals`, from the same openings."""
    # Of a pair between equals, the player of seat 0 is the first game's, the opponent the second's.
    seat_0 = (equals.outcomes[::2].astype(int) - equals.outcomes[1::2]) / 2
    prospects = np.stack([seat_0, -seat_0], axis=1).reshape(-1)

    def tally(value: float) -> tuple[int, int, int]:
        outcomes = match.outcomes[prospects == value]
        return int((outcomes > 0).sum()), int((outcomes == 0).sum()), int((outcomes < 0).sum())

    won, lost = tally(1), tally(-1)
    total = np.array([match.wins, match.draws, match.losses])
    between = total - won - lost
    return Decided(won, (int(between[0]), int(between[1]), int(between[2])), lost)


def main(config: Config) -> None:
    """Plays both matches, prints the result and writes it."""
    agent = jzero.load(config.run)
    player = agent_player(agent, config.simulations)
    opponent = open_opponent(agent.env, agent.name, config.opponent, seed=config.seed)
    try:
        match = _match(config, agent.env, player, opponent.player)
    finally:
        opponent.close()
    equals = _match(config, agent.env, player, player)
    print(f"against {opponent.words}: {match}\nbetween equals: {equals}")
    found = decided(match, equals)._asdict()
    for name, (won, drawn, lost) in found.items():
        print(f"seats that are {name} between equals: {won} won, {drawn} drawn, {lost} lost")
    if config.out is not None:
        settings = {"env": agent.name, "opponent": opponent.words, "simulations": config.simulations}
        settings |= {"games": config.games, "opening_plies": config.opening_plies, "seed": config.seed}
        score = {"score": match.score, "interval": match.interval, "between_equals": found}
        write_atomic(config.out, json.dumps(to_json(settings | score | provenance()), indent=1) + "\n")


def _match(config: Config, env: Env, player: Player, opponent: Player) -> MatchResult:
    key = jax.random.key(config.seed)
    return play_match(
        env, player, opponent, num_games=config.games, key=key, opening_plies=config.opening_plies
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
