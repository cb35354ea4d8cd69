"""Numbers with intervals: shares, mean scores and Elo ratings. Numpy only. Axes: N values, M players.

All intervals are at 95 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Z = 1.959963984540054
"""Standard normal quantile of 97.5 %."""

ELO = 400.0 / np.log(10.0)
"""Elo points of one unit of log odds."""


class Ratings(NamedTuple):
    """Elo ratings relative to the anchor, whose rating is 0; `low` and `high` bound the difference to it."""

    elo: np.ndarray  # f64[M]
    low: np.ndarray  # f64[M]
    high: np.ndarray  # f64[M]


def wilson_interval(successes: float, n: int) -> tuple[float, float]:
    """The interval of a share from `successes` out of `n` independent trials (Wilson, JASA 22, 1927).

    Raises:
        ValueError: `n` is not positive or `successes` is outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"successes = {successes} and n = {n}: need n > 0 and successes from 0 to n")
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2) / (1 + Z**2 / n)
    return (max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The interval of the mean of independent scores f[N], each within [0, 1].

    Two scores of 0 and two of 1 are added, then mean and standard error are computed as usual. For scores of only 0
    and 1 this is the interval of Agresti and Coull (The American Statistician 52, 1998); like it, and unlike the
    plain standard error or the bootstrap, it does not vanish when all scores are equal.

    Raises:
        ValueError: no score, or one outside [0, 1].
    """
    values = np.asarray(values, np.float64)
    if values.size == 0 or values.min() < 0 or values.max() > 1:
        raise ValueError(f"values: expected at least one score, all within [0, 1], got {values.tolist()}")
    padded = np.concatenate([values, [0.0, 0.0, 1.0, 1.0]])
    half = Z * padded.std() / np.sqrt(padded.size)
    return (max(0.0, float(padded.mean() - half)), min(1.0, float(padded.mean() + half)))


def mean_with_interval(numbers: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of independent numbers f64[N] of any size: the normal interval, infinite for one number."""
    mean = float(np.mean(numbers))
    half = float(Z * np.std(numbers, ddof=1) / np.sqrt(len(numbers))) if len(numbers) > 1 else np.inf
    return mean, mean - half, mean + half


def bradley_terry(wins: np.ndarray, anchor: int = 0, *, prior_games: float = 1.0) -> Ratings:
    """Elo ratings: the Bradley-Terry model, P(i beats j) = 1 / (1 + 10^((Rj - Ri) / 400)), and a weak prior.

    The prior is about `prior_games` drawn games per player, split equally between the opponents it met. It keeps
    the ratings of players finite who won or lost all their games. As it applies only between players who met, it
    does not pull the ends of a long ladder together, as drawn games of all against one imaginary player would.
    Source: R. Coulom, Bayeselo (2005), whose prior is of this kind, with two games.

    The negative log posterior is strictly convex up to a common shift; damped Newton steps minimise it. Intervals
    come from the inverse of its second derivatives at the minimum (the Fisher information of the games and the
    prior), which counts a draw as half a win and half a loss and is therefore cautious if draws are common.

    Args:
        wins: f[M, M], `wins[i, j]` = games i won against j plus half their draws; the diagonal is ignored.
        anchor: the player whose rating is 0.
        prior_games: weight of the prior in games, > 0.

    Raises:
        ValueError: a malformed argument, or players that no chain of games joins.
    """
    wins = _check_wins(wins, anchor, prior_games)
    points = wins + _prior(wins, prior_games)
    others = np.delete(np.arange(len(wins)), anchor)
    ratings = np.zeros(len(wins))
    loss, gradient, hessian = _posterior(ratings, points)
    while np.abs(gradient).max() > 1e-9 * (1.0 + wins.sum()):
        step = np.zeros(len(wins))
        step[others] = np.linalg.solve(hessian[np.ix_(others, others)], gradient[others])
        size = 1.0
        while (new_loss := _posterior(ratings - size * step, points)[0]) > loss and size > 1e-6:
            size /= 2
        if new_loss >= loss:  # no further progress in float64
            break
        ratings = ratings - size * step
        loss, gradient, hessian = _posterior(ratings, points)
    elo, half = ELO * ratings, np.zeros(len(wins))
    variance = np.diag(np.linalg.inv(hessian[np.ix_(others, others)]))
    half[others] = ELO * Z * np.sqrt(np.maximum(variance, 0.0))
    return Ratings(elo, elo - half, elo + half)


def _prior(wins: np.ndarray, prior_games: float) -> np.ndarray:
    """Half the drawn games of the prior f[M, M] between any two; about `prior_games` for each player in all."""
    met = wins + wins.T > 0
    share = prior_games / np.maximum(met.sum(axis=1), 1)
    return met * (share[:, None] + share[None, :]) / 4


def _posterior(ratings: np.ndarray, points: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Negative log posterior of ratings f64[M] (log odds), its gradient [M], second derivatives [M, M].

    `points` f64[M, M] are the wins and those of the prior.
    """
    difference = ratings[:, None] - ratings[None, :]
    loss = (points * np.logaddexp(0.0, -difference)).sum()
    expected = np.exp(-np.logaddexp(0.0, -difference))
    games = points + points.T
    gradient = (games * expected - points).sum(axis=1)
    curvature = games * expected * expected.T
    hessian = np.diag(curvature.sum(axis=1)) - curvature
    return float(loss), gradient, hessian


def _check_wins(wins: np.ndarray, anchor: int, prior_games: float) -> np.ndarray:
    """A checked copy of `wins` with a zero diagonal."""
    wins = np.array(wins, np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or wins.shape[0] == 0:
        raise ValueError(f"wins: expected a square matrix [M, M], got shape {wins.shape}")
    if not np.isfinite(wins).all() or wins.min() < 0:
        raise ValueError("wins: expected finite numbers of games >= 0")
    if not 0 <= anchor < len(wins):
        raise ValueError(f"anchor: expected a player 0..{len(wins) - 1}, got {anchor}")
    if not prior_games > 0:
        raise ValueError(f"prior_games: expected a number > 0, got {prior_games}")
    np.fill_diagonal(wins, 0.0)
    _check_connected(wins + wins.T > 0, anchor)
    return wins


def _check_connected(played: np.ndarray, anchor: int) -> None:
    """Raises if a player cannot be reached from the anchor by a chain of games; played: bool[M, M]."""
    reached = np.arange(len(played)) == anchor
    while (wider := reached | played[reached].any(axis=0)).sum() > reached.sum():
        reached = wider
    if not reached.all():
        raise ValueError(
            f"wins: players {np.flatnonzero(~reached).tolist()} have no chain of games to the anchor, player "
            f"{anchor}; let them play someone who has, or rate them separately"
        )
