"""Games of pgx (2.6 or newer): `jzero.make("pgx:othello")`.

A state is pgx's own without its observation, which `observe` computes: this saves 128 of Othello's 472 bytes and 30
of chess's 46 kB for each node of a search tree. Further differences from pgx:
- an illegal action loses as everywhere in jzero (-1, all others +1); pgx pays the others P - 1;
- stepping a finished state does not change it.

Seats are pgx's: in most games of two, `init` draws whether seat 0 or 1 moves first. Every game of two in pgx is
zero-sum. Chance (2048, backgammon, MinAtar) comes from the key given to `step`: no state of pgx 2 keeps a key.
MinAtar is pgx's: the actions that a game uses, and the original's sticky actions (0.1).

Games in `HIDDEN` hide cards or tiles, which a search from the true state would see. They have `resample`, so
searches plan in worlds that agree with what the player to move has seen. Bridge bidding has none, and needs pgx's
tables of double-dummy results, which `pgx.make` does not load.
Source: https://github.com/sotetsuk/pgx (Koyamada et al. 2023).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from jzero.env import Symmetry, forfeit, keep_finished, replace, square_symmetries
from jzero.registry import unknown_name
from jzero_envs.adapters import pgx_mahjong, pgx_pictures

HIDDEN = ("bridge_bidding", "kuhn_poker", "leduc_holdem", "sparrow_mahjong")
"""Games whose states hold what the player to move may not see."""
SAME_PLAYER_AGAIN = ("backgammon", "leduc_holdem")
"""Two-player games in which a player may move twice in a row."""

SQUARE = {"go_9x9": 9, "go_19x19": 19, "othello": 8, "tic_tac_toe": 3}
"""Rows of the boards that may be rotated and reflected. (Four of the seven symmetries change Othello's first
position, which does no harm: its targets are still correct.)"""


@dataclass(frozen=True, eq=False)
class PgxEnv:
    """One game of pgx; `make` builds it."""

    name: str
    """Its name in pgx."""
    num_actions: int
    """A."""
    num_players: int
    """P."""
    inner: Any
    """pgx's environment."""

    @property
    def hidden_information(self) -> bool:
        """Whether a state holds what its player to move may not see."""
        return self.name in HIDDEN

    @property
    def alternates(self) -> bool:
        """Whether the two players take turns."""
        return self.name not in SAME_PLAYER_AGAIN

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The seven symmetries of a square board for games in `SQUARE`; else none."""
        size = SQUARE.get(self.name)
        return () if size is None else square_symmetries(size, self.num_actions)

    def init(self, key: jax.Array) -> Any:
        """A first state."""
        return _without_observation(self.inner.init(key))

    def step(self, state: Any, action: jax.Array, key: jax.Array) -> Any:
        """The state after `action` (i32[]); all chance comes from `key`."""
        action = jnp.asarray(action, jnp.int32)
        legal = ((jnp.arange(self.num_actions, dtype=jnp.int32) == action) & state.legal_action_mask).any()
        next_state = _without_observation(self.inner.step(state, action, key))
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: Any) -> jax.Array:
        """The observation of pgx for the player to move, in its shape and dtype."""
        return self.inner.observe(state)

    def action_name(self, state: Any, action: int) -> str:
        """The name of the action."""
        return pgx_pictures.action_name(self.name, state, action)

    def areas(self, state: Any) -> dict[int, tuple[pgx_pictures.Area, ...]]:
        """Places to click on the picture."""
        return pgx_pictures.areas(self.name, state)

    def svg(self, state: Any) -> str:
        """The picture that pgx draws of one (unbatched) state."""
        state = jax.tree.map(jnp.asarray, state)
        text = state.replace(observation=_observe(self.inner, state)).to_svg()
        return text[text.index("<svg") :]  # MinAtar's text begins with a declaration


@partial(jax.jit, static_argnums=0)
def _observe(inner: Any, state: Any) -> jax.Array:
    """The observation of pgx, compiled: uncompiled it took half the time of a report's hundreds of boards."""
    return inner.observe(state)


class PgxCards(PgxEnv):
    """A card game of pgx whose hidden cards can be resampled."""

    def reveal(self, state: Any) -> jax.Array:
        """f32[cards, 3]: the ranks of all cards, the mover's first, then its opponent's."""
        own_first = jnp.where(
            state.current_player == 0, state._cards, state._cards.at[:2].set(state._cards[1::-1])
        )
        return jax.nn.one_hot(own_first, 3, dtype=jnp.float32)

    def svg(self, state: Any) -> str:
        """A picture with all cards."""
        return pgx_pictures.cards_svg(self.name, state, None)

    def svg_for(self, state: Any, player: int) -> str:
        """A picture with the cards that this player sees."""
        return pgx_pictures.cards_svg(self.name, state, player)

    def resample(self, state: Any, key: jax.Array) -> Any:
        """The state with the cards unseen by its player to move drawn uniformly from the rest of the pack."""
        return REDRAW[self.name](state, key)


class PgxMahjong(PgxEnv):
    """Sparrow Mahjong of pgx, whose hidden tiles can be resampled."""

    def reveal(self, state: Any) -> jax.Array:
        """f32[3, 2, 11]: quarters of the tiles and of the red tiles in all hands, the mover's first."""
        return pgx_mahjong.hands_from_mover(state)

    def svg(self, state: Any) -> str:
        """A picture with all tiles."""
        return pgx_mahjong.svg(state, None)

    def svg_for(self, state: Any, player: int) -> str:
        """A picture with the tiles that this player sees."""
        return pgx_mahjong.svg(state, player)

    def resample(self, state: Any, key: jax.Array) -> Any:
        """The state with the tiles unseen by its player to move dealt anew, uniformly."""
        return pgx_mahjong.redraw(state, key)


class PgxChess(PgxEnv):
    """A chess game of pgx, with a notation for positions."""

    def from_fen(self, fen: str) -> Any:
        """The state of a position in Forsyth-Edwards Notation; the last two fields are optional.

        It has no history: the observation has no earlier boards, and the position has not been repeated.

        Raises:
            ValueError: `fen` is invalid, a side has not exactly one king, or it has too many pieces.
        """
        fields = fen.split()
        fields += ["-", "-", "0", "1"][len(fields) - 2 :] if 2 <= len(fields) < 6 else []
        side = 8 if self.name == "chess" else 5
        pieces = _checked_fen(fen, fields, side)
        if self.name == "chess":
            from pgx.experimental.chess import from_fen
        else:
            from pgx.gardner_chess import _from_fen as from_fen
        state = _without_observation(from_fen(" ".join([pieces, *fields[1:]])))
        # pgx keeps its first position as the previous one.
        if self.name == "chess":
            x = state._x
            return state.replace(
                _x=x._replace(board_history=_newest(x.board_history), hash_history=_newest(x.hash_history))
            )
        return state.replace(
            _board_history=_newest(state._board_history), _hash_history=_newest(state._hash_history)
        )

    def to_fen(self, state: Any) -> str:
        """The position of a state in Forsyth-Edwards Notation."""
        if self.name == "chess":
            from pgx.experimental.chess import to_fen
        else:
            from pgx.gardner_chess import _to_fen as to_fen
        return to_fen(jax.tree.map(jnp.asarray, state))


def _newest(history: jax.Array) -> jax.Array:
    """A history [T, ...], newest first, with only its first entry."""
    return jnp.zeros_like(history).at[0].set(history[0])


def _checked_fen(fen: str, fields: list[str], side: int) -> str:
    """The first of a FEN's six fields; ValueError unless they describe a board of `side` rows."""
    rows = fields[0].split("/") if fields else []
    widths = [sum(int(c) if c.isdecimal() else 1 for c in line) for line in rows]
    kings = [fields[0].count(king) for king in "Kk"] if fields else []
    pieces = [sum(map(kind, "".join(rows))) for kind in (str.isupper, str.islower)]
    squares = {f"{file}{row + 1}" for file in "abcdefgh"[:side] for row in range(side)}
    good = (
        len(fields) == 6
        and widths == [side] * side
        and set(fields[0]) <= set("pnbrqkPNBRQK/12345678")
        and kings == [1, 1]
        and max(pieces) <= 2 * side  # pgx looks for at most this number
        and fields[1] in ("w", "b")
        and set(fields[2]) <= set("KQkq-")
        and (fields[3] == "-" or fields[3] in squares)
        and all(field.isascii() and field.isdecimal() and len(field) < 6 for field in fields[4:])
    )
    if not good:
        raise ValueError(
            f"fen is {fen!r}; expected pieces in {side} rows of {side}, each side at most {2 * side} with one "
            "king, w or b, castling, en passant, and two numbers"
        )
    return fields[0]


def _redraw_kuhn_poker(state: Any, key: jax.Array) -> Any:
    """The pack has one card of each of three ranks; `_cards` i32[2] has each player's."""
    mover = state.current_player
    pack = jnp.ones(3, jnp.float32).at[state._cards[mover]].set(0)
    return replace(state, _cards=state._cards.at[1 - mover].set(_draw(pack, key)))


def _redraw_leduc_holdem(state: Any, key: jax.Array) -> Any:
    """The pack has two cards of each of three ranks; `_cards` i32[3] has each player's and one shown in round 1."""
    mover, cards, shown = state.current_player, state._cards, state._round > 0
    other_key, public_key = jax.random.split(key)
    pack = jnp.full(3, 2.0, jnp.float32).at[cards[mover]].add(-1).at[cards[2]].add(-shown.astype(jnp.float32))
    other = _draw(pack, other_key)
    public = jnp.where(shown, cards[2], _draw(pack.at[other].add(-1), public_key))
    return replace(state, _cards=cards.at[1 - mover].set(other).at[2].set(public))


def _draw(pack: jax.Array, key: jax.Array) -> jax.Array:
    """i32[]: the rank of a card drawn from `pack` f32[R], the number of cards of each rank."""
    return jax.random.categorical(key, jnp.log(pack)).astype(jnp.int32)


REDRAW: dict[str, Callable[[Any, jax.Array], Any]] = {
    "kuhn_poker": _redraw_kuhn_poker,
    "leduc_holdem": _redraw_leduc_holdem,
}
"""The functions that resample hidden cards."""
KINDS: dict[str, type[PgxEnv]] = {
    **dict.fromkeys(REDRAW, PgxCards),
    **dict.fromkeys(pgx_pictures.CHESS, PgxChess),
    "sparrow_mahjong": PgxMahjong,
}
"""The classes of games with more members."""


def make(name: str) -> PgxEnv:
    """The game `name` of pgx, such as "othello" or "go_9x9".

    Raises:
      ImportError: pgx is not installed.
      ValueError: pgx has no such game, or cannot build it by its name.
    """
    try:
        import pgx
    except ImportError as error:
        raise ImportError(f'pgx games need pgx ({error}): pip install "jzero[envs]"') from error
    if name == "bridge_bidding":
        raise ValueError(
            "pgx game 'bridge_bidding' needs tables of double-dummy results that are not part of pgx; wrap it "
            "yourself: jzero_envs.adapters.pgx.PgxEnv(name, 38, 4, pgx.bridge_bidding.BridgeBidding(path))"
        )
    known: list[str] = list(pgx.available_envs())
    if name not in known:
        raise ValueError(unknown_name("pgx game", name, known))
    inner = pgx.make(cast(Any, name))
    state = jax.eval_shape(inner.init, jax.random.key(0))
    kind = KINDS.get(name, PgxEnv)
    return kind(name, state.legal_action_mask.shape[-1], inner.num_players, inner)


def _without_observation(state: Any) -> Any:
    return state.replace(observation=())
