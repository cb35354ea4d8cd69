"""Quoridor for two on an N x N board: be the first to reach the far side, slowing the opponent with walls.

A position is seen by the player to move, whose goal is row 0: after every move the board turns by 180 degrees.
Actions are in that frame too, so observations, masks and policies need no further rotation:

    [0, N^2)              move the pawn to a cell, row-major from the top left
    [N^2, N^2 + M^2)      a horizontal wall, M = N - 1; anchor (r, c) is below the cells (r, c) and (r, c + 1)
    [N^2 + M^2, A)        a vertical wall; anchor (r, c) is right of the cells (r, c) and (r + 1, c)

For player 0 these are the cells of the board as it is drawn. `Quoridor.turn` has the action ids on the board turned
by 180 degrees, and so converts player 1's actions to and from those of the board as it is drawn.

Walls are bits of uint32 words, bit `M r + c` for the anchor (r, c). Which walls would cut a pawn off is decided
without a search for paths. Walls are edges between the corner points of cells. A new wall cuts a pawn off if and
only if it closes a ring around the pawn; all sides of the board but the goal's can be part of the ring. A ring goes
around the pawn if and only if it crosses the straight line from the pawn past its goal row an odd number of times.
So one labelling of the corner points, by their connected piece of walls and the parity of the crossings on the path
from the piece's first point, decides for all walls at once: a wall closes such a ring if two of its three points
are in one piece and their parities do not match the wall's own crossings between them.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jzero.env import Symmetry, forfeit, is_finished, keep_finished
from jzero_envs.bits import bits_of

Words = tuple[jax.Array, ...]  # u32[] each: a set of bits, 32 per word, lowest first

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIRECTIONS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left: (rows, columns)
CORNERS = ((-1, -1), (-1, 0), (0, -1), (0, 0))  # of a cell (r, c): their anchors, relative to (r, c)
CHUNK = 64  # games whose walls are checked at once; an eighth of all games if that is more
UNROLLED_MOVES = 26  # of a flood on a GPU, most in one kernel: all that an observation on 9 x 9 needs


class QuoridorState(NamedTuple):
    """One position, turned so that the player to move goes up. M = N - 1, A = N^2 + 2 M^2."""

    walls: jax.Array  # u32[2, ceil(M^2 / 32)]: (horizontal, vertical), bit M r + c
    pawns: jax.Array  # u16[2]: cells (N r + c) of the mover and of the opponent
    walls_left: jax.Array  # u16[2]: of the mover and of the opponent
    ply: jax.Array  # i32[]: moves made
    current_player: jax.Array  # i32[]: 0 (moves first) or 1
    legal_action_mask: jax.Array  # bool[A]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: by the ply limit


@dataclass(frozen=True)
class Quoridor:
    """The first pawn on the opposite row wins (+1 / -1); an illegal action loses at once.

    Raises:
      ValueError: an argument is out of its range.
    """

    size: int = 9
    """N, rows and columns; odd and at least 3."""
    walls: int = 10
    """Walls of each player."""
    max_plies: int | None = None
    """The game is truncated (no rewards) after this number of moves, unless the last one wins;
    None: 4 N^2."""
    openspiel_limit: bool = False
    """The ply limit is a rule of the game, as in OpenSpiel: it ends in a draw, even if the last move reaches the
    goal, and the plies played are part of the observation."""
    distances: bool = True
    """Whether observations contain the path lengths to the goals, which cost one flood fill per position."""

    name = "quoridor"
    num_players = 2

    def __post_init__(self) -> None:
        odd = _is_int(self.size) and self.size >= 3 and self.size % 2 == 1
        limit = self.max_plies is None or (_is_int(self.max_plies) and self.max_plies >= 1)
        walls = _is_int(self.walls) and 0 <= self.walls < 2**16
        for name, good, expected, default in (
            ("size", odd, "an odd int of at least 3", 9),
            ("walls", walls, "an int from 0 to 65535", 10),
            ("max_plies", limit, "an int of at least 1, or None", None),
        ):
            if not good:
                raise ValueError(
                    f"Quoridor: {name} is {getattr(self, name)!r}; expected {expected}; "
                    f"leave it out for {name}={default!r}"
                )

    @property
    def num_actions(self) -> int:
        """N^2 cells, then (N - 1)^2 horizontal and as many vertical walls."""
        return self.size**2 + 2 * (self.size - 1) ** 2

    @property
    def ply_limit(self) -> int:
        """Moves after which the game is truncated."""
        return 4 * self.size**2 if self.max_plies is None else self.max_plies

    @property
    def turn(self) -> np.ndarray:
        """i32[A]: action `a` on the board turned by 180 degrees is `turn[a]`. Its own inverse.

        On the board as it is drawn, with player 0 at the bottom, the action of player 0 is `a` and that of player 1
        is `turn[a]`.
        """
        cells, anchors = self.size**2, (self.size - 1) ** 2
        parts = ((0, cells), (cells, anchors), (cells + anchors, anchors))
        return np.concatenate([start + np.arange(count)[::-1] for start, count in parts]).astype(np.int32)

    def init(self, key: jax.Array) -> QuoridorState:
        """The empty board; the game has no chance, so `key` is not used."""
        del key
        size, middle = self.size, self.size // 2
        mask = np.zeros(self.num_actions, bool)
        start = (size - 1) * size + middle
        mask[[start - size, start - 1, start + 1]] = True
        mask[size**2 :] = self.walls > 0
        return QuoridorState(
            walls=jnp.zeros((2, _num_words(size)), jnp.uint32),
            pawns=jnp.array([start, middle], jnp.uint16),
            walls_left=jnp.full(2, self.walls, jnp.uint16),
            ply=jnp.int32(0),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.array(mask),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def position(
        self,
        *,
        walls: jax.Array,
        pawns: jax.Array,
        walls_left: jax.Array,
        current_player: jax.Array | int = 0,
        ply: jax.Array | int = 0,
    ) -> QuoridorState:
        """An unfinished position of the caller's choice, in the orientation of the picture: player 0 starts at the
        bottom.

        Args:
          walls: bool[2, M, M], the middles of horizontal and of vertical walls; each pawn must have a path.
          pawns: i32[2], the cells of player 0 and of player 1, neither of them on its goal row.
          walls_left: i32[2], of player 0 and of player 1.
          current_player: i32[], who moves.
          ply: i32[], moves made.
        """
        size, first = self.size, jnp.asarray(current_player) == 0
        walls, pawns, walls_left = jnp.asarray(walls, bool), jnp.asarray(pawns), jnp.asarray(walls_left)
        walls = jnp.where(first, walls, walls[:, ::-1, ::-1]).reshape(2, -1, 1)
        pawns = jnp.where(first, pawns, size**2 - 1 - pawns[::-1]).astype(jnp.int32)
        words = _pack(walls)[..., 0]
        left = jnp.where(first, walls_left, walls_left[::-1]).astype(jnp.uint16)
        state = self.init(jax.random.key(0))._replace(
            walls=words,
            pawns=pawns.astype(jnp.uint16),
            walls_left=left,
            ply=jnp.int32(ply),
            current_player=jnp.int32(current_player),
            legal_action_mask=jnp.bool_(True),
        )
        return self._with_mask(state)

    def step(self, state: QuoridorState, action: jax.Array, key: jax.Array) -> QuoridorState:
        """The position after the mover takes `action` (i32[]); `key` is not used."""
        del key
        action = jnp.asarray(action, jnp.int32)
        size, cells, anchors = self.size, self.size**2, (self.size - 1) ** 2
        in_range = (action >= 0) & (action < self.num_actions)
        legal = in_range & state.legal_action_mask[jnp.where(in_range, action, 0)]
        walks = action < cells
        horizontal = _with_bit(_words(state.walls[0]), action - cells, anchors)
        vertical = _with_bit(_words(state.walls[1]), action - cells - anchors, anchors)
        own = jnp.where(walks, action, state.pawns[0].astype(jnp.int32))
        left = state.walls_left - jnp.stack([~walks, jnp.bool_(False)]).astype(jnp.uint16)

        ply = state.ply + 1
        at_limit = ply >= self.ply_limit
        won = walks & (own < size)
        if self.openspiel_limit:
            won &= ~at_limit
            terminated, truncated = won | at_limit, jnp.bool_(False)
        else:
            terminated, truncated = won, at_limit & ~won

        # The board turns, and the opponent is to move. The mask is computed last, for the final state; until then
        # one bit replaces it: whether any action is legal.
        mover = jnp.arange(2, dtype=jnp.int32) == state.current_player
        next_state = QuoridorState(
            walls=jnp.stack([jnp.stack(_reversed(words, anchors)) for words in (horizontal, vertical)]),
            pawns=(cells - 1 - jnp.stack([state.pawns[1].astype(jnp.int32), own])).astype(jnp.uint16),
            walls_left=left[::-1],
            ply=ply,
            current_player=1 - state.current_player,
            legal_action_mask=~(terminated | truncated),
            rewards=jnp.where(won, jnp.where(mover, 1.0, -1.0), 0.0).astype(jnp.float32),
            terminated=terminated,
            truncated=truncated,
        )
        state = state._replace(legal_action_mask=~is_finished(state))
        return self._with_mask(keep_finished(state, forfeit(state, ~legal, next_state)))

    def _with_mask(self, state: QuoridorState) -> QuoridorState:
        """`state` with its mask bool[] (whether any action is legal) replaced by the mask bool[A]."""
        pawns = state.pawns.astype(jnp.int32)
        can_wall = state.legal_action_mask & (state.walls_left[0] > 0)
        arguments = (_words(state.walls.ravel()), _words(pawns), can_wall, state.legal_action_mask)
        words = _legal_words(self.size)(*jax.tree.map(lambda x: x[None], arguments))
        words = [word[0] for word in words]
        cells, anchors = self.size**2, (self.size - 1) ** 2
        ends = (math.ceil(cells / 32), math.ceil(cells / 32) + _num_words(self.size))
        parts = ((words[: ends[0]], cells), (words[ends[0] : ends[1]], anchors), (words[ends[1] :], anchors))
        mask = jnp.concatenate([bits for part, count in parts for bits in _expanded(part, count)])
        return state._replace(legal_action_mask=mask)

    def observe(self, state: QuoridorState) -> jax.Array:
        """f32[N, N, C]; the mover's goal is row 0. The planes:

        - the mover's pawn, the opponent's pawn;
        - for each corner of the cell (top left, top right, bottom left, bottom right), whether the middle of a
          horizontal wall is there: one at a top corner blocks the move up, and so on;
        - the same for vertical walls;
        - with `distances`: every cell's path length to the mover's goal and to the opponent's, in units of N moves,
          pawns ignored (at most 3; 3 if there is no path);
        - walls left of the mover and of the opponent, as shares of their initial numbers;
        - with `distances`: the path lengths of the mover's and of the opponent's pawn to their goals;
        - with `openspiel_limit`: plies played, as a share of the ply limit.
        """
        size = self.size
        pawns = jnp.arange(size**2, dtype=jnp.uint16).reshape(1, size, size) == state.pawns[:, None, None]
        walls = _anchors(size, state.walls)  # [2, M, M]
        padded = jnp.pad(walls, ((0, 0), (1, 1), (1, 1)))
        corners = [padded[:, 1 + r : 1 + r + size, 1 + c : 1 + c + size] for r, c in CORNERS]
        planes = [pawns, jnp.stack(corners, axis=1).reshape(8, size, size)]
        constants = [state.walls_left / max(self.walls, 1)]
        if self.distances:
            lengths = _way_lengths_of_rows(size, 3 * size)(state.walls[None])[0] / size
            planes.append(lengths)
            constants.append(lengths.reshape(2, -1)[jnp.arange(2, dtype=jnp.int32), state.pawns])
        if self.openspiel_limit:
            constants.append(state.ply[None] / self.ply_limit)
        constant = jnp.concatenate(constants)
        planes.append(jnp.broadcast_to(constant[:, None, None], (*constant.shape, size, size)))
        return jnp.moveaxis(jnp.concatenate([plane.astype(jnp.float32) for plane in planes]), 0, -1)

    def way_lengths(self, state: QuoridorState) -> jax.Array:
        """i32[2, N, N]: moves from each cell to the mover's goal and to the opponent's, pawns ignored.

        N^2 if there is no path.
        """
        return _way_lengths_of_rows(self.size, self.size**2)(state.walls[None])[0]

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The reflection that exchanges left and right."""
        size = self.size
        rows = [np.arange(self.num_actions)[: size**2].reshape(size, size)]
        rows += list(np.arange(size**2, self.num_actions).reshape(2, size - 1, size - 1))
        action = np.concatenate([row[:, ::-1].ravel() for row in rows]).astype(np.int32)
        corners = np.array([1, 0, 3, 2])

        def mirrored(planes: jax.Array) -> jax.Array:
            order = np.arange(planes.shape[-1])
            order[2:10] = np.concatenate([2 + corners, 6 + corners])
            return planes[:, ::-1, order]

        return (Symmetry(observation=mirrored, action=action),)

    def fingerprint(self, state: QuoridorState) -> jax.Array:
        """u32[2]: a hash of the position, which has more than 64 bits; two positions rarely share one.

        With `openspiel_limit` it includes the plies played.
        """
        state = jax.tree.map(jnp.asarray, state)
        player = state.current_player.astype(jnp.uint32)
        flags = player | state.terminated.astype(jnp.uint32) << 1 | state.truncated.astype(jnp.uint32) << 2
        words = [
            *_words(state.walls.ravel()),
            *(_pair(state.pawns), _pair(state.walls_left)),
            flags,
        ]
        if self.openspiel_limit:
            words.append(state.ply.astype(jnp.uint32))
        return jnp.stack([_hash(words, seed) for seed in (0x9E3779B9, 0x7F4A7C15)])

    def action_name(self, state: QuoridorState, action: int) -> str:
        """The pawn's new cell, such as e2, or the cell at a wall's upper left and its direction, such as e2h.

        The board is that of the picture: a1 is at the bottom left.
        """
        size, drawn = self.size, self._as_drawn(state, action)
        cells, anchors = size**2, (size - 1) ** 2
        if drawn < cells:
            row, column = divmod(drawn, size)
            return f"{LETTERS[column]}{size - row}"
        vertical, anchor = divmod(drawn - cells, anchors)
        row, column = divmod(anchor, size - 1)
        return f"{LETTERS[column]}{size - row}{'hv'[vertical]}"

    def areas(self, state: QuoridorState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The cells of the picture, and around each anchor the gap for a wall's middle."""
        size, found = self.size, {}
        for action in range(self.num_actions):
            drawn = self._as_drawn(state, action)
            if drawn < size**2:
                row, column = divmod(drawn, size)
                area = (20 * column + 2, 20 * row + 2, 16, 16)
            else:
                vertical, anchor = divmod(drawn - size**2, (size - 1) ** 2)
                x, y = 20 * (anchor % (size - 1)), 20 * (anchor // (size - 1))
                area = (x + 17, y + 10, 6, 20) if vertical else (x + 10, y + 17, 20, 6)
            found[action] = (area,)
        return found

    def _as_drawn(self, state: QuoridorState, action: int) -> int:
        """The action on the board of the picture."""
        return int(action if int(state.current_player) == 0 else self.turn[action])

    def svg(self, state: QuoridorState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string; player 0 starts at the bottom."""
        return _draw(self.size, *self._seen_by_first(state))

    def text(self, state: QuoridorState) -> str:
        """One (unbatched) state as text: A is player 0, who moves up, B player 1."""
        size, (walls, cells, left) = self.size, self._seen_by_first(state)
        canvas = np.full((2 * size - 1, 2 * size - 1), " ")
        canvas[::2, ::2] = "."
        for vertical, row, column in np.argwhere(walls):
            if vertical:
                canvas[2 * row : 2 * row + 3, 2 * column + 1] = "|"
            else:
                canvas[2 * row + 1, 2 * column : 2 * column + 3] = "-"
        for (row, column), name in zip(cells, "AB", strict=True):
            canvas[2 * row, 2 * column] = name
        rows = [
            f"{'' if r % 2 else size - r // 2:>2} {''.join(line)}".rstrip() for r, line in enumerate(canvas)
        ]
        return "\n".join([*rows, f"   {' '.join(LETTERS[:size])}", f"walls: A {left[0]}, B {left[1]}"])

    def _seen_by_first(self, state: QuoridorState) -> tuple[np.ndarray, list[tuple[int, int]], list[int]]:
        """Walls bool[2, M, M], cells and numbers of walls left of player 0 and player 1, as player 0 sees them."""
        size = self.size
        walls = np.asarray(_anchors(size, jnp.asarray(state.walls)))
        cells = [divmod(int(cell), size) for cell in state.pawns]
        left = [int(count) for count in state.walls_left]
        if int(state.current_player) == 0:
            return walls, cells, left
        turned = [(size - 1 - r, size - 1 - c) for r, c in cells]
        return walls[:, ::-1, ::-1], turned[::-1], left[::-1]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Sets of bits in several words.


def _num_words(size: int) -> int:
    return math.ceil((size - 1) ** 2 / 32)


def _words(words: jax.Array) -> Words:
    return tuple(words[i] for i in range(words.shape[0]))


def _constant(bits: np.ndarray) -> list[np.uint32]:
    """bool[...] as words."""
    flat = np.pad(bits.ravel(), (0, -bits.size % 32)).reshape(-1, 32)
    return [np.uint32(sum(1 << int(i) for i in np.flatnonzero(row))) for row in flat]


def _bit(words: Words, index: jax.Array) -> jax.Array:
    """bool[]: bit `index`, which must be in range."""
    word = words[0]
    for i, other in enumerate(words[1:], start=1):
        word = jnp.where(index >> 5 == i, other, word)
    return (word >> (index & 31).astype(jnp.uint32)) & 1 == 1


def _with_bit(words: Words, index: jax.Array, count: int, on: jax.Array | bool = True) -> Words:
    """`words` with bit `index` set, if `index` is below `count` and `on` is true."""
    bit = jnp.where((index < count) & on, jnp.uint32(1) << (index & 31).astype(jnp.uint32), 0)
    return tuple(word | jnp.where(index >> 5 == i, bit, 0) for i, word in enumerate(words))


def _up(words: Words, by: int) -> Words:
    """Every bit moved `by` places up; bits that leave the last word are dropped."""
    whole, rest = divmod(by, 32)
    moved = []
    for i in range(len(words)):
        word = words[i - whole] << rest if i >= whole else jnp.zeros_like(words[0])
        if rest and i > whole:
            word |= words[i - whole - 1] >> (32 - rest)
        moved.append(word)
    return tuple(moved)


def _down(words: Words, by: int) -> Words:
    """Every bit moved `by` places down; bits that leave the first word are dropped."""
    whole, rest = divmod(by, 32)
    moved = []
    for i in range(len(words)):
        word = words[i + whole] >> rest if i + whole < len(words) else jnp.zeros_like(words[0])
        if rest and i + whole + 1 < len(words):
            word |= words[i + whole + 1] << (32 - rest)
        moved.append(word)
    return tuple(moved)


def _reversed(words: Words, count: int) -> Words:
    """The first `count` bits in reverse order."""
    turned = []
    for word in words[::-1]:
        for shift, mask in (
            (1, 0x55555555),
            (2, 0x33333333),
            (4, 0x0F0F0F0F),
            (8, 0x00FF00FF),
            (16, 0x0000FFFF),
        ):
            word = (word >> shift) & np.uint32(mask) | (word & np.uint32(mask)) << shift
        turned.append(word)
    return _down(tuple(turned), 32 * len(words) - count)


def _expand(words: jax.Array, count: int) -> jax.Array:
    """bool[..., count] from u32[..., n]."""
    return (bits_of(words) == 1).reshape(*words.shape[:-1], -1)[..., :count]


def _expanded(words: Sequence[jax.Array], count: int) -> list[jax.Array]:
    """bool[32] from each u32[]; the last is cut to make `count` in all."""
    shifts = np.arange(32, dtype=np.uint32)
    return [(word >> shifts[: count - 32 * i]) & 1 == 1 for i, word in enumerate(words)]


def _anchors(size: int, walls: jax.Array) -> jax.Array:
    """bool[2, M, M]: the middles of walls."""
    return _expand(walls, (size - 1) ** 2).reshape(2, size - 1, size - 1)


def _pair(values: jax.Array) -> jax.Array:
    low, high = values.astype(jnp.uint32)
    return low | high << 16


def _hash(words: list[jax.Array], seed: int) -> jax.Array:
    """u32[]: the words mixed as in MurmurHash3."""
    code = jnp.uint32(seed)
    for word in words:
        word = word * np.uint32(0xCC9E2D51)
        word = (word << 15 | word >> 17) * np.uint32(0x1B873593)
        code = code ^ word
        code = (code << 13 | code >> 19) * np.uint32(5) + np.uint32(0xE6546B64)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        code = (code ^ code >> shift) * np.uint32(factor)
    return code ^ code >> 16


# Legal actions.


@functools.cache
def _legal_words(size: int) -> Callable[..., Words]:
    """A function of walls (2 n x u32[R]), pawns (2 x i32[R]), whether a wall may be placed and whether the pawn may
    move (bool[R]): the bits of legal actions u32[R], words of cells, of horizontal and of vertical walls.

    On a CPU only rows where walls may be placed are checked for walls that would cut a pawn off, a chunk at a time,
    so the others cost nothing. On a GPU all rows are checked at once, in a fixed number of rounds, since the host
    would wait at every loop condition.
    """
    n = _num_words(size)

    def unchecked(walls: Words, pawns: Words, can_wall: jax.Array, playing: jax.Array) -> Words:
        """Walls that would cut a pawn off are still among the legal ones."""
        cells = _walks(size, walls[:n], walls[n:], pawns, playing)
        free = [jnp.where(can_wall, word, 0) for word in _free_walls(size, walls[:n], walls[n:])]
        return (*cells, *free)

    def at_once(walls: Words, pawns: Words, can_wall: jax.Array, words: Words) -> Words:
        closing = _closing_walls(size, walls, pawns, _label_pieces_at_once)
        return (*words[: -2 * n], *(a & ~b for a, b in zip(words[-2 * n :], closing, strict=True)))

    def in_chunks(walls: Words, pawns: Words, can_wall: jax.Array, words: Words) -> Words:
        rows = can_wall.shape[0]
        chunk = min(rows, max(CHUNK, rows // 8))
        rank = jnp.cumsum(can_wall, dtype=jnp.int32) - 1
        order = jnp.full(rows + chunk, rows, jnp.int32)
        target = jnp.where(can_wall, rank, rows + chunk)
        order = order.at[target].set(jnp.arange(rows, dtype=jnp.int32), mode="drop")

        def body(carry: tuple[jax.Array, Words]) -> tuple[jax.Array, Words]:
            start, words = carry
            index = jax.lax.dynamic_slice_in_dim(order, start, chunk)
            some = jnp.minimum(index, rows - 1)
            chosen = [word[some] for word in walls], [pawn[some] for pawn in pawns]
            closing = _closing_walls(size, *chosen, _label_pieces)
            cells, free = words[: -2 * n], words[-2 * n :]
            free = [a.at[index].set(a[some] & ~b, mode="drop") for a, b in zip(free, closing, strict=True)]
            # This changes no cell. But values that a loop may change are computed before it, once per game;
            # otherwise the compiler would recompute them for every action of the mask.
            return start + chunk, (*(word | (start < 0).astype(jnp.uint32) for word in cells), *free)

        start = 0 * rank[-1]  # varies over the devices of a mesh, like the rows
        return jax.lax.while_loop(lambda carry: carry[0] <= rank[-1], body, (start, words))[1]

    def legal(walls: Words, pawns: Words, can_wall: jax.Array, playing: jax.Array) -> Words:
        words = unchecked(walls, pawns, can_wall, playing)
        return jax.lax.platform_dependent(walls, pawns, can_wall, words, cuda=at_once, default=in_chunks)

    return over_rows(legal)


def _free_walls(size: int, horizontal: Words, vertical: Words) -> Words:
    """Anchors where a wall would neither overlap nor cross another: of horizontal walls, then of vertical ones."""
    columns = np.broadcast_to(np.arange(size - 1), (size - 1, size - 1))
    first, last = _constant(columns == 0), _constant(columns == size - 2)
    right = [word & ~edge for word, edge in zip(_up(horizontal, 1), first, strict=True)]
    left = [word & ~edge for word, edge in zip(_down(horizontal, 1), last, strict=True)]
    below, above = _up(vertical, size - 1), _down(vertical, size - 1)
    crossing = [a | b for a, b in zip(horizontal, vertical, strict=True)]
    inside = _constant(columns >= 0)
    taken = [
        *zip(left, right, crossing, inside, strict=True),
        *zip(above, below, crossing, inside, strict=True),
    ]
    return tuple(~(a | b | c) & board for a, b, c, board in taken)


def _walks(size: int, horizontal: Words, vertical: Words, pawns: Words, playing: jax.Array) -> Words:
    """The cells that the mover's pawn can move to, as bits."""
    own, other = pawns
    own_open, other_open = (_open_ways(size, horizontal, vertical, pawn) for pawn in (own, other))
    offsets = [size * rows + columns for rows, columns in DIRECTIONS]
    meets = [is_open & (own + offset == other) for is_open, offset in zip(own_open, offsets, strict=True)]
    cells = tuple(horizontal[0] & 0 for _ in range(math.ceil(size**2 / 32)))
    for i, offset in enumerate(offsets):
        # A jump over the opponent in this direction: straight, or to the side if the straight jump is blocked.
        aside = [meets[j] & ~other_open[j] for j in ((i + 1) % 4, (i + 3) % 4)]
        jumps = other_open[i] & (meets[i] | aside[0] | aside[1])
        cells = _with_bit(cells, own + offset, size**2, own_open[i] & ~meets[i] & playing)
        cells = _with_bit(cells, other + offset, size**2, jumps & playing)
    return cells


def _open_ways(size: int, horizontal: Words, vertical: Words, cell: jax.Array) -> list[jax.Array]:
    """bool[] for each of DIRECTIONS: neither a wall nor the edge of the board is on that side of `cell`."""
    row, column = cell // size, cell % size
    top, bottom, left, right = row > 0, row < size - 1, column > 0, column < size - 1
    # The anchors at the cell's four corners; those outside the board must be masked.
    corners = [jnp.maximum((row + r) * (size - 1) + column + c, 0) for r, c in CORNERS]
    h = [_bit(horizontal, corner) for corner in corners]
    v = [_bit(vertical, corner) for corner in corners]
    return [
        top & ~(h[0] & left | h[1] & right),
        right & ~(v[1] & top | v[3] & bottom),
        bottom & ~(h[2] & left | h[3] & right),
        left & ~(v[0] & top | v[2] & bottom),
    ]


def over_rows(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of arrays [R, ...], called once with all rows in one axis under any number of `vmap`s."""

    @custom_vmap
    def rows(*arrays: Any) -> Any:
        return function(*arrays)

    @rows.def_vmap
    def _(axis_size: int, in_batched: Any, *arrays: Any) -> tuple[Any, Any]:
        def merged(x: jax.Array, batched: bool) -> jax.Array:
            whole = x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            return whole.reshape(-1, *x.shape[2:] if batched else x.shape[1:])

        result = rows(*jax.tree.map(merged, arrays, tuple(in_batched)))
        split = jax.tree.map(lambda x: x.reshape(axis_size, -1, *x.shape[1:]), result)
        return split, jax.tree.map(lambda _: True, result)

    return rows


def _closing_walls(
    size: int,
    walls: Sequence[jax.Array],
    pawns: Sequence[jax.Array],
    label_pieces: Callable[[int, jax.Array, jax.Array, jax.Array], jax.Array],
) -> Words:
    """2 n x u32[R], anchors of walls that would cut a pawn off, from walls 2 n x u32[R] and pawns 2 x i32[R].

    The axis L is R movers, then R opponents on the turned board. `label_pieces` is one of the two functions below.
    """
    m, rows, n = size - 1, len(pawns[0]), _num_words(size)
    shifts = np.arange(32, dtype=np.uint32)[None, None, :, None]
    bits = jnp.stack(walls).reshape(2, n, 1, rows) >> shifts & 1 == 1
    bits = bits.reshape(2, 32 * n, rows)[:, : m * m]
    horizontal, vertical = jnp.concatenate([bits, bits[:, ::-1]], axis=-1).reshape(2, m, m, 2 * rows)
    pawn = jnp.concatenate([pawns[0], size * size - 1 - pawns[1]])
    crosses = _crossings(size, pawn)
    label = label_pieces(size, horizontal, vertical, crosses)
    middle = label[1:-1, 1:-1]
    cut = jnp.stack(
        [
            _closes(label[1:-1, :-2], middle, label[1:-1, 2:], crosses[:, :-1], crosses[:, 1:]),
            _closes(label[:-2, 1:-1], middle, label[2:, 1:-1], 0, 0),
        ]
    )
    cut = cut[..., :rows] | cut[:, ::-1, ::-1, rows:]
    return _words(_pack(cut.reshape(2, m * m, rows)).reshape(2 * n, rows))


def _pack(bits: jax.Array) -> jax.Array:
    """u32[2, n, R] from bool[2, count, R]."""
    count = bits.shape[1]
    padded = jnp.pad(bits, ((0, 0), (0, -count % 32), (0, 0))).reshape(2, -1, 32, bits.shape[2])
    shifts = np.arange(32, dtype=np.uint32)[None, None, :, None]
    return (padded.astype(jnp.uint32) << shifts).sum(axis=2, dtype=jnp.uint32)


def _label_dtype(size: int) -> type:
    """Labels need two values per corner point, two for the border, and two that differ from these even xor 1."""
    return np.uint8 if 2 * (size - 1) ** 2 + 4 <= 256 else np.uint16


def _crossings(size: int, pawn: jax.Array) -> jax.Array:
    """[M, N, L] of 0 and 1: whether the line up from the pawn crosses the side below the cell (r, c)."""
    row, column = (pawn // size)[None, None], (pawn % size)[None, None]
    above = np.arange(size - 1, dtype=np.int32)[:, None, None] < row
    return (above & (np.arange(size, dtype=np.int32)[None, :, None] == column)).astype(_label_dtype(size))


def _closes(
    first: jax.Array, middle: jax.Array, last: jax.Array, c: jax.Array | int, d: jax.Array | int
) -> jax.Array:
    """bool[M, M, L]: two of a wall's points are in one piece, and parities do not match the crossings between them.

    Labels of one piece differ only in the lowest bit, the parity. c and d: whether the wall's first and second half
    cross the line.
    """
    return (first ^ middle == 1 ^ c) | (middle ^ last == 1 ^ d) | (first ^ last == 1 ^ c ^ d)


def _label_pieces(size: int, horizontal: jax.Array, vertical: jax.Array, crosses: jax.Array) -> jax.Array:
    """[N + 1, N + 1, L]: for each corner point 2 x (the least number in its piece of walls) + (its parity).

    Points of the border have number 0; those of the goal's side are in no piece and have the highest label. Numbers
    spread along the walls of a piece, one point per round.
    """
    m, dtype = size - 1, crosses.dtype
    top = np.iinfo(dtype).max
    first = 2 * _point_numbers(size).astype(dtype)[..., None]
    first[0] = top
    # A label passes along a side of a cell if a wall is there; or-ing with the highest label stops it.
    no_wall = jnp.where(_both_halves(horizontal, axis=1), 0, top).astype(dtype)  # [M, N, L], below the cells
    no_wall_beside = jnp.where(_both_halves(vertical, axis=0), 0, top).astype(dtype)  # [N, M, L]

    def spread(label: jax.Array) -> jax.Array:
        least = label[1:-1, 1:-1]
        for other in (
            label[1:-1, :-2] ^ crosses[:, :-1] | no_wall[:, :-1],
            label[1:-1, 2:] ^ crosses[:, 1:] | no_wall[:, 1:],
            label[:-2, 1:-1] | no_wall_beside[:-1],
            label[2:, 1:-1] | no_wall_beside[1:],
        ):
            least = jnp.minimum(least, other)
        return label.at[1:-1, 1:-1].set(least)

    def rounds(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        label = before = spread(spread(spread(carry[0])))
        label = spread(label)
        return label, (label != before).any()

    label = jnp.broadcast_to(first, (m + 2, m + 2, horizontal.shape[-1])) | (crosses[:1, :1] & 0)
    return jax.lax.while_loop(lambda carry: carry[1], rounds, (label, (label == label).any()))[0]


def _label_pieces_at_once(
    size: int, horizontal: jax.Array, vertical: jax.Array, crosses: jax.Array
) -> jax.Array:
    """[N + 1, N + 1, L]: what `_label_pieces` returns, in a fixed number of rounds.

    Each inner point has two sets: the points that walls connect it to with even and with odd parity, as bits by
    number, 0 for all of the border but the goal's side. A round adds the sets of the points in a set, which doubles
    the length of the known paths; the longest, to the border, is M^2.
    """
    m, dtype = size - 1, crosses.dtype
    rounds = (m * m - 1).bit_length()
    sets = _neighbours(size, horizontal, vertical, crosses == 1)
    even, odd = jax.lax.fori_loop(0, rounds, lambda _, sets: _twice_as_far(sets), sets, unroll=2)
    least = jnp.zeros(even.shape[1:], jnp.uint32)
    for i in reversed(range(even.shape[0])):
        some = even[i] | odd[i]
        lowest = some & (~some + 1)
        number = 32 * i + jax.lax.population_count(lowest - 1)
        least = jnp.where(some == 0, least, 2 * number + (even[i] & lowest == 0).astype(jnp.uint32))
    label = jnp.pad(least.astype(dtype).reshape(m, m, -1), ((1, 1), (1, 1), (0, 0)))
    return label.at[0].set(np.iinfo(dtype).max)


def _neighbours(size: int, horizontal: jax.Array, vertical: jax.Array, crosses: jax.Array) -> jax.Array:
    """u32[2, n, M^2, L]: each inner point's sets: itself, and the points at the other end of half a wall.

    Points behind halves that cross the line (`crosses`, bool[M, N, L]) are in the second, odd set.
    """
    m, number = size - 1, _point_numbers(size)
    words = np.arange(m * m // 32 + 1)[:, None, None]

    def joined(*sets: tuple[jax.Array, np.ndarray]) -> jax.Array:
        """u32[n, M, M, L]: for each point the set of those of `numbers` whose half wall (bool[M, M, L]) exists."""
        found = jnp.uint32(0)
        for half, numbers in sets:
            bits = np.where(numbers // 32 == words, 1 << numbers % 32, 0).astype(np.uint32)
            found |= jnp.where(half, bits[..., None], np.uint32(0))
        return found

    below, beside = _both_halves(horizontal, axis=1), _both_halves(vertical, axis=0)  # [M, N, L], [N, M, L]
    beside = beside.at[0].set(False)  # walls that end at the goal's side connect to nothing
    straight, crossing = below & ~crosses, below & crosses
    own, left, right = number[1:-1, 1:-1], number[1:-1, :-2], number[1:-1, 2:]
    even = joined(
        (below[:, 1:] | True, own),
        (straight[:, :-1], left),
        (straight[:, 1:], right),
        (beside[:-1], number[:-2, 1:-1]),
        (beside[1:], number[2:, 1:-1]),
    )
    odd = joined((crossing[:, :-1], left), (crossing[:, 1:], right))
    return jnp.stack([even, odd]).reshape(2, len(words), m * m, -1)


@jax.jit
def _twice_as_far(sets: jax.Array) -> jax.Array:
    """The sets u32[2, n, M^2, L] joined with the sets of their points."""
    exchanged, more = sets[::-1], sets
    for point in range(sets.shape[2]):
        word, bit = divmod(1 + point, 32)
        # All bits if the set has the point, else none.
        even, odd = -(sets[:, None, None, word] >> np.uint32(bit) & 1)
        more |= even & sets[:, :, point, None] | odd & exchanged[:, :, point, None]
    return more


def _point_numbers(size: int) -> np.ndarray:
    """i64[N + 1, N + 1]: 1 .. M^2 for the inner corner points, row by row; 0 for those of the border."""
    return np.pad(1 + np.arange((size - 1) ** 2).reshape(size - 1, size - 1), 1)


def _both_halves(walls: jax.Array, axis: int) -> jax.Array:
    """bool, one longer along `axis`: the sides of cells blocked by either half of a wall bool[M, M, L]."""
    ends = [[(0, 0)] * walls.ndim for _ in range(2)]
    ends[0][axis], ends[1][axis] = (0, 1), (1, 0)
    return jnp.pad(walls, ends[0]) | jnp.pad(walls, ends[1])


# Path lengths, for the observation.


@functools.cache
def _way_lengths_of_rows(size: int, limit: int) -> Callable[[jax.Array], jax.Array]:
    """Path lengths i32[R, 2, N, N] from all cells, from walls u32[R, 2, n]; `limit` where no path is shorter.

    No path is longer than N^2 - N moves: a flood from the goal begins with N cells, and every move reaches at least
    one more. On a CPU it stops when it reaches no more. On a GPU it makes the largest possible number of moves,
    since the host would wait after each one to know whether it is the last.
    """
    moves = min(limit - 1, size**2 - size)

    def distances(walls: jax.Array) -> jax.Array:
        passages = _passages(size, *(_words(jnp.moveaxis(walls[:, i], -1, 0)) for i in range(2)))
        reached, digits = jax.lax.platform_dependent(
            *passages,
            cuda=functools.partial(_flood_at_once, size, moves, limit),
            default=functools.partial(_flood, size, moves, limit),
        )
        lengths = jnp.zeros((2, walls.shape[0], len(reached), 32), jnp.uint32)
        for place, words in enumerate((*digits, [~word for word in reached])):
            bits = bits_of(jnp.stack(words, axis=-1))
            lengths += bits << place if place < len(digits) else bits * np.uint32(limit)
        flat = lengths.reshape(2, walls.shape[0], -1)[:, :, : size**2]
        return jnp.moveaxis(flat, 0, 1).reshape(-1, 2, size, size).astype(jnp.int32)

    return over_rows(distances)


def _passages(size: int, horizontal: Words, vertical: Words) -> tuple[Words, Words]:
    """Cells, bit N r + c, from which a move down is open, and a move to the right; from walls u32[...] each."""
    row, column = np.indices((size, size))
    below, beside = _as_cells(size, horizontal), _as_cells(size, vertical)

    def opened(halves: Words, others: Words, inside: np.ndarray) -> Words:
        return tuple(~(a | b) & c for a, b, c in zip(halves, others, _constant(inside), strict=True))

    return opened(below, _up(below, 1), row < size - 1), opened(beside, _up(beside, size), column < size - 1)


def _as_cells(size: int, anchors: Words) -> Words:
    """Bits M r + c moved to N r + c."""
    m, count = size - 1, math.ceil(size**2 / 32)
    words = (*anchors, *(anchors[0] & 0 for _ in range(count - len(anchors))))
    row = np.arange(32 * count) // m
    cells = tuple(word & 0 for word in words)
    for r in range(m):
        moved = _up(tuple(a & b for a, b in zip(words, _constant(row == r), strict=True)), r)
        cells = tuple(a | b for a, b in zip(cells, moved, strict=True))
    return cells


Flood = tuple[
    Words, tuple[Words, ...]
]  # cells reached; for each binary digit, the cells whose path length has it; u32[2, R]


def _flood(size: int, moves: int, limit: int, down: Words, right: Words) -> Flood:
    """The cells within `moves` of the mover's goal and of the opponent's, and the digits of the path lengths.

    `down` and `right`, u32[R] each, are `_passages`.
    """
    move, going = jnp.int32(1), (down[0] == down[0]).any()

    def body(carry: tuple[jax.Array, jax.Array, Flood]) -> tuple[jax.Array, jax.Array, Flood]:
        move, _, flood = carry
        more = _flood_once(size, down, right, move, flood)
        grown = [(a != b).any() for a, b in zip(more[0], flood[0], strict=True)]
        return move + 1, functools.reduce(jnp.logical_or, grown), more

    first = _first_flood(size, limit, down[0])
    return jax.lax.while_loop(lambda carry: carry[1] & (carry[0] <= moves), body, (move, going, first))[2]


def _flood_at_once(size: int, moves: int, limit: int, down: Words, right: Words) -> Flood:
    """What `_flood` returns, in a fixed number of rounds."""

    def body(move: jax.Array, flood: Flood) -> Flood:
        return _flood_once(size, down, right, move, flood)

    first = _first_flood(size, limit, down[0])
    turns = math.ceil(moves / UNROLLED_MOVES)
    return jax.lax.fori_loop(1, moves + 1, body, first, unroll=math.ceil(moves / turns))


def _first_flood(size: int, limit: int, like: jax.Array) -> Flood:
    """The goal rows, and empty digits for lengths below `limit`, in the shape of `like`, u32[R]."""
    goals = np.zeros((2, size, size), bool)
    goals[0, 0] = goals[1, -1] = True
    pairs = zip(*map(_constant, goals), strict=True)
    reached = tuple(jnp.array(pair)[:, None] | (like & 0)[None] for pair in pairs)
    nothing = tuple(word & 0 for word in reached)
    return reached, (nothing,) * (limit - 1).bit_length()


def _flood_once(size: int, down: Words, right: Words, move: jax.Array, flood: Flood) -> Flood:
    """The cells one move further; the new cells get the digits of `move` (i32[])."""
    reached, digits = flood

    def through(cells: Words, passages: Words) -> Words:
        return tuple(a & b[None] for a, b in zip(cells, passages, strict=True))

    ways = (
        _up(through(reached, down), size),
        through(_down(reached, size), down),
        _up(through(reached, right), 1),
        through(_down(reached, 1), right),
    )
    more = tuple(functools.reduce(jnp.bitwise_or, words) for words in zip(reached, *ways, strict=True))
    new = tuple(a & ~b for a, b in zip(more, reached, strict=True))
    # All bits if the move's number has the digit, else none.
    masks = [-(move.astype(jnp.uint32) >> np.uint32(place) & 1) for place in range(len(digits))]
    digits = tuple(
        tuple(a | b & mask for a, b in zip(digit, new, strict=True))
        for digit, mask in zip(digits, masks, strict=True)
    )
    return more, digits


# The picture.


def _draw(size: int, walls: np.ndarray, cells: list[tuple[int, int]], left: list[int]) -> str:
    """SVG of walls bool[2, M, M], of player 0's and player 1's cells and of the walls they have left."""
    side = 20 * size
    parts = [
        f'<rect class="cell" x="{20 * c + 2}" y="{20 * r + 2}" width="16" height="16" rx="2" fill="#fef3c7"/>'
        for r in range(size)
        for c in range(size)
    ]
    for vertical, r, c in np.argwhere(walls):
        x, y, width, height = (
            (20 * c + 18, 20 * r + 2, 4, 36) if vertical else (20 * c + 2, 20 * r + 18, 36, 4)
        )
        parts.append(
            f'<rect class="wall" x="{x}" y="{y}" width="{width}" height="{height}" rx="1" fill="#0f172a"/>'
        )
    for (r, c), colour in zip(cells, ("#dc2626", "#2563eb"), strict=True):
        parts.append(f'<circle cx="{20 * c + 10}" cy="{20 * r + 10}" r="6" fill="{colour}"/>')
    for count, y in zip(left, (side + 11, -4), strict=True):
        parts.append(f'<text x="2" y="{y}" font-size="9" fill="#451a03">walls: {count}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-3 -15 {side + 6} {side + 30}" '
        f'width="{side + 6}" height="{side + 30}">'
        f'<rect x="-3" y="-15" width="{side + 6}" height="{side + 30}" rx="6" fill="#d97706"/>'
        f"{''.join(parts)}</svg>"
    )
