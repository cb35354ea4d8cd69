"""Go on an N x N board. Actions: [0, N^2) a stone on a point, row by row from the top left; N^2 passes.

Two sets of rules. Both score the area (Tromp and Taylor: every stone on the board lives), forbid suicide, let a
player pass at any time, and end the game after two passes or at the ply limit, where the position is scored as it
is:

- `tromp_taylor`: a move that would repeat any former position is illegal, whoever was to move then (positional
  superko). A tied score is a draw.
- `pgx`: the games, masks, rewards and observations of pgx 2.6. Only the point of a simple ko is illegal; a move
  that repeats a former position ends the game and loses it. White wins a tied score.

A position's hash is updated incrementally: the hash after a move follows from the hash and the keys of the stones
that it captures. So superko compares P hashes with those of the game, without trying any move.

On 9 x 9 a state takes 1,649 bytes with `tromp_taylor`, 1,296 of them for the hashes of former positions, and 2,153
with `pgx`; on 19 x 19 it takes 7,971 and 9,035. See `jzero_envs.go_chains` for the arrays of points.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, forfeit, keep_finished, square_symmetries
from jzero_envs import go_chains as points_of
from jzero_envs import go_pictures

SEEN = 8
"""Boards in an observation of pgx."""
RULES = ("tromp_taylor", "pgx")


class GoState(NamedTuple):
    """One position. P = N^2 points, A = P + 1 actions, L the ply limit; points are u8, or u16 above 15 x 15.

    At the ply limit the game is scored: this is an end by the rules, so `truncated` is never set.
    """

    stones: jax.Array  # i8[P]: 1 black, -1 white, 0 empty
    chain: jax.Array  # point[P]: a point of the stone's chain; an empty point's own number
    last_liberty: jax.Array  # point[P]: the only liberty of a chain in atari; else no point
    former: (
        Any  # u32[7, 2, N]: black and white on the boards before, newest first, a word per row; () unless pgx
    )
    hash: jax.Array  # u32[2]: of the stones
    hashes: jax.Array  # u32[2, L]: after each ply
    ply: jax.Array  # i32[]: moves made, passes too
    last_action: jax.Array  # i16[]: the move before; -1 at first
    current_player: jax.Array  # i32[]: 0 (black, moves first) or 1
    legal_action_mask: jax.Array  # bool[A]; no action is legal in a finished game
    rewards: jax.Array  # f32[2]: of the last step
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class Go:
    """The larger area wins (+1 / -1), komi added to white's; an illegal action loses at once.

    Raises:
      ValueError: an argument is out of its range.
    """

    size: int = 9
    """N, rows and columns, 2 to 19."""
    komi: float = 7.5
    """Points that white gets for moving second."""
    rules: Literal["tromp_taylor", "pgx"] = "tromp_taylor"
    """See the module's docstring."""
    max_plies: int | None = None
    """Plies, passes included, after which the game ends; None: 2 N^2."""

    name = "go"
    num_players = 2

    def __post_init__(self) -> None:
        komi = isinstance(self.komi, int | float) and not isinstance(self.komi, bool)
        limit = self.max_plies is None or (_is_int(self.max_plies) and self.max_plies >= 1)
        for name, good, expected, default in (
            ("size", _is_int(self.size) and 2 <= self.size <= 19, "an int from 2 to 19", 9),
            ("komi", komi and math.isfinite(self.komi), "a finite number", 7.5),
            ("rules", self.rules in RULES, " or ".join(map(repr, RULES)), RULES[0]),
            ("max_plies", limit, "an int of at least 1, or None", None),
        ):
            if not good:
                raise ValueError(
                    f"Go: {name} is {getattr(self, name)!r}; expected {expected}; "
                    f"leave it out for {name}={default!r}"
                )

    @property
    def num_actions(self) -> int:
        """N^2 points and the pass."""
        return self.size**2 + 1

    @property
    def ply_limit(self) -> int:
        """Plies after which the game ends."""
        return 2 * self.size**2 if self.max_plies is None else self.max_plies

    def init(self, key: jax.Array) -> GoState:
        """The empty board; the game has no chance, so `key` is not used."""
        del key
        size, count, superko = self.size, self.size**2, self.rules == "tromp_taylor"
        return GoState(
            stones=jnp.zeros(count, jnp.int8),
            chain=jnp.asarray(points_of.points(size)),
            last_liberty=jnp.full(count, points_of.nowhere(size), points_of.point_dtype(size)),
            former=() if superko else jnp.zeros((SEEN - 1, 2, size), jnp.uint32),
            hash=jnp.zeros(2, jnp.uint32),
            hashes=jnp.zeros((2, self.ply_limit), jnp.uint32),
            ply=jnp.int32(0),
            last_action=jnp.int16(-1),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(self.num_actions, bool),
            rewards=jnp.zeros(2, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )

    def step(self, state: GoState, action: jax.Array, key: jax.Array) -> GoState:
        """The position after the mover plays `action` (i32[]); `key` is not used."""
        del key
        action = jnp.asarray(action, jnp.int32)
        legal = ((jnp.arange(self.num_actions, dtype=jnp.int32) == action) & state.legal_action_mask).any()
        passed = action == self.size**2
        after, ko = self._placed(state, action)
        repeats = ~passed & (state.hashes == after.hash[:, None]).all(axis=0).any()
        lost = repeats if self.rules == "pgx" else jnp.bool_(False)
        twice = passed & (state.last_action == self.size**2)
        over = lost | twice | (after.ply >= self.ply_limit)
        black = jnp.where(lost, 2 * state.current_player - 1, self._winner(after.stones))
        rewards = jnp.where(over, jnp.stack([black, -black]), 0).astype(jnp.float32)
        # No move of the next player can leave the board unchanged, so this hash is not compared.
        mask = self._legal(after, ko) & ~over
        hashes = jnp.where(np.arange(self.ply_limit) == state.ply, after.hash[:, None], state.hashes)
        after = after._replace(legal_action_mask=mask, rewards=rewards, terminated=over, hashes=hashes)
        return keep_finished(state, forfeit(state, ~legal, after))

    def _placed(self, state: GoState, action: jax.Array) -> tuple[GoState, jax.Array]:
        """The position after the action, and the point of a simple ko, bool[P].

        Its hashes, mask and result are still those before the action.
        """
        size, points = self.size, points_of.points(self.size)
        colour = (1 - 2 * state.current_player).astype(jnp.int8)
        placed = points.astype(np.int32) == action
        own, other = state.stones == colour, state.stones == -colour
        captured = other & (state.last_liberty.astype(jnp.int32) == action)
        touched = points_of.beside(size, placed, 0)
        joined = placed
        for side in touched:
            number = jnp.where(side & own, state.chain, points_of.nowhere(size)).min()
            joined |= own & (state.chain == number)
        stones = jnp.where(placed, colour, jnp.where(captured, 0, state.stones)).astype(jnp.int8)
        number = action.astype(points_of.point_dtype(size))
        chain = jnp.where(joined, number, jnp.where(captured, points, state.chain))
        own_keys, other_keys = self._keys(state.current_player)
        change = jnp.where(placed, own_keys, 0) - jnp.where(captured, other_keys, 0)
        new_hash = state.hash + change.sum(axis=-1, dtype=jnp.uint32)
        former = state.former
        if self.rules == "pgx":
            former = jnp.concatenate([self._rows(state.stones)[None], former[:-1]])
        # A stone among enemies that captures one stone: simple ko forbids to recapture it at once.
        alone = (~functools.reduce(jnp.logical_or, touched) | other).all()
        ko = captured & alone & (captured.sum() == 1)
        after = state._replace(
            stones=stones,
            chain=chain,
            last_liberty=points_of.last_liberties(size, stones, chain),
            former=former,
            hash=new_hash,
            ply=state.ply + 1,
            last_action=action.astype(jnp.int16),
            current_player=1 - state.current_player,
        )
        return after, ko

    def _legal(self, state: GoState, ko: jax.Array) -> jax.Array:
        """bool[A]: what the mover may do; `ko` bool[P] is the point of a simple ko."""
        size, nowhere = self.size, points_of.nowhere(self.size)
        colour = (1 - 2 * state.current_player).astype(jnp.int8)
        empty, own, other = state.stones == 0, state.stones == colour, state.stones == -colour
        atari = state.last_liberty != nowhere
        # A liberty, an own chain that has another liberty, or a capture.
        breath = points_of.beside(size, empty | own & ~atari | other & atari, 0)
        legal = empty & functools.reduce(jnp.logical_or, breath)
        legal &= ~ko if self.rules == "pgx" else ~self._repeats(state, other & atari)
        return jnp.append(legal, True)

    def _repeats(self, state: GoState, capturable: jax.Array) -> jax.Array:
        """bool[P]: whether a stone there repeats a position; it captures chains of the stones bool[P] beside it."""
        own_keys, other_keys = self._keys(state.current_player)
        taken = points_of.capture_keys(self.size, jnp.where(capturable, other_keys, 0), state.last_liberty)
        return points_of.among(state.hash[:, None] + own_keys - taken, state.hashes)

    def _keys(self, player: jax.Array) -> tuple[jax.Array, jax.Array]:
        """u32[2, P] each: the keys of the player's stones and of the opponent's."""
        black, white = points_of.keys(self.size)[:2]
        first = player == 0
        return jnp.where(first, black, white), jnp.where(first, white, black)

    def _rows(self, stones: jax.Array) -> jax.Array:
        """u32[2, N]: the stones i8[P] of black and of white, a word per row."""
        return points_of.packed(self.size, jnp.stack([stones == 1, stones == -1]))

    def _winner(self, stones: jax.Array) -> jax.Array:
        """i32[]: 1 if black wins, -1 if white wins, 0 for a draw."""
        score = points_of.owners(self.size, stones).sum(dtype=jnp.int32).astype(jnp.float32) - jnp.float32(
            self.komi
        )
        if self.rules == "pgx":
            return jnp.where(score > 0, 1, -1)
        return jnp.sign(score).astype(jnp.int32)

    def observe(self, state: GoState) -> jax.Array:
        """What the mover sees. With `tromp_taylor` f32[N, N, 9], all that matters for the next move; the planes:

        - the mover's stones, the opponent's stones;
        - stones whose chain has one liberty, two, three or more;
        - points where the mover may play; the other empty points show kos and suicide;
        - constant: whether the move before was a pass, whether white is to move, the share of plies played.

        With `pgx` bool[N, N, 17], as in pgx: the mover's and the opponent's stones now, one ply before, and so on
        to seven plies before; whether white is to move.
        """
        size, mover = self.size, state.current_player
        if self.rules == "pgx":
            boards = jnp.concatenate([self._rows(state.stones)[None], state.former])
            boards = jnp.where(mover == 0, boards, boards[:, ::-1]).reshape(-1, size)
            planes = jnp.append(points_of.unpacked(size, boards), jnp.full((1, size**2), mover == 1), axis=0)
            return planes.T.reshape(size, size, -1)
        colour = (1 - 2 * mover).astype(jnp.int8)
        stone = state.stones != 0
        count = points_of.liberties(size, state.stones, state.chain)[0]
        constants = (state.last_action == size**2, mover == 1, state.ply / self.ply_limit)
        planes = [
            *(state.stones == colour, state.stones == -colour),
            *(stone & (count == 1), stone & (count == 2), stone & (count > 2)),
            state.legal_action_mask[:-1],
            *(jnp.broadcast_to(constant, size**2) for constant in constants),
        ]
        return jnp.stack([plane.astype(jnp.float32) for plane in planes], axis=-1).reshape(size, size, -1)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The seven rotations and reflections of the board; a pass stays a pass."""
        return square_symmetries(self.size, self.num_actions)

    def fingerprint(self, state: GoState) -> jax.Array:
        """u32[2]: a hash of the stones, the legal points, the plies played (and so the player to move), whether the
        move before was a pass, and whether the game is over; with `pgx` also of the seven boards before.

        So positions with equal fingerprints have equal observations; positions that differ in these rarely share a
        fingerprint. It ignores the order of moves: former positions count only by what they forbid now.
        """
        state = jax.tree.map(jnp.asarray, state)
        legal = jnp.where(state.legal_action_mask[:-1], points_of.keys(self.size)[2], 0)
        code = state.hash + legal.sum(axis=-1, dtype=jnp.uint32)
        passed = (state.last_action == self.size**2).astype(jnp.uint32)
        flags = state.ply.astype(jnp.uint32) << 2 | passed << 1 | state.terminated.astype(jnp.uint32)
        if self.rules == "pgx":
            # The hash of the board `age` plies ago, rotated by `age` bits; 0 before the game.
            age = np.arange(1, SEEN, dtype=np.uint32)[None]
            at = state.ply - 1 - age[0].astype(np.int32)
            former = jnp.where((at >= 0)[None], state.hashes[:, jnp.maximum(at, 0)], 0)
            code += (former << age | former >> (32 - age)).sum(axis=-1, dtype=jnp.uint32)
        return code ^ jnp.stack([flags, jnp.zeros_like(flags)])

    def outcome_features(self, state: GoState, player: jax.Array) -> jax.Array:
        """i8[N, N, 1], in a finished game: the owner of each point, 1 `player` (i32[]), -1 the other, 0 nobody."""
        owners = points_of.owners(self.size, state.stones).astype(jnp.int8)
        return jnp.where(player == 0, owners, -owners).reshape(self.size, self.size, 1)

    def text(self, state: GoState) -> str:
        """One (unbatched) state as text: X is black, O white."""
        return go_pictures.text(self.size, np.asarray(state.stones), int(state.last_action))

    def action_name(self, state: GoState, action: int) -> str:
        """The point's usual name, such as D4 (columns without I, rows from the bottom), or pass."""
        del state
        return go_pictures.vertex(self.size, action)

    def areas(self, state: GoState) -> dict[int, tuple[tuple[float, ...], ...]]:
        """Squares around the points of the picture, and the word "pass" below it."""
        del state
        return go_pictures.areas(self.size)

    def svg(self, state: GoState) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return go_pictures.svg(self.size, np.asarray(state.stones), int(state.last_action))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
