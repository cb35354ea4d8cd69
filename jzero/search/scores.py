"""Scores of a node's actions: functions of rows, which know nothing of trees.

A row speaks of the actions that were tried one by one, in slots [..., W], and of all others ("open") by the
one of greatest prior, because they share one value estimate: whatever score has the best of them, no other
open action has a better one.

Sources: PUCT, Silver et al. 2017 and Schrittwieser et al. 2020 (MuZero, appendix B); Gumbel, Danihelka et al.
2022 ("Policy improvement by planning with Gumbel", sections 3-5 and appendix D).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TINY = float(np.finfo(np.float32).tiny)
"""The least float32 that is not denormal."""


class Row(NamedTuple):
    """What is known at a node. Slots that are not in use have no visits."""

    prior_logits: jax.Array
    """f32[..., W]"""
    visits: jax.Array
    """f32[..., W]"""
    qvalues: jax.Array
    """f32[..., W]"""
    open_prior: jax.Array
    """f32[...] greatest prior logit of an open action; -inf if none is open."""
    open_mass: jax.Array
    """f32[...] log-sum-exp of the prior logits of the open actions."""
    prior_mass: jax.Array
    """f32[...] log-sum-exp of all prior logits."""
    all_visited: jax.Array
    """bool[...] every action, legal or not, was visited."""
    node_visits: jax.Array
    """f32[...]"""
    node_value: jax.Array
    """f32[...] mean of what was backed up."""
    raw_value: jax.Array
    """f32[...] the model's."""

    def priors(self) -> jax.Array:
        """Prior probabilities [..., W]."""
        return jnp.exp(self.prior_logits - _finite(self.prior_mass)[..., None])


class Scores(NamedTuple):
    """A number for each slot, and one for the best open action."""

    slots: jax.Array
    """f32[..., W]"""
    best_open: jax.Array
    """f32[...]"""


def by_min_max(row: Row, *, min_value: float, max_value: float) -> Scores:
    """Q-values mapped from [min_value, max_value] to [0, 1]; 0 where unvisited."""
    slots = jnp.where(row.visits > 0, (row.qvalues - min_value) / (max_value - min_value), 0.0)
    return Scores(slots, jnp.zeros_like(row.node_value))


def by_parent_and_siblings(row: Row, *, epsilon: float = 1e-8) -> Scores:
    """Q-values normalised by the least and the greatest of the node's value and theirs.

    Unvisited actions score 0. `epsilon` is the least denominator.
    """
    safe = jnp.where(row.visits > 0, row.qvalues, row.node_value[..., None])
    low = jnp.minimum(row.node_value, jnp.min(safe, axis=-1))[..., None]
    high = jnp.maximum(row.node_value, jnp.max(safe, axis=-1))[..., None]
    slots = jnp.where(row.visits > 0, (row.qvalues - low) / jnp.maximum(high - low, epsilon), 0.0)
    return Scores(slots, jnp.zeros_like(row.node_value))


def mixed_value(row: Row) -> jax.Array:
    """The value [...] that completes unvisited actions: equation 33 of Danihelka et al. 2022.

    `v_mix = (v + sum N * sum_visited(P q) / sum_visited P) / (1 + sum N)`.
    """
    total = jnp.sum(row.visits, axis=-1)
    # A visited action may have a prior that underflowed to zero.
    weight = jnp.where(row.visits > 0, jnp.maximum(row.priors(), TINY), 0.0)
    weight_sum = jnp.sum(weight, axis=-1)
    weighted = jnp.sum(weight * row.qvalues, axis=-1) / jnp.where(weight_sum > 0, weight_sum, 1.0)
    return (row.raw_value + total * weighted) / (total + 1)


def completed_by_mix_value(
    row: Row,
    *,
    value_scale: float = 0.1,
    maxvisit_init: float = 50.0,
    rescale_values: bool = True,
    use_mixed_value: bool = True,
    epsilon: float = 0.01,
) -> Scores:
    """Completed Q-values times `(maxvisit_init + max visits) * value_scale`, to be added to logits.

    Args:
      row: the node's.
      value_scale: c_scale; 0.1 on rescaled values, 1.0 on raw values of board games (paper, section 5).
      maxvisit_init: c_visit.
      rescale_values: map the completed values of the node to [0, 1].
      use_mixed_value: complete by `mixed_value` rather than by the model's value of the node.
      epsilon: least denominator of the rescaling. Values that differ by less count as nearly equal; with 1e-8
        (mctx) a constant value network's rounding noise becomes several nats of policy.
    """
    value = mixed_value(row) if use_mixed_value else row.raw_value
    visited = row.visits > 0
    slots = jnp.where(visited, row.qvalues, value[..., None])
    if rescale_values:
        low = jnp.min(jnp.where(visited, row.qvalues, jnp.inf), axis=-1)
        high = jnp.max(jnp.where(visited, row.qvalues, -jnp.inf), axis=-1)
        low = jnp.where(row.all_visited, low, jnp.minimum(low, value))
        high = jnp.where(row.all_visited, high, jnp.maximum(high, value))
        span = jnp.maximum(high - low, epsilon)
        slots, value = (slots - low[..., None]) / span[..., None], (value - low) / span
    scale = (maxvisit_init + jnp.max(row.visits, axis=-1)) * value_scale
    return Scores(scale[..., None] * slots, scale * value)


def puct(row: Row, qvalues: Scores, *, pb_c_init: float | jax.Array, pb_c_base: float | jax.Array) -> Scores:
    """PUCT scores (MuZero, appendix B) from normalised Q-values."""
    pb_c = pb_c_init + jnp.log((row.node_visits + pb_c_base + 1) / pb_c_base)
    exploration = jnp.sqrt(row.node_visits) * pb_c
    open_prior = jnp.exp(row.open_prior - _finite(row.prior_mass))
    return Scores(
        qvalues.slots + exploration[..., None] * row.priors() / (row.visits + 1),
        qvalues.best_open + exploration * open_prior,
    )


def gumbel_interior(row: Row, qvalues: Scores) -> Scores:
    """Scores whose argmax makes visits follow the improved policy (Danihelka et al. 2022, section 5)."""
    visited = row.visits > 0
    slots = jnp.where(visited, row.prior_logits + qvalues.slots, -jnp.inf)
    rest = row.open_mass + qvalues.best_open
    shift = _finite(jnp.maximum(jnp.max(slots, axis=-1), rest))
    weights = jnp.exp(slots - shift[..., None])
    total = jnp.sum(weights, axis=-1) + jnp.exp(rest - shift)
    total = jnp.maximum(total, TINY)
    visits = 1 + jnp.sum(row.visits, axis=-1)
    return Scores(
        weights / total[..., None] - row.visits / visits[..., None],
        jnp.exp(row.open_prior + qvalues.best_open - shift) / total,
    )


def gumbel_considered(
    considered_visit: jax.Array, keys: jax.Array, qvalues: Scores, visits: jax.Array
) -> jax.Array:
    """`gumbel + logits + q` [..., W] of slots visited `considered_visit` [...] times; -inf for the others.

    `keys` [..., W] are the slots' `gumbel + logits`, relative to the greatest logit.
    """
    # The floor keeps a considered action above those that are not considered, however small its prior.
    score = jnp.maximum(keys + qvalues.slots, -1e9)
    return jnp.where(visits == considered_visit[..., None], score, -jnp.inf)


def first_best(score: jax.Array) -> jax.Array:
    """The lowest index i32[...] of the greatest score [..., W]."""
    # Cheaper on a CPU than argmax: a maximum, then the first index that equals it.
    width = score.shape[-1]
    best = score == jnp.max(score, axis=-1, keepdims=True)
    return jnp.min(jnp.where(best, jnp.arange(width, dtype=jnp.int32), width - 1), axis=-1)


def choose(row: Row, score: Scores) -> tuple[jax.Array, jax.Array]:
    """(slot i32[...] of the greatest score, bool[...] whether the best open action scores higher still).

    Ties go to the action tried first, hence to the greater prior. A node without any legal action opens one.
    """
    slots = jnp.where(row.visits > 0, score.slots, -jnp.inf)
    best = jnp.max(slots, axis=-1)
    is_open = (row.open_prior > -jnp.inf) & (score.best_open > best)
    return first_best(slots), is_open | (best == -jnp.inf)


def best_open(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first action i32[...] of greatest logit [..., A], that logit, and the log-sum-exp of all."""
    best = jnp.max(logits, axis=-1)
    shift = _finite(best)
    mass = shift + jnp.log(jnp.sum(jnp.exp(logits - shift[..., None]), axis=-1))
    return first_best(logits), best, mass


def _finite(x: jax.Array) -> jax.Array:
    """`x`, or 0 where it is -inf: the shift of an exponential sum without terms."""
    return jnp.where(x > -jnp.inf, x, 0.0)


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
