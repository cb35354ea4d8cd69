"""What a run says of an agent by default."""

import re
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jzero.env import keep_finished
from jzero.evaluate import strength
from jzero.look import look
from jzero.registry import make
from tests.evaluate.test_measures import Walk, always
from tests.helpers.env_examples import TwoPiles


class Together(TwoPiles):
    """Two players in turn choose 0 or 1, four times in all, and each 1 pays both of them 1."""

    num_actions, zero_sum, symmetries = 2, False, ()

    def init(self, key):
        start = super().init(key)
        return start._replace(legal_action_mask=start.legal_action_mask[:2])

    def step(self, state, action, key):
        piles = state.piles.at[0].add(-1)
        after = state._replace(
            piles=piles,
            current_player=1 - state.current_player,
            rewards=jnp.full(2, action == 1, jnp.float32),
            terminated=piles[0] < 0,
        )
        return keep_finished(state, after)


pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_single_players_return_stands_beside_that_of_random_play():
    measured = strength.measure(Walk())(always(0))
    found = re.fullmatch(
        r"mean return of 20 episodes, 7 simulations \(random play earns ([\d.]+)\)", measured.name
    )
    # Walks of 1 to 5 steps; step t pays t with probability 1/2, always when it is asked for.
    sums = [sum(range(1, length + 1)) for length in range(1, 6)]
    assert float(found[1]) == pytest.approx(sum(sums) / 5 / 2, abs=1.7)  # four standard errors
    assert measured.value == pytest.approx(sum(sums) / 5, abs=4.7)
    assert float(found[1]) != measured.value


def test_players_who_earn_the_same_are_measured_by_what_they_earn():
    measured = strength.measure(Together())(always(1))
    assert re.fullmatch(
        r"mean return of 20 episodes, 7 simulations \(random play earns [\d.]+\)", measured.name
    )
    assert (measured.value, strength.measure(Together())(always(0)).value) == (4, 0)
    assert look(Together()).shared
    assert not look(make("tic_tac_toe")).shared
    assert not look(Walk()).shared


@pytest.mark.parametrize(
    ("name", "said", "openings"),
    [("tic_tac_toe", "score in 40 games against", [(0, 2)]), ("pgx:kuhn_poker", "return above", [])],
)
def test_poker_is_measured_by_what_it_earns_and_openings_leave_most_of_a_game(
    monkeypatch, name, said, openings
):
    pytest.importorskip("pgx", exc_type=ImportError)
    matches = []

    def play_match(*_, opening_plies, **__):
        matches.append(opening_plies)
        return SimpleNamespace(score=0.5, interval=(0.4, 0.6))

    table = SimpleNamespace(own=np.zeros((64, 2)), compare=lambda: (0.5, 0.4, 0.6))
    monkeypatch.setattr(strength, "play_match", play_match)
    monkeypatch.setattr(strength, "play_tables", lambda *_, **__: table)
    assert strength.measure(make(name))(always(0)).name.startswith(said)
    assert matches == openings
