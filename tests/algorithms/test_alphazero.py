"""AlphaZero's loss against NumPy. Axes: S samples, A actions."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.tic_tac_toe import TicTacToe
from scipy import special

from jzero.algorithms.alphazero import AlphaZeroSettings, alphazero_loss
from jzero.env import observe_batch
from jzero.env_spec import describe
from jzero.metrics import mean
from jzero.record import Position
from jzero.replay import Sample
from tests.helpers.positions import mid_games
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import network_of

S, A = 7, 9


class PlainState(NamedTuple):
    board: jax.Array
    legal_action_mask: jax.Array


class PlainGame:
    """The board itself is the observation; no symmetries."""

    num_actions, num_players = A, 1

    def init(self, key):
        return PlainState(jnp.int32(0), jnp.ones(A, bool))

    def observe(self, state):
        return state.board


def table_network(params, observation):
    """Logits and values are the parameters; the row is the observation."""
    rows = observation.astype(jnp.int32)
    return params[0][rows], params[1][rows]


def random_sample(seed):
    """A batch with illegal actions, and policies that are zero there and at some legal ones."""
    rng = np.random.default_rng(seed)
    legal = rng.random((S, A)) < 0.6
    legal[:, 3] = True
    policy = legal * rng.random((S, A)) * (rng.random((S, A)) < 0.7)
    policy[:, 3] += 0.1
    policy /= policy.sum(axis=1, keepdims=True)
    batch = Sample(
        position=Position(jnp.arange(S), jnp.asarray(legal)),
        policy=jnp.asarray(policy, jnp.float32),
        policy_weight=jnp.asarray(rng.random(S) < 0.6, jnp.float32),
        value=jnp.asarray(rng.uniform(-1, 1, S), jnp.float32),
        weight=jnp.asarray(rng.random(S) < 0.7, jnp.float32),
    )
    params = (
        jnp.asarray(rng.normal(size=(S, A)), jnp.float32),
        jnp.asarray(rng.uniform(-1, 1, S), jnp.float32),
    )
    return batch, params


def numpy_loss(batch, params, value_weight):
    """(policy loss, value loss, gradient of the logits, gradient of the values), sample by sample."""
    logits, values = (np.asarray(x, np.float64) for x in params)
    both = np.asarray(batch.weight * batch.policy_weight, np.float64)
    weight = np.asarray(batch.weight, np.float64)
    policy_loss = value_loss = 0.0
    logit_grads, value_grads = np.zeros((S, A)), np.zeros(S)
    for row in range(S):
        legal = np.flatnonzero(batch.position.legal[row])
        target = np.asarray(batch.policy[row], np.float64)[legal]
        prior = special.softmax(logits[row, legal])
        policy_loss += both[row] * special.rel_entr(target, prior).sum() / max(both.sum(), 1)
        error = values[row] - float(batch.value[row])
        value_loss += weight[row] * error**2 / max(weight.sum(), 1)
        logit_grads[row, legal] = both[row] * (prior - target) / max(both.sum(), 1)
        value_grads[row] = value_weight * weight[row] * 2 * error / max(weight.sum(), 1)
    return policy_loss, value_loss, logit_grads, value_grads


@functools.cache
def compiled_loss(value_weight=1.0):
    settings = AlphaZeroSettings(value_weight=value_weight)

    def loss(params, batch):
        return measured(PlainGame(), network_of(table_network), settings, params, batch, jax.random.key(0))

    return quick_jit(jax.value_and_grad(loss, has_aux=True))


def measured(env, *arguments):
    """`alphazero_loss`, its parts as numbers."""
    loss, (metrics, _) = alphazero_loss(describe(env), *arguments)
    return loss, {name: part.value for name, part in metrics.items()}


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradient_are_those_of_numpy(seed):
    batch, params = random_sample(seed)
    (loss, parts), grads = compiled_loss(0.25)(params, batch)
    policy_loss, value_loss, logit_grads, value_grads = numpy_loss(batch, params, 0.25)
    np.testing.assert_allclose(parts["policy_loss"], policy_loss, rtol=1e-5)
    np.testing.assert_allclose(parts["value_loss"], value_loss, rtol=1e-5)
    np.testing.assert_allclose(loss, policy_loss + 0.25 * value_loss, rtol=1e-5)
    assert parts["loss"] == loss
    spread = special.softmax(np.asarray(params[0], np.float64), axis=1).std(axis=0).sum()
    np.testing.assert_allclose(parts["policy_std"], spread, rtol=1e-5)
    np.testing.assert_allclose(grads[0], logit_grads, atol=1e-6)
    np.testing.assert_allclose(grads[1], value_grads, atol=1e-6)


def test_large_values_are_compared_on_the_scale_of_h():
    batch, (logits, values) = random_sample(9)
    batch, values, limit = batch._replace(value=1000 * batch.value), 1000 * values, 2000.0

    def loss(value_limit):
        network = network_of(table_network)._replace(value_limit=value_limit)
        arguments = (AlphaZeroSettings(augment=False), (logits, values), batch, jax.random.key(0))
        return measured(PlainGame(), network, *arguments)[1]["value_loss"]

    def h(x):
        return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + 0.001 * x

    target, found, weight = (np.asarray(x, np.float64) for x in (batch.value, values, batch.weight))
    error = (h(found) - h(target)) / h(2000.0)
    np.testing.assert_allclose(loss(limit), (weight * error**2).sum() / weight.sum(), rtol=1e-4)
    np.testing.assert_allclose(loss(1.0), (weight * (found - target) ** 2).sum() / weight.sum(), rtol=1e-4)


def test_a_perfect_network_has_no_policy_loss():
    batch, params = random_sample(0)
    logits = jnp.log(jnp.maximum(batch.policy, 1e-30))
    (_, parts), _ = compiled_loss()((logits, params[1]), batch)
    np.testing.assert_allclose(parts["policy_loss"], 0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e30])
def test_illegal_actions_never_make_nan(scale):
    batch, params = random_sample(1)
    only = jnp.zeros((S, A), bool).at[:, 3].set(True)  # a single legal action
    none = jnp.zeros((S, A), bool)  # a finished state
    for legal in (batch.position.legal, only, none):
        policy = jnp.where(legal, batch.policy, 0.0)
        changed = batch._replace(position=batch.position._replace(legal=legal), policy=policy)
        (loss, parts), grads = compiled_loss()((scale * params[0], params[1]), changed)
        assert np.isfinite([loss, *parts.values()]).all()
        assert all(np.isfinite(grad).all() for grad in grads)
        if legal is not none:
            assert not np.asarray(grads[0])[~np.asarray(legal)].any()


def test_weights_take_samples_out_and_an_empty_batch_is_zero():
    batch, params = random_sample(2)
    keep = np.flatnonzero(batch.weight)
    spoiled = batch._replace(value=jnp.where(batch.weight > 0, batch.value, 1e6))
    other_policy = batch.position.legal / batch.position.legal.sum(axis=1, keepdims=True)
    spoiled = spoiled._replace(policy=jnp.where(batch.weight[:, None] > 0, batch.policy, other_policy))
    (loss, _), grads = compiled_loss()(params, batch)
    (other, _), other_grads = compiled_loss()(params, spoiled)
    assert 0 < len(keep) < S
    assert loss == other
    assert all((one == two).all() for one, two in zip(grads, other_grads, strict=True))
    (loss, parts), grads = compiled_loss()(params, batch._replace(weight=jnp.zeros(S)))
    assert float(loss) == 0
    assert not any(np.asarray(grad).any() for grad in grads)
    (_, parts), _ = compiled_loss()(params, batch._replace(policy_weight=jnp.zeros(S)))
    assert float(parts["policy_loss"]) == 0
    assert float(parts["value_loss"]) > 0


def test_the_weighted_mean():
    values, weights = jnp.array([1.0, 5.0, 9.0]), jnp.array([1.0, 0.0, 1.0])
    assert float(mean(values, weights).value) == 5.0
    assert float(mean(values, 0 * weights).value) == 0.0


def test_augmentation_can_be_switched_off_and_changes_only_the_view():
    env = TicTacToe()
    states, _, _ = mid_games(env, 32, 3, seed=3)
    legal = states.legal_action_mask
    position = Position(observe_batch(env, states), legal)
    batch = Sample(
        position, legal / legal.sum(axis=1, keepdims=True), jnp.ones(32), jnp.zeros(32), jnp.ones(32)
    )
    weights = jax.random.normal(jax.random.key(0), (18, 10))

    def network(params, observation):
        output = observation.reshape(observation.shape[0], -1) @ params
        return output[:, :9], output[:, 9]

    runs = {
        augment: quick_jit(
            functools.partial(measured, env, network_of(network), AlphaZeroSettings(augment=augment))
        )
        for augment in (False, True)
    }

    def loss(seed, augment):
        return [float(part) for part in runs[augment](weights, batch, jax.random.key(seed))[1].values()]

    assert loss(0, False) == loss(1, False)
    assert loss(0, False) != loss(0, True)
    assert loss(1, True) != loss(0, True)
    # A network that looks at nothing but the number of stones cannot tell images apart.
    weights = jnp.ones((18, 10))
    np.testing.assert_allclose(loss(0, True), loss(0, False), rtol=1e-5)
