"""gymnax's games against gymnax itself, and CartPole against gymnasium."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jzero_envs.adapters.gymnax import Gymnax0, GymnaxEnv

from jzero import check_env, make
from jzero.env import is_finished
from jzero.env_spec import describe
from jzero.models.simulator import check_hidden

gymnax = pytest.importorskip("gymnax", exc_type=ImportError)

KEY = jax.random.key(0)
MINATAR = {"Asterix": 4, "Breakout": 4, "Freeway": 7, "Seaquest": 10, "SpaceInvaders": 6}  # channels
CONTINUOUS = {
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "PointRobot-misc",
    "Reacher-misc",
    "Swimmer-misc",
}


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


def upright(view, key):
    """A controller of CartPole that never falls. The view is f32[4]."""
    return (view[2] + 0.3 * view[3] + 0.02 * view[0] + 0.08 * view[1] > 0).astype(jnp.int32)


def uniform(env):
    return lambda view, key: jax.random.randint(key, (), 0, env.num_actions)


def roll(env, policy, num_games, num_steps, seed=0):
    """States and observations [T + 1, G, ...], and the actions and keys [T, G] between them."""

    def game(key):
        def step(now, key):
            state, view = now
            noise_key, step_key = jax.random.split(key)
            action = policy(view, noise_key)
            state = env.step(state, action, step_key)
            return (state, env.observe(state)), (now, action, step_key)

        start_key, key = jax.random.split(key)
        first = env.init(start_key)
        return jax.lax.scan(step, (first, env.observe(first)), jax.random.split(key, num_steps))

    last, (played, actions, keys) = jax.jit(jax.vmap(game))(jax.random.split(jax.random.key(seed), num_games))
    states, views = jax.tree.map(
        lambda many, one: np.concatenate([many, one[:, None]], axis=1).swapaxes(0, 1), played, last
    )
    return states, views, actions.T, keys.T


# CartPole and gymnasium.


def assert_same_as_gymnasium(states, views, actions):
    """Every step from an unfinished state gives in gymnasium what it gives here; returns how many there were."""
    other = pytest.importorskip("gymnasium").make("CartPole-v1").unwrapped
    other.reset(seed=0)
    compared = 0
    for ply, game in np.argwhere(~is_finished(states)[:-1]):
        other.state, other.steps_beyond_terminated = tuple(views[ply, game].astype(float)), None
        view, reward, terminated, _, _ = other.step(int(actions[ply, game]))
        np.testing.assert_allclose(views[ply + 1, game], view, atol=1e-5, rtol=0)
        assert states.rewards[ply + 1, game] == [reward]
        assert states.terminated[ply + 1, game] == terminated
        compared += 1
    return compared


def test_cartpole_is_gymnasiums_cartpole():
    env = make("gymnax:CartPole-v1")
    states, views, actions, _ = roll(env, uniform(env), num_games=200, num_steps=120)
    assert views.dtype == np.float32
    assert states.terminated[-1].mean() > 0.9
    assert not states.truncated.any()
    assert assert_same_as_gymnasium(states, views, actions) > 3_000


def test_cartpole_is_cut_short_after_500_steps():
    env = make("gymnax:CartPole-v1")
    states, views, actions, _ = roll(env, upright, num_games=4, num_steps=502)
    assert not states.terminated.any()
    assert states.truncated.argmax(axis=0).tolist() == [500] * 4
    assert states.truncated[500:].all()
    assert states.rewards[1:501].all()
    assert not states.rewards[501:].any()
    kept = states._replace(rewards=0 * states.rewards)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf[500], leaf[502]), kept)
    assert assert_same_as_gymnasium(states, views, actions) == 4 * 500


# MinAtar and gymnax.


@pytest.mark.parametrize(
    "game",
    [
        "Breakout",
        "SpaceInvaders",
        *(pytest.param(game, marks=pytest.mark.slow) for game in ("Asterix", "Freeway", "Seaquest")),
    ],
)
def test_minatar_is_gymnaxs_own_step(game):
    env, (own, params) = make(f"gymnax:{game}-MinAtar"), gymnax.make(f"{game}-MinAtar")
    states, views, actions, keys = roll(env, uniform(env), num_games=16, num_steps=200, seed=1)

    def game_of_gymnax(key, actions, keys):
        def step(inner, now):
            view, inner, reward, done, _ = own.step_env(now[1], inner, now[0], params)
            return jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), inner, first), (view, reward, done)

        view, first = own.reset_env(jax.random.split(key)[0], params)
        first = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), first)
        return view, jax.lax.scan(step, first, (actions, keys))[1]

    first, (seen, rewards, done) = jax.jit(jax.vmap(game_of_gymnax))(
        jax.random.split(jax.random.key(1), 16), actions.T, keys.T
    )
    assert views.dtype == np.uint8
    assert views.shape[2:] == (10, 10, MINATAR[game])
    assert (views[0] == first).all()
    lives = ~is_finished(states)[:-1].T  # the step starts from an unfinished state
    assert (views[1:].swapaxes(0, 1)[lives] == np.asarray(seen)[lives]).all()
    assert (states.rewards[1:, :, 0].T[lives] == np.asarray(rewards)[lives]).all()
    assert (states.terminated[1:].T[lives] == np.asarray(done)[lives]).all()
    assert lives.sum() > 100
    assert states.terminated.any() == (game != "Freeway")


@pytest.mark.parametrize(("game", "limit"), [("Freeway", 2500), ("SpaceInvaders", 1000)])
def test_minatars_step_limit_is_truncation(game, limit):
    env = make(f"gymnax:{game}-MinAtar")

    def flags(time):
        state = env.init(jax.random.key(0))
        state = state._replace(inner=state.inner.replace(time=time))
        state = env.step(state, jnp.int32(0), jax.random.key(1))
        return state.terminated, state.truncated

    terminated, truncated = jax.jit(jax.vmap(flags))(jnp.array([limit - 2, limit - 1]))
    assert not terminated.any()
    assert truncated.tolist() == [False, True]


@pytest.mark.parametrize(
    "name",
    [
        "CartPole-v1",
        "Breakout-MinAtar",
        "SpaceInvaders-MinAtar",
        *(
            pytest.param(f"{game}-MinAtar", marks=pytest.mark.slow)
            for game in ("Asterix", "Freeway", "Seaquest")
        ),
    ],
)
def test_check_env_finds_nothing(name):
    check_env(make(f"gymnax:{name}"), num_games=8, max_plies=100)


@pytest.mark.parametrize("name", sorted(set(gymnax.registered_envs) - CONTINUOUS - {"MNISTBandit-bsuite"}))
def test_a_state_has_one_structure(name):
    env = make(f"gymnax:{name}")
    first = jax.eval_shape(env.init, jax.random.key(0))
    after = jax.eval_shape(env.step, first, jnp.int32(0), jax.random.key(0))
    kinds = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)  # noqa: E731
    assert kinds(first) == kinds(after)


@pytest.mark.parametrize("name", ["Asterix-MinAtar", "CartPole-v1"])
def test_it_passes_shard_maps_check(name):
    env = make(f"gymnax:{name}")
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("devices",))
    rows = jax.sharding.PartitionSpec("devices")

    def play(keys):
        states = jax.vmap(env.init)(keys)
        return jax.vmap(env.step)(states, jnp.zeros(2, jnp.int32), keys)

    sharded = jax.shard_map(play, mesh=mesh, in_specs=rows, out_specs=rows)
    keys = jax.random.split(jax.random.key(0), 2)
    assert jax.eval_shape(sharded, keys).terminated.shape == (2,)


@pytest.mark.parametrize("chance", [0.1, 1.0])
def test_sticky_actions_repeat_what_was_done_last(chance):
    env = make(f"gymnax:Breakout-MinAtar?sticky_actions={chance}")
    states, _, actions, _ = roll(env, uniform(env), 64, 30)
    done, before = states.last_action[1:], states.last_action[:-1]
    going = ~is_finished(states)[:-1]
    different = going & (actions != before)
    repeated = different & (done == before)
    assert ((done == actions) | (done == before))[going].all()
    share, number = repeated.sum() / different.sum(), different.sum()
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / number) + 1e-9
    # What was done is what the game saw: replayed without stickiness it is the same game.
    plain = make("gymnax:Breakout-MinAtar")
    step = jax.jit(jax.vmap(plain.step))
    now = jax.tree.map(lambda x: x[0], states)
    for ply in range(30):
        now = step(now, done[ply], jax.random.split(jax.random.key(ply), 64))
        assert (now.inner.pos == states.inner.pos[ply + 1]).all()


def test_breakout_is_the_same_in_the_mirror():
    env = make("gymnax:Breakout-MinAtar")
    (symmetry,) = env.symmetries

    def policy(view, key):
        """Follows the ball, mostly, so that games go on."""
        paddle, ball = (jnp.argmax(view[..., channel].any(axis=0)) for channel in (0, 1))
        follow = jnp.where(ball < paddle, 1, jnp.where(ball > paddle, 2, 0))
        random = jax.random.randint(key, (), 0, 3)
        return jnp.where(jax.random.bernoulli(jax.random.fold_in(key, 1), 0.05), random, follow)

    def mirrored(state):
        inner = state.inner
        return state._replace(
            inner=inner.replace(
                pos=9 - inner.pos,
                ball_x=9 - inner.ball_x,
                last_x=9 - inner.last_x,
                ball_dir=jnp.array([1, 0, 3, 2])[inner.ball_dir],
                brick_map=inner.brick_map[:, ::-1],
            )
        )

    @jax.jit
    @jax.vmap
    def both_ways(state, action, key):
        image, taken = mirrored(state), jnp.asarray(symmetry.action)[action]
        one, other = env.step(state, action, key), env.step(image, taken, key)
        views = symmetry.observation(env.observe(state)), env.observe(image)
        later = symmetry.observation(env.observe(one)), env.observe(other)
        return views, later, (one.rewards, other.rewards), (one.terminated, other.terminated)

    states, _, actions, keys = roll(env, policy, 100, 150)
    before = jax.tree.map(lambda x: x[:-1].reshape(-1, *x.shape[2:]), states)
    pairs = both_ways(before, actions.reshape(-1), keys.reshape(-1))
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    rewards, ends = np.asarray(pairs[2][0]), np.asarray(pairs[3][0])
    assert rewards.sum() > 300
    assert ends.sum() > 30
    assert make("gymnax:Freeway-MinAtar").symmetries == ()


@struct.dataclass
class WalkState:
    place: jax.Array
    time: jax.Array


class WalkOf00:
    """A walk of the shape of gymnax 0.0: `done` is the end of the way or the limit of steps."""

    def reset_env(self, key, params):
        state = WalkState(jnp.int32(0), jnp.int32(0))
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        state = WalkState(state.place + action, state.time + 1)
        done = (state.place >= 4) | (state.time >= params.max_steps_in_episode)
        return self.get_obs(state, params), state, 1.0 * action, done, {}

    def get_obs(self, state, params):
        return jnp.stack([state.place, state.time / params.max_steps_in_episode])

    def action_space(self, params):
        return types.SimpleNamespace(n=2)


@struct.dataclass
class WalkParams:
    max_steps_in_episode: int = 6


def test_gymnax_00s_done_is_split_into_the_end_and_the_limit():
    env = GymnaxEnv("walk", 2, Gymnax0(WalkOf00()), WalkParams())
    check_env(env, num_games=8, max_plies=8)
    step = jax.jit(env.step)
    ends = []
    for wait in range(4):  # the end of the way is reached after 4 + wait steps, the limit after 6
        state = env.init(jax.random.key(0))
        for ply in range(6):
            assert env.observe(state)[1] == pytest.approx(min(ply, 4 + wait) / 6)
            state = step(state, jnp.int32(ply >= wait), jax.random.key(0))
        ends.append((bool(state.terminated), bool(state.truncated)))
    assert ends == [(True, False), (True, False), (True, True), (False, True)]


@pytest.mark.parametrize("name", ["SimpleBandit-bsuite", "MetaMaze-misc"])
def test_what_is_hidden_is_not_searched(name):
    env = make(f"gymnax:{name}")
    with pytest.raises(ValueError, match=rf"'{name}' holds information hidden from the player to move"):
        check_hidden(describe(env))
    spec = describe(make("gymnax:CartPole-v1"))
    check_hidden(spec)
    assert not spec.resamples


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(gymnax.registered_envs) - {"MNISTBandit-bsuite"}))
def test_check_env_finds_nothing_in_any_game(name):
    check_env(make(f"gymnax:{name}"), num_games=2, max_plies=12)


def test_a_name_may_hold_gymnaxs_parameters():
    env = make("gymnax:CartPole-v1?max_steps_in_episode=20&gravity=20&sticky_actions=0.5")
    assert (env.params.max_steps_in_episode, env.params.gravity, env.sticky_actions) == (20, 20, 0.5)
    env = make("gymnax:CartPole-v1?max_steps_in_episode=20&gravity=20")
    states, views, actions, _ = roll(env, upright, num_games=4, num_steps=22)
    assert states.truncated.argmax(axis=0).tolist() == [20] * 4
    own, params = gymnax.make("CartPole-v1")
    now = jax.tree.map(lambda x: x[3, 0], states.inner)
    seen, *_ = own.step_env(KEY, now, actions[3, 0], params.replace(gravity=20.0))
    np.testing.assert_allclose(views[4, 0], seen, rtol=1e-5)
    assert make("gymnax:Pendulum-v1?max_torque=3.0").bounds[1].tolist() == [3.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "max_steps=20",
            r"unknown parameter of gymnax's 'CartPole-v1' 'max_steps': .*known: force_mag, gravity, ",
        ),
        ("graviti=2.0", r"did you mean 'gravity'\? known: .*max_steps_in_episode.*theta_threshold_radians"),
        ("max_steps_in_episode=0.5", r"'CartPole-v1': max_steps_in_episode is 0.5; it is 500 by default"),
        ("gravity='low'", r"'CartPole-v1': gravity is 'low'; it is 9.8 by default"),
    ],
)
def test_parameters_that_gymnax_does_not_have_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        make(f"gymnax:CartPole-v1?{options}")


def test_sticky_actions_are_a_probability():
    with pytest.raises(ValueError, match=r"sticky_actions is 1.5; it must be a probability"):
        make("gymnax:CartPole-v1?sticky_actions=1.5")


def test_data_that_cannot_be_had_is_told(monkeypatch):
    def offline(name):
        raise OSError("no route to host")

    monkeypatch.setattr(gymnax, "make", offline)
    with pytest.raises(ValueError, match=r"'MNISTBandit-bsuite': cannot get its data: no route to host$"):
        make("gymnax:MNISTBandit-bsuite")


def test_unknown_games_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown gymnax game 'cartpole': did you mean 'CartPole-v1'"):
        make("gymnax:cartpole")


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_continuous_games_equal_gymnasiums(name):
    """Every step of random games: what is seen and earned, with actions scaled to gymnasium's bounds."""
    other = pytest.importorskip("gymnasium").make(name).unwrapped
    env = make(f"gymnax:{name}")
    assert env.action_size == 1
    states, views, actions, _ = roll(env, lambda view, key: jax.random.uniform(key, (1,), minval=-1.2), 2, 60)
    actions = np.moveaxis(actions, 0, -1)  # of [D, T, G]
    low, high = other.action_space.low, other.action_space.high
    other.reset(seed=0)
    for ply, game in np.ndindex(60, 2):
        inner = jax.tree.map(lambda x, at=(ply, game): float(x[at]), states.inner)
        other.state = np.array(
            [inner.theta, inner.theta_dot] if name == "Pendulum-v1" else [inner.position, inner.velocity]
        )
        action = np.clip(actions[ply, game], -1, 1)
        view, reward, *_ = other.step(low + (high - low) * (action + 1) / 2)
        np.testing.assert_allclose(views[ply + 1, game], view, rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(states.rewards[ply + 1, game, 0], reward, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CONTINUOUS))
def test_continuous_games_have_vectors_within_the_bounds(name):
    env = make(f"gymnax:{name}")
    space = env.inner.action_space(env.params)
    assert env.action_size == space.shape[0]
    first = jax.eval_shape(env.init, jax.random.key(0))
    after = jax.eval_shape(env.step, first, jnp.zeros(env.action_size), jax.random.key(0))
    kinds = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)  # noqa: E731
    assert kinds(first) == kinds(after)
    assert first.legal_action_mask.shape == (1,)


def test_spaces_without_bounds_are_refused(monkeypatch):
    space = gymnax.environments.spaces.Box(-jnp.inf, jnp.inf, (2,))
    monkeypatch.setattr(type(gymnax.make("Pendulum-v1")[0]), "action_space", lambda self, params: space)
    with pytest.raises(ValueError, match=r"'Pendulum-v1' has the actions Box.*finite bounds"):
        make("gymnax:Pendulum-v1")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(ImportError, match=r'pip install "jzero\[envs\]"'):
        make("gymnax:CartPole-v1")
