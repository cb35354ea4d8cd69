"""Opponents by name: programs of others where they play the game; tree search with random games; random moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from jzero_envs.adapters.pgx import PgxEnv

from jzero.env import Env
from jzero.evaluate.engines import open_spiel_mcts, random_player
from jzero.evaluate.gtp import gnu_go, gtp_player
from jzero.evaluate.rollouts import rollout_player
from jzero.evaluate.turns import Player
from jzero.models.plan import SearchSettings

Opponent = Literal["open_spiel_mcts", "rollouts", "gnu_go", "random"]

OPEN_SPIEL = {
    "connect_four": "connect_four",
    "tic_tac_toe": "tic_tac_toe",
    "pgx:connect_four": "connect_four",
    "pgx:tic_tac_toe": "tic_tac_toe",
    "pgx:othello": "othello",
}
"""OpenSpiel's names of the games in which its actions have the numbers of ours."""


def players(
    env: Env,
    env_name: str,
    names: Sequence[Opponent],
    *,
    num_simulations: Sequence[int] = (1000,),
    level: int = 10,
    seed: int = 0,
) -> Iterator[tuple[str, Player]]:
    """What each opponent is, in words, and the player.

    Args:
        env: the game.
        env_name: what `jzero.make` calls it.
        names: whom to play against.
        num_simulations: simulations a move of the tree searches; one opponent for each number.
        level: of GNU Go.
        seed: of OpenSpiel's MCTS.

    Raises:
        ValueError: an opponent does not play this game.
        ImportError: an opponent is not installed.
    """
    for name in names:
        if name == "random":
            yield "a random player", random_player(env)
        elif name == "gnu_go":
            yield _gnu_go(env, env_name, level)
        elif name == "rollouts":
            yield from (rollouts(env, number) for number in num_simulations)
        else:
            yield from (_mcts(env_name, number, seed) for number in num_simulations)


def _mcts(env_name: str, num_simulations: int, seed: int) -> tuple[str, Player]:
    """OpenSpiel's UCT with random rollouts."""
    if env_name not in OPEN_SPIEL:
        raise ValueError(
            f"opponents: open_spiel_mcts plays {', '.join(OPEN_SPIEL)}, not {env_name}; take rollouts or random "
            "(Quoridor has its own: experiments/quoridor_match.py)"
        )
    player = open_spiel_mcts(OPEN_SPIEL[env_name], num_simulations, seed)
    return f"OpenSpiel's MCTS with {num_simulations} simulations", player


def rollouts(env: Env, num_simulations: int) -> tuple[str, Player]:
    """PUCT with random games in place of a network, in words and as a player; for any game."""
    player = rollout_player(env, SearchSettings(policy="puct", dirichlet_fraction=0.0), num_simulations)
    return f"tree search with {num_simulations} random rollouts", player


def _gnu_go(env: Env, env_name: str, level: int) -> tuple[str, Player]:
    """GNU Go on the board and with the komi of pgx's Go."""
    if not isinstance(env, PgxEnv) or not env.name.startswith("go_"):
        raise ValueError(f"opponents: gnu_go plays pgx:go_9x9 and pgx:go_19x19, not {env_name}; take another")
    rules = env.inner._game
    engine = gnu_go(rules.size, rules.komi, level=level)
    return f"{engine.name}, level {level}", gtp_player(engine)
