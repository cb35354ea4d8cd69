"""JAXtari's games against JAXtari itself."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jzero_envs.adapters.one_player import with_keys

from jzero import check_env, make
from jzero.env_spec import describe
from jzero.models.simulator import check_hidden
from tests.helpers.originals import compare, train_once

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


@pytest.fixture
def own():
    """JAXtari's Pong with the function that gives its objects, without sprites."""
    pytest.importorskip("jaxtari", exc_type=ImportError)
    from jzero_envs.adapters.jaxtari import _game

    return _game("pong", "jaxtari.games.jax_pong", sprites=False)


def four_frames(own, limit=10**6):
    """A step of JAXtari's own: four frames, of which the last is seen, after the stack of the three before.

    JAXtari's own wrapper brings the numbers to [0, 1].
    """
    from jaxtari.wrappers import NormalizeObservationWrapper

    in_unit_range = NormalizeObservationWrapper(own, dtype=jnp.float32)._normalize_obs

    def row(seen):
        return ravel_pytree(in_unit_range(seen))[0]

    def reset(key):
        seen, state = own.reset(key)
        stack = jnp.stack([row(seen)] * 4)
        return (state, stack, 0), stack

    def step(now, action, key):
        state, stack, frames = now
        reward, done = 0.0, False
        for _ in range(4):
            _, after, earned, over, _ = own.step(state, action)
            state = jax.tree.map(lambda old, new: jnp.where(done, old, new), state, after)  # noqa: B023
            reward, done = reward + jnp.where(done, 0, earned), done | over
        stack = jnp.concatenate([stack[1:], row(own._get_observation(state))[None]])
        return (state, stack, frames + 4), stack, reward, done, frames + 4 >= limit

    return reset, step


def test_pong_is_jaxtaris_own(own):
    env = make("jaxtari:pong")
    assert env.num_actions == 6
    compared = compare(env, *four_frames(own), num_games=4, num_plies=300)
    assert compared.seen.shape[2:] == (4, 26)
    assert compared.lives.all()
    assert (compared.states.rewards == -1).sum() > 4


def test_pong_ends_at_21_and_the_limit_of_frames_is_truncation(own):
    env = make("jaxtari:pong")
    first = jax.jit(env.init)(KEY)

    def scored(enemy, frames):
        states = first.inner.states.replace(
            enemy_score=jnp.full(4, enemy), ball_x=jnp.full(4, 155), ball_vel_x=jnp.full(4, 2)
        ).replace(step_counter=jnp.full(4, 99))
        state = first._replace(inner=first.inner._replace(states=states, frames=jnp.int32(frames)))
        return jax.jit(env.step)(state, jnp.int32(0), KEY)

    ends = [scored(*now) for now in ((19, 0), (20, 0), (19, 107_996), (20, 107_996))]
    assert [float(state.rewards[0]) for state in ends] == [-1.0] * 4
    assert [bool(state.terminated) for state in ends] == [False, True, False, True]
    assert [bool(state.truncated) for state in ends] == [False, False, True, False]
    after = env.step(ends[1], jnp.int32(2), KEY)
    assert after.rewards == 0
    jax.tree.map(np.testing.assert_array_equal, after.inner, ends[1].inner)


def test_options_change_frames_stack_and_limit(own):
    env = make("jaxtari:pong?frame_skip=1&stack=2&max_frames=3")
    state = jax.jit(env.init)(KEY)
    seen, ends = [], []
    for action in (2, 2, 3):
        state = jax.jit(env.step)(state, jnp.int32(action), KEY)
        seen.append(env.observe(state))
        ends.append(bool(state.truncated))
    assert seen[0].shape == (2, 26)
    assert (seen[1][0] == seen[0][1]).all()
    assert ends == [False, False, True]


def test_a_frame_repeats_the_action_before_it_as_often_as_it_says(own):
    """The player moves differently from frame to frame, by own steps with the actions that the state names."""
    chance = 0.25
    env = make(f"jaxtari:pong?frame_skip=1&sticky_actions={chance}")
    step = jax.jit(jax.vmap(lambda state, action, key: env.step(state, action, key)))
    state = jax.vmap(env.init)(jax.random.split(KEY, 512))
    repeated = []

    def newest(game):
        return jax.tree.map(lambda x: x[-1], with_keys(game.states, KEY))  # Pong only passes its key on

    for ply in range(12):
        asked = jnp.full(512, 2 + ply % 2)  # never the action before
        after = step(state, asked, jax.random.split(jax.random.key(ply), 512))
        taken, before = after.inner.last_action, state.inner.last_action
        assert ((taken == asked) | (taken == before)).all()
        repeated.append((taken != asked)[before != asked])
        want = jax.vmap(lambda game, to: own._get_observation(own.step(newest(game), to)[1]))(
            state.inner, taken
        )
        got = jax.vmap(lambda game: own._get_observation(newest(game)))(after.inner)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want)
        state = after
    found = np.concatenate(repeated)
    assert found.mean() == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / len(found)))


def test_actions_have_the_names_of_what_the_joystick_does(own):
    from jaxtari.environment import JAXAtariAction

    env = make("jaxtari:pong")
    names = [env.action_name(None, action) for action in range(env.num_actions)]
    assert names == ["noop", "fire", "right", "left", "rightfire", "leftfire"]
    assert [getattr(JAXAtariAction, name.upper()) for name in names] == own.ACTION_SET.tolist()


def test_sticky_actions_are_a_probability(own):
    with pytest.raises(ValueError, match=r"sticky_actions is 1.5; it must be a probability"):
        make("jaxtari:pong?sticky_actions=1.5")


def test_check_env_finds_nothing(own):
    check_env(make("jaxtari:pong"), num_games=2, max_plies=20)
    check_env(make("jaxtari:pong?sticky_actions=0.25"), num_games=2, max_plies=20)


def test_alphazero_plays_where_nothing_is_secret(own):
    check_hidden(describe(make("jaxtari:pong")))
    assert make("jaxtari:blackjack").hidden_information


def test_muzero_learns_in_it(own):
    assert train_once(make("jaxtari:pong"))["loss"] > 0


def test_pixels_need_sprites(own, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"'pong' needs its sprites .*python -m jaxtari.install_sprites"):
        make("jaxtari:pong?pixels=True")
    with pytest.raises(ValueError, match=r"'alien' needs its sprites .*then jaxtari:alien\?sprites=True"):
        make("jaxtari:alien")
    folder = tmp_path / "jaxtari" / "sprites" / "pong"
    folder.mkdir(parents=True)
    np.save(folder / "background.npy", np.full((210, 160, 4), (1, 2, 3, 255), np.uint8))
    for name in (
        "player",
        "enemy",
        "ball",
        *(f"{who}_score_{n}" for who in ("player", "enemy") for n in range(10)),
    ):
        np.save(folder / f"{name}.npy", np.full((4, 4, 4), (9, 8, 7, 255), np.uint8))
    env = make("jaxtari:pong?pixels=True")
    state = jax.jit(env.init)(KEY)
    seen = np.asarray(jax.jit(env.observe)(state))
    assert (seen.dtype, seen.shape) == (np.uint8, (210, 160, 12))
    assert seen[60, 3].tolist() == [1, 2, 3] * 4
    assert seen[117, 79].tolist() == [9, 8, 7] * 4


def test_wrong_names_and_numbers_are_errors(own):
    with pytest.raises(ValueError, match=r"unknown game of JAXtari 'ponk': did you mean 'pong'"):
        make("jaxtari:ponk")
    with pytest.raises(ValueError, match=r"'pong': frame_skip is 0; expected an int of at least 1"):
        make("jaxtari:pong?frame_skip=0")


def test_a_missing_package_is_named(monkeypatch):
    for module in ("jaxtari", "jaxtari.core"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install jaxtari"):
        make("jaxtari:pong")
