"""Intervals against published numbers and simulated coverage; ratings against known strengths."""

import numpy as np
import pytest

from jzero.evaluate import bradley_terry, mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # All successes mirrors none.
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_interval_gives_published_numbers(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_refuses_nonsense():
    for successes, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, n)


def test_mean_interval_of_zeros_and_ones_is_agresti_coulls():
    share, n = (30 + 2) / (40 + 4), 44
    half = 1.959964 * np.sqrt(share * (1 - share) / n)
    expected = (share - half, share + half)
    assert mean_interval(np.array([1.0] * 30 + [0.0] * 10)) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_mean_interval_of_equal_scores_holds_them_and_is_not_empty(value, n):
    low, high = mean_interval(np.full(n, value))
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.5 / n**0.5 / 10
    assert n < 200 or high - low < 0.06


@pytest.mark.parametrize(
    "chances", [(0.25, 0.0, 0.5, 0.0, 0.25), (0.0, 0.05, 0.8, 0.1, 0.05), (0.0, 0.0, 0.02, 0.03, 0.95)]
)
@pytest.mark.parametrize("n", [20, 100])
def test_mean_interval_covers_the_true_mean(chances, n):
    rng = np.random.default_rng(0)
    scores = np.linspace(0, 1, 5)
    intervals = [mean_interval(rng.choice(scores, n, p=chances)) for _ in range(2000)]
    covered = np.mean([low <= np.dot(scores, chances) <= high for low, high in intervals])
    assert covered > 0.935


def test_mean_interval_refuses_nonsense():
    for values in ([], [1.2], [-0.1]):
        with pytest.raises(ValueError, match="values"):
            mean_interval(np.array(values))


def test_two_players_differ_by_the_logistic_formula():
    ratings = bradley_terry(np.array([[0.0, 25.0], [75.0, 0.0]]), prior_games=1e-6)
    assert ratings.elo == pytest.approx([0.0, 400 * np.log10(3)], abs=1e-3)
    # Standard error of a log odds: 1 / sqrt(n p q).
    half = 1.959964 * 400 / np.log(10) / np.sqrt(100 * 0.75 * 0.25)
    assert ratings.high - ratings.elo == pytest.approx([0.0, half], abs=1e-2)


def test_weak_prior_moves_well_measured_ratings_little():
    with_prior = bradley_terry(np.array([[0.0, 250.0], [750.0, 0.0]]))
    assert with_prior.elo[1] == pytest.approx(400 * np.log10(3), abs=1.0)


def test_only_differences_to_the_anchor_are_reported():
    wins = simulate(np.array([0.0, 100.0, 250.0]), 200, np.random.default_rng(1))
    first, last = bradley_terry(wins, anchor=0), bradley_terry(wins, anchor=2)
    assert first.elo[0] == first.low[0] == first.high[0] == 0
    assert last.elo == pytest.approx(first.elo - first.elo[2])
    assert last.high[0] == pytest.approx(-first.low[2])


def test_known_ratings_are_recovered_and_covered():
    truth = np.array([0.0, 80.0, 200.0, 330.0, 600.0])
    rng = np.random.default_rng(2)
    fits = [bradley_terry(simulate(truth, 40, rng)) for _ in range(400)]
    errors = np.mean([fit.elo for fit in fits], axis=0) - truth
    assert np.abs(errors).max() < 15
    covered = np.mean([(fit.low <= truth) & (truth <= fit.high) for fit in fits], axis=0)[1:]
    assert covered == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("count", "span", "games"), [(20, 2000, 10), (20, 1000, 20), (5, 1600, 20), (12, 300, 20)]
)
def test_a_long_ladder_of_neighbours_is_covered(count, span, games):
    truth = np.linspace(0, span, count)
    rng = np.random.default_rng(0)
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    fits = [bradley_terry(simulate(truth, games, rng) * (apart <= 2)) for _ in range(300)]
    covered = np.mean([(fit.low <= truth) & (truth <= fit.high) for fit in fits], axis=0)[1:]
    assert covered.min() > 0.91
    assert covered.mean() == pytest.approx(0.95, abs=0.025)
    assert abs(np.mean([fit.elo[-1] for fit in fits]) - span) < 0.06 * span


@pytest.mark.parametrize("shape", ["all", "neighbours", "all won"])
def test_no_ratings_are_better_than_those_found(shape):
    count, rng = 12, np.random.default_rng(3)
    wins = simulate(np.linspace(0, 900, count), 8, rng)
    if shape == "neighbours":
        wins *= np.abs(np.subtract.outer(np.arange(count), np.arange(count))) <= 2
    if shape == "all won":
        wins = np.tril(np.full((count, count), 8.0), -1)
    found = bradley_terry(wins).elo
    best = log_posterior(found, wins)
    for _ in range(300):
        step = rng.normal(size=count) * 10 ** rng.uniform(-2, 2)
        assert log_posterior(found + step, wins) <= best


def test_perfect_scores_stay_finite_and_grow_with_the_games():
    few = bradley_terry(np.array([[0.0, 0.0], [10.0, 0.0]]))
    many = bradley_terry(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    assert 300 < few.elo[1] < many.elo[1] < 2000
    assert few.low[1] > 0
    assert np.isfinite(many.high).all()


def test_huge_gaps_and_counts_converge():
    truth = np.linspace(0, 4000, 12)
    wins = 10000 / (1 + 10 ** ((truth[None, :] - truth[:, None]) / 400))
    assert bradley_terry(wins).elo == pytest.approx(truth, abs=60)


def test_a_draw_is_half_a_win_for_each():
    drawn = bradley_terry(np.array([[0.0, 5.0], [5.0, 0.0]]))
    assert drawn.elo == pytest.approx([0.0, 0.0], abs=1e-9)


def test_players_without_common_games_are_refused():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 3] = 1
    with pytest.raises(ValueError, match=r"players \[2, 3\] have no chain of games to the anchor"):
        bradley_terry(wins)


def test_malformed_arguments_are_explained():
    with pytest.raises(ValueError, match="square"):
        bradley_terry(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=">= 0"):
        bradley_terry(np.array([[0.0, -1.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match="anchor"):
        bradley_terry(np.ones((2, 2)), anchor=2)
    with pytest.raises(ValueError, match="prior_games"):
        bradley_terry(np.ones((2, 2)), prior_games=0)


def simulate(truth: np.ndarray, games: int, rng: np.random.Generator) -> np.ndarray:
    """Wins [M, M] when every two players of these Elo ratings play that many games."""
    chance = 1 / (1 + 10 ** ((truth[None, :] - truth[:, None]) / 400))
    upper = np.triu(rng.binomial(games, chance), 1)
    return upper + np.tril(games - upper.T, -1)


def log_posterior(elo: np.ndarray, wins: np.ndarray) -> float:
    """Term by term: the games, and one drawn game of each player in equal parts against those it met."""
    met = [sum(wins[i, j] + wins[j, i] > 0 for j in range(len(wins)) if j != i) for i in range(len(wins))]
    total = 0.0
    for i in range(len(wins)):
        for j in range(len(wins)):
            if i != j and wins[i, j] + wins[j, i] > 0:
                drawn = (1 / met[i] + 1 / met[j]) / 2
                total -= (wins[i, j] + drawn / 2) * np.log1p(10 ** ((elo[j] - elo[i]) / 400))
    return total
