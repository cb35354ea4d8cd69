"""Chance in a learned model: codes of outcomes, their probabilities, the values of afterstates.

Source: Stochastic MuZero (Antonoglou et al. 2022, section 4.1 with equation 7, appendix I): a VQ-VAE (van den Oord
et al. 2017) with a fixed codebook, the M one-hot vectors. Axes: S samples, K unrolled steps, M chance codes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jzero.algorithms.targets import Targets, merge_axes
from jzero.env import where_rows
from jzero.models.learned import LearnedModel
from jzero.pytrees import Observation, Params

SHARPNESS = 4.0
"""With 32 codes, the code of a committed step (c^e one-hot) then has a probability of 64 %."""


class Codes(NamedTuple):
    """The encoder's output for the observed steps."""

    embedding: jax.Array
    """f32[S, K, M] the output, c^e."""
    code: jax.Array
    """f32[S, K, M] one-hot: the nearest entry of the codebook."""


def encode(
    learned: LearnedModel, params: Params, observation: Observation, later: Observation, alive: jax.Array
) -> Codes:
    """Codes of the steps from observations [S, ...] to each of the later ones [S, K, ...].

    The last position of a game is not observed, nor is what follows: for a step that is not `alive` (bool[S, K +
    1]) the encoder sees zeros. So all ends of games share one code, and the model learns their mean reward.
    """
    nothing = jax.tree.map(jnp.zeros_like, later)
    later = where_rows(alive[:, 1:], later, nothing)
    before = jax.tree.map(lambda x, y: jnp.concatenate([x[:, None], y[:, :-1]], axis=1), observation, later)
    embedding = learned.afterstate.encode(params, merge_axes(before), merge_axes(later))
    embedding = embedding.reshape(*alive[:, 1:].shape, -1)
    return Codes(
        embedding, jax.nn.one_hot(jnp.argmax(embedding, axis=-1), embedding.shape[-1], dtype=jnp.float32)
    )


def straight_through(codes: Codes) -> jax.Array:
    """The codes f32[S, K, M]; their gradient passes straight through to the encoder's output."""
    # In this order the forward value is the code, to the last bit.
    return codes.code + (codes.embedding - jax.lax.stop_gradient(codes.embedding))


def afterstate_values(learned: LearnedModel, targets: Targets) -> jax.Array:
    """f32[S, K]: targets for the Q-values of the actions.

    u_t+k+1 + d z_t+k+1, which unlike the paper's z_t+k is also right after a random move, where z is the root value
    of the position.
    """
    return targets.reward + learned.discount * targets.value[:, 1:]


def chance_losses(
    learned: LearnedModel, codes: Codes, chance: jax.Array, value: jax.Array, targets: Targets
) -> dict[str, jax.Array]:
    """Losses f32[S, K + 1] of the steps, 0 at the root and at unknown steps; equation 7 without its weights.

    Args:
      learned: the model.
      codes: codes of the observed steps.
      chance: f32[S, K, M] logits of the codes at the afterstates.
      value: f32[S, K, atoms] logits of the afterstate values.
      targets: the targets.
    """
    nats = -jnp.sum(codes.code * jax.nn.log_softmax(chance), axis=-1)
    distance = jnp.sum(jnp.square(codes.code - codes.embedding), axis=-1)
    wanted = learned.value.two_hot(afterstate_values(learned, targets))
    losses = {
        "chance_loss": nats,
        "commitment_loss": distance,
        "afterstate_value_loss": -jnp.sum(wanted * jax.nn.log_softmax(value), axis=-1),
    }
    # An afterstate belongs to the step that it leads to.
    known = targets.known[:, 1:].astype(jnp.float32)
    return {name: jnp.pad(loss * known, ((0, 0), (1, 0))) for name, loss in losses.items()}


def code_information(codes: Codes, weight: jax.Array) -> jax.Array:
    """f32[]: information in nats that a code carries about its step: 0 (one code for all steps) to log M.

    This is the mutual information between steps and codes sampled from softmax(`SHARPNESS` c^e): the entropy of all
    codes minus the mean entropy of one (Krause et al. 2010, "Discriminative clustering by regularized information
    maximization").
    `weight` f32[S, K] weights the steps.
    """
    share = weight / jnp.maximum(jnp.sum(weight), 1)
    chance = jax.nn.softmax(SHARPNESS * codes.embedding, axis=-1)
    together = jnp.sum(jax.scipy.special.entr(jnp.einsum("skm,sk->m", chance, share)))
    return together - jnp.sum(share * jnp.sum(jax.scipy.special.entr(chance), axis=-1))


def codes_in_use(codes: Codes, weight: jax.Array) -> jax.Array:
    """f32[]: effective number of codes, the exponential of the entropy of their shares.

    `weight` f32[S, K] weights the steps.
    """
    counts = jnp.einsum("skm,sk->m", codes.code, weight)
    shares = counts / jnp.maximum(jnp.sum(counts), 1)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(shares)))
