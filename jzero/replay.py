"""Replay on the device: a ring of plies for every game lane, with targets and sampling.

Axes: R plies of the ring, B game lanes, T new plies, S samples, L successive plies, A actions, P players. A lane is
a stream of games in order of play. A position can be sampled once its game has ended, or once the later plies that
its targets need are known; the others wait at the end of their lane and nothing is discarded. An age is a ply's
place in its lane, counted from the oldest ply in the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jzero.self_play import Transition

Targets = Callable[[Transition], tuple[jax.Array, jax.Array]]
"""Plies [R, B] in time order, without positions, actions and policies -> (value targets f32[R, B], or [R, B, P] by
seat; whether each is known, bool[R, B]: true up to some ply of each lane)."""


ShortTargets = Callable[[Transition], Any]
"""The same plies -> value targets at shorter horizons f32[R, B, H, ...], or ()."""


class Replay(NamedTuple):
    """The ring and the data for sampling."""

    plies: Transition
    """[R, B] recorded plies."""
    targets: jax.Array
    """f32[R, B] value targets, or f32[R, B, P] if every player has a value. A game in progress counts as cut short
    now."""
    ready: jax.Array
    """i32[B] number of plies in each lane that can be sampled, starting at the oldest."""
    head: jax.Array
    """i32[] plies written to each lane since the start of the run."""
    short_targets: Any = ()
    """f32[R, B, H, ...] value targets at shorter horizons; () if unused."""
    ends: Any = ()
    """i32[R, B] row of the last ply of each ply's game, -1 if not yet known; () if no outcome is kept."""
    priority: Any = ()
    """f32[R, B] sampling weights (priority ** alpha); () for uniform sampling."""

    @property
    def held(self) -> jax.Array:
        """i32[] number of plies in each lane of the ring."""
        return jnp.minimum(self.head, self.targets.shape[0])

    @property
    def ages(self) -> jax.Array:
        """i32[R] age of every row of the ring."""
        capacity = self.targets.shape[0]
        return (jnp.arange(capacity, dtype=jnp.int32) - (self.head - self.held)) % capacity

    @property
    def finished(self) -> jax.Array:
        """i32[B] number of plies in each lane whose games have ended, starting at the oldest."""
        return jnp.max(jnp.where(self.plies.ended, self.ages[:, None] + 1, 0), axis=0)

    def rows(self, age: jax.Array) -> jax.Array:
        """Rows i32[...] of the plies with these ages."""
        return (self.head - self.held + age) % self.targets.shape[0]


def cut(replay: Replay) -> Replay:
    """The ring with games in progress cut short at their last ply, for lanes that cannot continue them."""
    last, plies = replay.rows(replay.held - 1), replay.plies
    ended = plies.ended[last]
    return replay._replace(
        plies=plies._replace(
            ended=plies.ended.at[last].set(True),
            truncated=plies.truncated.at[last].set(jnp.where(ended, plies.truncated[last], True)),
        )
    )


def lost(replay: Replay, num_plies: int) -> jax.Array:
    """f32[] number of positions that the next `num_plies` plies overwrite before they could be sampled.

    Their games are longer than the ring, and only the end of the game makes them ready.
    """
    overwritten = replay.held + num_plies - replay.targets.shape[0]
    return jnp.sum(jnp.maximum(overwritten - replay.ready, 0)).astype(jnp.float32)


class Draw(NamedTuple):
    """The sampled plies."""

    age: jax.Array
    """i32[S]"""
    lane: jax.Array
    """i32[S]"""
    weight: jax.Array
    """f32[S] 1, or the importance weight; 0 if there was nothing to sample."""


class Sample(NamedTuple):
    """Positions for training."""

    position: Any
    """[S] packed positions; in a batch of AlphaZero, `jzero.record.Position`s."""
    policy: jax.Array
    """f32[S, A] policy targets."""
    policy_weight: jax.Array
    """f32[S] weights of the policy loss."""
    value: jax.Array
    """f32[S] value targets for the player to move, or f32[S, P] by seat."""
    weight: jax.Array
    """f32[S] 1, or 0 if the lane had nothing to sample."""
    auxiliary: Any = ()
    """Targets of auxiliary losses; () without these."""


def init_replay(
    transition: Transition,
    capacity: int,
    *,
    prioritised: bool = False,
    short_targets: ShortTargets = lambda plies: (),
) -> Replay:
    """An empty ring of `capacity` plies for transitions like `transition` [B] (arrays or shapes)."""
    plies = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), transition)
    batch_size = transition.ended.shape[0]
    return Replay(
        plies=plies,
        targets=jnp.zeros((capacity, *transition.value.shape), jnp.float32),
        ready=jnp.zeros(batch_size, jnp.int32),
        head=jnp.int32(0),
        short_targets=jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(short_targets, _without_policies(plies))
        ),
        ends=jnp.full((capacity, batch_size), -1, jnp.int32) if jax.tree.leaves(plies.outcome) else (),
        priority=jnp.zeros((capacity, batch_size), jnp.float32) if prioritised else (),
    )


def add(
    replay: Replay,
    transitions: Transition,
    targets_of: Targets,
    *,
    lookahead: int | None = None,
    priority: jax.Array | None = None,
    short_targets: ShortTargets = lambda plies: (),
) -> Replay:
    """Writes T plies [T, B] over the oldest ones and updates the targets. R must be a multiple of T.

    Args:
      replay: the ring.
      transitions: the new plies.
      targets_of: makes the value targets.
      lookahead: number of later plies after which a ply of an unfinished game is ready; None: only finished games.
      priority: f32[T, B] priorities of the new plies; by default the highest so far, so that each is likely to be
        sampled once.
      short_targets: makes the value targets at shorter horizons.
    """
    capacity, num_plies = replay.targets.shape[0], transitions.ended.shape[0]
    start = replay.head % capacity

    def write(ring: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, new.astype(ring.dtype), start, 0)

    plies = jax.tree.map(write, replay.plies, transitions)
    head = replay.head + num_plies
    held, oldest = jnp.minimum(head, capacity), head % capacity
    small = jax.tree.map(lambda x: jnp.roll(x, -oldest, axis=0), _without_policies(plies))
    targets, known = targets_of(small)
    # Before the ring is full its front, in time order, is empty.
    written = jnp.arange(capacity, dtype=jnp.int32) >= capacity - held
    ready = jnp.sum(known & written[:, None], axis=0, dtype=jnp.int32)
    priorities = replay.priority
    if not isinstance(priorities, tuple):
        if priority is None:
            highest = jnp.max(priorities)
            highest = jnp.where(highest > 0, highest, 1.0)
            priority = jnp.broadcast_to(highest, transitions.ended.shape)
        priorities = write(priorities, priority)
    return Replay(
        plies=plies,
        targets=jnp.roll(targets, oldest, axis=0),
        ready=ready if lookahead is None else jnp.maximum(ready, held - lookahead),
        head=head,
        short_targets=jax.tree.map(lambda x: jnp.roll(x, oldest, axis=0), short_targets(small)),
        ends=_ends(small.ended, oldest) if jax.tree.leaves(plies.outcome) else (),
        priority=priorities,
    )


def _ends(ended: jax.Array, oldest: jax.Array) -> jax.Array:
    """`Replay.ends` from `ended` bool[R, B], in time order starting at the row `oldest`."""
    capacity = ended.shape[0]
    time = jnp.arange(capacity, dtype=jnp.int32)[:, None]
    end = jax.lax.cummin(jnp.where(ended, time, capacity), axis=0, reverse=True)
    return jnp.roll(jnp.where(end < capacity, (end + oldest) % capacity, -1), oldest, axis=0)


def _without_policies(plies: Any) -> Any:
    """The part of the plies that value targets use."""
    return plies._replace(position=(), action=(), policy=(), policy_weight=(), candidates=(), outcome=())


def taken(replay: Replay, drawn: Draw) -> Sample:
    """The sampled positions, with positions and policies still packed."""
    index, plies = replay.rows(drawn.age), replay.plies
    position, policy = jax.tree.map(lambda x: x[index, drawn.lane], (plies.position, plies.policy))
    return Sample(
        position=position,
        policy=policy,
        policy_weight=plies.policy_weight[index, drawn.lane],
        value=replay.targets[index, drawn.lane],
        weight=drawn.weight,
    )


def draw(
    replay: Replay,
    key: jax.Array,
    num_samples: int,
    *,
    correction: float | jax.Array = 1.0,
    history: int = 1,
) -> Draw:
    """Samples plies that are ready: uniformly, or in proportion to their priorities.

    Without priorities: a lane uniformly, then a ply uniformly among its ready ones. With them: P(i) ~ p_i ** alpha,
    and importance weights (N P(i)) ** -correction over their largest in the draw (Schaul et al. 2016, section 3.4).
    Observations include `history` plies: a ply with overwritten history is not sampled.
    """
    capacity, batch_size = replay.targets.shape[:2]
    lane_key, ply_key = jax.random.split(key)
    oldest = jnp.where(replay.head > capacity, history - 1, 0)
    choices = jnp.maximum(replay.ready - oldest, 0)  # [B]
    if isinstance(replay.priority, tuple):
        lane = jax.random.randint(lane_key, (num_samples,), 0, batch_size, jnp.int32)
        age = oldest + jax.random.randint(
            ply_key, (num_samples,), 0, jnp.maximum(choices[lane], 1), jnp.int32
        )
        return Draw(age, lane, (choices[lane] > 0).astype(jnp.float32))
    age = replay.ages
    mass = jnp.where((age >= oldest)[:, None] & (age[:, None] < replay.ready), replay.priority, 0.0)
    # A lane, then a ply of it: sums over a whole ring would lose small priorities to rounding.
    up_to = jnp.cumsum(mass, axis=0)
    lane_mass = up_to[-1]
    lane = _first_above(jnp.cumsum(lane_mass)[:, None], jnp.zeros(num_samples, jnp.int32), lane_key)
    row = _first_above(up_to, lane, ply_key)
    drawn = mass[row, lane]
    number, total = jnp.sum(choices), jnp.sum(lane_mass)
    share = jnp.maximum(drawn / jnp.maximum(total, 1e-30), 1e-30)
    weight = jnp.where(drawn > 0, (jnp.maximum(number, 1) * share) ** -correction, 0.0)
    return Draw(age[row], lane, weight / jnp.maximum(jnp.max(weight), 1e-30))


def update_priorities(replay: Replay, drawn: Draw, priority: jax.Array, exponent: float) -> Replay:
    """The ring with new priorities f32[S] of the sampled plies, except those of weight 0."""
    rows = jnp.where(drawn.weight > 0, replay.rows(drawn.age), replay.targets.shape[0])
    changed = replay.priority.at[rows, drawn.lane].set(priority**exponent, mode="drop")
    return replay._replace(priority=changed)


def _first_above(up_to: jax.Array, column: jax.Array, key: jax.Array) -> jax.Array:
    """i32[S]: rows sampled from cumulative masses f32[N, M], each in proportion to the masses of its `column`
    i32[S].
    """
    point = jax.random.uniform(key, column.shape, jnp.float32) * up_to[-1, column]
    low, high = jnp.zeros_like(column), jnp.full_like(column, up_to.shape[0] - 1)
    for _ in range((up_to.shape[0] - 1).bit_length()):
        middle = (low + high) // 2
        above = up_to[middle, column] > point
        low, high = jnp.where(above, low, middle + 1), jnp.where(above, middle, high)
    return jnp.minimum(low, high)
