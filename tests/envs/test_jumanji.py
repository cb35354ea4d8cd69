"""jumanji's games against jumanji itself."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.adapters.jumanji import JumanjiEnv

from jzero import EnvError, check_env, make
from jzero.env import is_finished, keep_finished, random_actions
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig

jumanji = pytest.importorskip("jumanji", exc_type=ImportError)

KEY = jax.random.key(0)
UNFIT = {
    "Connector-v3": "9,765,625 actions",
    "JobShop-v0": "16,679,880,978,201 actions",
    "MMST-v0": "46,656 actions",
    "MultiCVRP-v0": "action_mask is of 441 actions, its action_spec of 484",
    "SearchAndRescue-v0": r"continuous actions \(float32\[2, 2\]\)",
}


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


def roll(env, num_games, num_plies):
    """States [T + 1, G, ...], and the actions and keys [T, G] of random games."""

    @jax.jit
    def play(key):
        def ply(states, key):
            keys = jax.random.split(key, num_games)
            actions = random_actions(states, key)
            after = jax.vmap(env.step)(states, actions, keys)
            return after, (after, actions, keys)

        start = jax.vmap(env.init)(jax.random.split(key, num_games))
        _, (later, actions, keys) = jax.lax.scan(ply, start, jax.random.split(key, num_plies))
        states = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), start, later)
        return states, actions, keys

    return play(KEY)


def assert_same_as_jumanji(name, to_action, num_games, num_plies):
    """Every step of random games is jumanji's own with the same keys; returns both, and bool[T, G] what counted."""
    env, own = make(f"jumanji:{name}"), jumanji.make(name)
    states, actions, keys = roll(env, num_games, num_plies)

    @jax.jit
    def again(starts, actions, keys):
        def game(start, actions, keys):
            inner, _ = own.reset(start)

            def ply(inner, now):
                inner, timestep = own.step(inner.replace(key=now[1]), to_action(now[0]))
                return inner.replace(key=start), timestep

            return jax.lax.scan(ply, inner.replace(key=start), (actions, keys))[1]

        return jax.vmap(game, in_axes=(0, 1, 1), out_axes=1)(starts, actions, keys)

    timesteps = again(jax.random.split(KEY, num_games), actions, keys)
    lives = ~np.asarray(is_finished(states))[:-1]
    after = jax.tree.map(lambda x: np.asarray(x)[1:], states)
    last = np.asarray(timesteps.step_type) == 2
    discount = np.asarray(timesteps.discount).reshape(*last.shape, -1)
    reward = np.asarray(timesteps.reward).reshape(*last.shape, -1).sum(axis=-1)
    np.testing.assert_allclose(after.rewards[..., 0][lives], reward[lives], rtol=1e-6)
    assert (after.terminated == (last & (discount == 0).all(axis=-1)))[lives].all()
    assert (after.truncated == (last & (discount != 0).any(axis=-1)))[lives].all()
    assert not after.rewards[~lives].any()
    return states, timesteps, lives


def test_2048_is_jumanjis_own():
    states, timesteps, lives = assert_same_as_jumanji("Game2048-v1", lambda action: action, 16, 60)
    boards = np.asarray(states.observation)
    assert boards.shape[2:] == (4, 4)
    assert (boards[1:] == np.asarray(timesteps.observation.board))[lives].all()
    legal = np.asarray(timesteps.observation.action_mask)
    assert (np.asarray(states.legal_action_mask)[1:] == legal)[lives].all()
    assert np.asarray(states.rewards).sum() > 16 * 100
    assert len({board.tobytes() for board in boards[0]}) > 8


def test_minesweepers_two_numbers_are_row_and_column():
    states, timesteps, lives = assert_same_as_jumanji(
        "Minesweeper-v0", lambda action: jnp.stack([action // 10, action % 10]), 16, 30
    )
    assert set(states.observation) == {"board", "num_mines", "step_count"}
    legal = np.asarray(timesteps.observation.action_mask).reshape(30, 16, 100)
    assert (np.asarray(states.legal_action_mask)[1:] == legal)[lives].all()
    assert np.asarray(states.terminated)[-1].all()


def test_numbers_of_declared_range_are_seen_in_unit_range():
    env = make("jumanji:Snake-v1")
    states = jax.tree.map(lambda x: x[:, 0], roll(env, 1, 5)[0])
    seen = jax.vmap(env.observe)(states)
    np.testing.assert_allclose(seen["step_count"], np.arange(6) / 3999, rtol=1e-6)
    assert (seen["grid"] == states.observation["grid"]).all()


@pytest.mark.slow
def test_agents_move_at_once_and_a_time_limit_is_truncation():
    states, timesteps, lives = assert_same_as_jumanji(
        "LevelBasedForaging-v0", lambda action: jnp.stack([action // 6, action % 6]), 4, 101
    )
    assert np.asarray(states.truncated)[100].any()
    each = np.asarray(timesteps.observation.action_mask)  # bool[T, G, 2, 6]
    both = each[..., 0, :, None] & each[..., 1, None, :]
    legal = np.asarray(states.legal_action_mask)[1:]
    assert (legal == both.reshape(legal.shape))[lives].all()


def test_chance_is_the_keys_alone():
    env = make("jumanji:Game2048-v1")
    state = jax.jit(env.init)(KEY)
    assert state.inner.key == ()
    assert not any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state))
    step = jax.jit(jax.vmap(env.step, in_axes=(None, None, 0)))
    after = step(state, jnp.argmax(state.legal_action_mask), jax.random.split(KEY, 64))
    assert len({np.asarray(board).tobytes() for board in after.observation}) > 5


class WithItsKey(JumanjiEnv):
    """As jumanji is: the key in the state draws the tiles."""

    def init(self, key):
        inner, timestep = self.inner.reset(key)
        return self._state(inner, timestep)._replace(inner=inner)

    def step(self, state, action, key):
        inner, timestep = self.inner.step(state.inner, self._numbers(action))
        return keep_finished(state, self._state(inner, timestep)._replace(inner=inner))


def test_check_env_finds_the_key_that_jumanji_keeps():
    env = make("jumanji:Game2048-v1")
    with pytest.raises(EnvError, match="a search sees the dice"):
        check_env(WithItsKey(**vars(env)), num_games=4, max_plies=20)


def test_without_a_mask_all_actions_are_legal():
    env = make("jumanji:RubiksCube-v0?time_limit=3")
    assert env.num_actions == 6 * 1 * 3
    states, _, _ = roll(env, 2, 4)
    assert states.legal_action_mask.all()
    assert np.asarray(states.terminated).argmax(axis=0).tolist() == [
        3,
        3,
    ]  # jumanji's discount is 0 at this limit


@pytest.mark.parametrize("name", ["Game2048-v1", "Knapsack-v1"])
def test_check_env_finds_nothing(name):
    check_env(make(f"jumanji:{name}"), num_games=4, max_plies=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(jumanji.registered_environments() - set(UNFIT) - {"Sokoban-v0"}))
def test_check_env_finds_nothing_in_any_game(name):
    check_env(make(f"jumanji:{name}"), num_games=2, max_plies=12)


@pytest.mark.parametrize("name", UNFIT)
def test_games_that_do_not_fit_say_why(name):
    with pytest.raises(ValueError, match=rf"jumanji game '{name}'.*{UNFIT[name]}"):
        make(f"jumanji:{name}")


def test_a_game_without_its_data_is_an_error(monkeypatch):
    def no_data(name):
        raise FileNotFoundError("no levels")

    monkeypatch.setattr(jumanji, "make", no_data)
    with pytest.raises(ValueError, match="jumanji game 'Sokoban-v0': cannot get its data: no levels"):
        make("jumanji:Sokoban-v0")


def test_a_name_may_hold_the_options_of_the_games_constructor():
    state = jax.eval_shape(make("jumanji:Game2048-v1?board_size=5").init, KEY)
    assert state.observation.shape == (5, 5)


def test_options_that_a_game_does_not_take_are_an_error_that_lists_those_it_takes():
    with pytest.raises(
        ValueError, match=r"'Maze-v0' does not take the options \{'limit': 3\}: .*; it takes .*time_limit"
    ):
        make("jumanji:Maze-v0?limit=3")


def test_hidden_mines_are_for_learned_models():
    name = "jumanji:Minesweeper-v0"
    with pytest.raises(ValueError, match=r"hidden from the player to move.*gumbel_muzero"):
        build_algorithm(make(name), TrainConfig(env=name))
    build_algorithm(make(name), TrainConfig(env=name, algorithm="gumbel_muzero"))


def test_unknown_games_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown jumanji game 'game2048': did you mean 'Game2048-v1'"):
        make("jumanji:game2048")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jumanji", None)
    with pytest.raises(ImportError, match=r'pip install "jzero\[envs\]"'):
        make("jumanji:Game2048-v1")


def test_the_snake_goes_where_the_actions_name_says():
    pytest.importorskip("jumanji")
    env = make("jumanji:Snake-v1")
    steps = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    state, seen = jax.jit(env.init)(jax.random.key(0)), set()
    step = jax.jit(env.step)
    for ply in range(40):
        legal = np.flatnonzero(state.legal_action_mask)
        action = int(legal[ply % len(legal)])
        after = step(state, action, jax.random.key(ply))
        if after.terminated:
            break
        before, now = (
            np.array([s.inner.head_position.row, s.inner.head_position.col]) for s in (state, after)
        )
        assert tuple(now - before) == steps[env.action_name(state, action)]
        seen.add(env.action_name(state, action))
        state = after
    assert len(seen) > 2
