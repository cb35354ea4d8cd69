"""Encounters of a match: results next to those of the functions that play, ratings by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.env import seeded_key
from jzero.evaluate import as_player, encounters, play_match, play_tables, random_player
from jzero.evaluate.encounters import play_encounter, rate, sample_games
from jzero.evaluate.measures import play_episodes
from jzero.registry import make
from tests.evaluate.test_measures import Walk, always

pytestmark = pytest.mark.usefixtures("quick_compilation")


def lowest(states, key):
    """The first legal action."""
    return jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32)


def meet(env, contest, player, opponent=None, **options):
    options = {"games": 20, "opening_plies": (0, 2), "seed": 3, **options}
    return play_encounter(env, contest, player, opponent, **options)


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


def by_hand(wins, prior=1.0):
    """Elo, the first player's being 0: Hunter's MM algorithm; each has `prior` drawn games against whom it met."""
    wins = np.array(wins, float)
    games = wins + wins.T
    met = (games > 0).sum(axis=1)
    for i, j in np.argwhere(games > 0):
        wins[i, j] += prior / 4 / met[i] + prior / 4 / met[j]
    strengths = np.ones(len(wins))
    for _ in range(20_000):
        for i in range(len(wins)):
            met_by = sum(
                (wins[i][j] + wins[j][i]) / (strengths[i] + strengths[j]) for j in range(len(wins)) if j != i
            )
            strengths[i] = sum(wins[i]) / met_by
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


def test_a_pair_of_games_is_recorded_and_can_be_replayed():
    env = make("pgx:tic_tac_toe")  # in which it is drawn who moves first
    found = meet(env, "pairs", random_player(env), as_player(lowest), games=4, seed=1)
    one, other = found["sample_games"]
    assert [one["player_seat"], other["player_seat"]] == [0, 1]
    for game in (one, other):
        state = env.init(seeded_key(game["seed"], 0))
        earned = np.zeros(2)
        for ply, action in enumerate(game["actions"]):
            assert state.legal_action_mask[action]
            state = env.step(state, action, seeded_key(game["seed"], ply + 1))
            earned += np.asarray(state.rewards)
        assert state.terminated
        assert earned.tolist() == game["outcome"]


def test_a_game_of_chance_has_no_seed(monkeypatch):
    env = TicTacToe()
    result = play_match(env, random_player(env), random_player(env), num_games=2, key=jax.random.key(0))
    assert [game["seed"] for game in sample_games(env, result)] == [0, 0]
    monkeypatch.setattr(encounters, "look", lambda env: SimpleNamespace(chance=True))
    assert [game["seed"] for game in sample_games(env, result)] == [None, None]


def test_games_that_came_twice_count_once():
    (_, once), (_, twice) = (
        rate([result_of("a", "b", 4 * n, 2 * n, 14 * n) | {"distinct_games": 20}], ["a", "b"]) for n in (1, 2)
    )
    assert twice == pytest.approx(once)
    assert rate([result_of("a", "b", 8, 4, 28)], ["a", "b"])[1]["high"] < once["high"]
