"""The adapter for environments of brax's shape, on one of that shape that is a few lines, and on brax itself."""

import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jzero_envs.adapters.brax import BraxEnv

from jzero import check_env, make

KEY = jax.random.key(0)


@struct.dataclass
class PointState:
    """What brax's and Playground's states have in common."""

    data: jax.Array  # f32[2], where the point is
    obs: Any
    reward: jax.Array
    done: jax.Array
    info: dict


class Point:
    """A point in the plane is pushed by its action and by chance; done outside of the square of side 4."""

    def __init__(self, noise=0.1):
        self.noise = noise

    action_size = 2

    def reset(self, key):
        place = jax.random.uniform(key, (2,), minval=-1.0)
        zero = jnp.zeros(())
        return PointState(
            place, {"place": place}, zero, zero, {"rng": key, "steps": jnp.zeros((), jnp.int32)}
        )

    def step(self, state, action):
        key, noise_key = jax.random.split(state.info["rng"])
        place = state.data + action + self.noise * jax.random.normal(noise_key, (2,))
        info = {"rng": key, "steps": state.info["steps"] + 1}
        done = (jnp.abs(place).max() > 2).astype(jnp.float32)
        return state.replace(
            data=place, obs={"place": place}, reward=-jnp.sum(place**2), done=done, info=info
        )


def test_check_env_finds_nothing():
    check_env(BraxEnv(Point(), name="point", bins=3), num_games=8, max_plies=12)


def test_actions_are_the_grid_of_bins():
    env = BraxEnv(Point(), name="point", bins=3)
    assert env.num_actions == 9
    grid = [env.values(jnp.int32(action)).tolist() for action in range(9)]
    assert grid == [[x, y] for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)]


def test_a_step_is_the_environments_own_with_the_given_key():
    env, own = BraxEnv(Point(), name="point", bins=5), Point()
    state = env.init(KEY)
    after = env.step(state, jnp.int32(13), jax.random.key(3))
    inner = own.reset(KEY)
    inner = inner.replace(info={**inner.info, "rng": jax.random.key(3)})
    expected = own.step(inner, jnp.array([0.0, 0.5]))
    np.testing.assert_array_equal(env.observe(after)["place"], expected.obs["place"])
    assert after.rewards.tolist() == [float(expected.reward)]
    assert state.inner.info["rng"] == after.inner.info["rng"] == ()
    other = env.step(state, jnp.int32(13), jax.random.key(4))
    assert (env.observe(other)["place"] != env.observe(after)["place"]).all()


@pytest.mark.parametrize("bins", [None, 3])
def test_steps_keep_their_dtypes_in_64_bit_mode(bins):
    class Measured(Point):
        """Its first metric has the default dtype, later ones, written in place, that of the actions: as in brax."""

        def reset(self, key):
            state = super().reset(key)
            return state.replace(info=state.info | {"cost": jnp.zeros(())})

        def step(self, state, action):
            state.info["cost"] = jnp.square(action).sum()
            after = super().step(state, action)
            return after.replace(info=after.info | {"cost": state.info["cost"]})

    env = BraxEnv(Measured(), name="point", bins=bins, action_repeat=2)
    action = jnp.zeros(2, jnp.float32) if bins is None else jnp.int32(0)
    with jax.enable_x64(True):
        state = jax.eval_shape(env.init, KEY)
        after = jax.eval_shape(env.step, state, action, KEY)
        values = jax.eval_shape(env.values, action)
    assert state.rewards.dtype == after.rewards.dtype == values.dtype == jnp.float32
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


def test_without_bins_actions_are_vectors():
    env, own = BraxEnv(Point(), name="point"), Point()
    check_env(env, num_games=8, max_plies=12)
    assert (env.action_size, BraxEnv(Point(), name="point", bins=3).action_size) == (2, 0)
    after = env.step(env.init(KEY), jnp.array([0.3, -1.7]), jax.random.key(3))
    inner = own.reset(KEY)
    expected = own.step(inner.replace(info={**inner.info, "rng": jax.random.key(3)}), jnp.array([0.3, -1.0]))
    np.testing.assert_array_equal(env.observe(after)["place"], expected.obs["place"])


def test_done_is_terminated_and_the_limit_is_truncation():
    env = BraxEnv(Point(noise=0.0), name="point", bins=3, episode_length=4)
    step = jax.jit(env.step)
    still = push = env.init(KEY)
    for _ in range(4):
        still, push = step(still, jnp.int32(4), KEY), step(push, jnp.int32(8), KEY)
    assert (still.terminated, still.truncated) == (False, True)
    assert (push.terminated, push.truncated) == (True, False)
    last = BraxEnv(Point(noise=0.0), name="point", bins=3, episode_length=int(push.ply))
    push = last.init(KEY)
    for _ in range(last.episode_length):
        push = last.step(push, jnp.int32(8), KEY)
    assert (push.terminated, push.truncated) == (True, False)  # both at once: the end counts


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        (1, "bins is 1; expected an int of at least 2"),
        (2.5, "bins is 2.5; expected an int"),
        (23, r"23 \*\* 2 = 529 actions, more than 512: use at most bins=22"),
    ],
)
def test_bins_that_do_not_fit_are_an_error(bins, message):
    with pytest.raises(ValueError, match=message):
        BraxEnv(Point(), name="point", bins=bins)


def test_too_many_dimensions_are_an_error():
    with pytest.raises(ValueError, match="too many dimensions for bins"):
        BraxEnv(types.SimpleNamespace(action_size=10), name="arm", bins=2)


def test_names_and_settings_of_playground_are_looked_up(monkeypatch):
    configs = {"PointPush": {"impl": "warp", "episode_length": 7}, "PointPull": {"noise": 0.1}}
    loaded = []

    def load(name, config_overrides):
        loaded.append((name, config_overrides))
        return Point()

    registry = types.SimpleNamespace(
        ALL_ENVS=tuple(configs), load=load, get_default_config=configs.__getitem__
    )
    monkeypatch.setitem(sys.modules, "mujoco_playground", types.SimpleNamespace(registry=registry))
    env = make("playground:PointPull?bins=3&episode_length=4&noise=0.5")
    assert (env.name, env.num_actions, env.episode_length) == ("playground:PointPull", 9, 4)
    push = make("playground:PointPush")
    assert (push.action_size, push.episode_length) == (2, 7)
    make("playground:PointPush?impl='warp'")
    assert loaded == [
        ("PointPull", {"noise": 0.5}),
        ("PointPush", {"impl": "jax"}),
        ("PointPush", {"impl": "warp"}),
    ]
    with pytest.raises(
        ValueError, match=r"unknown environment of MuJoCo Playground 'PointPul': did you mean 'PointPull'"
    ):
        make("playground:PointPul")
    with pytest.raises(
        ValueError, match=r"unknown setting of Playground's 'PointPull' 'noize': did you mean 'noise'"
    ):
        make("playground:PointPull?noize=1")


@pytest.mark.parametrize(("start", "ends"), [(0.5, False), (1.0, True)])
def test_a_repeated_action_earns_the_sum_until_the_end(start, ends):
    repeated = BraxEnv(Point(noise=0), name="point", bins=3, episode_length=7, action_repeat=3)
    plain = BraxEnv(Point(noise=0), name="point", bins=3, episode_length=7)
    check_env(repeated, num_games=8, max_plies=12)
    state = repeated.init(KEY)
    inner = state.inner.replace(data=jnp.array([start, 0.0]))  # from 1 the second step leaves the square
    state = state._replace(inner=inner)
    right, still = jnp.int32(7), jnp.int32(4)  # (1, 0) and (0, 0)
    for action in (right, still, still) if ends else (still, still, still):
        expected, single = 0.0, plain.init(KEY)._replace(inner=state.inner, terminated=state.terminated)
        for _ in range(3):
            single = plain.step(single, action, KEY)
            expected += float(single.rewards[0])
        state = repeated.step(state, action, KEY)
        assert float(state.rewards[0]) == pytest.approx(expected)
        np.testing.assert_allclose(state.inner.data, single.inner.data)
    assert bool(state.terminated) == ends
    assert bool(state.truncated) == (not ends)
    assert int(state.ply) == (1 if ends else 3)  # 9 steps, the first multiple of 3 from 7


@pytest.mark.parametrize("repeat", [0, 1.5])
def test_a_repeat_is_a_number_of_steps(repeat):
    with pytest.raises(ValueError, match=f"action_repeat is {repeat}; expected an int of at least 1"):
        BraxEnv(Point(), name="point", bins=3, action_repeat=repeat)


def test_names_and_options_of_brax_are_looked_up(monkeypatch):
    envs = types.SimpleNamespace(_envs={"point": Point})
    envs.get_environment = lambda name, **options: envs._envs[name](**options)
    monkeypatch.setitem(sys.modules, "brax", types.SimpleNamespace(envs=envs))
    env = make("brax:point?bins=5&episode_length=4&noise=0.5")
    assert (env.name, env.num_actions, env.episode_length, env.inner.noise) == ("brax:point", 25, 4, 0.5)
    with pytest.raises(ValueError, match=r"unknown brax environment 'piont': did you mean 'point'"):
        make("brax:piont")
    with pytest.raises(
        ValueError,
        match=r"does not take the options \{'colour': 3\}: .*'colour'; "
        "it takes bins, episode_length, action_repeat, noise",
    ) as e:
        make("brax:point?colour=3&bins=3")
    assert isinstance(e.value.__cause__, TypeError)


@pytest.mark.slow
def test_brax_itself():
    pytest.importorskip("brax", exc_type=ImportError)
    env = make("brax:inverted_pendulum?bins=3&backend='spring'")
    check_env(env, num_games=2, max_plies=8)
    with pytest.raises(
        ValueError, match=r"unknown brax environment 'inverted_pendulun': did you mean 'inverted_p"
    ):
        make("brax:inverted_pendulun?bins=3")
    vectors = make("brax:inverted_pendulum?backend='spring'")
    assert vectors.action_size == 1
    check_env(vectors, num_games=2, max_plies=8)


@pytest.mark.parametrize(("prefix", "package"), [("brax", "brax"), ("playground", "mujoco_playground")])
def test_a_missing_package_is_named(monkeypatch, prefix, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {prefix}"):
        make(f"{prefix}:any?bins=3")
