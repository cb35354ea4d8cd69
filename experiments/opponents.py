"""How strong an agent is in an environment of which nothing is known but its rules."""

from __future__ import annotations

import functools

import jax
from match import agent_player
from programs import rollouts

from jzero.agent import Agent
from jzero.env import Env, random_actions, random_actions_in
from jzero.evaluate.arena import play_match
from jzero.evaluate.measures import Measure, Strength, mean_return, play_episodes
from jzero.evaluate.table import play_tables
from jzero.evaluate.turns import Player, as_player
from jzero.env_spec import describe
from jzero.look import look
from jzero.show.words import whole_number

SIMULATIONS = 100
EPISODES = 50
"""At a run's end and of random play; while a run trains fewer, since long ones may take most of its time."""
FEWER_EPISODES = 20
MOST_PLIES = 3000
"""Plies after which an episode of one player is cut short: nothing says that a game has to end."""
MEANWHILE = 1000
"""The same in measurements while a run trains."""
LONGEST = 100
"""Plies of an average random game up to which rollouts are played. In 9 x 9 Go (119) 100 games take an hour."""


def measure(env: Env, games: int = 40, episodes: int = FEWER_EPISODES, max_plies: int = MEANWHILE) -> Measure:
    """A measurement that fits the number of players, taken while a run trains; `final` takes more games.

    One, or more that earn the same and play together: the mean return of `episodes` of at most `max_plies`, with
    that of random play beside it; a score against others would be the same for all of them. Two whose
    rewards sum to zero: the score in `games`, both seats, against Monte-Carlo tree search with random rollouts.
    More, or two of their own interests, or that play for points with cards or dice (poker): the return above the
    mean of the others' at a table of such players, the same deals in every seat.
    """
    if env.num_players == 1 or look(env).shared:
        return _beside_random(env, episodes, max_plies)
    if describe(env).values_by_seat or (look(env).points and look(env).chance):
        return _above_others(env)
    return _score(env, games)


def final(env: Env) -> Measure:
    """The measurement at a run's end."""
    return measure(env, games=100, episodes=EPISODES, max_plies=MOST_PLIES)


def _beside_random(env: Env, episodes: int, max_plies: int) -> Measure:
    measured = mean_return(env, episodes=episodes, max_plies=max_plies)
    if describe(env).external:  # an emulator's games take minutes
        return measured
    earned = _random_return(env)

    def take(agent: Agent) -> Strength:
        strength = measured(agent)
        return strength._replace(name=f"{strength.name} (random play earns {whole_number(earned)})")

    return take


@functools.cache
def _random_return(env: Env) -> float:
    act = jax.jit(lambda states, key: random_actions_in(env, states, key))
    return play_episodes(env, act, jax.random.key(0), EPISODES, max_plies=MOST_PLIES).returns.mean()


def _opponent(env: Env) -> tuple[str, Player]:
    """Tree search with rollouts; random where the game cannot be searched from a state, or is too long for that."""
    hides = describe(env).hidden_information and not describe(env).resamples
    if hides or describe(env).external or look(env).plies > LONGEST:
        return "a random player", as_player(random_actions)
    return rollouts(env, SIMULATIONS)


def _score(env: Env, games: int) -> Measure:
    name, opponent = _opponent(env)
    openings = (0, min(4, round(look(env).plies) // 4))  # random plies; short games would be over

    def take(agent: Agent) -> Strength:
        simulations = agent.search.num_simulations
        player = agent_player(agent, simulations)
        result = play_match(
            env, player, opponent, num_games=games, key=jax.random.key(0), opening_plies=openings
        )
        said = f"score in {games} games against {name}, {simulations} simulations"
        return Strength(said, result.score, *result.interval)

    return take


def _above_others(env: Env) -> Measure:
    name, opponent = _opponent(env)

    def take(agent: Agent) -> Strength:
        simulations = agent.search.num_simulations
        result = play_tables(
            env, agent_player(agent, simulations), opponent, num_deals=64, key=jax.random.key(0)
        )
        said = f"return above {name} at the same table ({result.own.size} games, {simulations} simulations)"
        return Strength(said, *result.compare())

    return take
