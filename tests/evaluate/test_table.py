"""Tables of several players: seats, shared deals, the comparison. Axes: D deals, P seats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from scipy import stats

from jzero.evaluate import TableResult, as_player, play_tables
from tests.helpers.tiny import Race

KEY = jax.random.key(0)


def lowest(states, key):
    """The first legal action."""
    return jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32)


def dashing(states, key):
    """In a race: step and move again."""
    return jnp.ones_like(states.position)


def race(env: Race, dasher: int) -> list[float]:
    """Returns of a race in which one seat always moves again (action 1) and the others take turns (action 0)."""
    position, mover, returns = 0, 0, [0.0] * env.num_players
    while position < env.goal:
        again = mover == dasher
        position += 1
        earned = (position >= env.goal) - 0.25 * again
        for seat in range(env.num_players):
            returns[seat] += earned if seat == mover else -earned
        mover = mover if again else (mover + 1) % env.num_players
    return returns


@pytest.mark.parametrize("players", [2, 3])
def test_the_player_sits_in_every_seat_once(players):
    env = Race(num_players=players, goal=5, limit=100)
    result = play_tables(env, as_player(dashing), as_player(lowest), num_deals=2, key=KEY)
    expected = [race(env, seat) for seat in range(players)]
    np.testing.assert_allclose(result.returns, [expected, expected])
    own = [expected[seat][seat] for seat in range(players)]
    np.testing.assert_allclose(result.own, [own, own])
    others = [(sum(row) - row[seat]) / (players - 1) for seat, row in enumerate(expected)]
    np.testing.assert_allclose(result.others, [others, others])


def test_the_games_of_a_deal_share_its_cards_and_other_deals_have_others():
    env, seen = Blob(players=3, cards=2), []

    def watching(turn):
        if not seen:
            seen.append(np.asarray(turn.states.hands))
        return np.asarray(lowest(turn.states, turn.key))

    result = play_tables(env, watching, watching, num_deals=4, key=KEY)
    # Equal players play the same game from every seat, so on average none is above the others.
    assert (result.returns == result.returns[:, :1]).all()
    assert len(np.unique(result.returns[:, 0], axis=0)) > 1
    mean, low, high = result.compare()
    assert mean == low == high == pytest.approx(0, abs=1e-12)


def test_the_interval_takes_deals_as_units():
    returns = np.random.default_rng(0).normal(size=(50, 4, 4))
    returns += 2 * np.eye(4)
    mean, low, high = TableResult(returns).compare()
    seats = np.arange(4)
    own = returns[:, seats, seats]
    by_deal = [np.mean([own[d, s] - np.delete(returns[d, s], s).mean() for s in seats]) for d in range(50)]
    expected = stats.norm.interval(0.95, np.mean(by_deal), stats.sem(by_deal))
    np.testing.assert_allclose((mean, low, high), (np.mean(by_deal), *expected), rtol=1e-6)


def test_an_illegal_action_and_malformed_arguments_are_told():
    env = Blob(players=3, cards=2)
    with pytest.raises(ValueError, match=r"opponent chose action 0 after \[.*the legal actions are"):
        play_tables(
            env,
            as_player(lowest),
            lambda turn: np.zeros(len(turn.rows), np.int32),
            num_deals=1,
            key=KEY,
        )
    with pytest.raises(ValueError, match="num_deals: expected a number > 0, got 0"):
        play_tables(env, as_player(lowest), as_player(lowest), num_deals=0, key=KEY)
