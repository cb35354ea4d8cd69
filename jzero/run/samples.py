"""Sample games of a run, for its report."""

from __future__ import annotations

import jax

from jzero.agent import Agent
from jzero.env_spec import describe
from jzero.evaluate.record import record_games
from jzero.storage.run_dir import RunDir

GAMES = 4


def record_samples(run_dir: RunDir, agent: Agent, seed: int, seconds: float, *, analysed: int = 0) -> None:
    """Writes games.json, if the report can show the games: those that can be drawn, or one player's.

    Args:
      run_dir: where to.
      agent: plays them.
      seed: of the games.
      seconds: for the measurement, of which they take a quarter at most.
      analysed: number of games whose searches are kept.
    """
    spec = describe(agent.env)
    if spec.draws or (spec.num_players == 1 and not spec.external):
        key = jax.random.key(seed)
        games = record_games(agent, num_games=GAMES, key=key, seconds=seconds / 4, analysed=analysed)
        run_dir.write_json("games.json", games)
