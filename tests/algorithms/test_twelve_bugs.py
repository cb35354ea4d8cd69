"""Twelve bugs that stop a learned model from learning, each with the test that catches it.

docs/learned_models.md lists them. Axes: S samples, K unrolled steps, B games, A actions, T plies.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe
from scipy import stats

from jzero import replay as replay_lib
from jzero.algorithms.muzero import muzero_loss, unroll
from jzero.algorithms.targets import Targets, prefix_sums
from jzero.algorithms.unrolled import Batch, MuZeroSettings
from jzero.env import init_batch, step_batch
from jzero.env_spec import describe
from jzero.models.learned import Latent, learned_model
from jzero.models.model import make_edge
from jzero.models.plan import SearchSettings
from jzero.networks import Support
from jzero.networks.make import NetworkSettings
from jzero.replay import Draw
from jzero.run.build import build_agent
from jzero.self_play import Transition, start_games
from tests.helpers import rings
from tests.helpers.networks import tabular_model
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import learned_of, planned, play_on, tiny
from tests.oracles import games as rules
from tests.oracles import muzero as oracle
from tests.oracles import replay as replay_oracle

KEY = jax.random.key(0)
SMALL = NetworkSettings(kind="mlp", width=8, blocks=1, head_width=8)
both_searches = pytest.mark.parametrize("policy", ["gumbel", "puct"])


# 1. The sign of two players


@functools.cache
def tic_tac_toe_games():
    """64 lanes of random games: (transitions [T, B], {(ply, lane): outcome for its mover})."""
    env, rng, recorded = TicTacToe(), np.random.default_rng(0), []
    step = quick_jit(lambda states, actions: step_batch(env, states, actions, KEY))
    first = states = init_batch(env, KEY, 64)
    for _ in range(18):
        legal = np.asarray(states.legal_action_mask)
        action = (rng.random(legal.shape) + legal).argmax(axis=1).astype(np.int32)
        after = step(states, action)
        noise = rng.uniform(-1, 1, (2, 64)).astype(
            np.float32
        )  # search values, which outcomes do not depend on
        reward, discount = make_edge(describe(env), 1.0)(states, after)
        ply = Transition(
            position=states,
            action=action,
            policy=(legal / legal.sum(axis=1, keepdims=True)).astype(np.float32),
            policy_weight=np.ones(64, np.float32),
            value=noise[0],
            qvalue=noise[1],
            explored=np.zeros(64, bool),
            reward=reward,
            discount=discount,
            ended=after.terminated,
            truncated=np.zeros(64, bool),
        )
        recorded.append(jax.tree.map(np.asarray, ply))
        over = np.asarray(after.terminated)
        states = jax.tree.map(
            lambda new, old, over=over: np.where(over.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            first,
            after,
        )
    recorded = jax.tree.map(lambda *x: np.stack(x), *recorded)
    outcome = {}
    for lane in range(64):
        position, movers = rules.TicTacToe(), []
        for ply in range(18):
            movers.append((ply, position.current_player()))
            position.apply_action(int(recorded.action[ply, lane]))
            if position.is_terminal():
                outcome |= {(at, lane): position.returns()[mover] for at, mover in movers}
                position, movers = rules.TicTacToe(), []
    return recorded, outcome


def batch_from(env, config, ring, size):
    """A batch of NumPy arrays."""
    run = quick_jit(lambda ring: rings.batch_of(env, config, ring, KEY, size))
    return jax.tree.map(np.asarray, run(ring))


@pytest.mark.parametrize("td_steps", [0, 9])
def test_bug_01_two_player_sign(td_steps):
    recorded, outcome = tic_tac_toe_games()
    muzero = MuZeroSettings(unroll_steps=5, td_steps=td_steps)
    config = tiny(algorithm="muzero", augment=False, muzero=muzero)
    ring = rings.filled(recorded, 18, plies_an_add=18, lookahead=rings.lookahead(config))
    batch = batch_from(TicTacToe(), config, ring, 12_000)
    seen = {}
    for row in np.flatnonzero(batch.drawn.weight):
        start, lane = int(batch.drawn.age[row]), int(batch.drawn.lane[row])
        for step in range(6):
            alive = not recorded.ended[start : start + step, lane].any()
            expected = outcome[start + step, lane] if alive else 0.0
            assert batch.targets.value[row, step] == expected
            if alive:
                seen[start + step, lane] = expected
    odd = [value for (ply, _), value in seen.items() if ply % 2]
    assert {-1.0, 1.0} <= set(odd)
    assert outcome.keys() == seen.keys()
    # The search looks through the other player's eyes at every edge too.
    assert learned_of(TicTacToe(), config).discount == -1


# 2. Off by one


def test_bug_02_rewards_actions_and_values_of_a_game_with_reward_t_at_step_t():
    for truncated in (False, True):
        end = replay_oracle.Ply(6.0, float(truncated), True, truncated, False, 0.0, 100.0)
        lane = [replay_oracle.Ply(float(t), 1.0, False, False, False, 0.0, 0.0) for t in range(6)]
        lane = [*lane, end, lane[0]]
        transitions = rings.lanes_lib.transitions([lane])
        number = np.arange(8, dtype=np.int32)[:, None]
        transitions = transitions._replace(
            position=rings.Numbered(number, np.ones((8, 1, 3), bool)),
            action=number % 3,
            policy=np.eye(8, dtype=np.float32)[:, None],
            policy_weight=np.ones((8, 1), np.float32),
        )
        config = tiny(algorithm="muzero", augment=False, muzero=MuZeroSettings(consistency_weight=1.0))
        ring = rings.filled(transitions, 8, plies_an_add=8)
        batch = batch_from(rings.NumberedGame(), config, ring, 64)
        (row, *_) = np.flatnonzero(batch.drawn.age == 4)
        assert batch.observation[row] == 4
        assert batch.later[row, :2].tolist() == [5, 6]
        targets = jax.tree.map(lambda x, row=row: x[row].tolist(), batch.targets)
        after = 100.0 - 6.0 if truncated else 0.0  # the search's value instead of the last reward
        assert targets.action[:3] == [1, 2, 0]
        assert targets.reward == [4, 5, 6, 0, 0]
        assert targets.value == [15 + after, 11 + after, 6 + after, 0, 0, 0]
        assert np.argmax(targets.policy, axis=1)[:3].tolist() == [4, 5, 6]
        assert targets.policy_weight == [1, 1, 1, 0, 0, 0]
        assert targets.alive == [True, True, True, False, False, False]
        assert targets.known == [True, True, True, *[not truncated] * 3]
        (row, *_) = np.flatnonzero(batch.drawn.age == 0)
        targets = jax.tree.map(lambda x, row=row: x[row].tolist(), batch.targets)
        assert targets.action == [0, 1, 2, 0, 1]
        assert targets.reward == [0, 1, 2, 3, 4]
        assert targets.value == [21 + after, 21 + after, 20 + after, 18 + after, 15 + after, 11 + after]
        assert batch.later[row].tolist() == [1, 2, 3, 4, 5]


# 3. Backup


def layered_games(number, seed=0, depth=2, actions=3):
    """(successor, reward, roots) of games of two plies; a finished one earns nothing for ever."""
    rng = np.random.default_rng(seed)
    size = sum(actions**layer for layer in range(depth + 1))
    inner = sum(actions**layer for layer in range(depth))
    successor = np.repeat(np.arange(size)[:, None], actions, axis=1)
    successor[:inner] = actions * np.arange(inner)[:, None] + 1 + np.arange(actions)
    offsets = size * np.arange(number)
    reward = rng.uniform(-1, 1, (number, size, actions)).astype(np.float32)
    reward[:, inner:] = 0
    return (successor + offsets[:, None, None]).reshape(-1, actions), reward.reshape(-1, actions), offsets


def best_values(successor, reward, discount, horizon=2):
    """f64[S, A]: value iteration."""
    value = np.zeros(len(reward))
    for _ in range(horizon):
        qvalues = reward + discount * value[successor]
        value = qvalues.max(axis=1)
    return qvalues


def search_with(learned, numbers, policy, simulations=500, actions=3, **settings):
    """A search without noise from the states `numbers`.

    Returns: actions, Q-values [B, A], visits [B, A], visits of all nodes [B, N].
    """
    config = SearchSettings(policy=policy, dirichlet_fraction=0.0, **settings)
    states = rings.Numbered(jnp.asarray(numbers), jnp.ones((len(numbers), actions), bool))
    model = learned_model(describe(rings.NumberedGame()), learned)
    found = planned(config, model, (), KEY, states, num_simulations=simulations, memory=None)
    summary = found.tree.summary()
    return found.action, summary.qvalues, summary.visit_counts, found.tree.node_visits


def searched(*args, **settings):
    """`search_with` as NumPy arrays."""
    return jax.tree.map(np.asarray, quick_jit(lambda: search_with(*args, **settings))())


@pytest.mark.parametrize("discount", [1.0, -1.0], ids=["one player", "two players"])
def test_bug_03_a_search_with_the_exact_model_is_value_iteration(discount):
    """Values are 0 in this model: all that is known of a position is the rewards on the edges."""
    successor, reward, roots = layered_games(16)
    expected = best_values(successor, reward, discount)[roots]
    found = {}
    for prefix in (False, True):
        # Prefixes start again below the second ply, where nothing is earned any more.
        learned = tabular_model(successor, reward, discount=discount, prefix=prefix, horizon=2)
        found[prefix] = searched(learned, roots, "puct")
    actions, qvalues, visits, _ = found[False]
    best = expected.max(axis=1)
    assert visits.sum(axis=1).tolist() == [500] * 16
    np.testing.assert_allclose(expected[np.arange(16), actions], best, atol=0.1)
    np.testing.assert_allclose(qvalues[np.arange(16), actions], best, atol=0.15)
    # Differences of value prefixes are the same rewards.
    np.testing.assert_allclose(found[True][1], qvalues, atol=0.02)
    np.testing.assert_array_equal(found[True][0], actions)


@pytest.mark.parametrize("prefix", [False, True], ids=["rewards", "prefixes"])
def test_bug_03_what_is_backed_up_along_a_path_is_exact(prefix):
    """Where all actions are alike and values are exact, every backup says the same: the value of its node."""
    reward = np.random.default_rng(0).uniform(-1, 1, 12)
    reward[-1] = 0
    successor = np.repeat(np.minimum(np.arange(12) + 1, 11)[:, None], 2, axis=1)
    rewards, starts = np.repeat(reward[:, None], 2, axis=1).astype(np.float32), np.arange(5)

    @quick_jit
    def run(discount, value):
        learned = tabular_model(successor, rewards, discount=discount, value=value, prefix=prefix, horizon=3)
        return search_with(learned, starts, "puct", simulations=40, actions=2)

    for discount in (0.9, -0.9):  # one player, two players
        value = np.zeros(12, np.float32)
        for place in range(11)[::-1]:
            value[place] = reward[place] + discount * value[place + 1]
        _, qvalues, visits, _ = run(discount, value)
        assert visits.sum(axis=1).tolist() == [40] * 5
        np.testing.assert_allclose(qvalues, np.repeat(value[starts][:, None], 2, axis=1), atol=2e-3)


# 4. One counter of the value prefix for the whole batch


def test_bug_04_the_value_prefix_is_reset_by_row():
    rewards = jnp.ones((7, 6))
    np.testing.assert_array_equal(
        quick_jit(prefix_sums, static_argnums=1)(rewards, 5), [[1, 2, 3, 4, 5, 1]] * 7
    )
    # In a search the rows of a batch stand at different depths. Each earns 1 a step at all of them.
    successor, reward = np.zeros((1, 3), int), np.ones((1, 3), np.float32)
    learned = tabular_model(successor, reward, discount=1.0, prefix=True)
    depth = jnp.arange(13)
    since_reset = jnp.where(depth > 0, (depth - 1) % 5 + 1, 0).astype(jnp.float32)
    latent = Latent(jnp.zeros((13, 1)), (since_reset[:, None], jnp.zeros((13, 1))), since_reset, depth)
    after, logits = learned.step((), latent, jnp.zeros(13, int))
    np.testing.assert_allclose(learned.earned(latent, after, logits), 1, atol=1e-3)
    np.testing.assert_allclose(after.prefix, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3], atol=1e-3)
    np.testing.assert_allclose(after.memory[0][:, 0], after.prefix, atol=1e-3)
    np.testing.assert_array_equal(after.depth, depth + 1)


# 5. Leakage across the batch


class Vectors(rings.NumberedGame):
    """Observes vectors f32[4]; two or one players."""

    def __init__(self, num_players=1):
        self.num_players = num_players

    def init(self, key):
        return super().init(key)._replace(number=jnp.zeros(4))

    def observe(self, state):
        return state.number


@functools.cache
def real_model(value_prefix=False, consistency=0.0):
    """(config, learned model, parameters with which every output differs from row to row)."""
    muzero = MuZeroSettings(
        unroll_steps=3,
        value_prefix=value_prefix,
        prefix_width=6,
        prefix_horizon=2,
        consistency_weight=consistency,
        projection_width=6,
    )
    config = tiny(algorithm="muzero", network=SMALL, muzero=muzero, augment=False)
    learned = learned_of(Vectors(), config)
    leaves, treedef = jax.tree.flatten(quick_jit(learned.network.init)(KEY, jnp.zeros((1, 4))))
    rng = np.random.default_rng(1)
    noisy = [np.asarray(x + 0.3 * rng.normal(size=x.shape), np.float32) for x in leaves]
    return config, learned, treedef.unflatten(noisy)


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 4)).astype(np.float32)


@both_searches
def test_bug_05_a_searched_batch_equals_its_rows(policy):
    config, learned, params = real_model(value_prefix=True)
    config = SearchSettings(policy=policy, dirichlet_fraction=0.0)
    model = learned_model(describe(Vectors()), learned)

    @quick_jit
    def run(observation):
        states = rings.Numbered(observation, jnp.ones((6, 3), bool))
        summary = planned(config, model, params, KEY, states, num_simulations=24, memory=None).tree.summary()
        return summary.visit_counts, summary.qvalues, summary.value

    together = vectors(6)
    visits, qvalues, value = run(together)
    assert (np.std(qvalues, axis=0) > 1e-3).all()
    for row in range(6):
        alone = run(np.broadcast_to(together[row], (6, 4)))
        np.testing.assert_array_equal(alone[0][0], visits[row])
        np.testing.assert_allclose(alone[1][0], qvalues[row], atol=1e-5)
        np.testing.assert_allclose(alone[2][0], value[row], atol=1e-5)


def random_batch(rows, steps=3, seed=0):
    """What a real model learns from, with nothing masked."""
    rng = np.random.default_rng(seed)
    return Batch(
        observation=vectors(rows, seed=seed),
        later=vectors(rows, steps, seed=seed + 1),
        targets=Targets(
            action=rng.integers(3, size=(rows, steps)).astype(np.int32),
            reward=rng.uniform(-1, 1, (rows, steps)).astype(np.float32),
            value=rng.uniform(-1, 1, (rows, steps + 1)).astype(np.float32),
            policy=rng.dirichlet(np.ones(3), (rows, steps + 1)).astype(np.float32),
            known=np.ones((rows, steps + 1), bool),
            policy_weight=np.ones((rows, steps + 1), np.float32),
            alive=np.ones((rows, steps + 1), bool),
        ),
        drawn=Draw(np.arange(rows), np.zeros(rows, int), np.ones(rows, np.float32)),
    )


@functools.cache
def compiled_loss():
    """A real model with all parts: (parameters, (params, batch) -> loss, (metrics, priorities))."""
    config, learned, params = real_model(value_prefix=True, consistency=2.0)
    return params, quick_jit(lambda params, batch: muzero_loss(learned, config, params, batch, KEY))


def single_losses(batch):
    """f64[S]: the loss of each sample alone, by a batch of its copies."""
    params, loss = compiled_loss()
    rows = len(batch.observation)
    ones = np.ones(rows, np.float32)
    copies = [jax.tree.map(lambda x, row=row: np.broadcast_to(x[row], x.shape), batch) for row in range(rows)]
    copies = [copy._replace(drawn=copy.drawn._replace(weight=ones)) for copy in copies]
    return np.array([loss(params, copy)[0] for copy in copies], np.float64)


def test_bug_05_the_loss_of_a_batch_is_the_mean_of_its_rows():
    params, loss = compiled_loss()
    batch = random_batch(5)
    single = single_losses(batch)
    assert np.std(single) > 0.05
    np.testing.assert_allclose(loss(params, batch)[0], single.mean(), rtol=1e-5)


# 6. h and two-hot


def test_bug_06_values_come_back_from_their_distribution():
    support = Support(1e4, 601)
    x = np.concatenate([np.arange(-1e4, 1e4 + 1, 7), [-1e4, -1, 0, 1, 1e4], np.linspace(-20, 20, 997)])
    two_hot = np.asarray(quick_jit(support.two_hot)(x.astype(np.float32)))
    np.testing.assert_allclose(two_hot.sum(axis=1), 1, atol=1e-4)
    back = np.asarray(quick_jit(lambda x: support.decode(jnp.log(support.two_hot(x))))(x.astype(np.float32)))
    assert (np.abs(back - x) <= 1e-3 * (1 + np.abs(x))).all()
    for value in (-3.0, 0.0, 1.0, 255.5, 1e9):
        expected = oracle.two_hot(value, *support)
        np.testing.assert_allclose(support.two_hot(jnp.float32(value)), expected, atol=2e-4)


# 7. Ends


@pytest.mark.parametrize("td_steps", [0, 3])
def test_bug_07_zero_at_a_terminal_and_the_bootstrap_at_a_time_limit(td_steps):
    """Games of two plies, terminal and cut short; the numbers of each are bait for the other's targets."""
    terminal = [
        replay_oracle.Ply(1.0, 1.0, False, False, False, 50.0, 60.0),
        replay_oracle.Ply(2.0, 0.0, True, False, False, 70.0, 80.0),
    ]
    cut = [
        replay_oracle.Ply(4.0, 1.0, False, False, False, 90.0, 91.0),
        replay_oracle.Ply(8.0, 1.0, True, True, False, 92.0, 16.0),
    ]
    lane = [*terminal, *cut, *terminal, *terminal, *terminal, *terminal]
    transitions = rings.lanes_lib.transitions([lane])
    transitions = transitions._replace(
        position=rings.Numbered(np.arange(12, dtype=np.int32)[:, None], np.ones((12, 1, 2), bool))
    )
    muzero = MuZeroSettings(unroll_steps=3, td_steps=td_steps)
    config = tiny(algorithm="muzero", augment=False, muzero=muzero)
    ring = rings.filled(transitions, 12, lookahead=rings.lookahead(config))
    batch = batch_from(rings.NumberedGame(), config, ring, 64)
    targets = batch.targets
    for start, reward, value, known in (
        (0, [1, 2, 0], [3, 2, 0, 0], [1, 1, 1, 1]),
        (1, [2, 0, 0], [2, 0, 0, 0], [1, 1, 1, 1]),
        (2, [4, 8, 0], [20, 16, 0, 0], [1, 1, 0, 0]),
        (3, [8, 0, 0], [16, 0, 0, 0], [1, 0, 0, 0]),
    ):
        (row, *_) = np.flatnonzero(batch.drawn.age == start)
        assert targets.reward[row].tolist() == reward
        assert targets.value[row].tolist() == value
        assert targets.known[row].tolist() == [bool(flag) for flag in known]


# 8. Illegal actions


@both_searches
@pytest.mark.parametrize("explore", [False, True], ids=["evaluation", "self-play"])
def test_bug_08_illegal_actions_have_no_part_in_priors_noise_and_policies(policy, explore):
    _, learned, params = real_model()
    rng = np.random.default_rng(0)
    rows = 128
    legal = rng.random((rows, 3)) < 0.4
    legal[np.arange(rows), rng.integers(3, size=rows)] = True
    only = legal.sum(axis=1) == 1
    assert 20 < only.sum() < rows
    config = SearchSettings(policy=policy, dirichlet_fraction=0.5)
    states = rings.Numbered(vectors(rows), legal)
    model = learned_model(describe(Vectors()), learned)
    search = functools.partial(planned, config, model, num_simulations=7, explore=explore, temperature=1.0)
    found = jax.tree.map(np.asarray, quick_jit(search)(params, KEY, states))
    assert np.isfinite(found.policy).all()
    assert np.isfinite(found.value).all()
    for array in (found.policy, found.prior):
        assert not array[~legal].any()
        np.testing.assert_allclose(array.sum(axis=1), 1, atol=1e-5)
    assert legal[np.arange(rows), found.action].all()
    np.testing.assert_array_equal(found.policy[only], legal[only])
    np.testing.assert_array_equal(found.action[only], legal[only].argmax(axis=1))


# 9. The scale of values


@both_searches
def test_bug_09_equal_values_leave_the_prior(policy):
    """Equal but for rounding: what divides by a range of 1e-6 makes noise the teacher."""
    rng = np.random.default_rng(0)
    states = 300
    prior = 1.5 * rng.normal(size=(states, 3)).astype(np.float32)
    value = (0.7 + 1e-6 * rng.normal(size=states)).astype(np.float32)
    successor = rng.integers(states, size=(states, 3))
    reward = np.zeros((states, 3), np.float32)
    learned = tabular_model(successor, reward, discount=1.0, prior_logits=prior, value=value)
    game, roots = rings.NumberedGame(), np.arange(32)
    position = rings.Numbered(roots, jnp.ones((32, 3), bool))
    config = SearchSettings(policy=policy, dirichlet_fraction=0.0)
    search = functools.partial(planned, config, learned_model(describe(game), learned), num_simulations=200)
    found = quick_jit(search)((), KEY, position)
    wanted = np.exp(prior[:32]) / np.exp(prior[:32]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.policy, wanted, atol=0.02)
    np.testing.assert_allclose(found.value, 0.7, atol=1e-3)


@both_searches
def test_bug_09_the_scale_of_values_does_not_change_the_visits(policy):
    """Rewards are scaled, values are scaled and shifted; with a discount of 1 that is the same game.

    The smallest range that is divided by is out of the way here.
    """
    rng = np.random.default_rng(2)
    states = 2000
    value = rng.uniform(-1, 1, states).astype(np.float32)
    reward = rng.uniform(-1, 1, (states, 3)).astype(np.float32)
    prior = rng.normal(size=(states, 3)).astype(np.float32)
    successor = rng.integers(states, size=(states, 3))

    @quick_jit
    def visits_of_nodes(scale, shift):
        learned = tabular_model(
            successor, scale * reward, discount=1.0, prior_logits=prior, value=scale * value + shift
        )
        return search_with(learned, np.arange(16), policy, simulations=32, min_value_range=1e-8)[3]

    base = np.asarray(visits_of_nodes(1.0, 0.0))
    assert len({tuple(row) for row in base.tolist()}) > 5
    for scale, shift in ((30.0, 0.0), (0.25, 0.0), (1.0, 20.0), (8.0, -3.0)):
        np.testing.assert_array_equal(base, visits_of_nodes(scale, shift))


# 10. Priorities


def prioritised_ring(capacity=24, length=40):
    """A ring with priorities p ** alpha from 0.2 on; (ring, how many lanes)."""
    _, transitions = rings.random_lanes(6, length)
    ring = rings.filled(transitions, capacity, prioritised=True)
    weights = np.random.default_rng(1).uniform(0.2, 3, ring.priority.shape).astype(np.float32)
    return ring._replace(priority=jnp.asarray(weights)), transitions


def test_bug_10_the_loss_of_a_sample_is_multiplied_by_its_weight_before_the_mean():
    params, loss = compiled_loss()
    batch = random_batch(5)
    weight = np.array([0.1, 1.0, 0.5, 0.0, 0.7], np.float32)
    weighted = batch._replace(drawn=batch.drawn._replace(weight=weight))
    expected = (weight * single_losses(batch)).sum() / 4  # four of them were drawn
    np.testing.assert_allclose(loss(params, weighted)[0], expected, rtol=1e-5)


def test_bug_10_plies_are_drawn_in_proportion_to_their_priorities():
    ring, _ = prioritised_ring()
    samples, beta = 40_000, 0.6
    drawn = quick_jit(functools.partial(replay_lib.draw, num_samples=samples, correction=beta))(ring, KEY)
    drawn = jax.tree.map(np.asarray, drawn)
    ready = np.arange(24)[:, None] < np.asarray(ring.ready)
    share = np.where(ready, rings.by_age(ring, ring.priority), 0).astype(np.float64)
    share /= share.sum()
    counts = np.zeros_like(share)
    np.add.at(counts, (drawn.age, drawn.lane), 1)
    assert not counts[~ready].any()
    assert 0.3 < ready.mean() < 1
    assert stats.chisquare(counts[ready], samples * share[ready] / share[ready].sum()).pvalue > 1e-4
    expected = (ready.sum() * share[drawn.age, drawn.lane]) ** -beta
    np.testing.assert_allclose(drawn.weight, expected / expected.max(), rtol=1e-3)
    # Uniform priorities weigh all alike.
    ring = ring._replace(priority=jnp.ones_like(ring.priority))
    flat = replay_lib.draw(ring, KEY, 100, correction=1.0)
    np.testing.assert_allclose(flat.weight, 1, rtol=1e-5)


def test_bug_10_priorities_are_written_where_they_were_drawn_and_new_plies_get_the_highest():
    ring, transitions = prioritised_ring()
    age, lane = np.array([0, 23, 5, 5, 4, 7, 1, 11, 2]), np.array([0, 5, 2, 3, 4, 0, 1, 1, 5])
    drawn = Draw(age, lane, np.array([1, 0.5, 1, 1, 0, 1, 1, 1, 1], np.float32))
    new = jnp.arange(1.0, 10.0)
    changed = replay_lib.update_priorities(ring, drawn, new, 0.5)
    places = list(zip(drawn.age.tolist(), drawn.lane.tolist(), strict=True))
    expected = rings.by_age(ring, ring.priority).copy()
    for number, place in enumerate(places):
        if number != 4:
            expected[place] = np.sqrt(number + 1)
    np.testing.assert_allclose(rings.by_age(changed, changed.priority), expected, rtol=1e-6)
    # The oldest four plies of each lane are overwritten: theirs are gone, the highest is the new ones'.
    more = jax.tree.map(lambda x: jnp.asarray(x[:4]), transitions)
    later = rings.add(changed, more, td_lambda=1.0)
    now = rings.by_age(later, later.priority)
    np.testing.assert_allclose(now[:-4], expected[4:], rtol=1e-6)
    np.testing.assert_allclose(now[-4:], 3.0, rtol=1e-6)
    # The first plies of all have one priority, not 0.
    first = rings.filled(jax.tree.map(lambda x: x[:4], transitions), 24, prioritised=True)
    assert set(rings.by_age(first, first.priority).ravel().tolist()) == {1.0}


# 11. Gradients


def test_bug_11_no_gradient_flows_through_what_was_observed():
    """Observations of later steps get none; the prediction of the same step does."""
    params, _ = compiled_loss()
    config, learned, _ = real_model(value_prefix=True, consistency=2.0)
    batch = random_batch(5)

    @jax.jit
    @jax.grad
    def grads(observations):
        observation, later = observations
        changed = batch._replace(observation=observation, later=later)
        return muzero_loss(learned, config, params, changed, KEY)[1][0]["consistency_loss"].value

    of_root, of_later = grads((batch.observation, batch.later))
    assert np.abs(of_root).max() > 1e-3
    assert not np.asarray(of_later).any()


def test_bug_11_the_gradient_of_a_latent_state_is_halved_once_a_step():
    """Against the chain rule by hand: a state's own heads get all of the gradient, the step before it half."""
    _, learned, params = real_model(value_prefix=True)
    batch = random_batch(5)
    action = jnp.asarray(batch.targets.action)
    rng = np.random.default_rng(3)
    heads = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 4, 3), (5, 4, 21), (5, 3, 21))]

    def of_heads(params, state, step):
        policy, value = learned.predict(params, Latent(state))
        return jnp.sum(policy * heads[0][:, step]) + jnp.sum(value * heads[1][:, step])

    def advance(params, latent, step):
        after, reward = learned.step(params, latent, action[:, step])
        return after, jnp.sum(reward * heads[2][:, step])

    def loss(params):
        found = unroll(learned, params, batch.observation, action)
        return sum(jnp.sum(x * y) for x, y in zip(found[:3], heads, strict=True))

    def reference(params):
        """The same sum, with the halving as a function of its own, between each step and the next."""

        @jax.custom_vjp
        def halve(x):
            return x

        halve.defvjp(lambda x: (x, None), lambda _, grad: (grad / 2,))
        latent = learned.represent(params, batch.observation)
        total = of_heads(params, latent.state, 0)
        for step in range(3):
            latent, reward = advance(params, latent._replace(state=halve(latent.state)), step)
            total += reward + of_heads(params, latent.state, step + 1)
        return total

    (value, grads), (expected_value, expected) = (
        jax.jit(jax.value_and_grad(function))(params) for function in (loss, reference)
    )
    np.testing.assert_allclose(value, expected_value, rtol=1e-4)
    for found, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(found, wanted, atol=1e-4 * (1 + np.abs(wanted).max()))


# 12. Noise and the replay ratio


@functools.cache
def self_played():
    """(games, transitions [2, B], config, learned, params): a thousand games of a model that knows nothing."""
    env = TicTacToe()
    config = tiny(algorithm="muzero", games=1000, plies=2, opening_plies=0, network=SMALL)
    learned = learned_of(env, config)
    params = quick_jit(learned.network.init)(KEY, jnp.zeros((1, 3, 3, 2)))
    run = functools.partial(play_on, env, learned_model(describe(env), learned), config)
    _, recorded, _ = quick_jit(run)(params, KEY, start_games(env, config, KEY, 1000))
    return config, params, jax.tree.map(np.asarray, recorded)


def test_bug_12_a_thousand_games_begin_in_different_ways():
    _, _, recorded = self_played()
    first, second = recorded.action
    assert stats.entropy(np.bincount(first, minlength=9)) > 2.1  # of log 9 = 2.197
    pairs = 9 * first + second
    assert stats.entropy(np.bincount(pairs, minlength=81)) > 4.0  # of log 72 = 4.28
    # Noise differs by row and by ply: rows and plies agree as often as chance has it.
    for one, two in ((first, np.roll(first, 1)), (first[:500], first[500:]), (first, second)):
        assert (one == two).mean() < 0.16


def test_bug_12_evaluation_has_no_noise():
    config, params, _ = self_played()
    agent = build_agent(
        TicTacToe(), dataclasses.replace(config, search=SearchSettings(num_simulations=8)), params
    )
    states = init_batch(TicTacToe(), KEY, 64)
    one, two = (np.asarray(agent.act(states, jax.random.key(seed))) for seed in (1, 2))
    assert one.tolist() == two.tolist() == [one[0]] * 64
