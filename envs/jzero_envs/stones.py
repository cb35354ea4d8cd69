"""Shared by games with stones on the cells of a square board."""

import jax
import jax.numpy as jnp
import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Names of columns."""


def checked_size(game: str, size: object, least: int, most: int, *, default: int) -> None:
    """Raises ValueError unless `size` is an int from `least` to `most`."""
    if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= most:
        raise ValueError(
            f"{game}: size is {size!r}; expected an int from {least} to {most}; leave it out for size={default}"
        )


def hash_of_cells(cells: jax.Array, flags: jax.Array) -> jax.Array:
    """u32[2]: a hash of the stones on cells (Zobrist 1970); different positions rarely share one.

    Args:
      cells: i[K]: 1, -1 or 0 for an empty cell.
      flags: u32[], what else distinguishes positions; less than 256.
    """
    codes = np.random.default_rng(0).integers(2**32, size=(2, 2, len(cells)), dtype=np.uint32)
    first, second = (jnp.where((cells == stone)[None], codes[:, i], 0) for i, stone in enumerate((1, -1)))
    hashed = jax.lax.reduce(first ^ second, jnp.uint32(0), jax.lax.bitwise_xor, (1,))
    return hashed ^ flags * np.uint32(0x9E3779B1)
