"""The strength of an agent in any environment, from its rules alone.

A run measures this by default.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from jzero.env import Env, random_actions_in
from jzero.env_spec import describe
from jzero.evaluate.engines import random_player
from jzero.evaluate.measures import (
    PATIENCE,
    Measure,
    Strength,
    TimedMeasure,
    first_that_fits,
    not_measured,
    play_episodes,
    score_against,
    strength_of,
)
from jzero.evaluate.players import Opponent, agent_player, rollouts, searchable
from jzero.evaluate.rating import mean_with_interval
from jzero.evaluate.table import TableResult, play_tables
from jzero.evaluate.turns import Limit, rounds
from jzero.look import look
from jzero.show.words import whole_number

if TYPE_CHECKING:
    from jzero.agent import Agent

Contest = Literal["returns", "tables", "pairs"]
"""How players of a game are compared; see `contest`."""

SIMULATIONS = 100
EPISODES = 50
"""Episodes of the final measurement and of random play; fewer during training, where long ones take most of the
time."""
FEWER_EPISODES = 20
MOST_PLIES = 3000
"""Plies after which a single player's episode is cut short: a game need not end."""
MEANWHILE = 1000
"""`MOST_PLIES` for measurements during training."""
DEALS, ROUNDS = 8, 8
"""Deals per round at tables, and rounds if the time allows."""
GAMES, FEW = 10, 2
"""Games per round, and games or deals per round if there is little time."""
LONGEST = 100
"""Average length of random games, in plies, up to which the opponent plays rollouts. In 9 x 9 Go (119 plies) 100
games take an hour."""


def contest(env: Env) -> Contest:
    """How players of a game are compared.

    Returns:
        "returns": the return of each player alone. For one player, or several that share their rewards: a
            score against each other would be the same for all of them.
        "pairs": two players against each other, in pairs of games with swapped seats. For two whose rewards
            sum to zero.
        "tables": one player in a seat against copies of another in all other seats, with the same deals in
            every seat. For three players or more, two in a general-sum game, or points with cards or dice
            (poker).
    """
    if env.num_players == 1 or look(env).shared:
        return "returns"
    if describe(env).values_by_seat or (look(env).points and look(env).chance):
        return "tables"
    return "pairs"


def openings(env: Env) -> tuple[int, int]:
    """Fewest and most random plies that open a pair of games; more would end short games."""
    return 0, min(4, round(look(env).plies) // 4)


def measure(env: Env, games: int = 40, episodes: int = FEWER_EPISODES, max_plies: int = MEANWHILE) -> Measure:
    """The measurement during training for the environment's `contest`; `final` plays more games.

    The agent breaks ties between actions at random. With little time there are fewer games. If there is not enough
    for ten, the opponent is a random player; if not for ten of those, the agent plays without a search. The name
    of the strength says so.

    Returns: the mean return of `episodes` of at most `max_plies`, next to that of random play. Pairs: the score in
    `games` games, in both seats, against Monte-Carlo tree search with random rollouts. Tables: the return minus
    the mean of such opponents' returns, with the same deals in every seat.
    """
    kind = contest(env)
    if kind == "returns":
        return _beside_random(env, episodes, max_plies)
    return _what_fits(env, _above) if kind == "tables" else _score(env, games)


def final(env: Env) -> Measure:
    """The measurement at a run's end."""
    return measure(env, games=100, episodes=EPISODES, max_plies=MOST_PLIES)


def _beside_random(env: Env, episodes: int, max_plies: int) -> Measure:
    def take(agent: Agent, seconds: float) -> Strength:
        act = partial(agent.act, break_ties=True)
        key = jax.random.key(0)
        found = play_episodes(env, act, key, episodes, max_plies=max_plies, seconds=seconds)
        strength = strength_of(found, agent.search.num_simulations)
        if describe(env).external:  # an emulator's games take minutes
            return strength
        earned = whole_number(_random_return(env))
        return strength._replace(name=f"{strength.name} (random play earns {earned})")

    return TimedMeasure(take)


@functools.cache
def _random_return(env: Env) -> float:
    act = jax.jit(lambda states, key: random_actions_in(env, states, key))
    return play_episodes(env, act, jax.random.key(0), EPISODES, max_plies=MOST_PLIES).returns.mean()


def _opponent(env: Env) -> Opponent:
    """Tree search with rollouts; a random player if the game cannot be searched from a state, or is too long."""
    if not searchable(env) or look(env).plies > LONGEST:
        return _random(env)
    return rollouts(env, SIMULATIONS)


def _random(env: Env) -> Opponent:
    return Opponent("random", "a random player", random_player(env))


def _what_fits(env: Env, against: Callable[..., Measure]) -> Measure:
    """The measurement against the opponent; with little time against a random player, or without a search and in
    rounds of `FEW`.

    Args:
      env: the game.
      against: makes the measurement: (opponent, simulations per move or None for the run's, patience).
    """
    opponent = _opponent(env)
    others = [] if opponent.name == "random" else [against(opponent, None, PATIENCE)]
    return first_that_fits(*others, against(_random(env), None, PATIENCE), against(_random(env), 0, 1.0))


def _score(env: Env, games: int) -> Measure:
    def against(opponent: Opponent, simulations: int | None, patience: float) -> Measure:
        return score_against(
            opponent.player,
            opponent.words,
            games=games,
            at_once=FEW if simulations == 0 else GAMES,
            num_simulations=simulations,
            opening_plies=openings(env),
            patience=patience,
        )

    return _what_fits(env, against)


def _above(opponent: Opponent, num_simulations: int | None, patience: float) -> Measure:
    def take(agent: Agent, seconds: float) -> Strength:
        simulations = agent.search.num_simulations if num_simulations is None else num_simulations
        player = agent_player(agent, simulations)

        def play(num_deals: int, key: jax.Array, limit: Limit) -> TableResult:
            return play_tables(agent.env, player, opponent.player, num_deals=num_deals, key=key, limit=limit)

        what = f"deals against {opponent.words}"
        deals = FEW if num_simulations == 0 else DEALS
        results = rounds(play, [deals] * ROUNDS, seconds, what, patience=patience * seconds)
        if not results:
            return not_measured(seconds)
        above = np.concatenate([result.own - result.others for result in results])
        games = f"{above.size} games, {simulations} simulations"
        name = f"return above {opponent.words} at the same table ({games})"
        return Strength(name, *mean_with_interval(above.mean(axis=1)))

    return TimedMeasure(take)
