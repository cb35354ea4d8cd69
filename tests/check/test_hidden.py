"""check_env finds chance that the state decides, however it is kept, and leaves honest games alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from jzero import EnvError, check_env
from jzero.env import keep_finished


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


class CoinState(NamedTuple):
    hidden: Any
    shown: jax.Array  # f32[]: drawn by init and seen
    ply: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Coins:
    """Ten coins are guessed, one a ply. Here the tosses are honest: the key given to `step` decides."""

    num_actions, num_players = 2, 1

    def init(self, key):
        no = jnp.bool_(False)
        return CoinState(
            self.hide(key),
            self.show(key),
            jnp.int32(0),
            jnp.int32(0),
            jnp.ones(2, bool),
            jnp.zeros(1),
            no,
            no,
        )

    def hide(self, key):
        return ()

    def show(self, key):
        return jnp.float32(0)

    def toss(self, state, key):
        """The coin, bool[], and what is hidden after it."""
        return jax.random.bernoulli(key), state.hidden

    def step(self, state, action, key):
        coin, hidden = self.toss(state, key)
        paid = jnp.where(coin == action, 1.0, -1.0)[None]
        over = state.ply >= 9
        return keep_finished(
            state, state._replace(hidden=hidden, ply=state.ply + 1, rewards=paid, terminated=over)
        )

    def observe(self, state):
        return jnp.append(jax.nn.one_hot(state.ply, 11), state.shown)


class TypedKey(Coins):
    def hide(self, key):
        return key

    def toss(self, state, key):
        use, keep = jax.random.split(state.hidden)
        return jax.random.bernoulli(use), keep


class RawKey(Coins):
    def hide(self, key):
        return jax.random.key_data(key)

    def toss(self, state, key):
        use, keep = jax.random.split(jax.random.wrap_key_data(state.hidden))
        return jax.random.bernoulli(use), jax.random.key_data(keep)


class RandomStart(RawKey):
    """No two games look alike."""

    def show(self, key):
        return jax.random.uniform(key)


class DrawnInAdvance(Coins):
    def hide(self, key):
        return jax.random.bernoulli(key, shape=(10,))

    def toss(self, state, key):
        return state.hidden[state.ply], state.hidden


class LastTossOnly(DrawnInAdvance):
    """Nine honest tosses, then one that init drew."""

    def toss(self, state, key):
        honest = jax.random.bernoulli(key)
        return jnp.where(state.ply == 9, state.hidden[9], honest), state.hidden


class NowAndThenTheKey(RawKey):
    def toss(self, state, key):
        coin, hidden = super().toss(state, key)
        return coin ^ jax.random.bernoulli(key, 0.05), hidden


class Seed(RandomStart):
    """A number from which a ply's key is made."""

    def hide(self, key):
        return jax.random.bits(key)

    def toss(self, state, key):
        return jax.random.bernoulli(jax.random.fold_in(jax.random.key(state.hidden), state.ply)), state.hidden


class RandomStartTosses(DrawnInAdvance):
    def show(self, key):
        return jax.random.uniform(key)


class KeyOfEachPly(RandomStart):
    def hide(self, key):
        return jax.random.key_data(jax.random.split(key, 10))

    def toss(self, state, key):
        return jax.random.bernoulli(jax.random.wrap_key_data(state.hidden[state.ply])), state.hidden


class LastTossOfRandomStart(LastTossOnly, RandomStartTosses):
    pass


DISHONEST = [TypedKey, RawKey, RandomStart, DrawnInAdvance, LastTossOnly, NowAndThenTheKey]
DISHONEST += [Seed, RandomStartTosses, KeyOfEachPly, LastTossOfRandomStart]


@pytest.mark.parametrize(("env", "num_games"), [*((env, 8) for env in DISHONEST), (RawKey, 1), (Seed, 1)])
def test_chance_that_the_state_decides_is_found_and_how_to_mend_it(env, num_games):
    with pytest.raises(EnvError, match=r"a search sees the dice: sample chance in step from step's key") as e:
        check_env(env(), num_games=num_games, max_plies=12)
    assert len(str(e.value).splitlines()) == 2
    assert (
        "(first at ply 9)" in str(e.value)
        if issubclass(env, LastTossOnly)
        else "(first at ply " in str(e.value)
    )


class Salted(RawKey):
    """What is hidden changes what a key draws, but tells nothing of it."""

    def toss(self, state, key):
        return jax.random.bernoulli(jax.random.fold_in(key, state.hidden[0])), state.hidden


class KeyOfNoUse(TypedKey):
    def toss(self, state, key):
        return jax.random.bernoulli(key), state.hidden


class OrderOfTheDeck(Coins):
    """The order in which a state keeps its cards does not matter: the key draws one of them."""

    def hide(self, key):
        return jax.random.permutation(key, jnp.arange(4))

    def toss(self, state, key):
        return state.hidden[jax.random.randint(key, (), 0, 4)] % 2 == 0, state.hidden


class Cached(RandomStartTosses):
    """What is seen is kept beside what it comes from; both change together."""

    def hide(self, key):
        return {"goal": jax.random.randint(key, (), 0, 9), "squares": jax.random.randint(key, (), 0, 9) ** 2}

    def show(self, key):
        return jax.random.uniform(key) + self.hide(key)["goal"]

    def toss(self, state, key):
        return state.hidden["squares"] % 2 == 0, state.hidden


class Unused(RandomStartTosses):
    """The tosses that init drew change the order of the faces of an honest coin."""

    def toss(self, state, key):
        return jax.random.bernoulli(key) ^ state.hidden[state.ply], state.hidden


class Declared(DrawnInAdvance):
    """Cards that were dealt face down, and a class that says so."""

    hidden_information = True


class Redrawn(DrawnInAdvance):
    def resample(self, state, key):
        return state._replace(hidden=self.hide(key))


@pytest.mark.parametrize(
    "env", [Coins, Salted, KeyOfNoUse, OrderOfTheDeck, Cached, Unused, Declared, Redrawn]
)
def test_honest_chance_and_hidden_cards_are_not_taken_for_dice_in_the_state(env):
    assert check_env(env(), num_games=16, max_plies=12).finished == 16
