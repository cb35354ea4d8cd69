"""The controller of the reacher against the kinematics of its arm."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.players.reacher import LARGEST_TORQUE, LOWER, UPPER, torques


def finger(angles):
    """Where the finger is, f64[N, 2], at joint angles [N, 2]."""
    first, both = angles[:, 0], angles.sum(axis=1)
    return np.stack(
        [UPPER * np.cos(first) + LOWER * np.cos(both), UPPER * np.sin(first) + LOWER * np.sin(both)], axis=1
    )


def pulls(angles, target, rates):
    """The controller's torques [N, 2]."""

    def one(angles, target, rates):
        return torques(SimpleNamespace(q=jnp.concatenate([angles, target]), qd=rates))

    return np.asarray(jax.vmap(one)(*(jnp.asarray(x, jnp.float32) for x in (angles, target, rates))))


@pytest.fixture(scope="module")
def angles():
    """Joint angles [1000, 2]; the second joint not straight, where the two solutions meet, nor at its stops."""
    rng = np.random.default_rng(0)
    bent = rng.uniform(0.3, 2.6, 1000) * rng.choice([-1, 1], 1000)
    return np.stack([rng.uniform(-3, 3, 1000), bent], axis=1)


def test_with_the_finger_on_the_target_nothing_pulls(angles):
    zeros = np.zeros_like(angles)
    assert np.abs(pulls(angles, finger(angles), zeros)).max() < 1e-3
    # Only what moves is braked.
    assert (np.sign(pulls(angles, finger(angles), zeros + np.array([0.5, -0.5]))) == [-1, 1]).all()


def test_joints_are_driven_to_where_the_finger_meets_the_target(angles):
    rng = np.random.default_rng(1)
    goal, now = finger(angles), angles + rng.uniform(-0.2, 0.2, angles.shape)
    for _ in range(60):  # an arm without inertia
        pulled = pulls(now, goal, np.zeros_like(now))
        assert np.abs(pulled).max() <= LARGEST_TORQUE + 1e-6
        now = now + 0.5 * pulled
    assert np.linalg.norm(finger(now) - goal, axis=1).max() < 1e-3
