"""2048 on a square board of any size from 2 to 6 (Gabriele Cirulli, 2014).

Actions: 0 left, 1 up, 2 right, 3 down. All tiles slide as far as they can; two equal tiles that meet merge into
their sum, each tile at most once per move, those nearest the wall first. Then a new tile appears on a random empty
cell: a 2 with probability 0.9, else a 4. The game is over when nothing can slide.

Chance is explicit (`jzero.env.ChanceEnv`): outcome `2 * cell` puts a 2 there, `2 * cell + 1` a 4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import Symmetry, certainty, forfeit, is_finished, keep_finished, step_by_chance, turn_square

NUM_ACTIONS = 4
CHANCE_OF_FOUR = 0.1


class Game2048State(NamedTuple):
    """One position, or the board between a move and the next tile."""

    board: jax.Array  # i8[size, size]: exponents of 2, 0 an empty cell
    score: jax.Array  # i32[]: the sum of all merged tiles
    current_player: jax.Array  # i32[]: 0
    legal_action_mask: jax.Array  # bool[4]: moves that change the board
    rewards: jax.Array  # f32[1]: the sum of the last move's merged tiles, over `score_scale`
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]: never


@dataclass(frozen=True)
class Game2048:
    """The score is the sum of all merged tiles; an illegal action ends the game with a reward of -1.

    A good game on 4 x 4 scores tens of thousands: raise AlphaZero's `network.value_limit` to such values, or scale
    the rewards down.

    Raises:
      ValueError: `size` is not 2 to 6, or `score_scale` not positive.
    """

    size: int = 4
    """Cells per side."""
    score_scale: float = 1.0
    """Rewards are scores divided by this."""
    name = "2048"
    num_actions = NUM_ACTIONS
    num_players = 1

    def __post_init__(self) -> None:
        """Checks the arguments."""
        if not 2 <= self.size <= 6:
            raise ValueError(f"size is {self.size!r}; it must be 2 to 6 cells per side")
        if not self.score_scale > 0:
            raise ValueError(f"score_scale is {self.score_scale!r}; it must be positive")

    @property
    def num_outcomes(self) -> int:
        """A 2 or a 4 on each cell."""
        return 2 * self.size**2

    @property
    def num_tiles(self) -> int:
        """Number of kinds of cells: empty, 2, 4, up to the largest tile that a board can have."""
        return self.size**2 + 2

    def init(self, key: jax.Array) -> Game2048State:
        """A board with two tiles."""
        shape = (self.size, self.size)
        empty = Game2048State(
            board=jnp.zeros(shape, jnp.int8),
            score=jnp.int32(0),
            current_player=jnp.int32(0),
            legal_action_mask=jnp.ones(NUM_ACTIONS, bool),
            rewards=jnp.zeros(1, jnp.float32),
            terminated=jnp.bool_(False),
            truncated=jnp.bool_(False),
        )
        for one_key in jax.random.split(key):
            outcome = jax.random.categorical(one_key, self.chance_logits(empty))
            empty = self.resolve(empty, outcome)
        return empty

    def step(self, state: Game2048State, action: jax.Array, key: jax.Array) -> Game2048State:
        """The position after the move `action` (i32[]) and a new tile."""
        return step_by_chance(self, state, action, key)

    def decide(self, state: Game2048State, action: jax.Array) -> Game2048State:
        """The board after the move, without the new tile."""
        moved, gains = slide_left(_turned(state.board)[action])
        board = jnp.stack([jnp.rot90(moved, -turns) for turns in range(NUM_ACTIONS)])[action]
        gain = gains.sum(dtype=jnp.int32)
        after = state._replace(
            board=board,
            score=state.score + gain,
            rewards=(gain.astype(jnp.float32) / self.score_scale)[None],
        )
        legal = (jnp.arange(NUM_ACTIONS, dtype=jnp.int32) == action) & state.legal_action_mask
        # An illegal action pays 1 to all other players; here there are none.
        return keep_finished(state, forfeit(state, ~legal.any(), after))

    def chance_logits(self, afterstate: Game2048State) -> jax.Array:
        """f32[2 * size * size]: the new tile's cell and kind."""
        empty = afterstate.board.reshape(-1, 1) == 0
        kinds = jnp.log(jnp.array([1 - CHANCE_OF_FOUR, CHANCE_OF_FOUR], jnp.float32))
        logits = jnp.where(
            empty, kinds[None] - jnp.log(jnp.maximum(empty.sum(dtype=jnp.float32), 1)), -jnp.inf
        ).ravel()
        return jnp.where(is_finished(afterstate), certainty(self.num_outcomes), logits)

    def resolve(self, afterstate: Game2048State, outcome: jax.Array) -> Game2048State:
        """The board with the new tile."""
        cell = jnp.arange(self.size**2, dtype=jnp.int32).reshape(self.size, self.size) == outcome // 2
        board = jnp.where(cell, (1 + outcome % 2).astype(jnp.int8), afterstate.board)
        legal = can_slide_left(_turned(board))
        state = afterstate._replace(board=board, legal_action_mask=legal, terminated=~legal.any())
        finished = is_finished(afterstate)
        return jax.tree.map(lambda old, new: jnp.where(finished, old, new), afterstate, state)

    def observe(self, state: Game2048State) -> jax.Array:
        """f32[size, size, size * size + 2]: one-hot tile of each cell, the empty cell first."""
        return jax.nn.one_hot(state.board, self.num_tiles, dtype=jnp.float32)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The seven rotations and reflections of the square, without the identity."""
        return tuple(_symmetry(turns, flip) for flip in (False, True) for turns in range(4) if turns or flip)

    def fingerprint(self, state: Game2048State) -> jax.Array:
        """u32[2]: a hash of the board (Zobrist 1970)."""
        shape = (self.size**2, self.num_tiles, 2)
        codes = np.random.default_rng(0).integers(2**32, size=shape, dtype=np.uint32)
        cells = jnp.asarray(codes)[jnp.arange(self.size**2, dtype=jnp.int32), state.board.ravel()]
        return jax.lax.reduce(cells, jnp.uint32(0), jax.lax.bitwise_xor, (0,))

    def text(self, state: Game2048State) -> str:
        """One (unbatched) state as text."""
        tiles = np.where(np.asarray(state.board) > 0, 2 ** np.asarray(state.board, np.int64), 0)
        rows = [" ".join(f"{tile or '.':>5}" for tile in row) for row in tiles.tolist()]
        return "\n".join([*rows, f"score {int(state.score)}"])

    def action_name(self, state: Game2048State, action: int) -> str:
        """The direction."""
        del state
        return ("left", "up", "right", "down")[action]

    def outcome_name(self, afterstate: Game2048State, outcome: int) -> str:
        """The new tile and its cell: columns are letters, rows are numbered from the bottom."""
        if bool(is_finished(afterstate)):
            return "no tile"
        row, column = divmod(outcome // 2, self.size)
        return f"{2 + 2 * (outcome % 2)} on {'abcdef'[column]}{self.size - row}"

    def areas(self, state: Game2048State) -> dict[int, tuple[tuple[float, ...], ...]]:
        """The four sides of the picture."""
        del state
        width, side = 40 * self.size, 12 * self.size
        middle = width - 2 * side
        sides = ((0, side, side, middle), (side, 0, middle, side))
        far = ((width - side, side, side, middle), (side, width - side, middle, side))
        return {action: (area,) for action, area in enumerate((*sides, *far))}

    def svg(self, state: Game2048State) -> str:
        """A picture of one (unbatched) state as a standalone `<svg>` string."""
        return _draw(np.asarray(state.board), int(state.score))


def slide_left(lines: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Lines [..., n] of exponents after a move to the left, and i32[...], the sum of the merged tiles."""
    packed = _packed(lines)
    cells = [packed[..., column] for column in range(lines.shape[-1])]
    merged, made, before = [], [], jnp.zeros_like(cells[0], dtype=bool)
    for cell, following in zip(cells, [*cells[1:], jnp.zeros_like(cells[0])], strict=True):
        merges = (cell > 0) & (cell == following) & ~before
        merged.append(jnp.where(before, 0, cell + merges.astype(cell.dtype)))
        made.append(jnp.where(merges, 1 << (cell.astype(jnp.int32) + 1), 0))
        before = merges
    return _packed(jnp.stack(merged, axis=-1)), sum(made[1:], made[0])


def can_slide_left(boards: jax.Array) -> jax.Array:
    """bool[...]: whether a move to the left changes anything on boards [..., n, n]."""
    cell, following = boards[..., :-1], boards[..., 1:]
    return ((following > 0) & ((cell == 0) | (cell == following))).any(axis=(-2, -1))


def _packed(lines: jax.Array) -> jax.Array:
    """Lines [..., n] with their empty cells moved to the end."""
    place = jnp.cumsum(lines > 0, axis=-1, dtype=jnp.int32) - 1
    goes = jax.nn.one_hot(place, lines.shape[-1], dtype=bool) & (lines > 0)[..., None]
    return jnp.where(goes, lines[..., None], 0).sum(axis=-2, dtype=lines.dtype)


def _turned(board: jax.Array) -> jax.Array:
    """[4, n, n]: the board turned for each move, so that the move goes left."""
    return jnp.stack([jnp.rot90(board, turns) for turns in range(NUM_ACTIONS)])


def _symmetry(turns: int, flip: bool) -> Symmetry:
    # A quarter turn maps right to up, and up to left: after `a` turns the move `a` goes left.
    turned = (np.arange(NUM_ACTIONS) - turns) % NUM_ACTIONS
    mirrored = np.array([2, 1, 0, 3])
    action = (mirrored[turned] if flip else turned).astype(np.int32)
    return Symmetry(observation=lambda board: turn_square(board, turns, flip), action=action)


COLOURS = (
    *("#cdc1b4", "#eee4da", "#ede0c8", "#f2b179", "#f59563", "#f67c5f", "#f65e3b"),  # empty, 2 to 64
    *("#edcf72", "#edcc61", "#edc850", "#edc53f", "#edc22e", "#3c3a32"),  # 128 to 2048, more
)


def _draw(board: np.ndarray, score: int) -> str:
    """SVG of the board i8[n, n] with its score below."""
    size = len(board)
    cells = []
    for row in range(size):
        for column in range(size):
            exponent = int(board[row, column])
            x, y, text = 40 * column, 40 * row, str(2**exponent)
            colour = COLOURS[min(exponent, len(COLOURS) - 1)]
            cells.append(f'<rect x="{x + 2}" y="{y + 2}" width="36" height="36" rx="3" fill="{colour}"/>')
            if exponent:
                ink = "#776e65" if exponent < 3 else "#f9f6f2"
                height = 18 - 2 * max(len(text) - 1, 0)
                cells.append(
                    f'<text x="{x + 20}" y="{y + 21}" font-size="{height}" fill="{ink}">{text}</text>'
                )
    width = 40 * size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4} {width + 22}" '
        f'width="{width + 4}" height="{width + 22}" font-family="sans-serif" font-weight="bold" '
        'text-anchor="middle" dominant-baseline="central">'
        f'<rect x="-2" y="-2" width="{width + 4}" height="{width + 4}" rx="6" fill="#bbada0"/>'
        f"{''.join(cells)}"
        f'<text x="{width / 2:g}" y="{width + 12}" font-size="12" fill="#776e65">{score}</text></svg>'
    )
