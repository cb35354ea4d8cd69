"""Atari: the games inside of compiled programs against the same emulators driven from Python. B games, T steps."""

import base64
import gc
import io
import sys
import weakref
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero import make
from jzero.env import init_batch, is_finished, restart_batch, step_batch

pytest.importorskip("ale_py.vector_env", exc_type=ImportError)

from ale_py import ALEInterface, roms
from ale_py.vector_env import AtariVectorEnv
from matplotlib.image import imread

KEY = jax.random.key(7)
B = 3


def in_python(game, actions, **settings):
    """Frames u8[T + 1, B, 96, 96, 3], rewards, terminated, truncated [T, B] of ale-py driven from Python."""
    settings = {"life_loss_info": True, "reward_clipping": True, **settings}
    emulators = AtariVectorEnv(
        game,
        actions.shape[1],
        img_height=96,
        img_width=96,
        grayscale=False,
        stack_num=1,
        use_fire_reset=False,
        autoreset_mode="SameStep",
        **settings,
    )
    frames, outcomes = [emulators.reset(seed=seeds(actions.shape[1]))[0]], []
    for row in actions:
        frame, *outcome, _ = emulators.step(row)
        frames.append(frame)
        outcomes.append(outcome)
    rewards, terminated, truncated = (np.array(each) for each in zip(*outcomes, strict=True))
    return np.array(frames)[:, :, 0], rewards, terminated, truncated


def seeds(num_games):
    """What `init` draws for the games of `init_batch(env, KEY, num_games)`."""
    keys = jax.random.split(KEY, num_games)
    draw = lambda key: jax.random.randint(key, (), 0, np.iinfo(np.int32).max, jnp.int32)  # noqa: E731
    return np.asarray(jax.vmap(draw)(keys))


def scan(env, start, actions, restart=True):
    """States [T, B, ...] after each step, and those that the next step starts from."""

    def ply(states, action):
        after = step_batch(env, states, action, KEY)
        now = restart_batch(env, after, KEY) if restart else after
        choose = lambda new, old: jnp.where(  # noqa: E731
            is_finished(after).reshape(-1, *(1,) * (old.ndim - 1)), new, old
        )
        states = jax.tree.map(choose, now, after)
        return states, (after, states)

    return jax.lax.scan(ply, start, actions)[1]


def play(env, actions, restart=True):
    """The first states [B, ...] and `scan` from there, as two compiled programs."""
    start = jax.jit(lambda: init_batch(env, KEY, actions.shape[1]))()
    after, now = jax.jit(lambda start, actions: scan(env, start, actions, restart))(start, actions)
    return jax.tree.map(np.asarray, (start, after, now))


def random_actions(game, num_steps, num_games=B, seed=0):
    num_actions = make(f"ale:{game}").num_actions
    return np.random.default_rng(seed).integers(0, num_actions, (num_steps, num_games)).astype(np.int32)


def at(states, ply, game):
    return jax.tree.map(lambda leaf: leaf[ply, game], states)


@pytest.fixture(scope="module")
def breakout():
    """Breakout in training: environment, actions, first states, then those after each step and after `restart`."""
    env, actions = make("ale:breakout"), random_actions("breakout", 80)
    return env, actions, *play(env, actions)


@pytest.mark.parametrize(
    ("game", "kwargs", "settings", "largest_reward"),
    [
        ("pong", {}, {}, 0),
        pytest.param(
            *("assault", {"sticky_actions": 0.25}, {"repeat_action_probability": 0.25}, 1),
            marks=pytest.mark.slow,
        ),
        (
            "assault",
            {"max_frames": 200, "evaluation": True},
            {"max_num_frames_per_episode": 200, "reward_clipping": False, "life_loss_info": False},
            21,
        ),
    ],
    ids=["training", "sticky", "evaluation"],
)
def test_a_compiled_scan_is_ale_py_driven_from_python(game, kwargs, settings, largest_reward):
    actions = random_actions(game, 80)
    start, after, _ = play(make(f"ale:{game}", **kwargs), actions)
    frames, rewards, terminated, truncated = in_python(game, actions, **settings)
    assert (start.frames[:, -1] == frames[0]).all()
    assert (after.frames[:, :, -1] == frames[1:]).all()
    assert (after.rewards[..., 0] == rewards).all()
    assert (after.terminated == terminated).all()
    assert (after.truncated == truncated).all()
    assert rewards.any()
    assert rewards.max() == largest_reward
    assert truncated.any() == ("max_frames" in kwargs)
    # Frames differ from step to step: else a repeated or lost step could not be seen.
    assert (frames[1:] != frames[:-1]).any(axis=(2, 3, 4)).mean() > 0.9


def test_steps_without_a_loop_keep_their_order():
    env, actions = make("ale:pong"), random_actions("pong", 16, num_games=1)

    def run(state):
        newest = [state.frames[-1]]
        for action in actions[:, 0]:
            state = env.step(state, action, KEY)
            newest.append(state.frames[-1])
        return jnp.stack(newest)

    frames, *_ = in_python("pong", actions)
    assert (jax.jit(run)(env.init(jax.random.split(KEY, 1)[0])) == frames[:, 0]).all()


def test_a_step_is_done_even_if_nobody_looks():
    env, actions = make("ale:pong"), np.full((2, 1), 2, np.int32)
    state = env.init(jax.random.split(KEY, 1)[0])
    step = lambda state: env.step(state, jnp.int32(2), KEY)  # noqa: E731
    jax.block_until_ready(jax.jit(lambda state: (step(state), state.rewards)[1])(state))
    frames, *_ = in_python("pong", actions)
    assert (step(state).frames[-1] == frames[2, 0]).all()


def test_a_lost_life_ends_a_game_that_goes_on(breakout):
    _, actions, _, after, now = breakout
    frames, _, terminated, _ = in_python("breakout", actions)
    assert terminated.sum() >= 3
    assert (after.terminated == terminated).all()
    assert (now.frames[:, :, -1] == frames[1:]).all()  # no frame is spent on the restart


def test_in_evaluation_a_lost_life_ends_nothing(breakout):
    _, actions, _, after, _ = breakout
    _, whole, _ = play(make("ale:breakout", evaluation=True), actions)
    assert after.terminated.any()
    assert not whole.terminated.any()
    assert (whole.frames[:, :, -1] == after.frames[:, :, -1]).all()


def test_the_stack_is_the_last_four_frames_of_the_game(breakout):
    env, _, start, _, now = breakout
    for game in range(B):
        history = [start.frames[game, -1]] * 4
        for ply in range(len(now.terminated)):
            finished = breakout[3].terminated[ply, game]
            newest = now.frames[ply, game, -1]
            history = [newest] * 4 if finished else [*history[1:], newest]
            assert (now.frames[ply, game] == np.stack(history)).all()
    view = np.asarray(env.observe(at(now, 50, 0)))
    assert view.shape == (96, 96, 12)
    assert view.dtype == np.uint8
    assert (view[..., 3:6] == now.frames[50, 0, 1]).all()


def test_records_bring_back_the_observation(breakout):
    env, _, start, after, now = breakout
    states = jax.tree.map(lambda first, rest: np.concatenate([first[None], rest]), start, now)
    ends = np.flatnonzero(is_finished(after)[:, 0]) + 1
    assert len(ends) > 0
    for first in (0, int(ends[0])):
        for ply in range(first, first + 6):
            plies = [max(first, ply - back) for back in (3, 2, 1, 0)]
            records = [env.record(at(states, each, 0)) for each in plies]
            recalled = env.recall(jax.tree.map(lambda *leaves: np.stack(leaves), *records))
            assert (recalled == env.observe(at(states, ply, 0))).all()
    assert env.history == 4
    assert records[0].frame.shape == (96, 96, 3)
    assert records[0].legal_action_mask.shape == (env.num_actions,)


def test_a_restarted_state_is_a_first_state(breakout):
    _, _, _, after, now = breakout
    ply, game = np.argwhere(is_finished(after))[0]
    state = at(now, ply, game)
    assert not state.terminated
    assert not state.truncated
    assert state.rewards.tolist() == [0.0]
    assert (state.frames == state.frames[-1]).all()
    assert (state.frames[-1] == after.frames[ply, game, -1]).all()


def test_a_finished_game_stays_and_the_others_go_on(breakout):
    env, actions, _, after, _ = breakout
    frames, rewards, terminated, _ = in_python("breakout", actions)
    _, kept, _ = play(env, actions, restart=False)
    for game in range(B):
        end = int(terminated[:, game].argmax()) if terminated[:, game].any() else len(actions) - 1
        assert (kept.frames[: end + 1, game, -1] == frames[1 : end + 2, game]).all()
        assert (kept.frames[end:, game] == kept.frames[end, game]).all()
        assert (kept.rewards[: end + 1, game, 0] == rewards[: end + 1, game]).all()
        assert not kept.rewards[end + 1 :, game].any()
    assert len(set(terminated.argmax(axis=0))) > 1  # they end at different times
    # All emulators went on, so the next step waits for every one of them.
    assert (kept.frame_number == after.frame_number).all()


def test_shard_map_on_one_device_changes_nothing(breakout):
    _, actions, _, plain, _ = breakout
    env = make("ale:breakout")
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("devices",))
    rows, later = jax.sharding.PartitionSpec("devices"), jax.sharding.PartitionSpec(None, "devices")
    start = jax.shard_map(lambda keys: jax.vmap(env.init)(keys), mesh=mesh, in_specs=rows, out_specs=rows)
    go_on = jax.shard_map(
        lambda states, actions: scan(env, states, actions)[0],
        mesh=mesh,
        in_specs=(rows, later),
        out_specs=later,
    )
    sharded = jax.jit(go_on)(jax.jit(start)(jax.random.split(KEY, B)), actions)
    jax.tree.map(np.testing.assert_array_equal, sharded, plain)


def test_a_state_varies_over_the_mesh_as_its_action_does():
    env, rows = make("ale:pong"), jax.sharding.PartitionSpec("devices")
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("devices",))

    def two_steps(states):
        step = lambda states, action: (step_batch(env, states, action, KEY), None)  # noqa: E731
        return jax.lax.scan(step, states, jnp.zeros((2, B), jnp.int32))[0]

    states = jax.eval_shape(lambda: init_batch(env, KEY, B))
    after = jax.eval_shape(jax.shard_map(two_steps, mesh=mesh, in_specs=rows, out_specs=rows), states)
    assert after.frames.shape == states.frames.shape


def test_more_devices_are_refused():
    env, rows = make("ale:pong"), jax.sharding.PartitionSpec("devices")
    mesh = jax.sharding.AbstractMesh((2,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    start = jax.shard_map(jax.vmap(env.init), mesh=mesh, in_specs=rows, out_specs=rows)
    with pytest.raises(ValueError, match=r"'ale:pong' runs on one device, got a mesh of 2"):
        jax.eval_shape(start, jax.random.split(KEY, 2))


def test_a_second_batch_axis_is_refused():
    env = make("ale:pong")
    with pytest.raises(ValueError, match=r"single jax\.vmap"):
        jax.eval_shape(jax.vmap(jax.vmap(env.init)), jax.random.split(KEY, (2, 2)))


def test_one_game_is_played_without_a_batch():
    env = make("ale:pong")
    step = jax.jit(env.step)
    state = env.init(jax.random.split(KEY, 1)[0])
    frames, *_ = in_python("pong", np.full((5, 1), 2))
    for frame in frames[1:, 0]:
        state = step(state, jnp.int32(2), KEY)
        assert (state.frames[-1] == frame).all()


def test_an_action_out_of_range_does_not_stop_the_emulators():
    env = make("ale:pong")
    state = env.step(env.init(KEY), jnp.int32(99), KEY)
    same = env.step(env.init(KEY), jnp.int32(env.num_actions - 1), KEY)
    assert (state.frames == same.frames).all()


def test_a_program_outlives_its_environment():
    def first_frames():
        env = make("ale:pong")
        return jax.jit(lambda: init_batch(env, KEY, B).frames).lower().compile(), weakref.ref(env)

    program, env = first_frames()
    gc.collect()
    assert env() is None
    frames, *_ = in_python("pong", random_actions("pong", 1))
    assert (np.asarray(program())[:, -1] == frames[0]).all()


def test_a_state_has_the_protocols_structure():
    env = make("ale:pong")
    state = jax.eval_shape(env.init, KEY)
    assert state.frames.shape == (4, 96, 96, 3)
    assert state.legal_action_mask.shape == (env.num_actions,)
    kinds = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)  # noqa: E731
    assert kinds(jax.eval_shape(env.step, state, jnp.int32(0), KEY)) == kinds(state)
    assert kinds(jax.eval_shape(env.restart, state, KEY)) == kinds(state)
    view = jax.eval_shape(env.observe, state)
    assert (view.shape, view.dtype) == ((96, 96, 12), np.uint8)


@pytest.mark.parametrize("game", ["pong", "breakout"])
def test_actions_are_the_games_minimal_set(game):
    emulator = ALEInterface()
    emulator.loadROM(roms.get_rom_path(game))
    env = make(f"ale:{game}")
    assert (env.name, env.num_players, env.external) == (game, 1, True)
    assert env.num_actions == len(emulator.getMinimalActionSet()) < 18


def test_svg_shows_the_newest_frame(breakout):
    env, _, _, after, _ = breakout
    (image,) = ElementTree.fromstring(env.svg(at(after, 30, 0)))
    data = image.get("href").removeprefix("data:image/png;base64,")
    picture = np.round(imread(io.BytesIO(base64.b64decode(data)))[..., :3] * 255)
    assert (picture == after.frames[30, 0, -1]).all()


def test_unknown_games_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown Atari game 'Pong': did you mean 'pong'"):
        make("ale:Pong")


def test_a_missing_rom_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"'pong': cannot read its ROM .*unset ALE_ROMS_DIR"):
        make("ale:pong")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py.vector_env", None)
    with pytest.raises(ImportError, match=r'pip install "jzero\[envs\]"'):
        make("ale:pong")
