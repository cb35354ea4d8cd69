"""Settings that follow from an environment, so that a new one trains without tuning.

`jzero.look` plays random games and measures them; `preset` turns that into settings. The rules come from the
experiments in this repository; docs/choosing.md gives the reasons. They are a starting point: the largest gain
usually comes from more games, a larger network or more simulations.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jzero.algorithms.alphazero import check_numbered
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.env import Env
from jzero.env_spec import describe
from jzero.look import MOST_PLIES, Facts, look
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.networks.supports import scale
from jzero.run.config import AlgorithmName, RunConfig, TrainConfig
from jzero.run.finite import check_facts
from jzero.run.progress import working

LOOKAHEAD = 24
"""Later plies after which a position of a game in progress is ready for training, if games are long."""
LONG = 32
"""Plies above which a game's first positions are trained on before it ends."""
MIXED_AGE = 20_000
"""Positions after which EfficientZero V2 uses the search value as the target (Wang et al. 2024)."""
HUGE_NUMBER = 100.0
"""An observation with such a number hides its other numbers from a network whose features are normalised."""
FEATURES, ON_CPU = 4_096, 16_384
"""Most numbers of a board for an MLP; on a CPU, where convolutions take far longer."""
SOON_ENDED = 16_384
"""Positions after which the first games of AlphaZero's self-play end, roughly."""


def suited(*algorithms: AlgorithmName) -> dict[str, Callable[[str, Env], RunConfig]]:
    """The presets of an experiment for any environment: one per algorithm."""

    def run(algorithm: AlgorithmName, name: str, env: Env) -> RunConfig:
        if algorithm == "alphazero":
            check_numbered(describe(env, name))
        facts = seen(name, env)
        _check_ends(name, facts)
        _check_numbers(name, facts)
        return RunConfig(train=preset(name, facts, algorithm))

    return {algorithm: partial(run, algorithm) for algorithm in algorithms}


def seen(name: str, env: Env) -> Facts:
    """Measures random games of the environment called `name` and prints the progress.

    Raises:
      ValueError: a reward or an observation is not finite.
    """
    with working(f"{name}: measuring random games") as step:
        facts = look(env, say=lambda text: step(f"{name}: {text}"))
    check_facts(name, facts)
    return facts


def _check_ends(name: str, facts: Facts) -> None:
    """Warns if no game ended; raises ValueError with several players, whose games must end."""
    if facts.ended:
        return
    text = (
        f"no random game of {name!r} ended within {MOST_PLIES:,} plies; let every game end: count "
        "plies in the state and set `truncated` at a limit"
    )
    if facts.num_players > 1:
        raise ValueError(text)
    warnings.warn(f"{text}; measurements cut episodes short", stacklevel=2)


def _check_numbers(name: str, facts: Facts) -> None:
    """Warns of observations whose numbers differ much in size."""
    if facts.largest_number > HUGE_NUMBER:
        warnings.warn(
            f"an observation of {name!r} has the number {facts.largest_number:,.6g}, which hides smaller ones from "
            "a network: scale observations to about 1 in `observe`",
            stacklevel=2,
        )


def learned_presets(gumbel_muzero: RunConfig) -> dict[str, RunConfig]:
    """By algorithm: that run, the same with MuZero's search, and the same with a value prefix and consistency
    loss.
    """
    train = gumbel_muzero.train
    muzero = dataclasses.replace(
        train, algorithm="muzero", search=SearchSettings(policy="puct", num_simulations=50)
    )
    parts = dataclasses.replace(train.muzero, value_prefix=True, consistency_weight=2.0)
    efficientzero = dataclasses.replace(train, algorithm="efficientzero", muzero=parts)
    return {
        one.algorithm: dataclasses.replace(gumbel_muzero, train=one) for one in (train, muzero, efficientzero)
    }


def preset(name: str, facts: Facts, algorithm: AlgorithmName = "alphazero") -> TrainConfig:
    """The settings for the environment called `name`."""
    train = _alphazero(facts) if algorithm == "alphazero" else _learned(facts, algorithm)
    limit = _return_limit(facts, train.discount) if algorithm == "alphazero" else 1.0
    network = dataclasses.replace(_network(facts, algorithm), value_limit=limit)
    return dataclasses.replace(train, env=name, algorithm=algorithm, network=network)


def _alphazero(facts: Facts) -> TrainConfig:
    """As in Connect Four and Quoridor; with hidden information or values per seat, as in Blob.

    Long games are trained on before they end, since few of them end early in a run. With hidden information or
    values per seat this holds only if the replay may not hold a whole game, whose first positions would be lost. A
    single player's games count as long: learning, or moving in circles, may make them so.
    """
    games = int(np.clip(2 ** np.floor(np.log2(SOON_ENDED / max(facts.plies, 1))), 128, 512))
    replay_plies = 256 * 512 // games
    long = facts.plies > LONG or facts.num_players == 1 or _outlast(facts, replay_plies)
    train = TrainConfig(
        search=SearchSettings(num_simulations=32, rescale_values=False, value_scale=0.2),
        games=games,
        plies=8,
        td_lambda=0.8,
        replay_plies=replay_plies,
        batch_size=1024,
        updates=16,
        ema_decay=0.999,
        td_lookahead=LOOKAHEAD if long else 0,
        # Games that begin alike need other openings; a quarter of a short game would leave nothing to play.
        opening_plies=0 if facts.chance else min(8, round(facts.plies) // 4),
    )
    if facts.num_players == 1 and facts.points:
        # A game of scores: differences of Q-values have no scale of their own. Those far below a reward are noise
        # as long as no rewards are learned; without a least range the agent learns to go round in circles.
        search = dataclasses.replace(
            train.search,
            num_simulations=16,
            rescale_values=True,
            value_scale=0.1,
            min_value_range=max(facts.largest_reward, 0.01),
        )
        discount = 0.97  # a longer way to a reward must be worth clearly less than a shorter one
        scores = dataclasses.replace(
            train, search=search, games=256, replay_plies=256, updates=4, discount=discount
        )
        weight = _score_weight(_return_limit(facts, discount))
        return dataclasses.replace(scores, td_lambda=0.9, value_weight=weight)
    if not facts.hides and not facts.player_values:
        return train
    replay_plies = 256
    search = dataclasses.replace(
        train.search, num_simulations=16, worlds=4 if facts.hides else 1, value_scale=0.5
    )
    return dataclasses.replace(
        train,
        search=search,
        games=256,
        replay_plies=replay_plies,
        td_lambda=1.0,
        td_lookahead=LOOKAHEAD if _outlast(facts, replay_plies) else 0,
        temperature_plies=MOST_PLIES if facts.hides else 0,
    )


def _learned(facts: Facts, algorithm: AlgorithmName) -> TrainConfig:
    """As in CartPole and MinAtar with one player, as in tic-tac-toe with two: the replay holds whole games."""
    alone = facts.num_players == 1
    discount = 0.99 if alone else 1.0
    value_limit = _return_limit(facts, discount)
    efficient = algorithm in ("efficientzero", "efficientzero_v2")
    muzero = MuZeroSettings(
        td_steps=10 if alone else 0,
        value_limit=value_limit,
        reward_limit=_round_up(facts.largest_reward * (5 if efficient else 1)),
        atoms=51 if alone else 21,
        value_prefix=efficient,
        consistency_weight=2.0 if efficient else 0.0,
        reanalyse=0.1 if efficient and alone else 0.0,
        bootstrap="network"
        if efficient and alone
        else "search",  # reanalyse renews few of the values on record
        priority_exponent=0.6 if efficient and alone else 0.0,
        priority_correction=0.4 if efficient and alone else 1.0,
        search_value_age=MIXED_AGE if algorithm == "efficientzero_v2" and alone else 0,
    )
    gumbel = SearchSettings(num_simulations=16 if alone else 32, rescale_values=not alone)
    search = SearchSettings(policy="puct", num_simulations=50) if algorithm == "muzero" else gumbel
    train = TrainConfig(
        search=dataclasses.replace(search, value_scale=0.2 if alone else 0.1),
        muzero=muzero,
        games=256,
        plies=16,
        replay_plies=512,
        batch_size=512,
        updates=16,
        opening_plies=0 if facts.chance else min(8, round(facts.plies) // 2),
    )
    if not alone:
        return _with_longer_replay(train) if _outlast(facts, train.replay_plies) else train
    return dataclasses.replace(
        train,
        games=16,
        replay_plies=4096,
        batch_size=128,
        warmup_iterations=4,
        discount=discount,
        opening_plies=0,
        temperature_plies=MOST_PLIES,
        value_weight=0.25,
        ema_decay=0.995,
    )


def _outlast(facts: Facts, replay_plies: int) -> bool:
    """Whether games may outlast the replay: good play may take twice as long as the longest random game."""
    return 2 * facts.longest > replay_plies


def _with_longer_replay(train: TrainConfig) -> TrainConfig:
    """A replay that holds the longest games, of twice `MOST_PLIES`, in the same memory with fewer games."""
    factor = -(-2 * MOST_PLIES // train.replay_plies)
    return dataclasses.replace(train, replay_plies=factor * train.replay_plies, games=train.games // factor)


def _return_limit(facts: Facts, discount: float) -> float:
    """A bound on returns.

    Discounted, the return of the largest reward at every ply, for ever: random games are no guide, since a good
    player's may be far longer. Undiscounted, twice the largest return of random games.
    """
    if not facts.points:
        return 1.0
    return _round_up(2 * facts.largest_return if discount == 1 else facts.largest_reward / (1 - discount))


def _score_weight(limit: float) -> float:
    """Weight of the value loss for scores, whose errors are fractions of `limit` on the scale h.

    An error of 1 on that scale weighs 0.02 whatever the limit, as in `experiments/game_2048.py`; with a fiftieth of
    that weight no values were learned there.
    """
    return max(10.0, round(0.02 * float(scale(jnp.float32(limit))) ** 2, 1))


def _network(facts: Facts, algorithm: AlgorithmName) -> NetworkSettings:
    """The network for the observations: EfficientZero's for pixels, a tower for large boards, else an MLP."""
    learned, most = algorithm != "alphazero", ON_CPU if jax.default_backend() == "cpu" else FEATURES
    if learned and facts.is_board and facts.shapes[0][:2] == (96, 96):
        return NetworkSettings(kind="atari", width=64, blocks=1, dynamics_blocks=1)
    if facts.is_board and facts.features > most:
        return NetworkSettings(kind="resnet", width=64, blocks=3)
    return (
        NetworkSettings(kind="mlp", width=128, blocks=1) if learned else NetworkSettings(width=256, blocks=3)
    )


def _round_up(limit: float) -> float:
    """Rounds up to one of 1, 2, 5, 10, 20, 50, ..."""
    exponent = np.floor(np.log10(max(limit, 1.0)))
    steps = np.array([1, 2, 5, 10]) * 10.0**exponent
    return float(steps[np.searchsorted(steps, max(limit, 1.0) * (1 - 1e-6))])
