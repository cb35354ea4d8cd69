"""How strong an agent is in an environment of which nothing is known but its rules.

This is what a run measures by default.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from jzero.env import Env, random_actions_in
from jzero.env_spec import describe
from jzero.evaluate.engines import random_player
from jzero.evaluate.measures import (
    Measure,
    Strength,
    TimedMeasure,
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
"""How players of a game are compared: see `contest`."""

SIMULATIONS = 100
EPISODES = 50
"""At a run's end and of random play; while a run trains fewer, since long ones may take most of its time."""
FEWER_EPISODES = 20
MOST_PLIES = 3000
"""Plies after which an episode of one player is cut short: nothing says that a game has to end."""
MEANWHILE = 1000
"""The same in measurements while a run trains."""
DEALS, ROUNDS = 8, 8
"""Deals at tables that a measurement plays side by side, and how often, if the time allows."""
LONGEST = 100
"""Plies of an average random game up to which rollouts are played. In 9 x 9 Go (119) 100 games take an hour."""


def contest(env: Env) -> Contest:
    """How players of a game are compared.

    Returns:
        "returns": each by what it earns alone. For one player, or several that earn the same and play together: a
            score against others would be the same for all of them.
        "pairs": two against each other, in pairs of games with swapped seats. For two whose rewards sum to zero.
        "tables": one in a seat against another in all others, the same deals in every seat. For more players, for
            two of their own interests, or that play for points with cards or dice (poker).
    """
    if env.num_players == 1 or look(env).shared:
        return "returns"
    if describe(env).values_by_seat or (look(env).points and look(env).chance):
        return "tables"
    return "pairs"


def openings(env: Env) -> tuple[int, int]:
    """Fewest and most random plies that open a pair of games; short games would be over after more."""
    return 0, min(4, round(look(env).plies) // 4)


def measure(env: Env, games: int = 40, episodes: int = FEWER_EPISODES, max_plies: int = MEANWHILE) -> Measure:
    """A measurement that fits the environment's `contest`, taken while a run trains; `final` takes more games.

    Between actions that are as good for it the agent takes a random one. Where time is short it plays fewer games.

    Returns: the mean return of `episodes` of at most `max_plies`, with that of random play beside it. Pairs: the
    score in `games`, both seats, against Monte-Carlo tree search with random rollouts. Tables: the return above the
    mean of the others', who are such players, the same deals in every seat.
    """
    kind = contest(env)
    if kind == "returns":
        return _beside_random(env, episodes, max_plies)
    return _above_others(env) if kind == "tables" else _score(env, games)


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
    """Tree search with rollouts; random where the game cannot be searched from a state, or is too long for that."""
    if not searchable(env) or look(env).plies > LONGEST:
        return Opponent("random", "a random player", random_player(env))
    return rollouts(env, SIMULATIONS)


def _score(env: Env, games: int) -> Measure:
    opponent = _opponent(env)
    return score_against(opponent.player, opponent.words, games=games, opening_plies=openings(env))


def _above_others(env: Env) -> Measure:
    opponent = _opponent(env)

    def take(agent: Agent, seconds: float) -> Strength:
        simulations = agent.search.num_simulations
        player = agent_player(agent, simulations)

        def play(deals: int, key: jax.Array, limit: Limit) -> TableResult:
            return play_tables(env, player, opponent.player, num_deals=deals, key=key, limit=limit)

        results = rounds(play, [DEALS] * ROUNDS, seconds, f"deals against {opponent.words}")
        if not results:
            return not_measured(seconds)
        above = np.concatenate([result.own - result.others for result in results])
        games = f"{above.size} games, {simulations} simulations"
        name = f"return above {opponent.words} at the same table ({games})"
        return Strength(name, *mean_with_interval(above.mean(axis=1)))

    return TimedMeasure(take)
