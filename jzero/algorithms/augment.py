"""Augmentation: symmetric images of boards, random shifts and intensities of pixels.

Axes: S samples, A actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import Observation, PyTree

Symmetries = tuple
"""`jzero.env.Symmetry`s; image 0 is the identity, image i the i-th symmetry."""


def draw_images(symmetries: Symmetries, key: jax.Array, num_samples: int) -> jax.Array:
    """i32[S]: a random image for each sample."""
    return jax.random.randint(key, (num_samples,), 0, len(symmetries) + 1, jnp.int32)


def image_of_observation(symmetries: Symmetries, image: jax.Array, observation: Observation) -> PyTree:
    """The images of observations [S, ...]."""
    found = observation
    for index, symmetry in enumerate(symmetries, start=1):
        candidate = jax.vmap(symmetry.observation)(observation)
        found = jax.tree.map(
            lambda new, old, i=index: jnp.where(_column(image == i, new.ndim), new, old), candidate, found
        )
    return found


def image_of_policy(symmetries: Symmetries, image: jax.Array, policy: jax.Array) -> jax.Array:
    """The images of values per action, [S, ..., A]."""
    # policy'[action[a]] = policy[a], so gather with the inverse permutations.
    inverse = np.argsort(_permutations(symmetries, policy.shape[-1]), axis=1)
    gather = jnp.asarray(inverse)[image]
    gather = gather.reshape(gather.shape[:1] + (1,) * (policy.ndim - 2) + gather.shape[1:])
    return jnp.take_along_axis(policy, jnp.broadcast_to(gather, policy.shape), axis=-1)


def image_of_action(
    symmetries: Symmetries, image: jax.Array, action: jax.Array, num_actions: int
) -> jax.Array:
    """The images of actions i32[S, ...]."""
    permutations = jnp.asarray(_permutations(symmetries, num_actions))
    return permutations[_column(image, action.ndim), action]


def is_picture(observation: Observation) -> bool:
    """Whether it consists of pixels u8[S, H, W, C], large enough to shift."""
    shape = getattr(observation, "shape", ())
    return len(shape) == 4 and min(shape[1:3]) >= 32 and observation.dtype == jnp.uint8


def shift_and_dim(key: jax.Array, pixels: jax.Array, *, shift: int = 4, intensity: float = 0.05) -> jax.Array:
    """Pixels u8[S, H, W, C] as f32, moved by up to `shift` and scaled by 1 + `intensity` clip(N(0, 1), -2, 2).

    Source: EfficientZero (Ye et al. 2021), appendix A.1, after Schwarzer et al. 2021. Each picture has its own
    random shift and scale.
    """
    shift_key, scale_key = jax.random.split(key)
    num_samples = pixels.shape[0]
    padded = jnp.pad(pixels, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="edge")
    corner = jax.random.randint(shift_key, (num_samples, 2), 0, 2 * shift + 1, jnp.int32)
    moved = jax.vmap(lambda x, c: jax.lax.dynamic_slice(x, (c[0], c[1], 0), pixels.shape[1:]))(padded, corner)
    noise = jnp.clip(jax.random.normal(scale_key, (num_samples, 1, 1, 1), jnp.float32), -2.0, 2.0)
    return moved.astype(jnp.float32) * (1 + intensity * noise)


def _permutations(symmetries: Symmetries, num_actions: int) -> np.ndarray:
    """i32[images, A]: the image of each action."""
    return np.stack([np.arange(num_actions), *(np.asarray(s.action) for s in symmetries)])


def _column(mask: jax.Array, ndim: int) -> jax.Array:
    return mask.reshape(mask.shape + (1,) * (ndim - 1))
