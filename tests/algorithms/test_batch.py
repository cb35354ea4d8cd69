"""Batches for a learned model, sample by sample against Python; reanalyse; observations that look back.

Axes: S samples, K unrolled steps, T plies, B lanes.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jzero.algorithms.unrolled import MuZeroSettings, make_batch, observations
from jzero.env import Symmetry
from jzero.env_spec import describe
from jzero.models.learned import learned_model
from jzero.models.plan import SearchSettings, make_planner
from jzero.networks.make import NetworkSettings
from jzero.self_play import start_games
from tests.helpers import rings
from tests.helpers.networks import tabular_model
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import learned_of, planned, play_on, same_bits, simulator, tiny
from tests.oracles import muzero as oracle
from tests.oracles import replay as replay_oracle

B, LENGTH, CAPACITY, SAMPLES, K = 24, 64, 24, 2000, 3
WAYS = {
    "to the end": {},
    "n-step": {"td_steps": 4},
    "network": {"td_steps": 4, "bootstrap": "network"},
    "shorter with age": {"td_steps": 4, "td_age": 5 * B},
    "searched if old": {"td_steps": 4, "search_value_age": 9 * B},
}


def config_of(**muzero):
    return tiny(
        algorithm="muzero",
        augment=False,
        games=B,
        batch_size=SAMPLES,
        muzero=MuZeroSettings(unroll_steps=K, **muzero),
    )


@functools.cache
def successors():
    """i32[T B, A]: the plies that a stand-in for a network says follow each."""
    return np.random.default_rng(6).integers(B * LENGTH, size=(B * LENGTH, rings.ACTIONS)).astype(np.int32)


@functools.cache
def network_values():
    """f32[T B]: what the stand-in for a network says of each ply."""
    return np.random.default_rng(5).uniform(-2, 2, B * LENGTH).astype(np.float32)


def expected_value(config, lane, at, age, held):
    """The value target of the ply `at` when the sampled ply of its game has this age."""
    muzero, plies = config.muzero, lane.plies
    if not muzero.td_steps:
        return replay_oracle.lambda_return(lane.plies, at, config.td_lambda)
    old = (held - age) * config.games
    if muzero.search_value_age and old > muzero.search_value_age:
        return lane.plies[at].value
    n = oracle.n_steps_of_age(old, muzero.td_steps, muzero.td_age) if muzero.td_age else muzero.td_steps
    ends_with = [ply.value for ply in lane.plies]
    if muzero.bootstrap == "network":
        ends_with = network_values()[lane.number * LENGTH :][: len(lane.plies)].tolist()
        after = successors()[lane.number * LENGTH :][: len(lane.plies)][
            np.arange(len(lane.plies)), lane.actions
        ]
        # A game that was cut short goes on with what the network says of the state after its last action.
        today = [
            ply.reward + ply.discount * network_values()[to] for ply, to in zip(plies, after, strict=True)
        ]
        plies = [ply._replace(qvalue=float(value)) for ply, value in zip(plies, today, strict=True)]
    return oracle.n_step_value(plies, at, n, ends_with)


class Lane(NamedTuple):
    number: int
    plies: list
    actions: np.ndarray


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("played", [12, LENGTH], ids=["half full", "overwritten"])
def test_every_sample_is_what_its_game_says(way, played):
    config = config_of(**WAYS[way])
    lanes, transitions = rings.random_lanes(B, LENGTH)
    lanes, transitions = [lane[:played] for lane in lanes], jax.tree.map(lambda x: x[:played], transitions)
    table = np.zeros((B * LENGTH, rings.ACTIONS), np.float32)
    learned = tabular_model(successors(), table, discount=1.0, value=network_values())
    ring = rings.filled(transitions, CAPACITY, td_lambda=config.td_lambda, lookahead=rings.lookahead(config))
    ring = rings.packed(rings.NumberedGame(), ring)
    held = min(played, CAPACITY)

    def batch(ring, key):
        spec = describe(rings.NumberedGame())
        return make_batch(spec, config, None, learned, (), ring, key, SAMPLES)

    kept, found = jax.tree.map(np.asarray, quick_jit(batch)(ring, jax.random.key(0)))
    assert same_bits(kept, ring)
    seen, ends = set(), set()
    for row in range(SAMPLES):
        if found.drawn.weight[row] == 0:
            assert int(ring.ready[found.drawn.lane[row]]) == 0
            continue
        age, number = int(found.drawn.age[row]), int(found.drawn.lane[row])
        lane = Lane(number, lanes[number], transitions.action[:, number])
        start = played - held + age
        assert found.observation[row] == number * LENGTH + start
        for step, at in enumerate(oracle.steps_from(lane.plies, start, K)):
            inside = not isinstance(at, str)
            ends.add("inside" if inside else at)
            seen |= {(number, start)}
            wanted = expected_value(config, lane, at, age, held) if inside else 0.0
            np.testing.assert_allclose(found.targets.value[row, step], wanted, rtol=1e-4, atol=1e-4)
            assert found.targets.alive[row, step] == inside
            assert found.targets.known[row, step] == (at != "unknown")
            weight = transitions.policy_weight[at, number] if inside else 0
            assert found.targets.policy_weight[row, step] == weight
            if inside:
                np.testing.assert_array_equal(found.targets.policy[row, step], transitions.policy[at, number])
            if inside and step < K:
                assert found.targets.action[row, step] == transitions.action[at, number]
                assert found.targets.reward[row, step] == transitions.reward[at, number]
            elif step < K:
                assert found.targets.reward[row, step] == 0
    assert ends == {"inside", "nothing", "unknown"}
    assert len(seen) > 4 * B
    # What is not ready for its targets is never drawn.
    ready = {
        (number, index)
        for number, lane in enumerate(lanes)
        for index in range(played - held, played)
        if any(ply.ended for ply in lane[index:])
        or (config.muzero.td_steps and index < played - K - config.muzero.td_steps)
    }
    assert seen <= ready
    assert len(seen) > 0.9 * len(ready)


def test_the_network_is_asked_about_the_plies_only_where_a_return_may_end():
    _, transitions = rings.random_lanes(B, LENGTH)
    table = np.zeros((B * LENGTH, rings.ACTIONS), np.float32)
    asked = []

    def batch(td_age):
        config = config_of(**WAYS["network"], td_age=td_age)
        ring = rings.filled(transitions, CAPACITY, lookahead=rings.lookahead(config))
        learned = tabular_model(table.astype(np.int32), table, discount=1.0, value=network_values())

        def represent(params, observation):
            asked.append(observation.shape[0])
            return learned.network.represent(params, observation)

        noting = learned._replace(network=learned.network._replace(represent=represent))
        make = functools.partial(make_batch, describe(rings.NumberedGame()), config, None)
        ring = rings.packed(rings.NumberedGame(), ring)
        made = quick_jit(lambda key: make(noting, (), ring, key, 500)[1])
        return made(jax.random.key(2))

    np.testing.assert_array_equal(batch(td_age=0).targets.value, batch(td_age=10**6).targets.value)
    # Of each window one more: the ply where its game was cut short.
    assert asked == [500 * (K + 1), 500, 500 * (K + 1 + WAYS["network"]["td_steps"]), 500]


@pytest.mark.parametrize(("begin", "progress", "beta"), [(0.4, 0.0, 0.4), (0.4, 0.5, 0.7), (1.0, 0.5, 1.0)])
def test_the_correction_of_priorities_grows_to_1_over_the_run(begin, progress, beta):
    config = config_of(td_steps=4, priority_exponent=0.6, priority_correction=begin)
    _, transitions = rings.random_lanes(B, LENGTH)
    ring = rings.filled(transitions, CAPACITY, lookahead=rings.lookahead(config), prioritised=True)
    priority = np.random.default_rng(2).uniform(0.1, 2, ring.priority.shape).astype(np.float32)
    ring = rings.packed(rings.NumberedGame(), ring._replace(priority=jnp.asarray(priority)))
    learned, spec = learned_of(rings.NumberedGame(), config), describe(rings.NumberedGame())
    make = functools.partial(make_batch, spec, config, None, learned, (), ring)
    _, found = quick_jit(lambda key, progress: make(key, 500, progress))(jax.random.key(3), progress)
    drawn = jax.tree.map(np.asarray, found.drawn)
    weight = rings.by_age(ring, priority)[drawn.age, drawn.lane] ** -beta
    np.testing.assert_allclose(drawn.weight, weight / weight.max(), rtol=1e-4)


@pytest.mark.parametrize("played", [12, LENGTH], ids=["half full", "overwritten"])
def test_root_values_stand_beside_what_the_games_paid(played):
    config = config_of(td_steps=4)
    _, transitions = rings.random_lanes(B, LENGTH)
    transitions = jax.tree.map(lambda x: x[:played], transitions)
    opening = np.random.default_rng(1).integers(0, 3, B)
    transitions = transitions._replace(explored=np.arange(played)[:, None] < opening)
    ring = rings.filled(transitions, CAPACITY, lookahead=rings.lookahead(config))
    run = quick_jit(lambda key: rings.batch_of(rings.NumberedGame(), config, ring, key, SAMPLES))
    found = jax.tree.map(np.asarray, run(jax.random.key(1)))
    for row in np.flatnonzero(found.drawn.weight):
        lane, start = found.drawn.lane[row], played - min(played, CAPACITY) + found.drawn.age[row]
        ends = np.flatnonzero(transitions.ended[start:, lane])
        known = len(ends) > 0 and not transitions.explored[start, lane]
        assert found.roots.known[row] == known
        assert found.roots.value[row] == transitions.value[start, lane]
        if known:
            end = start + ends[0]
            game = slice(start, end + 1)
            paid = transitions.reward[game, lane].astype(float)
            if transitions.truncated[end, lane]:
                paid[-1] = transitions.qvalue[end, lane]
            factor = np.cumprod(np.append(1, transitions.discount[game, lane][:-1]))
            np.testing.assert_allclose(found.roots.outcome[row], paid @ factor, rtol=1e-4, atol=1e-5)
    share = found.roots.known[found.drawn.weight > 0].mean()
    assert 0.3 < share < 1


@pytest.mark.parametrize(
    ("changes", "has"),
    [
        ({}, True),
        ({"td_lambda": 0.9}, False),
        ({"random_move_fraction": 0.1}, False),
        ({"random_move_fraction": 0.1, "cut_at_random_moves": False}, True),
    ],
)
def test_there_are_no_returns_where_targets_mix_values(changes, has):
    config = dataclasses.replace(config_of(), **changes)
    _, transitions = rings.random_lanes(B, LENGTH)
    ring = rings.filled(transitions, CAPACITY)
    batch = functools.partial(rings.batch_of, rings.NumberedGame(), config, ring)
    found = jax.eval_shape(lambda key: batch(key, 8), jax.random.key(0))
    assert (found.roots != ()) == has


def test_later_observations_are_those_of_the_next_plies():
    config = config_of(consistency_weight=1.0)
    _, transitions = rings.random_lanes(B, LENGTH)
    ring = rings.filled(transitions, CAPACITY)
    run = quick_jit(lambda key: rings.batch_of(rings.NumberedGame(), config, ring, key, 500))
    found = jax.tree.map(np.asarray, run(jax.random.key(1)))
    following = found.observation[:, None] + np.arange(1, K + 1)
    inside = found.targets.alive[:, 1:] & (found.drawn.weight > 0)[:, None]
    assert 0.3 < inside.mean() < 0.9
    np.testing.assert_array_equal(found.later[inside], following[inside])


class TurnedGame(rings.NumberedGame):
    """Observes the number and its negative; an image swaps both, and action a becomes a + 1."""

    symmetries = (Symmetry(lambda seen: seen[::-1], np.array([1, 2, 0], np.int32)),)

    def observe(self, state):
        return jnp.stack([state.number + 1, -state.number - 1])


def test_a_sample_is_turned_as_a_whole():
    """What is seen at first and later, actions and policies of all steps: all by one symmetry, or none of it."""
    config = config_of(consistency_weight=1.0)
    _, transitions = rings.random_lanes(B, LENGTH)
    ring = rings.filled(transitions, CAPACITY)

    def batch(augment):
        changed = dataclasses.replace(config, augment=augment)
        run = quick_jit(lambda key: rings.batch_of(TurnedGame(), changed, ring, key, 500))
        return jax.tree.map(np.asarray, run(jax.random.key(1)))

    plain, found = batch(augment=False), batch(augment=True)
    turned = found.observation[:, 0] < 0
    assert 0.4 < turned.mean() < 0.6
    one, other = plain.targets, found.targets
    np.testing.assert_array_equal(found.observation[turned], plain.observation[turned][:, ::-1])
    np.testing.assert_array_equal(found.later[turned], plain.later[turned][:, :, ::-1])
    np.testing.assert_array_equal(other.action[turned], (one.action[turned] + 1) % 3)
    np.testing.assert_array_equal(other.policy[turned], np.roll(one.policy[turned], 1, axis=-1))
    same = jax.tree.map(lambda x, y: np.array_equal(x[~turned], y[~turned]), plain, found)
    assert all(jax.tree.leaves(same))
    for name in ("reward", "value", "known", "alive", "policy_weight"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


@functools.cache
def reanalysed(share=0.25):
    """(config, learned model, averaged weights, ring, ring afterwards, batch of 16) of a network with a say.

    PUCT without noise searches the same each time.
    """
    config = config_of(reanalyse=share)
    search = SearchSettings(policy="puct", num_simulations=8, dirichlet_fraction=0.0)
    config = tiny(algorithm="muzero", augment=False, search=search, network=SMALL, muzero=config.muzero)
    spec, learned = describe(VectorGame()), learned_of(VectorGame(), config)
    model = learned_model(spec, learned)
    params = with_noise(quick_jit(learned.network.init)(jax.random.key(0), jnp.zeros((1, 4))))
    _, transitions = rings.random_lanes(B, LENGTH)
    ring = rings.filled(transitions, CAPACITY)

    def batch(params, ring, key):
        return make_batch(spec, config, make_planner(search, model), learned, params, ring, key, 16)

    after, found = quick_jit(batch)(params, rings.packed(VectorGame(), ring), jax.random.key(3))
    return config, model, params, ring, after, jax.tree.map(np.asarray, found)


SMALL = NetworkSettings(kind="mlp", width=8, blocks=1, head_width=8)


class VectorGame(rings.NumberedGame):
    """Observes the number by its digits."""

    def observe(self, state):
        return (state.number // 5 ** jnp.arange(4) % 5).astype(jnp.float32)


def with_noise(params):
    """Parameters with which every output differs from row to row."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    return treedef.unflatten([np.asarray(x + 0.3 * rng.normal(size=x.shape), np.float32) for x in leaves])


def test_reanalyse_writes_what_a_search_with_the_averaged_weights_says():
    config, model, params, ring, after, found = reanalysed()
    before = {name: rings.by_age(ring, getattr(ring.plies, name)) for name in ("policy", "value")}
    now = {name: rings.by_age(after, getattr(after.plies, name)) for name in ("policy", "value")}
    weight = rings.by_age(after, after.plies.policy_weight)
    state = jax.tree.map(lambda x: rings.by_age(ring, x).reshape(-1, *x.shape[2:]), ring.plies.position)
    searched = quick_jit(
        lambda params, states: planned(config.search, model, params, jax.random.key(9), states)
    )(params, state)
    touched = np.zeros((CAPACITY, B), bool)
    for age, lane in zip(found.drawn.age[:4], found.drawn.lane[:4], strict=True):  # a quarter of the batch
        touched[age : age + K + 1, lane] = True
    assert 8 < touched.sum() <= 16
    for name, array in (("policy", searched.policy), ("value", searched.value)):
        expected = np.asarray(array).reshape(now[name].shape)
        np.testing.assert_allclose(now[name][touched], expected[touched], rtol=1e-4, atol=1e-5)
        assert np.mean(now[name][touched] != before[name][touched]) > 0.5
        np.testing.assert_array_equal(now[name][~touched], before[name][~touched])
    assert (weight[touched] == 1).all()
    np.testing.assert_array_equal(weight[~touched], rings.by_age(ring, ring.plies.policy_weight)[~touched])
    names = ("policy", "value", "qvalue", "policy_weight")
    restored = after.plies._replace(**{name: getattr(ring.plies, name) for name in names})
    assert same_bits(after._replace(plies=restored), rings.packed(VectorGame(), ring))


def test_the_batch_learns_what_was_searched_again():
    _, _, _, _, after, found = reanalysed()
    policy = rings.by_age(after, after.plies.policy)
    for row in range(16):
        for step in np.flatnonzero(found.targets.alive[row]):
            expected = policy[found.drawn.age[row] + step, found.drawn.lane[row]]
            np.testing.assert_array_equal(found.targets.policy[row, step], expected)


class TrailState(NamedTuple):
    values: jax.Array  # f32[H] the last ones, the first of the game repeated
    ply: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class TrailRecord(NamedTuple):
    value: jax.Array
    legal_action_mask: jax.Array
    observed: jax.Array  # f32[H] for the test only


class Trail:
    """A player sees the last three numbers of a random walk; games last 1 to 8 plies and end in both ways."""

    num_actions = 2
    num_players = 1
    history = 3

    def init(self, key):
        return TrailState(
            values=jnp.broadcast_to(jax.random.uniform(key), (self.history,)),
            ply=jnp.int32(0),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(2, bool),
            rewards=jnp.zeros(1),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state, action, key):
        over = jax.random.bernoulli(key, 0.2) | (state.ply >= 7)
        value = state.values[-1] + 1 + jax.random.uniform(key)
        return state._replace(
            values=jnp.append(state.values[1:], value),
            ply=state.ply + 1,
            terminated=over & (action == 0),
            truncated=over & (action == 1),
        )

    def observe(self, state):
        return state.values

    def record(self, state):
        return TrailRecord(state.values[-1], state.legal_action_mask, state.values)

    def recall(self, records):
        return records.value


def trail_network(params, observation):
    rows = observation.shape[0]
    return jnp.zeros((rows, 2)), jnp.zeros(rows)


@functools.cache
def trail_ring(iterations):
    env, config = Trail(), tiny(games=16, plies=6, opening_plies=0, search=SearchSettings(num_simulations=2))
    model = simulator(env, trail_network)
    play = quick_jit(lambda key, games: play_on(env, model, config, None, key, games)[:2])
    games, chunks = start_games(env, config, jax.random.key(0), 16), []
    for number in range(iterations):
        games, chunk = play(jax.random.key(number), games)
        chunks.append(chunk)
    recorded = jax.tree.map(lambda *x: np.concatenate(x), *chunks)
    return recorded, rings.filled(recorded, 18, plies_an_add=6)


@pytest.mark.parametrize("iterations", [3, 5], ids=["whole", "overwritten"])
def test_stacks_of_frames_are_what_the_player_saw_and_never_cross_a_games_start(iterations):
    recorded, ring = trail_ring(iterations)
    assert recorded.ended.mean() > 0.2
    # A stack that looks back beyond the ring cannot be made again.
    age, lane = (x.ravel() for x in np.mgrid[0 if iterations == 3 else 2 : 18, 0:16])
    read = quick_jit(functools.partial(observations, describe(Trail())))
    packed = rings.packed(Trail(), ring)
    found = read(packed, age[:, None], lane)
    expected = rings.by_age(ring, ring.plies.position.values)[age, lane]
    np.testing.assert_array_equal(found[:, 0], expected)
    assert (expected[:, 0] != expected[:, 2]).mean() > 0.5
    # Windows of several plies are the same plies.
    pair = read(packed, np.stack([age, age], 1)[:, ::-1], lane)
    np.testing.assert_array_equal(pair[:, 1], expected)


def test_no_stack_that_was_cut_by_the_rings_end_is_learned_from():
    """The records before the ring's oldest ply are gone, so the first stacks of a running game are not known."""
    _, ring = trail_ring(5)
    config = tiny(algorithm="muzero", augment=False, games=16, muzero=MuZeroSettings(unroll_steps=2))
    run = quick_jit(lambda key: rings.batch_of(Trail(), config, ring, key, 1000))
    found = jax.tree.map(np.asarray, run(jax.random.key(0)))
    expected = rings.by_age(ring, ring.plies.position.values)[found.drawn.age, found.drawn.lane]
    right = (found.observation == expected).all(axis=1) | (found.drawn.weight == 0)
    assert right.all(), f"{(~right).mean():.1%} of the samples see frames that the player did not see"


@pytest.mark.slow
def test_a_small_share_reanalyses_one_sample():
    _, _, _, ring, after, found = reanalysed(0.01)
    changed = rings.by_age(after, after.plies.value) != rings.by_age(ring, ring.plies.value)
    ages, lanes = np.nonzero(changed)
    assert 0 < len(ages) <= K + 1
    assert set(lanes.tolist()) == {int(found.drawn.lane[0])}
    assert found.drawn.age[0] <= ages.min() <= ages.max() <= found.drawn.age[0] + K
