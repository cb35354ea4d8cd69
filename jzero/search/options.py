"""Keyword arguments of the policies beyond mctx's, named as the fields here.

Axes: B games, P players.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jzero.pytrees import PyTree
from jzero.search.tree import Tree
from jzero.search.types import Chance


class Options(NamedTuple):
    """Options of `muzero_policy` and `gumbel_muzero_policy`."""

    leaves: int = 1
    """Leaves per tree evaluated in one call. With PUCT it must divide `num_simulations`; with Gumbel a call stays
    within one round of halving."""
    virtual: str = "visit"
    """PUCT: how descents in flight count, see `scores.in_flight`: "visit", "loss" or "mean"."""
    forced: float = 0.0
    """PUCT: a tried action at the root gets at least `sqrt(forced P N)` of N visits; purely forced visits are not
    in `action_weights` (Wu 2019, section 3.2, with 2). 0 forces none."""
    tree: Tree | None = None
    """Tree of an earlier search, see `reuse.subtree`."""
    num_nodes: int | None = None
    """Capacity of the tree."""
    max_num_simulations: int | None = None
    """Largest `num_simulations`, if that is traced."""
    to_play: Callable | None = None
    """embedding -> i32[B]; values and rewards are then [B, P]."""
    model_state: PyTree = None
    """State that the model keeps between calls."""
    max_bytes: int | None = None
    """Largest size of the tree in bytes."""
    check: bool = False
    """Check the values; only outside `jit`."""
    solve: bool = False
    """Prove wins, losses and draws, see `proofs.py`."""
    chance: Chance | None = None
    """Set by `with_chance`."""


NONE = Options()
OF_PUCT = ("virtual", "forced")


def options_of(policy: str, given: Mapping[str, Any], but: Sequence[str] = ()) -> Options:
    """The options `given` in a call of `policy`, which takes all `but` some.

    Raises:
      TypeError: one of them is unknown.
    """
    known = [name for name in Options._fields if name not in but]
    for name in given:
        if name not in known:
            raise TypeError(
                f"{policy}() got an unexpected keyword argument {name!r}; beyond mctx's it takes {', '.join(known)}"
            )
    return Options(**given)
