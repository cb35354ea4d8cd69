"""Backgammon equals pgx's ply by ply; its throws have the dice's probabilities; it keeps the protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import check_env

pgx = pytest.importorskip("pgx")

from jzero_envs.backgammon import CHANCES, THROWS, Backgammon, BackgammonState  # noqa: E402

KEY = jax.random.key(0)
pytestmark = pytest.mark.usefixtures("quick_compilation")


def as_ours(state):
    """A state of pgx's, with the higher die first."""
    return BackgammonState(
        board=state._board,
        dice=-jnp.sort(-state._dice),
        playable=-jnp.sort(-state._playable_dice),
        played=state._played_dice_num,
        current_player=state.current_player,
        legal_action_mask=state.legal_action_mask,
        rewards=state.rewards,
        terminated=state.terminated,
        truncated=state.truncated,
    )


def sorted_dice(state):
    return state._replace(dice=-jnp.sort(-state.dice), playable=-jnp.sort(-state.playable))


@pytest.mark.slow
def test_plies_equal_those_of_pgx():
    theirs, env = pgx.make("backgammon"), Backgammon()

    @jax.jit
    @jax.vmap
    def both(before, key):
        action_key, step_key = jax.random.split(key)
        logits = jnp.where(before.legal_action_mask, 0.0, -jnp.inf)
        action = jax.random.categorical(action_key, logits)
        after = theirs.step(before, action, step_key)
        decided = env.decide(as_ours(before), action)
        throw = as_ours(after).dice
        is_throw = env.chance_logits(decided)[1] > -jnp.inf
        outcome = jnp.argmax((jnp.asarray(THROWS) == throw).all(axis=-1))
        ours = env.resolve(decided, jnp.where(is_throw, outcome, 0))
        return after, sorted_dice(ours), as_ours(after), is_throw

    states = jax.jit(jax.vmap(theirs.init))(jax.random.split(KEY, 32))
    wins, throws, plies = 0, 0, 0
    for ply in range(400):
        going = ~np.asarray(states.terminated)
        states, ours, expected, is_throw = both(states, jax.random.split(jax.random.fold_in(KEY, ply), 32))
        over = np.asarray(expected.terminated)
        for name in BackgammonState._fields:
            rows = going & ~over if name in ("legal_action_mask", "played", "playable") else going
            np.testing.assert_array_equal(
                np.asarray(getattr(ours, name))[rows], np.asarray(getattr(expected, name))[rows], err_msg=name
            )
        wins, throws, plies = wins + (going & over).sum(), throws + is_throw[going].sum(), plies + going.sum()
    assert wins > 20
    assert 0.2 < throws / plies < 0.8


def test_the_dice_have_36_equal_cases():
    assert sorted(map(tuple, THROWS.tolist())) == [(a, b) for a in range(6) for b in range(a + 1)]
    cases = [(max(a, b), min(a, b)) for a in range(6) for b in range(6)]
    np.testing.assert_allclose(CHANCES, [cases.count(tuple(throw)) / 36 for throw in THROWS.tolist()])


@pytest.mark.slow
def test_it_keeps_the_protocol():
    check_env(Backgammon(score_scale=3), num_games=4, max_plies=60)
