"""Scores of actions: functions of rows [..., A], which know nothing of trees.

Sources: PUCT, Silver et al. 2017 and Schrittwieser et al. 2020 (MuZero, appendix B); Gumbel, Danihelka et al.
2022 ("Policy improvement by planning with Gumbel", sections 3-5 and appendix D).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np


def by_min_max(qvalues: jax.Array, visits: jax.Array, *, min_value: float, max_value: float) -> jax.Array:
    """Q-values [..., A] mapped from [min_value, max_value] to [0, 1]; 0 where unvisited."""
    return jnp.where(visits > 0, (qvalues - min_value) / (max_value - min_value), 0.0)


def by_parent_and_siblings(
    qvalues: jax.Array, visits: jax.Array, node_value: jax.Array, *, epsilon: float = 1e-8
) -> jax.Array:
    """Q-values [..., A] normalised by the least and the greatest of the node's value [...] and theirs.

    Unvisited actions score 0. `epsilon` is the least denominator.
    """
    safe = jnp.where(visits > 0, qvalues, node_value[..., None])
    low = jnp.minimum(node_value, jnp.min(safe, axis=-1))[..., None]
    high = jnp.maximum(node_value, jnp.max(safe, axis=-1))[..., None]
    return jnp.where(visits > 0, (qvalues - low) / jnp.maximum(high - low, epsilon), 0.0)


def mixed_value(raw_value: jax.Array, qvalues: jax.Array, visits: jax.Array, prior: jax.Array) -> jax.Array:
    """The value [...] that completes unvisited actions: equation 33 of Danihelka et al. 2022.

    `v_mix = (v + sum N * sum_visited(P q) / sum_visited P) / (1 + sum N)`, with prior P [..., A].
    """
    total = jnp.sum(visits, axis=-1)
    # A visited action may have a prior that underflowed to zero.
    weight = jnp.where(visits > 0, jnp.maximum(prior, jnp.finfo(jnp.float32).tiny), 0.0)
    weight_sum = jnp.sum(weight, axis=-1)
    weighted = jnp.sum(weight * qvalues, axis=-1) / jnp.where(weight_sum > 0, weight_sum, 1.0)
    return (raw_value + total * weighted) / (total + 1)


def completed_by_mix_value(
    qvalues: jax.Array,
    visits: jax.Array,
    prior_logits: jax.Array,
    raw_value: jax.Array,
    *,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 0.01,
) -> jax.Array:
    """Completed Q-values [..., A] times `(maxvisit_init + max visits) * value_scale`, to be added to logits.

    Args:
      qvalues: [..., A].
      visits: [..., A].
      prior_logits: [..., A].
      raw_value: [...] the model's value of the node.
      value_scale: c_scale; 0.1 on rescaled values, 1.0 on raw values of board games (paper, section 5).
      maxvisit_init: c_visit.
      rescale_values: map the completed values of the node to [0, 1].
      use_mixed_value: complete by `mixed_value` rather than by `raw_value`.
      epsilon: least denominator of the rescaling. Values that differ by less count as nearly equal; with 1e-8
        (mctx) a constant value network's rounding noise becomes several nats of policy.
    """
    value = raw_value
    if use_mixed_value:
        value = mixed_value(raw_value, qvalues, visits, jax.nn.softmax(prior_logits, axis=-1))
    completed = jnp.where(visits > 0, qvalues, value[..., None])
    if rescale_values:
        low = jnp.min(completed, axis=-1, keepdims=True)
        high = jnp.max(completed, axis=-1, keepdims=True)
        completed = (completed - low) / jnp.maximum(high - low, epsilon)
    visit_scale = maxvisit_init + jnp.max(visits, axis=-1, keepdims=True)
    return visit_scale * value_scale * completed


def puct(
    normalized_qvalues: jax.Array,
    visits: jax.Array,
    prior: jax.Array,
    node_visits: jax.Array,
    *,
    pb_c_init: float | jax.Array,
    pb_c_base: float | jax.Array,
) -> jax.Array:
    """PUCT scores [..., A] (MuZero, appendix B); `prior` are probabilities, `node_visits` [...]."""
    pb_c = pb_c_init + jnp.log((node_visits + pb_c_base + 1) / pb_c_base)
    exploration = jnp.sqrt(node_visits) * pb_c
    return normalized_qvalues + exploration[..., None] * prior / (visits + 1)


def gumbel_interior(prior_logits: jax.Array, completed_qvalues: jax.Array, visits: jax.Array) -> jax.Array:
    """Scores [..., A] whose argmax makes visits follow the improved policy (Danihelka et al. 2022, section 5)."""
    improved = jax.nn.softmax(prior_logits + completed_qvalues, axis=-1)
    return improved - visits / (1 + jnp.sum(visits, axis=-1, keepdims=True))


def gumbel_considered(
    considered_visit: jax.Array,
    gumbel: jax.Array,
    prior_logits: jax.Array,
    completed_qvalues: jax.Array,
    visits: jax.Array,
) -> jax.Array:
    """`gumbel + logits + q` [..., A] of actions visited `considered_visit` [...] times; -inf for the others."""
    logits = prior_logits - jnp.max(prior_logits, axis=-1, keepdims=True)
    # The floor keeps a considered action above those that are not considered, however small its prior.
    score = jnp.maximum(gumbel + logits + completed_qvalues, -1e9)
    return jnp.where(visits == considered_visit[..., None], score, -jnp.inf)


def considered_visits(max_num_considered_actions: int, num_simulations: int) -> np.ndarray:
    """Sequential halving as a table: which visit count each simulation considers.

    Args:
      max_num_considered_actions: m of the paper.
      num_simulations: n of the paper.

    Returns:
      i32[m + 1, n]: row k is the schedule with k considered actions. Every considered action of a round is
      visited the same number of times, so "the actions with this many visits" is the round's candidate set.
    """
    rows = [_halving_schedule(k, num_simulations) for k in range(max_num_considered_actions + 1)]
    return np.asarray(rows, dtype=np.int32).reshape(max_num_considered_actions + 1, num_simulations)


def _halving_schedule(num_considered: int, num_simulations: int) -> list[int]:
    if num_considered <= 1:
        return list(range(num_simulations))
    num_rounds = math.ceil(math.log2(num_considered))
    schedule: list[int] = []
    visit, width = 0, num_considered
    while len(schedule) < num_simulations:
        for _ in range(max(1, num_simulations // (num_rounds * width))):
            schedule += [visit] * width
            visit += 1
        width = max(2, width // 2)
    return schedule[:num_simulations]
