"""Sparrow Mahjong of pgx: its hidden tiles drawn anew, and its pictures.

The 44 tiles have the numbers 0 to 43 and the types number // 4: bamboos 1 to 9, green dragons, red dragons. One
bamboo of each type is red, and so are all red dragons. A kind, 2 * type + red, is what players tell apart.

Axes: T = 11 types, K = 22 kinds, R = 10 places of a river.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.env import replace

PLAYERS, TYPES, TILES, HAND = 3, 11, 44, 5
TYPE = np.arange(TILES, dtype=np.int32) // 4
RED = ((np.arange(TILES) % 4 == 0) & (TYPE != 9)) | (TYPE == 10)
KIND = (2 * TYPE + RED).astype(np.int32)
"""i32[44]: the kind of each tile."""
PLACE = np.array([(KIND[:tile] == KIND[tile]).sum() for tile in range(TILES)], np.int32)
"""i32[44]: the number of tiles of the same kind before it."""
NAMES = (*"123456789", "G", "R")
"""Of the types."""


def redraw(state: Any, key: jax.Array) -> Any:
    """The state with the tiles that its player to move has not seen dealt anew, uniformly.

    Seen are its own hand, all discards and the dora. That nobody has won so far is left out of account.
    """
    mover = state._turn % PLAYERS
    dora = jnp.asarray(KIND)[state._wall[TILES - 1]]
    seen = _kinds(state._hands[mover], state._n_red_in_hands[mover]) + _discarded(state)
    hidden = seen.at[dora].add(1)[KIND] <= PLACE
    last = (dora == KIND) & (PLACE == 0)  # the dora itself: of its kind any tile will do
    # The hidden tiles in random order, those seen, the dora.
    draws = jnp.where(
        hidden, jax.random.uniform(key, (TILES,), jnp.float32), 1 + jnp.arange(TILES, dtype=jnp.float32)
    )
    order = jnp.argsort(jnp.where(last, jnp.inf, draws)).astype(jnp.int32)
    first, second = order[:HAND], order[HAND : 2 * HAND]
    others = (mover + 1) % PLAYERS, (mover + 2) % PLAYERS
    hands, reds = state._hands, state._n_red_in_hands
    for other, tiles in zip(others, (first, second), strict=True):
        hands = hands.at[other].set(_count(tiles, jnp.ones(HAND, bool)))
        reds = reds.at[other].set(_count(tiles, jnp.asarray(RED)[tiles]))
    num_hidden = jnp.sum(hidden, dtype=jnp.int32)
    wall = _wall(order, num_hidden, state._draw_ix)
    return replace(state, _hands=hands, _n_red_in_hands=reds, _wall=wall)


def _wall(order: jax.Array, num_hidden: jax.Array, drawn: jax.Array) -> jax.Array:
    """i32[44]: the wall of this order of tiles: first the `drawn` ones (i32[]), whose order no longer matters, last
    the dora.
    """
    place, in_hands = jnp.arange(TILES, dtype=jnp.int32), 2 * HAND
    gone = jnp.where(place < in_hands, place, num_hidden + place - in_hands)
    to_come = jnp.where(place == TILES - 1, place, place - drawn + in_hands)
    return order[jnp.where(place < drawn, gone, to_come)]


def _kinds(tiles: jax.Array, red: jax.Array) -> jax.Array:
    """i32[K]: how many of each kind are among tiles i32[T], of which `red` i32[T] are red."""
    return jnp.stack([tiles - red, red], axis=1).ravel()


def _discarded(state: Any) -> jax.Array:
    """i32[K]: how many of each kind lie in the rivers."""
    kinds = 2 * state._rivers + state._is_red_in_river.astype(jnp.int32)
    return jnp.zeros(2 * TYPES, jnp.int32).at[kinds].add((state._rivers >= 0).astype(jnp.int32))


def _count(tiles: jax.Array, those: jax.Array) -> jax.Array:
    """i32[T]: how many of `those` tiles (bool[N]) are of each type."""
    return jnp.zeros(TYPES, jnp.int32).at[jnp.asarray(TYPE)[tiles]].add(those.astype(jnp.int32))


def hands_from_mover(state: Any) -> jax.Array:
    """f32[3, 2, T]: quarters of tiles and of red tiles in each hand, the mover's first."""
    rows = (state._turn + jnp.arange(PLAYERS, dtype=jnp.int32)) % PLAYERS
    return jnp.stack([state._hands[rows], state._n_red_in_hands[rows]], axis=1).astype(jnp.float32) / 4


def svg(state: Any, viewer: int | None) -> str:
    """The table: rivers, hands and the dora.

    Args:
        state: one state.
        viewer: the player at the bottom, who does not see the other hands; None: all tiles are face up.
    """
    seats = [int(player) for player in state._shuffled_players]
    own = seats.index(viewer or 0)
    parts = [_text(16, 24, "dora"), _tile(64, 6, NAMES[int(state._dora)], red=False)]
    for line, row in enumerate([(own + 1) % PLAYERS, (own + 2) % PLAYERS, own]):
        top = 44 + 90 * line
        mover = not bool(state.terminated) and int(state._turn) % PLAYERS == row
        parts.append(_text(16, top + 12, f"player {seats[row] + 1}{', to move' if mover else ''}"))
        river = zip(state._rivers[row], state._is_red_in_river[row], strict=True)
        faces = [(NAMES[int(kind)], bool(red)) for kind, red in river if kind >= 0]
        parts += [_tile(16 + 24 * place, top + 18, *face) for place, face in enumerate(faces)]
        faces = _faces(state._hands[row], state._n_red_in_hands[row])
        if viewer is not None and row != own:
            faces = [("", False)] * len(faces)
        parts += [_tile(16 + 24 * place, top + 50, *face) for place, face in enumerate(faces)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 280 312" width="280" height="312">'
        f'<rect width="280" height="312" rx="16" fill="#1f6b4a"/>{"".join(parts)}</svg>'
    )


def _faces(hand: Any, red: Any) -> list[tuple[str, bool]]:
    """Name and redness of each tile of a hand i32[T] with `red` i32[T], the red ones of a type first."""
    return [
        (NAMES[kind], place < int(red[kind])) for kind in range(TYPES) for place in range(int(hand[kind]))
    ]


def _tile(x: int, y: int, name: str, red: bool) -> str:
    """A tile with its name, or its back."""
    fill, ink = ("#fbfaf5" if name else "#d9a441"), ("#b3261e" if red else "#16181d")
    letter = f'<text x="{x + 10}" y="{y + 20}" font-size="16" text-anchor="middle" fill="{ink}">{name}</text>'
    face = f'<rect x="{x}" y="{y}" width="20" height="28" rx="3" fill="{fill}" stroke="#16181d"/>'
    return face + (letter if name else "")


def _text(x: int, y: int, words: str) -> str:
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="12" fill="#fff">{words}</text>'
