"""Measurements of an agent, during training and at the end of a run.

Axes: B episodes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Env, init_batch, is_finished, step_batch
from jzero.evaluate.arena import MatchResult, play_match
from jzero.evaluate.exact import prove_never_loses
from jzero.evaluate.players import agent_player
from jzero.evaluate.positions import PositionScore, load_positions, score_positions
from jzero.evaluate.rating import mean_interval, mean_with_interval
from jzero.evaluate.turns import Limit, Player, rounds
from jzero.pytrees import States
from jzero.status import set_status

if TYPE_CHECKING:
    from jzero.agent import Agent


class Part(NamedTuple):
    """A part of a measurement with its 95 % interval."""

    kind: str
    """What was measured: a row of the report's table."""
    group: str
    """The cases, "all" or a subset of them: a column."""
    value: float
    low: float
    high: float


class Strength(NamedTuple):
    """A measured strength with its 95 % interval."""

    name: str
    """Description of the measurement."""
    value: float
    low: float
    high: float
    unit: str = ""
    parts: tuple[Part, ...] = ()
    """Its components, and what else was measured."""

    def __str__(self) -> str:
        """One line."""
        if math.isnan(self.value):
            return self.name
        unit = f" {self.unit}" if self.unit else ""
        kinds = [part for part in self.parts if part.group == "all"][1:]
        beside = "".join(f"; {part.kind} {_interval(part)}" for part in kinds)
        return f"{self.name}: {_interval(self)}{unit}{beside}"


def _interval(found: Strength | Part) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


Measure = Callable[["Agent"], Strength]

PATIENCE = 0.5
"""Share of its time in which a measurement must have a first result if another one may take its place."""


@dataclass(frozen=True)
class TimedMeasure:
    """A measurement that keeps to a time limit, not counting compilation."""

    take: Callable[[Agent, float], Strength]
    share: float | None = None
    """Share of a run's time that it may take at the end of the run; None: what is left for measurements."""

    def __call__(self, agent: Agent) -> Strength:
        """Measures without a time limit."""
        return self.take(agent, math.inf)


def take(measure: Measure, agent: Agent, seconds: float) -> Strength:
    """Measures, within `seconds` if `measure` is timed.

    Raises:
      ValueError: `measure` does not return a `Strength`.
    """
    found = measure.take(agent, seconds) if isinstance(measure, TimedMeasure) else measure(agent)
    if not isinstance(found, Strength):
        hint = "; call it with the environment first" if callable(found) else ""
        raise ValueError(
            f"measure returned {found!r} for an agent; expected a jzero.evaluate.measures.Strength{hint}"
        )
    return found


def not_measured(seconds: float) -> Strength:
    """The result of a measurement without enough time."""
    nan = float("nan")
    text = (
        f"not measured: it takes longer than the {seconds:.0f} s that a run of this length has for it; raise "
        "--minutes"
    )
    return Strength(text, nan, nan, nan)


def _simulations(agent: Agent, asked: int | None) -> int:
    """Simulations per move: those asked for (0: the policy without search), or those of the run."""
    return agent.search.num_simulations if asked is None else asked


def share_not_lost(env: Env, *, num_simulations: int | None = None) -> Measure:
    """Makes the exhaustive measurement for a small two-player game: over every reply in both seats, the share of
    games that the agent does not lose. 1 means that no opponent can win.

    Args:
      env: the game.
      num_simulations: simulations per move; by default those of the run.
    """

    def measure(agent: Agent) -> Strength:
        def act(states: States) -> jax.Array:
            return agent.act(states, jax.random.key(0), num_simulations=num_simulations)

        proof = prove_never_loses(env, act)
        games = proof.wins + proof.draws + proof.losses
        share = 1 - proof.losses / games
        simulations = _simulations(agent, num_simulations)
        name = (
            f"games not lost against every reply in both seats, {simulations} simulations "
            f"({proof.losses} of {games} lost)"
        )
        return Strength(name, share, share, share)

    return measure


def score_against(
    opponent: Player,
    words: str,
    *,
    games: int,
    at_once: int = 10,
    num_simulations: int | None = None,
    opening_plies: tuple[int, int] = (0, 0),
    patience: float = 1.0,
) -> Measure:
    """Makes the measurement of a match in both seats: the score with its interval.

    The games are played in rounds; with little time there are fewer of them.

    Args:
      opponent: the other player.
      words: description of the opponent.
      games: an even number.
      at_once: games per round, an even number: more use a device better, fewer fit into a short time.
      num_simulations: the agent's simulations per move; by default those of the run.
      opening_plies: fewest and most random plies before the players begin.
      patience: share of the time in which the first round must end; see `first_that_fits`.
    """
    sizes = [min(at_once, games - begun) for begun in range(0, games, at_once)]

    def take(agent: Agent, seconds: float) -> Strength:
        simulations = _simulations(agent, num_simulations)
        player = agent_player(agent, simulations)

        def play(size: int, key: jax.Array, limit: Limit) -> MatchResult:
            return play_match(
                agent.env,
                player,
                opponent,
                num_games=size,
                key=key,
                opening_plies=opening_plies,
                limit=limit,
            )

        results = rounds(play, sizes, seconds, f"games against {words}", patience=patience * seconds)
        if not results:
            return not_measured(seconds)
        scores = (np.concatenate([result.outcomes for result in results]) + 1) / 2
        name = f"score in {len(scores)} games against {words}, {simulations} simulations"
        return Strength(name, float(scores.mean()), *mean_interval(scores.reshape(-1, 2).mean(axis=1)))

    return TimedMeasure(take)


def first_that_fits(*measures: Measure) -> Measure:
    """Makes the measurement that is the first of these for which the time is long enough.

    Each is given what the ones before have left, if they give up after `PATIENCE` of their time. Later measurements
    begin with the one that had a result, so that a run's curve is of one kind.
    """
    begin = 0

    def take_first(agent: Agent, seconds: float) -> Strength:
        nonlocal begin
        for tried, measure in enumerate(measures[begin:]):
            found = take(measure, agent, seconds * PATIENCE**tried)
            if not math.isnan(found.value):
                begin += tried
                return found
        return not_measured(seconds)

    return TimedMeasure(take_first)


def beside(measure: Measure, *others: Measure) -> Measure:
    """Makes the measurement whose strength is `measure`'s and whose parts include the others'.

    They run one after another, each within an equal share of the time left; at the end of a run that time is half
    the run's.
    """

    def take_all(agent: Agent, seconds: float) -> Strength:
        end, found = time.monotonic() + seconds, []
        for number, other in enumerate((measure, *others)):
            left = max(end - time.monotonic(), 0.0) / (len(others) + 1 - number)
            found.append(take(other, agent, left))
        main, *rest = found
        parts = (main, *(strength for strength in rest if not math.isnan(strength.value)))
        return main._replace(parts=tuple(Part(part.name, "all", *part[1:4]) for part in parts))

    return TimedMeasure(take_all, share=0.5)


def keeps_value(path: str | Path, *others: str | Path, num_simulations: int) -> Callable[[Env], Measure]:
    """Makes the measurement on solved positions: the share where the agent's move keeps the game's value.

    Args:
      path: file of positions; see `jzero.evaluate.positions`.
      others: further files of positions; the strength is that on `path`.
      num_simulations: simulations per move.

    Returns:
      environment -> measurement; its parts are the shares per file, over all positions and by ply.
    """

    def of(env: Env) -> Measure:
        sets = [load_positions(file, env) for file in (path, *others)]

        def measure(agent: Agent) -> Strength:
            def act(states: States) -> jax.Array:
                return agent.act(states, jax.random.key(0), num_simulations=num_simulations)

            scores = [score_positions(env, act, positions) for positions in sets]
            first = scores[0]
            said = f"{num_simulations} simulations, {first.count} solved positions"
            name = f"moves that keep the game's value ({said})"
            pairs = zip(sets, scores, strict=True)
            parts = [part for positions, score in pairs for part in _parts(positions.name, score)]
            return Strength(name, first.score, first.low, first.high, parts=tuple(parts))

        return measure

    return of


def _parts(kind: str, found: PositionScore) -> list[Part]:
    """The score on a set of positions, in all of them and by ply."""
    groups = [Part(kind, "all", found.score, found.low, found.high)]
    return groups + [
        Part(kind, f"plies {part.first} to {part.last}", part.score, part.low, part.high)
        for part in found.by_ply
    ]


def mean_return(
    env: Env,
    *,
    episodes: int,
    seed: int = 0,
    num_simulations: int | None = None,
    max_plies: int | None = None,
) -> Measure:
    """Makes the measurement of a single player: its mean return over episodes, without exploration.

    With several players, the agent plays them all and the return is the first one's.

    The interval is the normal one of a mean.

    Args:
      env: environment of the episodes; its rewards and ends may differ from those in training.
      episodes: number of episodes.
      seed: seed of the episodes; the same seed gives the same starts.
      num_simulations: simulations per move; by default those of the run.
      max_plies: plies after which an episode is cut short, as the measurement's name then says; None: no limit.
    """

    def measure(agent: Agent) -> Strength:
        act = partial(agent.act, num_simulations=num_simulations)
        found = play_episodes(env, act, jax.random.key(seed), episodes, max_plies=max_plies)
        return strength_of(found, _simulations(agent, num_simulations))

    return measure


def strength_of(found: Episodes, simulations: int) -> Strength:
    """The mean return of these episodes, played with this number of simulations per move."""
    name = f"mean return of {len(found.returns)} episodes, {simulations} simulations"
    if found.cut:
        name += f", {found.cut} of the episodes cut short after {found.plies:,} plies"
    return Strength(name, *mean_with_interval(found.returns))


class Episodes(NamedTuple):
    """Returns of one player."""

    returns: np.ndarray
    """f64[B]: sums of rewards."""
    cut: int
    """Number of episodes cut short."""
    plies: int
    """Plies after which they were cut short."""


def play_episodes(
    env: Env,
    act: Callable[[States, jax.Array], jax.Array],
    key: jax.Array,
    episodes: int,
    *,
    max_plies: int | None = None,
    seconds: float = math.inf,
) -> Episodes:
    """Plays `episodes` episodes side by side, to their ends or for `max_plies` plies; returns those of player 0.

    `seconds` after the first ply they are cut short too.

    `act` chooses the actions of all players:

    (states [B], key) -> actions i32[B] or f32[B, D].
    """
    states = jax.jit(partial(init_batch, env), static_argnums=1)(jax.random.fold_in(key, 0), episodes)
    total, ply, limit = jnp.zeros(episodes), 0, Limit(seconds)
    while going := int((~np.asarray(is_finished(states))).sum()):
        if ply == max_plies:
            break
        set_status(f"of {episodes} episodes are over, ply {ply:,}", episodes - going)
        ply += 1
        act_key, step_key = jax.random.split(jax.random.fold_in(key, ply))
        states, earned = _step(env, states, act(states, act_key), step_key)
        total += earned
        if limit.is_over():
            going = int((~np.asarray(is_finished(states))).sum())
            break
    return Episodes(np.asarray(total, np.float64), going, ply)


@partial(jax.jit, static_argnums=0)
def _step(env: Env, states: States, actions: jax.Array, key: jax.Array) -> tuple[States, jax.Array]:
    """The states [B] after actions i32[B], and the rewards f32[B] of player 0."""
    states = step_batch(env, states, actions, key)
    return states, states.rewards[:, 0]
