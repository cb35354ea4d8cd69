"""Symmetric images against the game, shifted pixels against NumPy. Axes: S samples, A actions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.connect_four import ConnectFour
from jzero_envs.tic_tac_toe import TicTacToe
from scipy import special, stats

from jzero.algorithms.augment import (
    draw_images,
    image_of_action,
    image_of_observation,
    image_of_policy,
    is_picture,
    shift_and_dim,
)
from jzero.env import init_batch, observe_batch
from tests.helpers.positions import mid_games
from tests.helpers.search_tables import quick_jit


@pytest.mark.parametrize("env", [TicTacToe(), ConnectFour()], ids=["tic_tac_toe", "connect_four"])
def test_an_image_is_the_position_that_the_renamed_actions_lead_to(env):
    num_games = 400
    states, history, step = mid_games(env, num_games, 4, seed=0)
    rng = np.random.default_rng(1)
    policy = special.softmax(rng.normal(size=(num_games, env.num_actions)), axis=1).astype(np.float32)
    legal, action = states.legal_action_mask, rng.integers(env.num_actions, size=(num_games, 3))

    def images(key, observation):
        image = draw_images(env.symmetries, key, num_games)
        of_policy = functools.partial(image_of_policy, env.symmetries, image)
        pair = jnp.stack([policy, 2 * policy], axis=1)
        actions = image_of_action(env.symmetries, image, action, env.num_actions)
        found = image_of_observation(env.symmetries, image, observation)
        return image, found, of_policy(policy), of_policy(legal), of_policy(pair), actions

    drawn, image, policy_image, legal_image, pair_image, action_image = jax.tree.map(
        np.asarray, quick_jit(images)(jax.random.key(2), observe_batch(env, states))
    )
    # All images of every game, by playing its renamed actions.
    maps = [np.arange(env.num_actions), *(np.asarray(symmetry.action) for symmetry in env.symmetries)]
    found = np.full(num_games, -1)
    for number, renamed in enumerate(maps):
        played = init_batch(env, jax.random.key(0), num_games)
        for actions in history:
            played = step(played, renamed[actions])
        moved = np.zeros_like(policy)
        moved[:, renamed] = policy
        fits = (np.asarray(observe_batch(env, played)) == image).all(axis=(1, 2, 3))
        fits &= (np.asarray(played.legal_action_mask) == legal_image).all(axis=1)
        fits &= (moved == policy_image).all(axis=1) & (2 * moved == pair_image[:, 1]).all(axis=1)
        fits &= (renamed[action] == action_image).all(axis=1) & (pair_image[:, 0] == policy_image).all(axis=1)
        found[fits] = number
    assert (found == drawn).all()
    assert stats.chisquare(np.bincount(found, minlength=len(maps))).pvalue > 1e-4


def test_pixels_are_moved_by_up_to_four_and_scaled_each_picture_by_itself():
    """Pixels that name their place, near 255: a byte that wraps round would show."""
    rows, side = 400, 40
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
    pixels = np.broadcast_to(210 + place, (rows, side, side, 2)).astype(np.uint8)
    found = np.asarray(quick_jit(shift_and_dim)(jax.random.key(0), pixels), np.float64)
    steps = (found[:, 30, 30] - found[:, 10, 10]) / 20  # a pixel further is `scale` brighter
    scale = steps[:, :1]
    np.testing.assert_allclose(steps, np.broadcast_to(scale, steps.shape), rtol=1e-5)
    shift = found[:, 20, 20] / scale - 230
    np.testing.assert_allclose(shift, np.round(shift), atol=1e-2)
    shift = np.round(shift).astype(int)
    for axis in range(2):
        assert stats.chisquare(np.bincount(shift[:, axis] + 4, minlength=9)).pvalue > 1e-4
    counts = stats.contingency.crosstab(shift[:, 0] > 0, shift[:, 1] > 0).count
    assert stats.contingency.chi2_contingency(counts).pvalue > 1e-4
    normal = (scale[:, 0] - 1) / 0.05
    assert np.abs(normal).max() <= 2 + 1e-3
    assert len(set(np.round(normal, 3))) > 300
    assert stats.kstest(normal[np.abs(normal) < 1.99], stats.truncnorm(-1.99, 1.99).cdf).pvalue > 1e-4
    # At the edge the last row is repeated: nothing comes in from outside or from the other side.
    moved = np.clip(np.arange(side) + shift[:, :1], 0, side - 1) + 210
    np.testing.assert_allclose(found[:, :, 20, 0] / scale, moved, rtol=1e-4)


def test_only_large_pictures_of_bytes_are_pixels():
    assert is_picture(jnp.zeros((2, 96, 96, 4), jnp.uint8))
    for shape, dtype in (((2, 96, 96, 4), float), ((2, 10, 10, 4), jnp.uint8), ((2, 96), jnp.uint8)):
        assert not is_picture(jnp.zeros(shape, dtype))
    assert not is_picture({"board": jnp.zeros((2, 96, 96, 4), jnp.uint8)})
