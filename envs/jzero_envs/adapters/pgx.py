"""Games of pgx (2.6 or newer): `jzero.make("pgx:othello")`.

A state is pgx's own without its observation, which `observe` computes: of Othello's 472 bytes 128 go, of chess's
46 kB 30 kB, and a search tree keeps a state a node. Further differences from pgx:
- an illegal action loses as everywhere in jzero (-1, everyone else +1); pgx pays the others P - 1;
- stepping a finished state keeps all of it.

Kept as it is: who sits where. In most games of two, `init` draws whether seat 0 or 1 moves first. Every game of two
in pgx is zero-sum. Chance comes from the key that `step` is given: no state of pgx 2 holds a key of its own (2048,
backgammon, MinAtar). MinAtar is pgx's: the original's actions that a game uses, and its sticky actions (0.1).

Cards are hidden in `HIDDEN`, and a search from the true state would see them. Kuhn poker and Leduc hold'em have
`resample`, so searches plan in worlds that agree with what the player to move has seen; in Sparrow Mahjong
AlphaZero is refused. Bridge bidding needs pgx's tables of double-dummy results, which `pgx.make` does not load.
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
from jzero_envs.adapters import pgx_pictures

HIDDEN = ("bridge_bidding", "kuhn_poker", "leduc_holdem", "sparrow_mahjong")
"""Games whose states hold what the player to move may not see."""
SAME_PLAYER_AGAIN = ("backgammon", "leduc_holdem")
"""Games of two in which a player may move twice in a row."""

SQUARE = {"go_9x9": 9, "go_19x19": 19, "othello": 8, "tic_tac_toe": 3}
"""Rows of the boards that may be turned and mirrored. (Othello's first position becomes another one by four of the
seven symmetries, which is no harm: what is learned of it is as true.)"""


@dataclass(frozen=True, eq=False)
class PgxEnv:
    """One game of pgx; `make` builds it."""

    name: str
    """As pgx calls it."""
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
        """The seven of a square board in `SQUARE`; none elsewhere."""
        size = SQUARE.get(self.name)
        return () if size is None else square_symmetries(size, self.num_actions)

    def init(self, key: jax.Array) -> Any:
        """A first state."""
        return _without_observation(self.inner.init(key))

    def step(self, state: Any, action: jax.Array, key: jax.Array) -> Any:
        """The state after `action` (i32[]); `key` is the only chance."""
        action = jnp.asarray(action, jnp.int32)
        legal = ((jnp.arange(self.num_actions, dtype=jnp.int32) == action) & state.legal_action_mask).any()
        next_state = _without_observation(self.inner.step(state, action, key))
        return keep_finished(state, forfeit(state, ~legal, next_state))

    def observe(self, state: Any) -> jax.Array:
        """The observation of pgx for the player to move, in its shape and dtype."""
        return self.inner.observe(state)

    def action_name(self, state: Any, action: int) -> str:
        """What players call the action."""
        return pgx_pictures.action_name(self.name, state, action)

    def areas(self, state: Any) -> dict[int, tuple[pgx_pictures.Area, ...]]:
        """Where one clicks on the picture."""
        return pgx_pictures.areas(self.name, state)

    def svg(self, state: Any) -> str:
        """The picture that pgx draws of one (unbatched) state."""
        state = jax.tree.map(jnp.asarray, state)
        text = state.replace(observation=_observe(self.inner, state)).to_svg()
        return text[text.index("<svg") :]  # MinAtar's begins with a declaration


@partial(jax.jit, static_argnums=0)
def _observe(inner: Any, state: Any) -> jax.Array:
    """What pgx observes, compiled: a report draws hundreds of boards, half of whose time this was."""
    return inner.observe(state)


class PgxCards(PgxEnv):
    """A card game of pgx whose hidden cards can be drawn anew."""

    def reveal(self, state: Any) -> jax.Array:
        """f32[cards, 3]: the ranks of all cards, the mover's first, then its opponent's."""
        own_first = jnp.where(
            state.current_player == 0, state._cards, state._cards.at[:2].set(state._cards[1::-1])
        )
        return jax.nn.one_hot(own_first, 3, dtype=jnp.float32)

    def resample(self, state: Any, key: jax.Array) -> Any:
        """The state with the cards unseen by its player to move drawn uniformly from the rest of the pack."""
        return REDRAW[self.name](state, key)


def _redraw_kuhn_poker(state: Any, key: jax.Array) -> Any:
    """The pack is one card of each of three ranks; `_cards` i32[2] is each player's."""
    mover = state.current_player
    pack = jnp.ones(3, jnp.float32).at[state._cards[mover]].set(0)
    return replace(state, _cards=state._cards.at[1 - mover].set(_draw(pack, key)))


def _redraw_leduc_holdem(state: Any, key: jax.Array) -> Any:
    """The pack is a pair of each of three ranks; `_cards` i32[3] is each player's and one seen in round 1 only."""
    mover, cards, shown = state.current_player, state._cards, state._round > 0
    other_key, public_key = jax.random.split(key)
    pack = jnp.full(3, 2.0, jnp.float32).at[cards[mover]].add(-1).at[cards[2]].add(-shown.astype(jnp.float32))
    other = _draw(pack, other_key)
    public = jnp.where(shown, cards[2], _draw(pack.at[other].add(-1), public_key))
    return replace(state, _cards=cards.at[1 - mover].set(other).at[2].set(public))


def _draw(pack: jax.Array, key: jax.Array) -> jax.Array:
    """i32[], the rank of a card drawn from a pack with so many cards of each rank, f32[R]."""
    return jax.random.categorical(key, jnp.log(pack)).astype(jnp.int32)


REDRAW: dict[str, Callable[[Any, jax.Array], Any]] = {
    "kuhn_poker": _redraw_kuhn_poker,
    "leduc_holdem": _redraw_leduc_holdem,
}
"""How to draw hidden cards anew."""


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
    kind = PgxCards if name in REDRAW else PgxEnv
    return kind(name, state.legal_action_mask.shape[-1], inner.num_players, inner)


def _without_observation(state: Any) -> Any:
    return state.replace(observation=())
