"""Codes of chance: every loss and gradient against NumPy, and a throw of dice that is learned from scratch.

Axes: S samples, K unrolled steps, A actions, M codes.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jzero.algorithms.chance_codes import Codes, code_information, codes_in_use, straight_through
from jzero.algorithms.muzero import muzero_loss
from jzero.algorithms.targets import Targets
from jzero.algorithms.unrolled import Batch, MuZeroSettings
from jzero.env import init_batch
from jzero.env_spec import describe
from jzero.metrics import read
from jzero.models.learned import Latent, LearnedModel, learned_model
from jzero.models.plan import SearchSettings
from jzero.networks import learned_network
from jzero.networks.make import NetworkSettings
from jzero.program import make_mesh
from jzero.registry import make
from jzero.replay import Draw
from jzero.run import describe as run_describe
from jzero.run.build import build_agent, build_algorithm, build_program
from jzero.storage import checkpoint
from tests.algorithms.test_ladder import trained
from tests.algorithms.test_muzero import ATOMS, REWARD, VALUE, A, K, S, random_targets
from tests.helpers.env_examples import Aim
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import planned, same_bits, tiny
from tests.oracles import muzero as oracle

M, DISCOUNT = 3, -0.9
VALUE_WEIGHT, REWARD_WEIGHT, COMMITMENT = 0.25, 0.5, 0.3
SEEN = 1 + S + S * K  # observations are the numbers from 1 on; 0 is where nothing is seen


class Scripted(NamedTuple):
    """What it says is tables; a latent state is (number of the row, step), and so is an afterstate.

    A code adds its own logits to those of the reward.
    """

    prefix_width: int = 0
    chance_codes: int = M
    projection_width: int = 0
    init = None

    def apply(self, params: Any, *args: Any, method: str) -> Any:
        return getattr(self, method)(params, *args)

    def represent(self, params, observation):
        rows = observation.astype(jnp.float32) - 1
        return jnp.stack([rows, jnp.zeros_like(rows)], axis=1)

    def predict(self, params, latent):
        return tuple(params[name][_numbers(latent)] for name in ("policy", "value"))

    def decide(self, params, latent, action):
        return latent

    def predict_afterstate(self, params, afterstate):
        return tuple(params[name][_numbers(afterstate)] for name in ("chance", "afterstate_value"))

    def step(self, params, afterstate, memory, code):
        reward = params["reward"][_numbers(afterstate)] + code @ params["of_code"]
        return afterstate + jnp.array([0.0, 1.0]), memory, reward

    def encode(self, params, before, after):
        return params["code"][before, after]


def _numbers(latent):
    return latent[:, 0].astype(jnp.int32), latent[:, 1].astype(jnp.int32)


def random_batch(seed):
    """(batch, parameters of the scripted network)."""
    rng = np.random.default_rng(seed)
    batch = Batch(
        observation=1 + np.arange(S),
        later=1 + S + np.arange(S * K).reshape(S, K),
        targets=random_targets(rng),
        drawn=Draw(np.zeros(S, int), np.zeros(S, int), (rng.random(S) * (rng.random(S) < 0.8)).astype("f4")),
    )
    shapes = {"policy": (S, K + 1, A), "value": (S, K + 1, ATOMS), "reward": (S, K, ATOMS)}
    shapes |= {"chance": (S, K, M), "afterstate_value": (S, K, ATOMS), "of_code": (M, ATOMS)}
    shapes |= {"code": (SEEN, SEEN, M)}
    return batch, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@functools.cache
def compiled_loss(information=0.0):
    """(params, batch) -> ((loss, (metrics, priorities)), gradient), of the scripted network."""
    learned = LearnedModel(learned_network(Scripted()), VALUE, REWARD, 5, discount=DISCOUNT)
    weights = {"reward_weight": REWARD_WEIGHT, "commitment_weight": COMMITMENT}
    muzero = MuZeroSettings(unroll_steps=K, code_information_weight=information, **weights)
    config = tiny(
        algorithm="muzero",
        value_weight=VALUE_WEIGHT,
        muzero=muzero,
        network=NetworkSettings(width=16, chance_codes=M),
    )
    loss = functools.partial(muzero_loss, learned, config)
    return quick_jit(
        lambda params, batch: jax.value_and_grad(loss, has_aux=True)(params, batch, jax.random.key(0))
    )


def seen(batch, row, step):
    """(o_t+step, o_t+step+1) of a row, as the encoder must see them: 0 where the game has no such position."""
    numbers = [batch.observation[row], *batch.later[row]]
    alive = batch.targets.alive[row]
    return tuple(int(numbers[at]) if at == 0 or alive[at] else 0 for at in (step, step + 1))


def base_loss(batch, params, code):
    """MuZero's own parts, where f64[S, K, M] are the codes."""
    targets = batch.targets
    return oracle.loss(
        policy_logits=params["policy"],
        value_logits=params["value"],
        reward_logits=params["reward"].astype(np.float64) + code @ params["of_code"].astype(np.float64),
        cosine=np.zeros((S, K)),
        policy=targets.policy,
        policy_weight=targets.policy_weight,
        value=targets.value,
        reward=targets.reward,
        known=targets.known,
        alive=targets.alive,
        weight=batch.drawn.weight,
        limits=(VALUE.limit, REWARD.limit),
        weights=(VALUE_WEIGHT, REWARD_WEIGHT, 0.0),
    )


def numpy_loss(batch, params):
    """({part: loss}, {parameter: gradient}) with the chance loss of equation 7, a step at a time."""
    embedding, code = np.zeros((S, K, M)), np.zeros((S, K, M))
    for row in range(S):
        for step in range(K):
            embedding[row, step] = params["code"][seen(batch, row, step)]
            code[row, step, np.argmax(embedding[row, step])] = 1
    parts, base = base_loss(batch, params, code)
    parts |= dict.fromkeys(("chance_loss", "commitment_loss", "afterstate_value_loss"), 0.0)
    grads = {name: np.zeros(np.shape(array)) for name, array in params.items()} | base
    grads["of_code"] = np.einsum("skm,ska->ma", code, base["reward"])
    targets, weight = batch.targets, batch.drawn.weight
    present = max(sum(weight > 0), 1)
    for row in range(S):
        for step in range(K):
            share = weight[row] / present / K * float(targets.known[row, step + 1])
            at, one = seen(batch, row, step), code[row, step]
            # Straight through: what the reward's loss says of the code is said of the encoder's output.
            grads["code"][at] += base["reward"][row, step] @ params["of_code"].T.astype(np.float64)
            away = embedding[row, step] - one
            parts["commitment_loss"] += share * away @ away
            grads["code"][at] += COMMITMENT * share * 2 * away

            mass = oracle.softmax(params["chance"][row, step])
            parts["chance_loss"] -= share * math.log(mass @ one)
            grads["chance"][row, step] += share * (mass - one)

            worth = targets.reward[row, step] + DISCOUNT * targets.value[row, step + 1]
            target = oracle.two_hot(float(worth), VALUE.limit, ATOMS)
            mass = oracle.softmax(params["afterstate_value"][row, step])
            parts["afterstate_value_loss"] -= share * target @ np.log(mass)
            grads["afterstate_value"][row, step] += VALUE_WEIGHT * share * (mass - target)
    parts["loss"] += parts["chance_loss"] + COMMITMENT * parts["commitment_loss"]
    parts["loss"] += VALUE_WEIGHT * parts["afterstate_value_loss"]
    return parts, grads


@pytest.mark.parametrize("seed", range(6))
def test_every_part_and_its_gradient_is_numpys(seed):
    batch, params = random_batch(seed)
    (loss, (metrics, _)), grads = compiled_loss()(params, batch)
    metrics = read(metrics)
    parts, expected = numpy_loss(batch, params)
    assert not batch.targets.alive.all()
    for name in parts.keys() - {"consistency_loss"}:
        np.testing.assert_allclose(metrics[name], parts[name], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(loss, parts["loss"], rtol=1e-4)
    for name, grad in expected.items():
        np.testing.assert_allclose(grads[name], grad, atol=2e-5, err_msg=name)


def test_the_encoders_gradient_is_that_of_the_code_by_differences():
    """Without commitment: what the loss changes by when the code itself is moved a little."""
    batch, params = random_batch(7)
    _, grads = compiled_loss()(params, batch)
    code = np.zeros((S, K, M))
    away = np.zeros((S, K, M))
    for row in range(S):
        for step in range(K):
            embedding = params["code"][seen(batch, row, step)].astype(np.float64)
            code[row, step, np.argmax(embedding)] = 1
            away[row, step] = embedding - code[row, step]
    weight = batch.drawn.weight
    rows = [row for row in range(S) if weight[row] > 0 and batch.targets.alive[row, 1]]
    assert rows
    for row in rows[:3]:
        for m in range(M):
            moved = np.zeros_like(code)
            moved[row, 0, m] = 1e-4
            up, down = (base_loss(batch, params, code + sign * moved)[0]["loss"] for sign in (1, -1))
            committed = COMMITMENT * 2 * away[row, 0, m] * weight[row] / (weight > 0).sum() / K
            found = grads["code"][seen(batch, row, 0)][m] - committed
            np.testing.assert_allclose(found, (up - down) / 2e-4, atol=1e-5)


def test_the_code_is_one_of_the_codebook_and_its_gradient_is_the_identity():
    embedding = np.random.default_rng(0).normal(size=(50, 4, 7)).astype(np.float32) * 30

    def passed(embedding):
        code = jax.nn.one_hot(jnp.argmax(embedding, -1), 7)
        return straight_through(Codes(embedding, code))

    found, pull = jax.vjp(passed, embedding)
    # The nearest of the unit vectors, by distances.
    distance = ((embedding[..., None, :] - np.eye(7)) ** 2).sum(-1)
    np.testing.assert_array_equal(found, np.eye(7)[distance.argmin(-1)])
    back = np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
    np.testing.assert_array_equal(pull(back)[0], back)


def test_codes_in_use_are_counted_by_their_entropy():
    code = jnp.asarray(np.eye(4)[[[0, 1, 2, 3], [1, 1, 1, 1]]])
    both, first, second = ([[1.0] * 4] * 2, [[1.0] * 4, [0.0] * 4], [[0.0] * 4, [1.0] * 4])
    for weight, shares in ((first, [0.25] * 4), (second, [1]), (both, [1 / 8, 5 / 8, 1 / 8, 1 / 8])):
        expected = math.exp(-sum(share * math.log(share) for share in shares))
        assert codes_in_use(Codes(code, code), jnp.asarray(weight)) == pytest.approx(expected, rel=1e-5)


def test_the_information_of_codes_is_that_of_their_joint_distribution_with_the_steps():
    """The oracle adds p log p / (p_step p_code) up over all pairs of a step and a code."""
    rng = np.random.default_rng(0)
    embedding, weight = rng.normal(size=(5, 3, 4)), (rng.random((5, 3)) < 0.7).astype(float)
    codes = Codes(jnp.asarray(embedding, jnp.float32), jnp.zeros((5, 3, 4)))
    chance = np.exp(4 * embedding) / np.exp(4 * embedding).sum(-1, keepdims=True)
    joint = (chance * weight[..., None] / weight.sum()).reshape(15, 4)
    expected = 0.0
    for step, code in zip(*np.nonzero(joint), strict=True):
        p = joint[step, code]
        expected += p * math.log(p / joint[step].sum() / joint[:, code].sum())
    assert code_information(codes, jnp.asarray(weight)) == pytest.approx(expected, rel=1e-4)
    same = codes._replace(embedding=jnp.zeros((5, 3, 4)).at[..., 2].set(9.0))
    assert code_information(same, jnp.asarray(weight)) == pytest.approx(0, abs=1e-5)


def test_the_loss_rewards_the_information_of_codes_by_its_weight():
    batch, params = random_batch(5)
    (loss, (metrics, _)), _ = compiled_loss()(params, batch)
    (other, (same, _)), grads = compiled_loss(2.0)(params, batch)
    np.testing.assert_allclose(other, loss - 2.0 * read(metrics)["code_information"], rtol=1e-5)
    assert read(same)["code_information"] > 0.1
    assert np.abs(grads["code"]).max() > 0


class DiceState(NamedTuple):
    place: jax.Array
    current_player: jax.Array
    legal_action_mask: jax.Array
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array


LUCK = 0.3
FIRST = np.array([0.0, 1.0, -0.5, 0.0])  # reward of arriving at a place
SECOND = np.array([0.0, 0.5, 0.0, 0.2])  # mean reward of either action there, which ends the game
SPREAD = np.array([0.0, 0.0, 0.0, 0.2])  # it is that much more or less, as often as not
DICE_STEPS = 4  # K: two beyond the end, which a search looks at too


class Dice:
    """From place 0 action 1 throws a die: luck leads to place 1, else to 2; action 0 leads to place 3 for sure."""

    num_actions, num_players = 2, 1

    def init(self, key):
        no = jnp.bool_(False)
        return DiceState(jnp.int32(0), jnp.int32(0), jnp.ones(2, bool), jnp.zeros(1), no, no)

    def observe(self, state):
        return jax.nn.one_hot(state.place, 4)


def games_of_dice(rng, count):
    """Random games as a batch, two plies each; what follows the end are positions of other games."""
    steps = DICE_STEPS
    action = rng.integers(2, size=(count, steps))
    place = np.where(action[:, 0] == 0, 3, np.where(rng.random(count) < LUCK, 1, 2))
    second = SECOND[place] + SPREAD[place] * rng.choice([-1, 1], count)
    nothing = np.zeros((count, steps - 2))
    reward = np.column_stack([FIRST[place], second, nothing])
    value = np.column_stack([reward.sum(1), second, nothing, nothing[:, 0]])
    alive = np.arange(steps + 1)[None].repeat(count, axis=0) < 2
    targets = Targets(
        action=action,
        reward=reward.astype(np.float32),
        value=value.astype(np.float32),
        policy=np.full((count, steps + 1, 2), 0.5, np.float32),
        known=np.ones((count, steps + 1), bool),
        policy_weight=alive.astype(np.float32),
        alive=alive,
    )
    later = np.eye(4, dtype=np.float32)[np.column_stack([place, rng.integers(4, size=(count, steps - 1))])]
    first = np.eye(4, dtype=np.float32)[np.zeros(count, int)]
    return Batch(first, later, targets, Draw(np.zeros(count, int), np.zeros(count, int), np.ones(count)))


@functools.cache
def dice_model(codes, prefix=False):
    """(learned model, parameters, metrics of the last update)."""
    config = tiny(
        algorithm="muzero",
        network=NetworkSettings(width=32, blocks=1, head_width=32, chance_codes=codes),
        muzero=MuZeroSettings(
            unroll_steps=DICE_STEPS, value_limit=2.0, reward_limit=2.0, value_prefix=prefix
        ),
    )
    rng = np.random.default_rng(0)
    batches = (games_of_dice(rng, 256) for _ in range(400))
    # To 0, as the last batches would move the probabilities by some hundredths.
    return trained(Dice(), config, batches, optax.cosine_decay_schedule(4e-3, 400))


@functools.cache
def after_a_throw(codes, prefix=False):
    """(shares of the codes f64[M], rewards of each f64[M], Q-value) of the model after action 1."""
    learned, params, _ = dice_model(codes, prefix)
    root = learned.represent(params, Dice().observe(Dice().init(None))[None])
    after = learned.decide(params, root, jnp.array([1]))
    chance, value = learned.chance(params, after)
    many = jax.tree.map(lambda x: jnp.repeat(x, codes, axis=0), after)
    states, logits = learned.step(params, many, jnp.eye(codes))
    rewards = learned.earned(many, states, logits)
    return (
        np.asarray(x, np.float64) for x in (jax.nn.softmax(chance)[0], rewards, learned.value.decode(value))
    )


@pytest.mark.slow
def test_a_model_with_codes_learns_what_a_throw_of_dice_may_bring():
    share, reward, value = after_a_throw(8)
    order = np.argsort(-share)
    np.testing.assert_allclose(share[order[:2]], [1 - LUCK, LUCK], atol=0.05)
    np.testing.assert_allclose(reward[order[:2]], [FIRST[2], FIRST[1]], atol=0.05)
    assert share[order[2:]].sum() < 0.02
    np.testing.assert_allclose(value, LUCK * 1.5 - (1 - LUCK) * 0.5, atol=0.1)
    # In nats, what is left to learn is the entropy of the dice, in the half of the games that throw them.
    _, _, metrics = dice_model(8)
    entropy = -(LUCK * math.log(LUCK) + (1 - LUCK) * math.log(1 - LUCK)) / 2
    np.testing.assert_allclose(metrics["chance_loss"], entropy / DICE_STEPS, atol=0.02)
    assert metrics["reward_error_1"] < 0.05


@pytest.mark.slow
def test_a_model_without_codes_learns_the_mean_of_a_throw():
    _, _, metrics = dice_model(0)
    mean = LUCK * FIRST[1] + (1 - LUCK) * FIRST[2]
    spread = LUCK * (FIRST[1] - mean) + (1 - LUCK) * (mean - FIRST[2])
    np.testing.assert_allclose(metrics["reward_error_1"], spread / 2, atol=0.08)
    learned, params, _ = dice_model(0)
    root = learned.represent(params, Dice().observe(Dice().init(None))[None])
    after, logits = learned.step(params, root, jnp.array([1]))
    np.testing.assert_allclose(learned.earned(root, after, logits), mean, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["gumbel", "puct"])
def test_a_search_weighs_what_a_throw_may_bring(policy):
    learned, params, _ = dice_model(8)
    model = learned_model(describe(Dice()), learned)
    states = jax.tree.map(lambda x: jnp.stack([x] * 4), Dice().init(None))
    config = SearchSettings(policy=policy, pb_c_init=10.0)  # PUCT, too, tries both often

    @quick_jit
    def search(params):
        return planned(config, model, params, jax.random.key(0), states, num_simulations=40, memory=None)

    found = search(params)
    qvalues = np.asarray(found.tree.summary().qvalues)
    # The game's end has one code, of which the model learns the mean reward: 0.2 after a safe move.
    np.testing.assert_allclose(qvalues, [[0.2, LUCK * 1.5 - (1 - LUCK) * 0.5]] * 4, atol=0.06)
    assert found.action.tolist() == [0] * 4


@pytest.mark.slow
def test_a_value_prefix_goes_through_afterstates():
    share, reward, _ = after_a_throw(8, prefix=True)
    order = np.argsort(-share)[:2]
    np.testing.assert_allclose(share[order], [1 - LUCK, LUCK], atol=0.05)
    np.testing.assert_allclose(reward[order], [FIRST[2], FIRST[1]], atol=0.05)
    learned, params, _ = dice_model(8, prefix=True)
    root = learned.represent(params, Dice().observe(Dice().init(None))[None])
    after = learned.decide(params, root, jnp.array([1]))
    assert isinstance(after, Latent)
    state, logits = learned.step(params, after, jax.nn.one_hot(jnp.array([order[1]]), 8))
    later = learned.decide(params, state, jnp.array([0]))
    code = jax.nn.one_hot(jnp.argmax(learned.chance(params, later)[0], axis=-1), 8)
    end, logits = learned.step(params, later, code)
    # The prefixes are 1 and 1.5; the reward is their difference.
    np.testing.assert_allclose(learned.earned(later, end, logits), SECOND[1], atol=0.1)


# Training.


def chance_config(**changes):
    network = NetworkSettings(width=16, blocks=1, head_width=16, chance_codes=5)
    muzero = MuZeroSettings(
        unroll_steps=2, td_steps=2, value_limit=100.0, reward_limit=16.0, reanalyse=0.5, bootstrap="network"
    )
    settings = {"env": "2048?size=2", "algorithm": "gumbel_muzero", "network": network, "muzero": muzero}
    return tiny(**(settings | {"opening_plies": 0} | changes))


PUCT = SearchSettings(policy="puct", num_simulations=4)
ALL_PARTS = MuZeroSettings(
    unroll_steps=2,
    td_steps=2,
    value_limit=100.0,
    reward_limit=16.0,
    value_prefix=True,
    consistency_weight=1.0,
)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize(
    "changes",
    [{}, {"algorithm": "muzero", "search": PUCT}, {"algorithm": "efficientzero", "muzero": ALL_PARTS}],
    ids=["gumbel", "puct", "efficientzero"],
)
def test_2048_trains_by_a_learned_model_of_its_chance(changes, tmp_path):
    """Self-play, reanalyse, updates, an agent's moves; and a checkpoint that goes on to the same bits."""
    config = chance_config(**changes)
    env = make(config.env)
    program = build_program(env, config, make_mesh(jax.devices()[:1]))
    state, first = program.init(), None
    for iteration in range(4):
        state, played = program.play(state)
        state, metrics = program.learn(state)
        if iteration == 2:
            checkpoint.save(tmp_path / "run", 1, {"state": state})
    first = read(metrics)
    assert all(np.isfinite(x) for x in jax.tree.leaves(metrics))
    assert 1 <= first["codes_in_use"] <= 5
    assert 0 <= first["chance_entropy"] <= math.log(5) + 1e-5
    assert read(played)["evaluations_per_position"] == 1 + config.search.num_simulations
    _, restored = checkpoint.restore(tmp_path / "run", {"state": program.abstract})
    again, _ = program.play(restored["state"])
    again, _ = program.learn(again)
    assert same_bits(again, state)

    agent = build_agent(env, config, state.averaged)
    states = init_batch(env, jax.random.key(3), 16)
    actions = agent.act(states, jax.random.key(4))
    assert jnp.take_along_axis(states.legal_action_mask, actions[:, None], axis=1).all()
    np.testing.assert_array_equal(agent.act(states, jax.random.key(5)), actions)
    if config.search.policy == "puct":
        with pytest.raises(ValueError, match=r"leaves is 2; PUCT with learned chance codes .* use 1"):
            agent.act(states, jax.random.key(4), leaves=2)
    else:
        assert agent.act(states, jax.random.key(4), leaves=2).shape == (16,)
    model = build_algorithm(env, config).model
    assert run_describe.describe(model, config, state).startswith(
        f"{config.algorithm} in 2048?size=2, 8 games"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_continuous_actions_lead_to_afterstates_too():
    config = chance_config(
        env="aim",
        search=SearchSettings(num_simulations=4, sampled_actions=3),
        muzero=MuZeroSettings(unroll_steps=2, td_steps=2, value_limit=5.0, reward_limit=5.0, reanalyse=0.5),
    )
    program = build_program(Aim(), config, make_mesh(jax.devices()[:1]))
    state = program.init()
    for _ in range(3):
        state, _ = program.play(state)
        state, metrics = program.learn(state)
    assert all(np.isfinite(x) for x in jax.tree.leaves(metrics))
    states = init_batch(Aim(), jax.random.key(3), 4)
    assert build_agent(Aim(), config, state.averaged).act(states, jax.random.key(4)).shape == (4, 2)
