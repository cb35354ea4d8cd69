"""Continuous actions: the search over candidates, what is recorded, the loss by hand, learning, and errors.

Axes: S samples, K unrolled steps, T plies, B games, C candidates, D dimensions.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jzero.algorithms.muzero import muzero_loss
from jzero.algorithms.targets import Targets, unroll_targets
from jzero.algorithms.unrolled import Batch, MuZeroSettings, make_batch
from jzero.env import init_batch
from jzero.env_spec import describe
from jzero.metrics import read
from jzero.models.learned import LearnedModel, learned_model
from jzero.models.plan import SearchSettings, make_planner
from jzero.networks import MuZeroNet, Support, learned_network, squashed
from jzero.networks.make import NetworkSettings
from jzero.program import make_mesh
from jzero.replay import Draw, init_replay
from jzero.run.build import build_agent, build_algorithm, build_program
from jzero.self_play import start_games
from tests.helpers import rings
from tests.helpers.env_examples import Aim
from tests.helpers.networks import Scripted
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import learned_of, planned, play_on, same_bits, tiny

KEY = jax.random.key(0)
C, D = 8, 2
SUPPORT = Support(10.0, 2001)


def config(**changes):
    defaults = {
        "algorithm": "gumbel_muzero",
        "augment": False,
        "opening_plies": 0,
        "search": SearchSettings(num_simulations=8, max_considered=8, sampled_actions=C),
        "muzero": MuZeroSettings(unroll_steps=3, td_steps=2, value_limit=10.0, reward_limit=10.0),
    }
    return tiny(**(defaults | changes))


class Exact(NamedTuple):
    """The network of one who knows `Aim` without chance: the goal stays. A latent state is the goal, [B, 2]."""

    prefix_width: int = 0
    chance_codes: int = 0
    projection_width: int = 0
    init = None

    def apply(self, params: Any, *args: Any, method: str) -> Any:
        return getattr(self, method)(*args)

    def represent(self, observation):
        return observation

    def predict(self, latent):
        return jnp.zeros((len(latent), 2 * D)), jnp.log(SUPPORT.two_hot(jnp.zeros(len(latent))))

    def step(self, latent, memory, action):
        return latent, memory, jnp.log(SUPPORT.two_hot(-jnp.sum((action - latent) ** 2, axis=-1)))

    def no_memory(self, rows):
        return ()


def exact_model(candidates=C):
    network = learned_network(Exact())
    return LearnedModel(network, SUPPORT, SUPPORT, 5, discount=0.0, sampled_actions=candidates)


# The search.


@pytest.mark.parametrize(
    ("policy", "num_simulations", "leaves"), [("gumbel", 2 * C, 1), ("gumbel", 2 * C, 4), ("puct", 32 * C, 1)]
)
def test_a_search_finds_the_best_candidate(policy, num_simulations, leaves):
    """The shot is one of the root's own, and the nearest to the goal."""
    search = SearchSettings(
        policy=policy, num_simulations=num_simulations, max_considered=C, sampled_actions=C
    )
    model = learned_model(describe(Aim()), exact_model())
    states = init_batch(Aim(), KEY, 64)
    found = quick_jit(lambda key: planned(search, model, (), key, states, leaves=leaves))(KEY)
    error = np.square(np.asarray(found.candidates) - np.asarray(states.goal)[:, None]).sum(-1)
    best = error.argmin(axis=1)
    assert found.candidates.shape == (64, C, D)
    assert found.action.dtype == jnp.float32
    np.testing.assert_array_equal(found.action, np.asarray(found.candidates)[np.arange(64), best])
    np.testing.assert_allclose(found.qvalue, -error.min(axis=1), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.prior, np.full((64, C), 1 / C, np.float32))
    assert (np.asarray(found.policy).argmax(axis=1) == best).all()


def test_a_node_knows_the_vectors_of_its_own_actions():
    """`recurrent` acts by the node's candidate of that number, and gives the next node candidates of its own."""
    learned = exact_model()
    model = learned_model(describe(Aim()), learned)
    states = init_batch(Aim(), KEY, 16)
    root = model.sample_actions(KEY, model.root((), states))
    latent: Any = root.embedding
    action = jnp.arange(16) % C
    step, after = model.recurrent((), jax.random.key(1), action, latent)
    taken = np.asarray(latent.candidates)[np.arange(16), action]
    error = np.square(taken - np.asarray(states.goal)).sum(-1)
    np.testing.assert_allclose(step.reward, -error, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(step.prior_logits, np.zeros((16, C)))
    drawn = np.concatenate([latent.candidates, after.candidates]).reshape(-1)
    assert len(np.unique(drawn)) == drawn.size  # no two alike
    assert (np.abs(drawn) < 1).all()
    assert stats.kstest(np.arctanh(drawn), stats.norm(0, 1).cdf).pvalue > 1e-3  # of the policy that says 0


# What is recorded.


@functools.cache
def played(random_move_fraction=0.5):
    """(config, learned model, model, parameters, transitions [T, B])."""
    settings = config(random_move_fraction=random_move_fraction, games=64, plies=8)
    env = Aim()
    learned = learned_of(env, settings)
    model = learned_model(describe(env), learned)
    games = start_games(env, settings, KEY, 64)
    params = quick_jit(learned.network.init)(KEY, games.states.goal)
    play = quick_jit(lambda params, key, games: play_on(env, model, settings, params, key, games)[1])
    return settings, learned, model, params, play(params, jax.random.key(1), games)


def test_self_play_records_the_vector_and_the_candidates():
    _, _, _, _, plies = played()
    assert plies.action.shape == (8, 64, D)
    assert plies.candidates.shape == (8, 64, C, D)
    assert plies.policy.shape == (8, 64, C)
    assert {plies.action.dtype, plies.candidates.dtype, plies.policy.dtype} == {jnp.dtype(jnp.float32)}
    # What was recorded is what was done.
    error = np.square(np.asarray(plies.action) - np.asarray(plies.position.goal)).sum(-1)
    np.testing.assert_allclose(plies.reward, -error, rtol=1e-5)
    among = (np.asarray(plies.candidates) == np.asarray(plies.action)[:, :, None]).all(-1).any(-1)
    np.testing.assert_array_equal(among, ~np.asarray(plies.explored))
    explored = np.asarray(plies.action)[np.asarray(plies.explored)]
    assert 0.4 < len(explored) / among.size < 0.6
    assert stats.kstest(explored.reshape(-1), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert plies.truncated.any()
    assert (plies.ended & ~plies.truncated).any()


@pytest.mark.slow
def test_batches_hold_what_was_played_and_reanalyse_replaces_candidates_with_their_policy():
    settings, learned, model, params, plies = played()
    planner = make_planner(settings.search, model)
    settings = dataclasses.replace(settings, muzero=dataclasses.replace(settings.muzero, reanalyse=0.25))
    rng = np.random.default_rng(1)  # a network with a say
    params = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params)
    ring = init_replay(jax.tree.map(lambda x: x[0], plies), 8)
    ring = rings.packed(Aim(), rings.add(ring, plies, td_lambda=1.0, lookahead=5))
    after, batch = quick_jit(
        lambda ring, key: make_batch(describe(Aim()), settings, planner, learned, params, ring, key, 32)
    )(ring, KEY)
    targets = batch.targets
    assert targets.action.shape == (32, 3, D)
    assert targets.candidates.shape == (32, 4, C, D)
    row, lane = np.asarray(batch.drawn.age), np.asarray(batch.drawn.lane)
    for step in range(3):
        alive = np.asarray(targets.alive)[:, step]
        at = np.minimum(row + step, 7)
        played_there = np.asarray(plies.action)[at, lane]
        np.testing.assert_array_equal(targets.action[alive, step], played_there[alive])
        assert (alive | (np.asarray(targets.action)[:, step] != played_there).all(-1)).all()
        for name in ("candidates", "policy"):
            now = np.asarray(getattr(after.plies, name))[at, lane]
            np.testing.assert_array_equal(getattr(targets, name)[:, step], now)
    changed = {
        name: (np.asarray(getattr(after.plies, name)) != np.asarray(getattr(plies, name))).any((2, 3)[:ndim])
        for name, ndim in (("candidates", 2), ("policy", 1))
    }
    searched = np.zeros((8, 64), bool)
    for step in range(4):
        searched[np.minimum(row[:8] + step, 7), lane[:8]] = True
    np.testing.assert_array_equal(changed["candidates"], searched)
    np.testing.assert_array_equal(changed["policy"], searched)
    # Only these three parts are written.
    kept = {"candidates": (), "policy": (), "value": (), "policy_weight": ()}
    assert same_bits(after.plies._replace(**kept), ring.plies._replace(**kept))


def test_a_reanalysed_policy_belongs_to_the_candidates_beside_it():
    """Also where a ply was drawn several times; with the exact model the nearest candidate has the most weight."""
    settings, _, _, _, plies = played()
    settings = dataclasses.replace(settings, muzero=dataclasses.replace(settings.muzero, reanalyse=1.0))
    plies = jax.tree.map(lambda x: x[:, :4], plies)  # few lanes, so that nearly all is drawn
    ring = rings.add(init_replay(jax.tree.map(lambda x: x[0], plies), 8), plies, td_lambda=1.0, lookahead=5)
    ring = rings.packed(Aim(), ring)
    learned = exact_model()
    model = learned_model(describe(Aim()), learned)
    planner = make_planner(settings.search, model)
    after, _ = quick_jit(
        lambda ring, key: make_batch(describe(Aim()), settings, planner, learned, (), ring, key, 64)
    )(ring, KEY)
    changed = np.asarray((after.plies.candidates != plies.candidates).any((2, 3)))
    assert changed.mean() > 0.8
    error = np.square(np.asarray(after.plies.candidates) - np.asarray(plies.position.goal)[:, :, None]).sum(
        -1
    )
    best = np.asarray(after.plies.policy).argmax(-1)
    np.testing.assert_array_equal(best[changed], error.argmin(-1)[changed])


def test_actions_past_the_end_are_uniform():
    _, _, _, _, plies = played()
    lanes = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), plies._replace(position=()))
    targets = unroll_targets(lanes, lanes.value[:, :4], KEY, 3)
    past = np.asarray(targets.action)[~np.asarray(targets.alive)[:, :-1]]
    assert len(past) > 50
    assert stats.kstest(past.reshape(-1), stats.uniform(-1, 2).cdf).pvalue > 1e-3


# The loss.


def random_batch(seed, samples=5, steps=2):
    """(batch, parameters of the scripted network)."""
    rng = np.random.default_rng(seed)
    shape = (samples, steps + 1)
    policy = rng.dirichlet(np.ones(C), shape) * (rng.random((*shape, C)) < 0.7)
    policy[..., 0] += 0.1
    targets = Targets(
        action=rng.uniform(-1, 1, (samples, steps, D)).astype(np.float32),
        reward=rng.uniform(-1, 1, (samples, steps)).astype(np.float32),
        value=rng.uniform(-1, 1, shape).astype(np.float32),
        policy=(policy / policy.sum(-1, keepdims=True)).astype(np.float32),
        known=np.ones(shape, bool),
        policy_weight=(rng.random(shape) < 0.8).astype(np.float32),
        alive=np.ones(shape, bool),
        candidates=np.tanh(rng.normal(size=(*shape, C, D))).astype(np.float32),
    )
    weight = np.array([0.5, 1.0, 0.0, 0.25, 0.8], np.float32)
    batch = Batch(
        np.arange(samples), (), targets, Draw(np.zeros(samples, int), np.zeros(samples, int), weight)
    )
    atoms = {"value": (*shape, 11), "reward": (samples, steps, 11)}
    params = {"policy": rng.normal(size=(*shape, 2 * D)).astype(np.float32)}
    return batch, params | {name: np.zeros(size, np.float32) for name, size in atoms.items()}


@functools.cache
def compiled_loss(entropy_weight):
    support = Support(2.0, 11)
    learned = LearnedModel(learned_network(Scripted()), support, support, 5, discount=1.0, sampled_actions=C)
    settings = config(muzero=MuZeroSettings(unroll_steps=2, entropy_weight=entropy_weight))
    loss = functools.partial(muzero_loss, learned, settings)
    return quick_jit(lambda params, batch: jax.value_and_grad(loss, has_aux=True)(params, batch, KEY))


@pytest.mark.parametrize("seed", range(3))
def test_the_policys_gradient_is_the_one_by_hand(seed):
    """For u = arctanh a, mean m = 5 tanh(x / 5) and deviation s = 0.1 + 1.8 sigmoid(y): d log pi / dx is
    (u - m) / s^2 (1 - (m / 5)^2), d log pi / dy is ((u - m)^2 / s^3 - 1 / s) 1.8 sigmoid(y) (1 - sigmoid(y))."""
    batch, params = random_batch(seed)
    (_, (metrics, _)), grads = compiled_loss(0.0)(params, batch)
    targets = batch.targets
    x, y = np.split(params["policy"].astype(np.float64), 2, axis=-1)
    gate = 1 / (1 + np.exp(-y))
    mean, std = 5 * np.tanh(x / 5), 0.1 + 1.8 * gate
    action = targets.candidates.astype(np.float64)
    away = np.arctanh(action) - mean[:, :, None]  # [S, K + 1, C, D]
    wide = std[:, :, None]
    log_density = stats.norm(0, wide).logpdf(away).sum(-1) - np.log(1 - action**2).sum(-1)
    by_mean = (away / wide**2) * (1 - (mean / 5) ** 2)[:, :, None]
    by_width = (away**2 / wide**3 - 1 / wide) * (1.8 * gate * (1 - gate))[:, :, None]
    # The root and half of each of the two steps; the mean over the four samples that have a weight.
    scale = batch.drawn.weight[:, None] * targets.policy_weight * np.array([1.0, 0.5, 0.5]) / 4
    expected = -np.einsum("sk,skc,skc->", scale, targets.policy, log_density)
    np.testing.assert_allclose(read(metrics)["policy_loss"], expected, rtol=1e-4)
    gradient = -np.einsum("sk,skc,skcd->skd", scale, targets.policy, np.concatenate([by_mean, by_width], -1))
    np.testing.assert_allclose(grads["policy"], gradient, atol=1e-5, rtol=1e-3)


def test_entropy_is_rewarded_by_its_weight():
    batch, params = random_batch(0)
    (loss, _), _ = compiled_loss(0.0)(params, batch)
    (less, (metrics, _)), _ = compiled_loss(0.5)(params, batch)
    scale = batch.drawn.weight[:, None] * batch.targets.policy_weight * np.array([1.0, 0.5, 0.5]) / 4
    expected = np.sum(scale * np.asarray(squashed.entropy(jnp.asarray(params["policy"]))))
    np.testing.assert_allclose(read(metrics)["action_entropy"], expected, rtol=1e-5)
    np.testing.assert_allclose(loss - less, 0.5 * expected, rtol=1e-4)


# The network, the agent.


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_every_number_of_an_action_counts_and_rows_do_not_mix(kind):
    net = MuZeroNet(0, kind=kind, width=8, head_width=8, action_size=3)
    observation = jax.random.normal(KEY, (4, 3, 3, 2))
    params = quick_jit(net.init)(KEY, observation)

    def after(action):
        latent = net.apply(params, observation, method="represent")
        return net.apply(params, latent, (), action, method="step")[0].reshape(4, -1)

    change = np.asarray(quick_jit(jax.jacobian(lambda action: after(action)))(jnp.zeros((4, 3))))
    reached = np.abs(change).max(axis=1)  # [row out, row in, D]
    assert (reached[np.arange(4), np.arange(4)] > 0).all()
    assert (reached[~np.eye(4, dtype=bool)] == 0).all()
    policy, _ = net.apply(params, net.apply(params, observation, method="represent"), method="predict")
    assert policy.shape == (4, 6)


def test_an_agent_gives_vectors():
    settings, _, _, params, _ = played()
    agent = build_agent(Aim(), settings, params)
    states = init_batch(Aim(), KEY, 16)
    searched = agent.act(states, KEY)
    assert searched.shape == (16, D)
    assert searched.dtype == jnp.float32
    np.testing.assert_array_equal(agent.act(states, KEY), searched)
    assert (agent.act(states, jax.random.key(1)) != searched).any()
    assert (agent.act(states, KEY, temperature=1.0) != searched).any()
    # A new network says 0: the mean action is 0, and draws are about it.
    np.testing.assert_allclose(agent.act(states, KEY, num_simulations=0), 0, atol=1e-6)
    np.testing.assert_allclose(agent.evaluate(states)[0], np.zeros((16, D)), atol=1e-6)
    drawn = agent.act(states, KEY, num_simulations=0, temperature=1.0)
    assert drawn.shape == (16, D)
    assert len(np.unique(drawn)) == 16 * D


def test_alphazero_names_the_algorithms_that_can():
    with pytest.raises(ValueError, match=r"vectors of 2; use algorithm 'gumbel_muzero'"):
        build_algorithm(Aim(), config(algorithm="alphazero"))


def test_one_candidate_is_no_choice():
    with pytest.raises(ValueError, match=r"search.sampled_actions is 1; it must be at least 2"):
        SearchSettings(sampled_actions=1)


# Learning.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "bar"), [("gumbel_muzero", 0.1), ("efficientzero", 0.15), ("muzero", 0.25)]
)
def test_training_moves_the_mean_to_the_goal(algorithm, bar):
    """Self-play, replay and updates: the mean of the policy ends near the goal, wherever that is.

    PUCT's shares of visits say less of which candidate is the best, so its mean lags behind.
    """
    parts = {"value_prefix": True, "consistency_weight": 0.5, "reanalyse": 0.25}
    muzero = config().muzero
    settings = config(
        algorithm=algorithm,
        search=SearchSettings(
            policy="puct" if algorithm == "muzero" else "gumbel",
            num_simulations=50 if algorithm == "muzero" else 16,
            max_considered=16,
            sampled_actions=16,
        ),
        network=NetworkSettings(width=32, blocks=1, head_width=32),
        muzero=dataclasses.replace(muzero, **(parts if algorithm == "efficientzero" else {})),
        discount=0.9,
        games=32,
        plies=16,
        replay_plies=64,
        batch_size=64,
        updates=100,
        learning_rate=3e-3,
    )
    program = build_program(Aim(length=8), settings, make_mesh(jax.devices()[:1]))
    state = program.init()
    for _ in range(20):
        state, _ = program.play(state)
        state, _ = program.learn(state)
    states = init_batch(Aim(), jax.random.key(5), 64)
    aimed = build_agent(Aim(), settings, state.averaged).act(states, KEY, num_simulations=0)
    error = np.linalg.norm(np.asarray(aimed) - np.asarray(states.goal), axis=1)
    assert np.median(np.linalg.norm(states.goal, axis=1)) > 0.5  # the error of a mean that has not moved
    assert np.median(error) < bar, np.sort(error)
