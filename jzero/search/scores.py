"""Scores of a node's actions: functions of rows, independent of trees.

A row lists tried actions one by one, in slots [..., W], and represents all others ("open") by the one with the
largest prior. They share one value estimate, so no other open action has a better score.

Sources: PUCT, Silver et al. 2017 and Schrittwieser et al. 2020 (MuZero, appendix B); Gumbel, Danihelka et al.
2022 ("Policy improvement by planning with Gumbel", sections 3-5 and appendix D).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

TINY = float(np.finfo(np.float32).tiny)
"""The smallest positive normal float32."""


FORCED = 1000.0
"""Raises the PUCT scores of forced actions above all others."""
FLOOR = -1e9
"""Keeps a considered action above actions that are not considered, however small its prior."""


class Row(NamedTuple):
    """The statistics of a node. Unused slots have no visits."""

    prior_logits: jax.Array
    """f32[..., W]"""
    visits: jax.Array
    """f32[..., W]"""
    qvalues: jax.Array
    """f32[..., W]"""
    open_prior: jax.Array
    """f32[...] largest prior logit of an open action; -inf if none is open."""
    open_mass: jax.Array
    """f32[...] log-sum-exp of the prior logits of the open actions."""
    prior_mass: jax.Array
    """f32[...] log-sum-exp of all prior logits."""
    node_visits: jax.Array
    """f32[...] visits of its actions, plus one for its own evaluation."""
    node_value: jax.Array
    """f32[...] mean of the backed-up values."""
    raw_value: jax.Array
    """f32[...] the model's value."""
    num_actions: int
    """Number of actions, legal or not."""

    def priors(self) -> jax.Array:
        """Prior probabilities [..., W]."""
        return jnp.exp(self.prior_logits - _finite(self.prior_mass)[..., None])


class Scores(NamedTuple):
    """A score per slot, and one for the best open action."""

    slots: jax.Array
    """f32[..., W]"""
    best_open: jax.Array
    """f32[...]"""


_MONOIDS = {"sum": (jax.lax.add, 0.0), "max": (jax.lax.max, -math.inf), "min": (jax.lax.min, math.inf)}
NARROW = 15
"""Slots up to which reductions share one pass."""


def over_slots(*terms: tuple[str, jax.Array]) -> list[jax.Array]:
    """Sums, maxima and minima [...] over slots, one per term (kind, array [..., W]).

    For few slots they share one pass, because XLA's CPU compiler otherwise makes one kernel per term.
    """
    kinds, arrays = zip(*terms, strict=True)
    return (_apart if arrays[0].shape[-1] > NARROW else _together)(kinds, arrays)


def _apart(kinds: tuple[str, ...], arrays: tuple[jax.Array, ...]) -> list[jax.Array]:
    """`over_slots` by one operation per term."""
    return [getattr(jnp, kind)(x, axis=-1) for kind, x in zip(kinds, arrays, strict=True)]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _together(kinds: tuple[str, ...], arrays: tuple[jax.Array, ...]) -> list[jax.Array]:
    """`over_slots` in one pass."""
    functions, initial = zip(*(_MONOIDS[kind] for kind in kinds), strict=True)

    def combine(a: tuple, b: tuple) -> tuple:
        return tuple(f(x, y) for f, x, y in zip(functions, a, b, strict=True))

    start = tuple(jnp.float32(x) for x in initial)
    return list(jax.lax.reduce(arrays, start, combine, (arrays[0].ndim - 1,)))


@_together.defjvp
def _(kinds: tuple[str, ...], primals: tuple, tangents: tuple) -> tuple:
    """JAX's own rule for reductions that share a pass fails where a tangent is zero."""
    return jax.jvp(functools.partial(_apart, kinds), primals, tangents)


Fpu = None | str | float
"""First-play urgency, the Q-value of untried actions: see `first_play_urgency`."""


def first_play_urgency(row: Row, fpu: Fpu) -> jax.Array:
    """The Q-value [...] of untried actions, before normalisation.

    "mean": the mean of the node's value and the Q-values of its visited actions (EfficientZero, Ye et al. 2021,
    appendix A). A number c: the node's value minus `c * sqrt(prior mass of the visited actions)` (lc0, KataGo).
    """
    visited = row.visits > 0
    if fpu == "mean":
        known = jnp.sum(jnp.where(visited, row.qvalues, 0.0), axis=-1)
        return (row.node_value + known) / (1 + jnp.sum(visited, axis=-1, dtype=jnp.float32))
    explored = jnp.sum(jnp.where(visited, row.priors(), 0.0), axis=-1)
    return row.node_value - float(cast(float, fpu)) * jnp.sqrt(explored)


def by_min_max(row: Row, *, min_value: float, max_value: float, fpu: Fpu = None) -> Scores:
    """Q-values mapped from [min_value, max_value] to [0, 1]; untried actions get 0, or their mapped `fpu`."""

    def mapped(qvalue: jax.Array) -> jax.Array:
        return (qvalue - min_value) / (max_value - min_value)

    untried = jnp.zeros_like(row.node_value) if fpu is None else mapped(first_play_urgency(row, fpu))
    return Scores(jnp.where(row.visits > 0, mapped(row.qvalues), untried[..., None]), untried)


def by_parent_and_siblings(row: Row, *, epsilon: float = 1e-8, fpu: Fpu = None) -> Scores:
    """Q-values normalised to the range of the node's value and the Q-values.

    Untried actions get 0, or their normalised `fpu`. `epsilon` is the smallest denominator.
    """
    safe = jnp.where(row.visits > 0, row.qvalues, row.node_value[..., None])
    low, high = over_slots(("min", safe), ("max", safe))
    low, high = jnp.minimum(row.node_value, low), jnp.maximum(row.node_value, high)
    span = jnp.maximum(high - low, epsilon)
    untried = jnp.zeros_like(row.node_value) if fpu is None else (first_play_urgency(row, fpu) - low) / span
    slots = (row.qvalues - low[..., None]) / span[..., None]
    return Scores(jnp.where(row.visits > 0, slots, untried[..., None]), untried)


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

    Unvisited actions are completed by equation 33 of the paper:
    `v_mix = (v + sum N * sum_visited(P q) / sum_visited P) / (1 + sum N)`.

    Args:
      row: row of the node.
      value_scale: c_scale; 0.1 on rescaled values, 1.0 on raw values of board games (paper, section 5).
      maxvisit_init: c_visit.
      rescale_values: map the completed values of the node to [0, 1].
      use_mixed_value: complete with `v_mix` instead of the model's value of the node.
      epsilon: smallest denominator of the rescaling. Values that differ by less count as nearly equal; with 1e-8
        (mctx) the rounding noise of a constant value network becomes several nats of policy.
    """
    visited, whole = row.visits > 0, row.visits.shape[-1] == row.num_actions
    # A visited action may have a prior that underflowed to zero.
    weight = jnp.where(visited, jnp.maximum(row.priors(), TINY), 0.0)
    weight_sum, weighted, most, tried, low, high = over_slots(
        ("sum", weight),
        ("sum", jnp.where(visited, weight * row.qvalues, 0.0)),
        ("max", row.visits),
        ("min", row.visits) if whole else ("sum", visited.astype(jnp.float32)),
        ("min", jnp.where(visited, row.qvalues, jnp.inf)),
        ("max", jnp.where(visited, row.qvalues, -jnp.inf)),
    )
    value = row.raw_value
    if use_mixed_value:
        total = row.node_visits - 1
        value = (value + total * weighted / jnp.where(weight_sum > 0, weight_sum, 1.0)) / (total + 1)
    slots = jnp.where(visited, row.qvalues, value[..., None])
    if rescale_values:
        shows_all = row.visits.shape[-1] > row.num_actions  # padded
        all_visited = tried > 0 if whole else shows_all & (tried == row.num_actions)
        low = jnp.where(all_visited, low, jnp.minimum(low, value))
        high = jnp.where(all_visited, high, jnp.maximum(high, value))
        span = jnp.maximum(high - low, epsilon)
        slots, value = (slots - low[..., None]) / span[..., None], (value - low) / span
    scale = (maxvisit_init + most) * value_scale
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


def forced_visits(row: Row, forced: float | jax.Array) -> jax.Array:
    """f32[..., W] smallest number of visits of a tried action: `sqrt(forced P N)` (Wu 2019, section 3.2)."""
    return jnp.sqrt(forced * row.priors() * (row.node_visits - 1)[..., None])


def forcing(row: Row, score: Scores, forced: float | jax.Array) -> Scores:
    """Scores that put tried actions with fewer than their `forced_visits` first, in order of score."""
    owed = (row.visits > 0) & (row.visits < forced_visits(row, forced))
    return score._replace(slots=jnp.where(owed, FORCED + score.slots, score.slots))


def without_forced(
    row: Row,
    qvalues: Scores,
    most: jax.Array,
    forced: float | jax.Array,
    *,
    pb_c_init: float | jax.Array,
    pb_c_base: float | jax.Array,
) -> jax.Array:
    """f32[..., W] visits without purely forced ones (Wu 2019, section 3.2, policy target pruning).

    From every action but the most visited, up to its forced visits are removed, as long as its PUCT score stays
    below the most visited action's; an action left with at most one visit loses it too.

    Args:
      row: row of the root.
      qvalues: normalised Q-values.
      most: bool[..., W] slot of the most visited action.
      forced: k of `forced_visits`.
      pb_c_init: c_1 of PUCT.
      pb_c_base: c_2 of PUCT.
    """
    score = puct(row, qvalues, pb_c_init=pb_c_init, pb_c_base=pb_c_base).slots
    best = jnp.max(jnp.where(most, score, -jnp.inf), axis=-1, keepdims=True)
    exploration = (score - qvalues.slots) * (row.visits + 1)
    gap = best - qvalues.slots
    fewest = jnp.where(gap > 0, exploration / jnp.maximum(gap, TINY) - 1, jnp.inf)
    least = jnp.ceil(jnp.maximum(row.visits - forced_visits(row, forced), fewest))
    kept = jnp.where(most, row.visits, jnp.minimum(row.visits, least))
    return jnp.where(most | (kept > 1), kept, 0.0)


def chance(row: Row) -> Scores:
    """Scores whose argmax makes visits proportional to the prior: `P / (N + 1)` (Antonoglou et al. 2022, section
    4).
    """
    open_prior = jnp.exp(row.open_prior - _finite(row.prior_mass))
    return Scores(row.priors() / (row.visits + 1), open_prior)


def gumbel_interior(row: Row, qvalues: Scores) -> Scores:
    """Scores whose argmax makes visits proportional to the improved policy (Danihelka et al. 2022, section 5)."""
    visited = row.visits > 0
    slots = jnp.where(visited, row.prior_logits + qvalues.slots, -jnp.inf)
    rest = row.open_mass + qvalues.best_open
    shift = _finite(jnp.maximum(jnp.max(slots, axis=-1), rest))
    weights = jnp.exp(slots - shift[..., None])
    total = jnp.sum(weights, axis=-1) + jnp.exp(rest - shift)
    total = jnp.maximum(total, TINY)
    return Scores(
        weights / total[..., None] - row.visits / row.node_visits[..., None],
        jnp.exp(row.open_prior + qvalues.best_open - shift) / total,
    )


def gumbel_considered(
    considered_visit: jax.Array, keys: jax.Array, qvalues: Scores, visits: jax.Array
) -> jax.Array:
    """`gumbel + logits + q` [..., W] of slots visited `considered_visit` [...] times; -inf for the others.

    `keys` [..., W] are the slots' `gumbel + logits`, relative to the largest logit.
    """
    score = jnp.maximum(keys + qvalues.slots, FLOOR)
    is_considered = visits == considered_visit[..., None].astype(visits.dtype)
    return jnp.where(is_considered, score, -jnp.inf)


def first_best(score: jax.Array) -> jax.Array:
    """The lowest index i32[...] of the largest score [..., A]."""
    # Cheaper on a CPU than argmax: a maximum, then the first index that equals it.
    width = score.shape[-1]
    best = score == jnp.max(score, axis=-1, keepdims=True)
    return jnp.min(jnp.where(best, jnp.arange(width, dtype=jnp.int32), width - 1), axis=-1)


def best_slot(score: jax.Array, payload: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(largest score f32[...], the first slot i32[...] with it, `payload` f32[..., W] there)."""
    return (_best_apart if score.shape[-1] > NARROW else _best_together)(score, payload)


def _best_apart(score: jax.Array, payload: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`best_slot` by three operations."""
    width = score.shape[-1]
    slots = jax.lax.broadcasted_iota(jnp.int32, score.shape, score.ndim - 1)
    best = jnp.max(score, axis=-1)
    slot = jnp.min(jnp.where(score == best[..., None], slots, width - 1), axis=-1)
    return best, slot, jnp.sum(jnp.where(slots == slot[..., None], payload, 0.0), axis=-1)


@jax.custom_jvp
def _best_together(score: jax.Array, payload: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`best_slot` in one pass."""
    slots = jax.lax.broadcasted_iota(jnp.int32, score.shape, score.ndim - 1)

    def better(a: tuple, b: tuple) -> tuple:
        is_b = (b[0] > a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
        return tuple(jnp.where(is_b, y, x) for x, y in zip(a, b, strict=True))

    start = (jnp.float32(-jnp.inf), jnp.int32(score.shape[-1]), jnp.float32(0))
    best, slot, found = jax.lax.reduce((score, slots, payload), start, better, (score.ndim - 1,))
    return best, slot, found


_best_together.defjvp(functools.partial(jax.jvp, _best_apart))


def choose(row: Row, score: Scores, payload: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(slot i32[...] of the largest score, `payload` [..., W] there, whether the best open action scores higher).

    Ties go to the action tried first, hence to the larger prior. A node without a legal action opens one.
    """
    best, slot, found = best_slot(jnp.where(row.visits > 0, score.slots, -jnp.inf), payload)
    is_open = (row.open_prior > -jnp.inf) & (score.best_open > best)
    return slot, found, is_open | (best == -jnp.inf)


def best_open(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first action f32[...] with the largest logit [..., A], that logit, and the log-sum-exp of all."""
    (best,) = over_slots(("max", logits))
    shift = _finite(best)
    actions = jax.lax.broadcasted_iota(jnp.float32, logits.shape, logits.ndim - 1)
    action, mass = over_slots(
        ("min", jnp.where(logits == best[..., None], actions, logits.shape[-1] - 1.0)),
        # XLA's CPU compiler takes ten times as long for the exponential of -inf.
        ("sum", jnp.where(logits > -jnp.inf, jnp.exp(jnp.maximum(logits - shift[..., None], -99.0)), 0.0)),
    )
    return action, best, shift + jnp.log(mass)


def _finite(x: jax.Array) -> jax.Array:
    """`x`, or 0 where it is -inf: the shift of an empty log-sum-exp."""
    return jnp.where(x > -jnp.inf, x, 0.0)


def in_flight(row: Row, descents: jax.Array, virtual: str) -> tuple[Row, Row]:
    """A row as parallel descents see it: (for Q-values, for counts). `descents` f32[..., W] are in flight.

    - "visit": counts include them, Q-values do not (WU-UCT, Liu et al. 2020, arXiv 1810.11755);
    - "loss": each counts as a visit with return -1 (AlphaGo Zero's virtual loss; returns are in [-1, 1]);
    - "mean": each counts as a visit with the mean return of its action, or of the node if the action has none
    (Cazenave 2021, arXiv 2104.04278).
    """
    visits = row.visits + descents
    counts = row._replace(visits=visits, node_visits=row.node_visits + jnp.sum(descents, axis=-1))
    if virtual == "visit":
        return row, counts
    if virtual == "loss":
        qvalues = (row.visits * row.qvalues - descents) / jnp.maximum(visits, 1)
    else:
        qvalues = jnp.where(row.visits > 0, row.qvalues, row.node_value[..., None])
    counts = counts._replace(qvalues=qvalues)
    return counts, counts


def considered_visits(
    max_num_considered_actions: int, num_simulations: int | jax.Array, cap: int
) -> np.ndarray | jax.Array:
    """Sequential halving as a table: the visit count that each simulation considers.

    Args:
      max_num_considered_actions: m of the paper.
      num_simulations: n of the paper; may be traced.
      cap: largest n.

    Returns:
      i32[m + 1, cap]: row k is the schedule with k considered actions. Every considered action of a round is
      visited the same number of times, so "the actions with this many visits" is the round's candidate set.
    """
    xp = np
    if not isinstance(num_simulations, int):
        xp, num_simulations = jnp, num_simulations.astype(jnp.int32)
    considered = np.arange(max_num_considered_actions + 1)[:, None]
    num_rounds = np.ceil(np.log2(np.maximum(considered, 2))).astype(np.int32)
    simulation = np.arange(cap, dtype=np.int32)
    width = np.maximum(considered, 1).astype(np.int32)
    # A round begins at a simulation and a visit count; the last one goes on for ever.
    begin = count = xp.zeros_like(width)
    table = xp.zeros((len(considered), cap), np.int32)
    for _ in range(max(1, math.ceil(math.log2(max(max_num_considered_actions, 2))))):
        table = xp.where(simulation >= begin, count + (simulation - begin) // width, table)
        visits_each = xp.maximum(1, num_simulations // (num_rounds * width))
        begin, count = begin + visits_each * width, count + visits_each
        width = np.where(considered > 1, np.maximum(2, width // 2), 1).astype(np.int32)
    return table
