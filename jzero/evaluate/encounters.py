"""The encounters of a match: the result of each as a record for JSON, and ratings from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jzero.env import Env, is_finished, seeded_key
from jzero.evaluate.arena import MatchResult, play_match
from jzero.evaluate.measures import play_episodes
from jzero.evaluate.rating import bradley_terry, mean_with_interval
from jzero.evaluate.strength import MOST_PLIES, Contest
from jzero.evaluate.table import play_tables
from jzero.evaluate.turns import Player, Turn
from jzero.look import look
from jzero.pytrees import States

Record = dict[str, Any]
SAMPLES = 2
"""Games of an encounter that are recorded: the first pair, one opening from both seats."""
SEEDS = 64
"""Seeds tried for the first state of a recorded game."""


def play_encounter(
    env: Env,
    contest: Contest,
    player: Player,
    opponent: Player | None,
    *,
    games: int,
    opening_plies: tuple[int, int],
    seed: int,
) -> Record:
    """Plays an encounter; the same seed gives all encounters the same openings, deals or episodes.

    Args:
        env: the game.
        contest: the format, see `jzero.evaluate.strength.contest`.
        player: the player whose result is returned.
        opponent: the other player; None with "returns".
        games: number of games; at tables rounded up to whole deals from every seat.
        opening_plies: fewest and most random plies before a pair of games.
        seed: any integer >= 0.

    Returns:
        `games` played, `value`, `low` and `high` (the 95 % interval), and the fields that `_pairs`, `_tables` or
        `_returns` add.
    """
    key = jax.random.key(seed)
    if opponent is None:
        return _returns(env, player, games, key)
    if contest == "tables":
        return _tables(env, player, opponent, games, key)
    return _pairs(env, player, opponent, games, opening_plies, key)


def rate(results: Sequence[Record], names: Sequence[str]) -> list[Record]:
    """Elo ratings of the players with 95 % intervals, from their results in pairs; the first player has 0.

    Repeated games, as between deterministic players, count once: an encounter weighs as many games as are distinct.

    Raises:
        ValueError: no chain of games joins a player to the first.
    """
    place = {name: number for number, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for result in results:
        if result["player"] in place and result["opponent"] in place:
            one, other = place[result["player"]], place[result["opponent"]]
            games = result["wins"] + result["draws"] + result["losses"]
            weight = result.get("distinct_games", games) / games
            wins[one, other] += weight * (result["wins"] + result["draws"] / 2)
            wins[other, one] += weight * (result["losses"] + result["draws"] / 2)
    found = bradley_terry(wins)
    return [
        {"player": name, "elo": float(elo), "low": float(low), "high": float(high)}
        for name, elo, low, high in zip(names, *found, strict=True)
    ]


def _pairs(
    env: Env, player: Player, opponent: Player, games: int, opening_plies: tuple[int, int], key: jax.Array
) -> Record:
    """The value is the score; adds wins, draws and losses, also by who moved first, and the games' lengths."""
    result = play_match(env, player, opponent, num_games=games, key=key, opening_plies=opening_plies)
    low, high = result.interval
    first, second = (list(tally) for tally in result.by_seat)
    return {
        "games": games,
        "value": result.score,
        "low": low,
        "high": high,
        "wins": result.wins,
        "draws": result.draws,
        "losses": result.losses,
        "first": first,
        "second": second,
        "distinct_games": result.distinct_games,
        "mean_plies": sum(map(len, result.histories)) / games,
        "sample_games": sample_games(env, result),
    }


def sample_games(env: Env, result: MatchResult) -> list[Record]:
    """The first pair of games: the player's seat, all actions, each seat's result -1, 0 or 1, and a seed.

    The seed (`jzero.env.seeded_key`) and the actions reproduce the game; it is None if no seed is known.
    """
    games = []
    for game in range(SAMPLES):
        outcome = int(result.outcomes[game])
        games.append(
            {
                "player_seat": game,
                "seed": _seed(env, int(result.first[game])),
                "actions": result.histories[game],
                "outcome": [-outcome, outcome] if game else [outcome, -outcome],
            }
        )
    return games


def _seed(env: Env, first: int) -> int | None:
    """A seed of an initial state in which seat `first` moves; None if chance makes games differ."""
    if look(env).chance:
        return None
    found = (seed for seed in range(SEEDS) if int(env.init(seeded_key(seed, 0)).current_player) == first)
    return next(found, None)


def _tables(env: Env, player: Player, opponent: Player, games: int, key: jax.Array) -> Record:
    """The value is the return minus the mean of the others'; adds both means."""
    deals = -(-games // env.num_players)
    result = play_tables(env, player, opponent, num_deals=deals, key=key)
    value, low, high = result.compare()
    means = {"own": float(result.own.mean()), "others": float(result.others.mean())}
    return {"games": result.own.size, "value": value, "low": low, "high": high, **means}


def _returns(env: Env, player: Player, games: int, key: jax.Array) -> Record:
    """The value is the mean return; adds the number of episodes cut short after `MOST_PLIES` plies."""
    histories: list[list[Any]] = [[] for _ in range(games)]

    def act(states: States, key: jax.Array) -> jax.Array:
        rows = ~np.asarray(is_finished(states))
        actions = np.asarray(player(Turn(states, histories, rows, key)))
        for row in np.flatnonzero(rows):
            histories[row].append(actions[row].tolist())
        return jax.numpy.asarray(actions)

    returns, cut, _ = play_episodes(env, act, key, games, max_plies=MOST_PLIES)
    value, low, high = mean_with_interval(returns)
    return {"games": games, "value": value, "low": low, "high": high, "cut": cut}
