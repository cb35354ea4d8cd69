"""MuZero's loss: each part and its gradient against NumPy; the unrolled model against one written out by hand.

Axes: S samples, K unrolled steps, A actions.
"""

import functools

import jax
import numpy as np
import pytest

from jzero.algorithms.muzero import muzero_loss
from jzero.algorithms.targets import Targets
from jzero.algorithms.unrolled import Batch, MuZeroSettings, Roots
from jzero.metrics import read
from jzero.models.learned import LearnedModel
from jzero.networks import Support, learned_network
from jzero.replay import Draw
from tests.helpers.networks import Scripted
from tests.helpers.search_tables import quick_jit
from tests.helpers.tiny import tiny
from tests.oracles import muzero as oracle

S, K, A, ATOMS, WIDTH = 6, 3, 4, 11, 5
VALUE, REWARD = Support(2.0, ATOMS), Support(3.0, ATOMS)
WEIGHTS = (0.25, 0.5, 2.0)  # of value, reward and consistency


def random_targets(rng):
    """Games of all lengths that end in both ways; policies with zeros, fast searches."""
    length = rng.integers(1, K + 3, size=S)  # steps that belong to the game
    alive = np.arange(K + 1) < length[:, None]
    truncated = rng.random(S) < 0.5
    policy = rng.random((S, K + 1, A)) * (rng.random((S, K + 1, A)) < 0.7)
    policy[..., 1] += 0.1
    return Targets(
        action=rng.integers(A, size=(S, K)).astype(np.int32),
        reward=(rng.uniform(-4, 4, (S, K)) * alive[:, :-1]).astype(np.float32),
        value=(rng.uniform(-3, 3, (S, K + 1)) * alive).astype(np.float32),
        policy=(policy / policy.sum(-1, keepdims=True)).astype(np.float32),
        known=alive | ~truncated[:, None],
        policy_weight=(alive & (rng.random((S, K + 1)) < 0.8)).astype(np.float32),
        alive=alive,
    )


def random_batch(seed):
    """(batch, parameters of the scripted network): rows S * (1 + step) .. are the observations of later steps."""
    rng = np.random.default_rng(seed)
    weight = (rng.random(S) * (rng.random(S) < 0.8)).astype(np.float32)
    batch = Batch(
        observation=np.arange(S),
        later=S + np.arange(S * K).reshape(S, K),
        targets=random_targets(rng),
        drawn=Draw(np.zeros(S, int), np.zeros(S, int), weight),
    )
    shapes = {"policy": (S, K + 1, A), "value": (S, K + 1, ATOMS), "reward": (S, K, ATOMS)}
    shapes |= {"projection": (S + S * K, K + 1, WIDTH), "predictor": (WIDTH, WIDTH)}
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return batch, params


def config(**muzero):
    weights = {"reward_weight": WEIGHTS[1], "consistency_weight": WEIGHTS[2], "unroll_steps": K}
    return tiny(algorithm="muzero", value_weight=WEIGHTS[0], muzero=MuZeroSettings(**(weights | muzero)))


@functools.cache
def compiled_loss(prefix_width=0, horizon=2):
    """(params, batch) -> ((loss, (metrics, priorities)), gradient), of the scripted network."""
    learned = LearnedModel(learned_network(Scripted(prefix_width)), VALUE, REWARD, horizon, discount=1.0)
    loss = functools.partial(muzero_loss, learned, config())
    return quick_jit(
        lambda params, batch: jax.value_and_grad(loss, has_aux=True)(params, batch, jax.random.key(0))
    )


def cosines(params, later):
    """f64[S, K]: of the predicted projection of step k of a row and the projection of what was seen there."""
    projection, predictor = (np.asarray(params[name], np.float64) for name in ("projection", "predictor"))
    found = np.zeros((S, K))
    for row in range(S):
        for step in range(1, K + 1):
            predicted, seen = projection[row, step] @ predictor, projection[later[row, step - 1], 0]
            found[row, step - 1] = predicted @ seen / np.linalg.norm(predicted) / np.linalg.norm(seen)
    return found


def numpy_loss(batch, params):
    targets = batch.targets
    return oracle.loss(
        policy_logits=params["policy"],
        value_logits=params["value"],
        reward_logits=params["reward"],
        cosine=cosines(params, batch.later),
        policy=targets.policy,
        policy_weight=targets.policy_weight,
        value=targets.value,
        reward=targets.reward,
        known=targets.known,
        alive=targets.alive,
        weight=batch.drawn.weight,
        limits=(VALUE.limit, REWARD.limit),
        weights=WEIGHTS,
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_part_and_its_gradient_is_numpys(seed):
    batch, params = random_batch(seed)
    (loss, (metrics, _)), grads = compiled_loss()(params, batch)
    metrics = read(metrics)
    parts, expected = numpy_loss(batch, params)
    for name, value in parts.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(loss, parts["loss"], rtol=1e-4)
    for name, grad in expected.items():
        np.testing.assert_allclose(grads[name], grad, atol=2e-5, err_msg=name)


def test_diagnostics_are_errors_of_each_step_on_the_scale_of_values():
    batch, params = random_batch(1)
    (_, (metrics, priority)), _ = compiled_loss()(params, batch)
    metrics, targets, present = read(metrics), batch.targets, batch.drawn.weight > 0
    value = np.array([[oracle.decode(x, VALUE.limit) for x in row] for row in params["value"]])
    reward = np.array([[oracle.decode(x, REWARD.limit) for x in row] for row in params["reward"]])
    for step in range(K + 1):
        rows = present & targets.known[:, step]
        expected = np.abs(value[rows, step] - targets.value[rows, step]).mean()
        np.testing.assert_allclose(metrics[f"value_error_{step}"], expected, rtol=1e-3)
        searched = present & (targets.policy_weight[:, step] > 0)
        divergence = [
            sum(t * np.log(t / m) for t, m in zip(target, oracle.softmax(logits), strict=True) if t > 0)
            for target, logits in zip(
                targets.policy[searched, step], params["policy"][searched, step], strict=True
            )
        ]
        np.testing.assert_allclose(metrics[f"policy_kl_{step}"], np.mean(divergence), rtol=1e-3)
        if step:
            rows = present & targets.known[:, step - 1]
            expected = np.abs(reward[rows, step - 1] - targets.reward[rows, step - 1]).mean()
            np.testing.assert_allclose(metrics[f"reward_error_{step}"], expected, rtol=1e-3)
    np.testing.assert_allclose(
        priority, np.abs(value[:, 0] - targets.value[:, 0]) + 1e-6, rtol=1e-3, atol=1e-5
    )
    # A latent state of the scripted network is the pair (row, step).
    np.testing.assert_allclose(metrics["latent_std"], np.std(np.arange(S)) / 2, rtol=1e-5)
    np.testing.assert_allclose(metrics["latent_std_unrolled"], np.std(np.arange(S)) / 2, rtol=1e-5)
    known = np.asarray(targets.known) & np.asarray(present)[:, None]
    clipped = np.abs(targets.value)[known] > VALUE.limit
    np.testing.assert_allclose(metrics["value_clipped_share"], clipped.mean(), rtol=1e-5)
    clipped = np.abs(targets.reward)[known[:, :-1]] > REWARD.limit
    np.testing.assert_allclose(metrics["reward_clipped_share"], clipped.mean(), rtol=1e-5)


def test_means_of_roots_are_of_all_known_ones_over_several_batches():
    rng = np.random.default_rng(6)
    logged, value, outcome = [], [], []
    for seed, share in ((1, 0.2), (2, 0.9), (3, 0.0)):
        batch, params = random_batch(seed)
        roots = Roots(*rng.normal(3, 1, (2, S)).astype(np.float32), rng.random(S) < share)
        batch = batch._replace(roots=roots, drawn=batch.drawn._replace(weight=np.arange(S) % 4))
        (_, (metrics, _)), _ = compiled_loss()(params, batch)
        logged.append(metrics)
        counted = roots.known & (np.arange(S) % 4 > 0)
        value, outcome = np.append(value, roots.value[counted]), np.append(outcome, roots.outcome[counted])
    assert len(value) > 3
    found = read(jax.tree.map(lambda *parts: sum(parts), *logged))
    assert found.keys() == logged[0].keys()
    np.testing.assert_allclose(found["root_value"], value.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["root_return"], outcome.mean(), rtol=1e-5)
    # Without a game that has ended nothing is said, and a run without returns has no such metrics.
    assert read(logged[2]).keys() == {name for name in logged[2] if not name.startswith("root_")}
    (_, (metrics, _)), _ = compiled_loss()(params, batch._replace(roots=()))
    assert metrics.keys() == read(logged[2]).keys()


def test_what_is_not_known_does_not_matter():
    batch, params = random_batch(2)
    targets = batch.targets
    unknown = ~targets.known
    spoiled = targets._replace(
        value=np.where(unknown, 1.5, targets.value),
        reward=np.where(unknown[:, :-1], 2.5, targets.reward),
        policy=np.where(targets.policy_weight[..., None] > 0, targets.policy, 1 / A).astype(np.float32),
    )
    assert unknown.any()
    (loss, _), grads = compiled_loss()(params, batch)
    (other, _), other_grads = compiled_loss()(params, batch._replace(targets=spoiled))
    assert loss == other
    jax.tree.map(np.testing.assert_array_equal, grads, other_grads)


def test_a_batch_without_weight_is_worth_nothing():
    batch, params = random_batch(3)
    empty = batch._replace(drawn=batch.drawn._replace(weight=np.zeros(S, np.float32)))
    (loss, (metrics, _)), grads = compiled_loss()(params, empty)
    assert float(loss) == 0
    assert all(np.isfinite([part.value for part in metrics.values()]))
    assert all(np.isfinite(list(read(metrics).values())))
    assert not any(np.asarray(grad).any() for grad in jax.tree.leaves(grads))


def test_predictions_that_fit_leave_the_targets_entropy():
    batch, params = random_batch(4)
    targets = batch.targets

    def logits_of(support, values):
        return np.log(np.maximum(support.two_hot(values), 1e-30))

    fitting = params | {
        "policy": np.log(np.maximum(targets.policy, 1e-30)),
        "value": logits_of(VALUE, targets.value),
        "reward": logits_of(REWARD, targets.reward),
    }
    (_, (metrics, _)), grads = compiled_loss()(fitting, batch)
    metrics = read(metrics)
    np.testing.assert_allclose(metrics["policy_loss"], 0, atol=1e-5)
    for name in ("policy", "value", "reward"):
        np.testing.assert_allclose(grads[name], 0, atol=1e-6)
    assert metrics["value_loss"] > 0  # two-hot targets have an entropy
    # Clamped targets are not reached.
    inside = (np.abs(targets.value) <= VALUE.limit).all()
    assert inside == (metrics["value_clipped_share"] == 0)
