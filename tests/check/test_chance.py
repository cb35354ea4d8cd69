"""`check_env` on explicit chance: a game that keeps the rules, and one broken rule at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import EnvError, check_env
from jzero.check.chance import p_value
from jzero.env import has_chance, keep_finished, step_by_chance
from tests.helpers.env_examples import DiceRace, TwoPiles

KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("num_players", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_a_game_of_dice_keeps_the_rules(num_players):
    check_env(DiceRace(num_players))
    assert has_chance(DiceRace())
    assert not has_chance(TwoPiles())


class WrongShape(DiceRace):
    def chance_logits(self, after):
        return jnp.zeros(2)


class NotNormalised(DiceRace):
    def chance_logits(self, after):
        return super().chance_logits(after) - 0.1


class PassesTheTurn(DiceRace):
    def decide(self, state, action):
        after = super().decide(state, action)
        player = jnp.where(after.terminated, after.current_player, 1 - after.current_player)
        return after._replace(current_player=player)


class LoadedDice(DiceRace):
    def step(self, state, action, key):
        after = self.decide(state, action)
        logits = self.chance_logits(after) + jnp.array([0.0, 0.3, -0.3])
        return self.resolve(after, jax.random.categorical(key, logits))


class ImpossibleOutcome(DiceRace):
    def chance_logits(self, after):
        return jnp.where(after.action == 1, jnp.log(jnp.array([0.0, 0.6, 0.4])), super().chance_logits(after))

    def step(self, state, action, key):
        return step_by_chance(DiceRace(), state, action, key)


class ForgetsTheEnd(DiceRace):
    def decide(self, state, action):
        return state._replace(action=action, ply=state.ply + 1, rewards=jnp.zeros(2))

    def step(self, state, action, key):
        return keep_finished(state, super().step(state, action, key))

    def resolve(self, after, outcome):
        resolved = super().resolve(after._replace(terminated=jnp.bool_(False)), outcome)
        return resolved._replace(terminated=resolved.terminated | after.terminated)


class LacksResolve(TwoPiles):
    num_outcomes = 3

    def decide(self, state, action):
        return state


class OtherAfterstate(DiceRace):
    def decide(self, state, action):
        return super().decide(state, action)._replace(ply=jnp.float32(0))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (WrongShape, r"chance_logits\(afterstate\) is float32\[2\], not float32\[3\]"),
        (NotNormalised, "do not sum to 1"),
        (PassesTheTurn, "decide changes current_player"),
        (LoadedDice, "other frequencies than chance_logits"),
        (ImpossibleOutcome, "step returns a state that no possible outcome"),
        (ForgetsTheEnd, "resolve changes a finished state"),
        (LacksResolve, r"lacks chance_logits\(afterstate\), resolve\(afterstate, outcome\)"),
        (OtherAfterstate, r"decide\(state, action\) returns another structure"),
    ],
)
def test_a_broken_rule_is_named(broken, message):
    with pytest.raises(EnvError, match=message):
        check_env(broken())


def test_the_chi_square_test_knows_its_table():
    # Pearson's statistic of these is 7.5 at 2 degrees of freedom, where p = exp(-7.5 / 2).
    assert p_value(np.array([40, 30, 30]), np.array([0.4, 0.4, 0.2])) == pytest.approx(
        np.exp(-3.75), rel=1e-5
    )
    assert p_value(np.array([99, 1]), np.array([1.0, 0.0])) == 0
    assert p_value(np.array([100, 0]), np.array([1.0, 0.0])) == 1
