"""Encounters of a match: who meets whom, results next to those of the functions that play, ratings by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import as_player, play_match, play_tables, random_player
from jzero.evaluate.encounters import encounters, play_encounter, rate
from jzero.evaluate.measures import play_episodes
from tests.evaluate.test_measures import Walk, always

pytestmark = pytest.mark.usefixtures("quick_compilation")


def lowest(states, key):
    """The first legal action."""
    return jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32)


def meet(env, contest, player, opponent=None, **options):
    options = {"games": 20, "opening_plies": (0, 2), "seed": 3, **options}
    return play_encounter(env, contest, player, opponent, **options)


def test_everyone_meets_everyone_and_is_alone_among_them_where_that_differs():
    assert encounters("pairs", "abc", 2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert encounters("tables", "abc", 2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert encounters("tables", "ab", 3) == [("a", "b"), ("b", "a")]
    assert encounters("returns", "ab", 1) == [("a", None), ("b", None)]


def test_pairs_are_counted_from_the_players_side():
    env, one, other = TicTacToe(), random_player(TicTacToe()), as_player(lowest)
    found = meet(env, "pairs", one, other)
    result = play_match(env, one, other, num_games=20, key=jax.random.key(3), opening_plies=(0, 2))
    assert (found["wins"], found["draws"], found["losses"]) == (result.wins, result.draws, result.losses)
    assert (found["value"], found["low"], found["high"]) == (result.score, *result.interval)
    assert [sum(parts) for parts in zip(found["first"], found["second"], strict=True)] == [
        result.wins,
        result.draws,
        result.losses,
    ]
    assert found["games"] == sum(found["first"]) + sum(found["second"]) == 20
    assert found["mean_plies"] == sum(map(len, result.histories)) / 20
    assert found["distinct_games"] == result.distinct_games


def test_a_table_is_counted_in_deals_from_every_seat():
    env, one, other = Blob(players=3, cards=2), as_player(lowest), random_player(Blob())
    found = meet(env, "tables", one, other, games=20)
    result = play_tables(env, one, other, num_deals=7, key=jax.random.key(3))
    assert found["games"] == 21
    assert (found["value"], found["low"], found["high"]) == result.compare()
    assert (found["own"], found["others"]) == (result.own.mean(), result.others.mean())
    assert found["value"] == pytest.approx(found["own"] - found["others"])


def test_returns_are_those_of_the_same_episodes():
    one, other = (as_player(lambda states, key, a=a: jnp.full(len(states.ply), a)) for a in (0, 1))
    found = meet(Walk(), "returns", one)
    returns = play_episodes(Walk(), always(0).act, jax.random.key(3), 20).returns
    assert (found["games"], found["value"], found["cut"]) == (20, returns.mean(), 0)
    assert found["low"] < found["value"] < found["high"]
    assert meet(Walk(), "returns", other)["value"] == 0


def test_one_player_is_told_what_it_has_played():
    seen = []

    def watching(turn):
        seen.append((np.asarray(turn.states.ply), [list(history) for history in turn.histories], turn.rows))
        return np.arange(4) % 2

    meet(Walk(), "returns", watching, games=4)
    for ply, (plies, histories, rows) in enumerate(seen):
        assert (plies[rows] == ply).all()
        for row in np.flatnonzero(rows):
            assert histories[row] == [row % 2] * ply
    assert len(seen) > 1


def by_hand(wins):
    """Elo, the first player's being 0: Hunter's MM algorithm, with a drawn game against a player of strength 1."""
    strengths = np.ones(len(wins))
    for _ in range(20_000):
        for i in range(len(wins)):
            met = sum(
                (wins[i][j] + wins[j][i]) / (strengths[i] + strengths[j]) for j in range(len(wins)) if j != i
            )
            strengths[i] = (sum(wins[i]) + 0.5) / (met + 1 / (strengths[i] + 1))
    return 400 * np.log10(strengths / strengths[0])


def result_of(player, opponent, wins, draws, losses):
    return {"player": player, "opponent": opponent, "wins": wins, "draws": draws, "losses": losses}


def test_ratings_are_those_of_a_slow_computation_over_all_results():
    results = [
        result_of("a", "b", 5, 2, 13),
        result_of("c", "a", 10, 0, 0),
        result_of("b", "c", 3, 3, 4),
        result_of("a", "b", 1, 0, 3),  # the same two again
        result_of("a", "stranger", 50, 0, 0),  # not asked for
    ]
    ratings = rate(results, ["a", "b", "c"])
    wins = [[0, 5 + 1 + 1, 0], [13 + 1 + 3, 0, 3 + 1.5], [10, 4 + 1.5, 0]]
    assert [rating["player"] for rating in ratings] == ["a", "b", "c"]
    np.testing.assert_allclose([rating["elo"] for rating in ratings], by_hand(wins), atol=1e-3)
    assert ratings[0] == {"player": "a", "elo": 0.0, "low": 0.0, "high": 0.0}
    assert all(rating["low"] < rating["elo"] < rating["high"] for rating in ratings[1:])
