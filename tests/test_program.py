"""The compiled program: on one device here, on a mesh of four in a process of its own."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.algorithms.alphazero import position_of
from jzero.algorithms.unrolled import MuZeroSettings
from jzero.env_spec import describe
from jzero.metrics import Mean, one, read
from jzero.models.model import mask_logits
from jzero.models.plan import SearchSettings
from jzero.networks.make import NetworkSettings
from jzero.program import _repeat, make_mesh
from jzero.record import make_recorder
from jzero.registry import make
from jzero.run.build import build_network, build_program
from tests.helpers.tiny import (
    Race,
    numbers,
    same_bits,
    start_python,
    tiny,
    worker_report,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


def one_device():
    return make_mesh(jax.devices()[:1])


@functools.cache
def program(updates=2, ema_decay=0.9, **changes):
    config = tiny(updates=updates, ema_decay=ema_decay, **changes)
    return config, build_program(make(config.env), config, one_device())


def played(iterations, **changes):
    _, functions = program(**changes)
    state = functions.init()
    for _ in range(iterations):
        state, _ = functions.play(state)
    return state, functions


def copy_of(tree):
    """On the host; a program's input is gone after the call."""
    leaves, treedef = jax.tree.flatten(tree)
    return jax.tree.unflatten(treedef, [leaf.copy() for leaf in numbers(leaves)])


def test_four_devices_hold_the_same_weights_to_the_bit(four_devices):
    assert four_devices["devices"] == 4
    assert len(four_devices["weights"]) == 4
    assert len(set(four_devices["weights"])) == 1
    assert four_devices["learned"]
    assert four_devices["updates"] == 4


def test_four_devices_play_different_games(four_devices):
    assert len(set(four_devices["lanes"])) == 4


def test_the_same_seed_gives_the_same_bits(four_devices):
    assert four_devices["again"]
    assert not four_devices["other seed"]
    assert all(np.isfinite(float.fromhex(x)) for line in four_devices["log"] for x in line.values())


def test_self_play_has_one_collective_and_the_search_none(four_devices):
    assert four_devices["play"] == ["all-reduce"]
    assert four_devices["search"] == []


def test_an_update_follows_the_mean_gradient_of_the_devices(four_devices):
    assert four_devices["update"] < 1e-3


@pytest.mark.slow
def test_options_of_self_play_work_on_a_mesh(cache):
    found = worker_report(
        start_python("-m", "tests.helpers.mesh_worker", 4, 3, "options", cache=cache), seconds=900
    )
    for option in found.values():
        assert option["equal"]
        assert all(np.isfinite(float.fromhex(x)) for line in option["log"] for x in line.values())
    # Two bids with a choice in two worlds, the dealer's with one on some devices only, then cards without any: a
    # search takes 1 + 2 x 2 evaluations, a ply without a choice 1.
    evaluations = float.fromhex(found["worlds"]["log"][0]["evaluations_per_position"])
    assert (5 + 5 + 1 + 1 + 1 + 1) / 6 < evaluations < (5 + 5 + 5 + 1 + 1 + 1) / 6
    assert float.fromhex(found["reuse and resignation"]["log"][-1]["resigned_share"]) > 0


def test_what_does_not_divide_by_the_devices_is_refused(four_devices):
    assert four_devices["errors"] == [
        "games is 6; it must be a multiple of the 4 devices",
        "batch_size is 18; it must be a multiple of the 4 devices",
    ]


def test_the_ring_is_a_multiple_of_the_plies():
    with pytest.raises(ValueError, match="replay_plies is 20; it must be a multiple of plies, 6"):
        build_program(make("tic_tac_toe"), tiny(replay_plies=20), one_device())


def test_the_ring_is_longer_than_the_lookahead():
    with pytest.raises(
        ValueError, match="replay_plies is 18; it must be greater than 18, the number of later plies"
    ):
        build_program(make("tic_tac_toe"), tiny(td_lookahead=18), one_device())


def test_the_ring_is_longer_than_the_unrolled_steps():
    config = tiny(algorithm="muzero", muzero=MuZeroSettings(unroll_steps=18))
    with pytest.raises(
        ValueError, match=r"^muzero.unroll_steps is 18; it must be less than replay_plies, 18"
    ):
        build_program(make("tic_tac_toe"), config, one_device())
    assert build_program(make("tic_tac_toe"), tiny(muzero=config.muzero), one_device())  # AlphaZero has none


class Widening(Race):
    """Steps turn a count into another dtype."""

    def step(self, state, action, key):
        return super().step(state, action, key)._replace(ply=jnp.float32(0))


class ShortMask(Race):
    """First states have a mask for fewer actions."""

    def init(self, key):
        return super().init(key)._replace(legal_action_mask=jnp.ones(2, jnp.bool_))


@pytest.mark.parametrize("algorithm", ["alphazero", "gumbel_muzero"])
@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Widening(), "- step turns the state's .ply from int32[] into float32[]: keep shape and dtype"),
        (ShortMask(), "- the state's legal_action_mask is bool[2], not bool[3]"),
    ],
)
def test_shapes_that_break_the_protocol_are_named(algorithm, env, message):
    with pytest.raises(ValueError, match="violates the environment protocol") as error:
        build_program(env, tiny(algorithm=algorithm), one_device())
    assert str(error.value).splitlines()[1:] == [message]


def test_games_that_never_end_are_learned_from_after_the_lookahead():
    env = Race(goal=1000, limit=1000)
    config = tiny(plies=6, replay_plies=18, td_lookahead=4, warmup_iterations=0)
    functions = build_program(env, config, one_device())
    state, _ = functions.play(functions.init())
    assert np.asarray(state.replay.ready).tolist() == [6 - 4] * config.games
    assert read(functions.learn(state)[1])["policy_loss"] > 0


def test_the_abstract_state_is_the_shape_of_every_state():
    config, functions = program()
    state = functions.init()
    for iteration in range(3):
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), functions.abstract)
        assert int(state.iteration) == iteration
        state, _ = functions.play(state)
        state, _ = functions.learn(state)
    assert int(state.updates) == 6
    assert int(state.replay.head) == 18
    again = build_program(make(config.env), config, one_device()).abstract
    assert jax.tree.structure(again) == jax.tree.structure(state)


def test_self_play_leaves_the_weights_and_updates_the_games_alone():
    state, functions = played(2)
    before = copy_of(state)
    after, _ = functions.learn(state)
    for part in ("games", "replay", "iteration"):
        assert same_bits(getattr(before, part), getattr(after, part)), part
    for part in ("params", "averaged", "opt_state"):
        assert not same_bits(getattr(before, part), getattr(after, part)), part
    before = copy_of(after)
    after, _ = functions.play(after)
    for part in ("params", "averaged", "opt_state", "updates", "key"):
        assert same_bits(getattr(before, part), getattr(after, part)), part
    assert not same_bits(before.replay.plies, after.replay.plies)


def test_every_iteration_and_every_update_draws_anew():
    state, functions = played(1)
    before = copy_of(state.replay.plies.policy)
    later, _ = functions.play(state)
    assert not np.array_equal(before[0], np.asarray(later.replay.plies.policy)[6])
    state, once = played(2, updates=1)
    losses = []
    for _ in range(3):
        restored = state._replace(params=jax.tree.map(jnp.copy, state.params))
        restored, metrics = once.learn(restored)
        losses.append(read(metrics)["policy_loss"])
        state = restored
    assert len(set(losses)) == 3


def test_steps_shrink_to_nothing_in_the_cooldown():
    """In a straight line from progress 0.6 on, for the last 0.4 of the run."""
    state, functions = played(2, updates=1, cooldown=0.4)
    before = numbers(copy_of(state.params))

    def step(progress):
        copied = jax.tree.map(jnp.copy, state)
        after, _ = functions.learn(copied, np.float32(progress))
        return [new - old for new, old in zip(numbers(after.params), before, strict=True)]

    whole = step(0.6)
    assert max(np.abs(x).max() for x in whole) > 1e-4
    for progress, share in ((0.0, 1.0), (0.7, 0.75), (0.9, 0.25), (1.0, 0.0)):
        for changed, full in zip(step(progress), whole, strict=True):
            np.testing.assert_allclose(changed, share * full, atol=2e-7)


def test_simulations_grow_over_the_first_half_of_a_run():
    search = SearchSettings(num_simulations=9)
    state, functions = played(0, search=search, first_simulations=3)
    found = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        state, metrics = functions.play(state, np.float32(progress))
        found.append(read(metrics)["evaluations_per_position"])
    assert found == [1 + 3, 1 + 6, 1 + 9, 1 + 9]


def test_simulations_do_not_shrink():
    config = tiny(search=SearchSettings(num_simulations=9), first_simulations=10)
    with pytest.raises(
        ValueError, match=r"first_simulations is 10; expected less than search.num_simulations, 9"
    ):
        build_program(make(config.env), config, one_device())


def test_positions_are_sampled_by_their_surprise():
    """Half of a weight is the same for all, half in proportion to the divergence; 1 in the mean of new plies."""
    state, functions = played(1, surprise=0.5)
    first = np.asarray(state.replay.priority)[:6]
    assert first.min() >= 0.5
    assert first.mean() == pytest.approx(1.0, abs=1e-5)
    # An untrained network thinks all legal actions alike: the fewer the search considers, the more surprising.
    policy = np.asarray(state.replay.plies.policy, np.float64)[:6]
    legal = (policy > 0).sum(-1, keepdims=True)
    divergence = (policy * np.log(np.maximum(policy, 1e-12) * legal)).sum(-1)
    np.testing.assert_allclose(first, 0.5 + 0.5 * divergence / divergence.mean(), atol=1e-3)
    state, _ = functions.play(state)
    np.testing.assert_array_equal(np.asarray(state.replay.priority)[:6], first)
    assert read(functions.learn(state)[1])["policy_loss"] > 0


def test_an_algorithm_with_priorities_of_its_own_is_not_sampled_by_surprise():
    config = tiny(algorithm="efficientzero", surprise=0.5)
    config = dataclasses.replace(config, muzero=MuZeroSettings(priority_exponent=0.6))
    with pytest.raises(ValueError, match=r"surprise is .* already has priorities"):
        build_program(make(config.env), config, one_device())


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_averaged_weights_follow_the_newest(ema_decay):
    state, functions = played(2, updates=1, ema_decay=ema_decay)
    expected = [x.astype(np.float64) for x in numbers(state.averaged)]
    for update in range(4):
        state, _ = functions.learn(state)
        decay = min(ema_decay, update / (update + 10))
        newest = numbers(state.params)
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, newest, strict=True)]
    for found, wanted in zip(numbers(state.averaged), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    # From the second update on the average lags behind.
    assert same_bits(state.averaged, state.params) == (ema_decay == 0)


def test_the_averaged_weights_play():
    state, functions = played(1)
    averaged, newest = (
        state._replace(**{part: jax.tree.map(lambda x: x + 1.0, getattr(state, part)), "key": state.key})
        for part in ("averaged", "params")
    )
    one, two, same = (
        np.asarray(functions.play(jax.tree.map(jnp.copy, s))[0].replay.plies.value)
        for s in (state, averaged, newest)
    )
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, same)


def policy_error(params, replay):
    """KL divergence of the recorded policies from the network's, averaged over the whole ring."""
    config, _ = program()
    spec = describe(make(config.env))
    kept = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), replay.plies.position)
    position = make_recorder(spec.env, functools.partial(position_of, spec)).unpack(kept)
    logits, _ = build_network(spec, config).apply(params, position.seen)
    prior = jax.nn.softmax(mask_logits(logits, position.legal), axis=-1)
    target = replay.plies.policy.reshape(-1, 9)
    return float(jnp.mean(jax.scipy.special.rel_entr(target, jnp.maximum(prior, 1e-30)).sum(axis=-1)))


def test_updates_learn_what_the_search_found():
    state, functions = played(3, updates=40)
    losses, errors = [], [policy_error(state.params, state.replay)]
    for _ in range(15):
        state, metrics = functions.learn(state)
        losses.append(read(metrics))
    errors.append(policy_error(state.params, state.replay))
    assert errors[1] < 0.9 * errors[0]
    assert losses[-1]["value_loss"] < 0.7 * losses[0]["value_loss"]
    for line in losses:
        np.testing.assert_allclose(line["loss"], line["policy_loss"] + line["value_loss"], rtol=1e-5)


def test_the_state_is_donated():
    state, functions = played(1)
    after, _ = functions.play(state)
    assert state.replay.plies.policy.is_deleted()
    functions.learn(after)
    assert after.params["params"]["policy"]["Dense_0"]["kernel"].is_deleted()


def test_metrics_of_self_play_are_means():
    games, positions, checks = 4.0, 100.0, 4.0
    metrics = {
        "games_finished_share": Mean(games, positions),
        "game_length": Mean(28.0, games),
        "first_player_return": Mean(-2.0, games),
        "policy_entropy": Mean(50.0, positions),
        "policy_kl_to_prior": Mean(25.0, positions),
        "evaluations_per_position": Mean(300.0, positions),
        "lost_share": Mean(10.0, positions),
        "resigned_share": Mean(1.0, games),
        "resign_error_share": Mean(1.0, checks),
    }
    assert read(metrics) == {
        "games_finished_share": 0.04,
        "game_length": 7.0,
        "first_player_return": -0.5,
        "policy_entropy": 0.5,
        "policy_kl_to_prior": 0.25,
        "evaluations_per_position": 3.0,
        "lost_share": 0.1,
        "resigned_share": 0.25,
        "resign_error_share": 0.25,
    }
    assert read(dict.fromkeys(metrics, Mean(0.0, 0.0))) == {}  # means of nothing
    _, functions = program(resign_below=-0.5)
    assert functions.play(functions.init())[1].keys() == metrics.keys()


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3, 6], [4, 4, 4, 0], {"a": 3.0, "b": 3.0, "updates_averaged": 4.0}),
        ([1, 2, np.nan, 6], [4, 4, 4, np.nan], {"a": np.nan, "b": 4.0, "updates_averaged": 3.0}),
        ([1, 2, np.nan, 6], [4, np.inf, 4, 0], {"a": 1.5, "b": np.inf, "updates_averaged": 2.0}),
        ([np.nan] * 4, [4, np.nan, 4, 0], {"a": np.nan, "b": 4.0, "updates_averaged": 1.0}),
        ([1, 2, 3, np.nan], [4, 4, 4, 0], {"a": np.nan, "b": 3.0, "updates_averaged": 4.0}),
    ],
)
def test_means_end_with_the_first_update_that_is_not_finite(on_cpu, a, b, expected):
    logged = {"a": jnp.array(a, jnp.float32), "b": jnp.array(b, jnp.float32)}

    def update(number, progress):
        del progress
        return number + 1, {name: one(values[number]) for name, values in logged.items()}

    number, found = _repeat(update, 4, on_cpu=on_cpu)(jnp.int32(0))
    assert number == 4
    assert read(found) == pytest.approx(expected, nan_ok=True)


ONE_PLAYER = {
    "search": SearchSettings(policy="puct", num_simulations=3),
    "full_search_fraction": 0.5,
    "fast_simulations": 2,
    "random_move_fraction": 0.1,
    "td_lambda": 0.5,
    "discount": 0.9,
}


@pytest.mark.parametrize(
    ("env", "changes"),
    [
        (Race(num_players=1), ONE_PLAYER),
        pytest.param(
            make("connect_four"),
            {"network": NetworkSettings(kind="resnet", width=8, blocks=1, bf16=True)},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one player", "bfloat16 tower"],
)
def test_other_settings_train_too(env, changes):
    functions = build_program(env, tiny(plies=3, **changes), one_device())
    state = functions.init()
    for _ in range(3):
        state, metrics = functions.play(state)
        assert all(np.isfinite(value) for value in read(metrics).values())
    state, metrics = functions.learn(state)
    assert all(np.isfinite(value) for value in read(metrics).values())
    assert all(np.isfinite(leaf).all() for leaf in numbers(state.averaged))


class PythonNumbers(Race):
    """First states hold numbers of Python, as those of pgx's Othello do; they are of JAX's weak types."""

    def init(self, key):
        start = super().init(key)
        return start._replace(position=0, ply=0, current_player=0, terminated=False)


def numbered(env, algorithm):
    network = NetworkSettings(width=16, blocks=1)
    config = tiny(algorithm=algorithm, network=network, plies=3, warmup_iterations=0)
    return build_program(env, config, one_device())


@pytest.mark.parametrize("algorithm", ["alphazero", "gumbel_muzero"])
def test_first_states_may_hold_numbers_of_python(algorithm):
    assert same_bits(numbered(PythonNumbers(), algorithm).init(), numbered(Race(), algorithm).init())


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["alphazero", "gumbel_muzero"])
def test_play_from_numbers_of_python_is_that_from_arrays(algorithm):
    ends = []
    for env in (PythonNumbers(), Race()):
        functions = numbered(env, algorithm)
        state, _ = functions.learn(functions.play(functions.init())[0])
        ends.append(state)
    assert same_bits(*ends)
