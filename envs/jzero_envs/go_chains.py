"""Boards of Go as arrays: chains and their liberties, hashes, areas.

P = N^2 points, row by row from the top left. A stone's chain has a number: one of its points. An empty point has
its own number, so two points have equal numbers if and only if they are in one chain. The total of a chain is a sum
over the P x P table of equal numbers, which is never stored: the compiler fuses it into the sum. Only `owners` has
a loop; N fixes its number of rounds.

A position's hash is the sum of its stones' keys, two words modulo 2^32 each (Zobrist 1970, with sums instead of
xor, which CPUs reduce more slowly).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jzero_envs.bits import bits_of, on_last_axis

UNROLL = 9
"""Loop rounds that are unrolled into one."""


def point_dtype(size: int) -> type:
    """The smallest unsigned type for the numbers 0 .. P and `nowhere`."""
    return np.uint8 if size**2 < np.iinfo(np.uint8).max else np.uint16


def nowhere(size: int) -> int:
    """A number that is no point of the board, and not P, the pass."""
    return int(np.iinfo(point_dtype(size)).max)


def points(size: int) -> np.ndarray:
    """[P]: the number of each point."""
    return np.arange(size**2, dtype=point_dtype(size))


def beside(size: int, values: jax.Array, outside: int) -> list[jax.Array]:
    """4 x [P]: the values [P] of the points below, above, right and left of each.

    `outside` is the value off the board. The side opposite to side `i` is side `i ^ 1`.
    """
    count, column = size**2, np.arange(size**2) % size
    edge = np.asarray(outside, values.dtype)
    padded = jnp.pad(values, size, constant_values=edge)
    starts = (2 * size, 0, size + 1, size - 1)
    below, above, right, left = (padded[start : start + count] for start in starts)
    right = jnp.where(column < size - 1, right, edge)
    left = jnp.where(column > 0, left, edge)
    return [below, above, right, left]


def chains_beside(size: int, chain: jax.Array, some: jax.Array) -> list[jax.Array]:
    """4 x bool[P]: a point's sides with chains of the stones `some` (bool[P]), each chain on one side only."""
    none = nowhere(size)
    numbers = beside(size, jnp.where(some, chain, none), none)
    counted: list[jax.Array] = []
    for i, number in enumerate(numbers):
        fresh = number != none
        for other in numbers[:i]:
            fresh &= number != other
        counted.append(fresh)
    return counted


def liberties(size: int, stones: jax.Array, chain: jax.Array) -> tuple[jax.Array, jax.Array]:
    """For each stone's chain [P]: the number of its liberties, and the sum of their numbers.

    The sum is modulo the numbers' type; with only one liberty it is that liberty's number.

    Args:
      size: N.
      stones: i8[P], 0 where a point is empty.
      chain: [P], the numbers of the chains.
    """
    empty, dtype = stones == 0, point_dtype(size)
    count = total = jnp.zeros(size**2, dtype)
    for i, counted in enumerate(chains_beside(size, chain, ~empty)):
        # A liberty goes to the stone of the chain on whose side it was counted; 0 is none.
        given = beside(size, jnp.where(counted & empty, points(size) + 1, 0), 0)[i ^ 1]
        count += (given != 0).astype(dtype)
        total += jnp.where(given != 0, given - 1, 0)

    def add(point: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        same = chain == chain[point]
        return sums[0] + jnp.where(same, count[point], 0), sums[1] + jnp.where(same, total[point], 0)

    none = jnp.zeros(size**2, dtype)
    return jax.lax.fori_loop(0, size**2, add, (none, none), unroll=UNROLL)


def last_liberties(size: int, stones: jax.Array, chain: jax.Array) -> jax.Array:
    """[P]: the only liberty of each stone's chain if it has just one, else `nowhere`; see `liberties`."""
    count, total = liberties(size, stones, chain)
    return jnp.where((stones != 0) & (count == 1), total, nowhere(size))


def capture_keys(size: int, stones_keys: jax.Array, last_liberty: jax.Array) -> jax.Array:
    """u32[2, P]: for each point the sum of the keys of the stones whose last liberty it is.

    Args:
      size: N.
      stones_keys: u32[2, P], zero for stones not to count.
      last_liberty: [P] of each stone.
    """

    def add(point: jax.Array, sums: jax.Array) -> jax.Array:
        return sums + jnp.where((points(size) == last_liberty[point])[None], stones_keys[:, point, None], 0)

    return jax.lax.fori_loop(0, size**2, add, jnp.zeros((2, size**2), jnp.uint32), unroll=UNROLL)


def among(codes: jax.Array, known: jax.Array) -> jax.Array:
    """bool[P]: which of the codes u32[2, P] are among the known ones, u32[2, L].

    Tests whether the least difference is zero: CPUs reduce words with a minimum twice as fast as with `any`.
    """
    first = jnp.full(codes.shape[-1], np.iinfo(np.uint32).max, jnp.uint32)

    def compare(i: jax.Array, least: jax.Array) -> jax.Array:
        return jnp.minimum(least, codes[0] ^ known[0, i] | codes[1] ^ known[1, i])

    return jax.lax.fori_loop(0, known.shape[-1], compare, first, unroll=UNROLL) == 0


def packed(size: int, marks: jax.Array) -> jax.Array:
    """u32[..., N]: a word per row of bool[..., P], bit c for column c."""
    bits = marks.reshape(*marks.shape[:-1], size, size).astype(jnp.uint32)
    shifts = on_last_axis(np.arange(size, dtype=np.uint32), bits.ndim)
    return (bits << shifts).sum(axis=-1, dtype=jnp.uint32)


def unpacked(size: int, rows: jax.Array) -> jax.Array:
    """bool[..., P] of `packed` rows."""
    return (bits_of(rows, size) == 1).reshape(*rows.shape[:-1], -1)


def owners(size: int, stones: jax.Array) -> jax.Array:
    """i8[P]: 1 and -1 where a colour owns a point, by a stone or as an empty point that reaches only that colour.

    Stones i8[P] of both colours spread over empty points: in every round over a row's whole run and to the rows
    next to it. A shortest path enters no run twice, and a row has at most N / 2 runs, rounded up.
    """
    empty = packed(size, stones == 0)
    first = packed(size, jnp.stack([stones == 1, stones == -1]))
    # One array per row, so that a round uses only whole rows.
    open_rows = [jnp.broadcast_to(empty[r], (2,)) for r in range(size)]
    runs = [_runs(size, row) for row in open_rows]
    none = jnp.zeros_like(open_rows[0])

    def spread(_: int, rows: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        around = (none, *rows, none)
        grown = []
        for r, row in enumerate(rows):
            reached = (row | row << 1 | row >> 1 | around[r] | around[r + 2]) & open_rows[r]
            grown.append(row | _filled(reached, runs[r]))
        return tuple(grown)

    rounds = size * ((size + 1) // 2)
    rows = jax.lax.fori_loop(0, rounds, spread, tuple(first[:, r] for r in range(size)))
    black, white = unpacked(size, jnp.stack(rows, axis=-1))
    return black.astype(jnp.int8) - white.astype(jnp.int8)


Runs = list[tuple[int, jax.Array, jax.Array]]


def _runs(size: int, row: jax.Array) -> Runs:
    """For steps of 1, 2, 4 .. columns: the places that a step up and one down can reach within a run."""
    up = down = row
    found = []
    for step in (1 << k for k in range((size - 1).bit_length())):
        found.append((step, up, down))
        up, down = up & up << step, down & down >> step
    return found


def _filled(marks: jax.Array, runs: Runs) -> jax.Array:
    """The runs of a row that have marks (a parallel prefix, Kogge and Stone 1973, up and down)."""
    up = down = marks
    for step, can_up, can_down in runs:
        up |= can_up & up << step
        down |= can_down & down >> step
    return up | down


@functools.cache
def keys(size: int) -> np.ndarray:
    """u32[3, 2, P]: the two words of a black stone's key, a white stone's, and a legal point's (`fingerprint`).

    They are consecutive outputs of SplitMix64 (Steele, Lea and Flood 2014).
    """
    mask = (1 << 64) - 1
    found = []
    for number in range(1, 3 * size**2 + 1):
        z = number * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        found.append(z ^ z >> 31)
    words = np.array(found, np.uint64).reshape(3, 1, -1) >> np.array([0, 32], np.uint64)[:, None]
    return words.astype(np.uint32)
