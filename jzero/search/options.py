"""What the policies take beyond mctx's arguments, as keyword arguments of the fields' names.

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
    """Leaves of each tree evaluated in one call. With PUCT it divides `num_simulations`; with Gumbel they are of
    those that one round of the halving compares."""
    virtual: str = "visit"
    """PUCT: how descents under way count, see `scores.in_flight`: "visit", "loss" or "mean"."""
    forced: float = 0.0
    """PUCT: an action that was tried at the root has at least `sqrt(forced P N)` visits of N; those that it owes to
    this alone are not in `action_weights` (Wu 2019, section 3.2, which takes 2). 0 forces none."""
    tree: Tree | None = None
    """What an earlier search found, see `reuse.subtree`."""
    num_nodes: int | None = None
    """Room of the tree."""
    max_num_simulations: int | None = None
    """Greatest `num_simulations`, if that is traced."""
    to_play: Callable | None = None
    """embedding -> i32[B]; values and rewards are then [B, P]."""
    model_state: PyTree = None
    """What the model keeps between calls."""
    max_bytes: int | None = None
    """Greatest size of the tree."""
    check: bool = False
    """Look at the values, outside of `jit`."""
    solve: bool = False
    """Prove wins, losses and draws, see `proofs.py`."""
    chance: Chance | None = None
    """Set by `with_chance`."""


NONE = Options()
OF_PUCT = ("virtual", "forced")


def options_of(policy: str, given: Mapping[str, Any], but: Sequence[str] = ()) -> Options:
    """The options that a call of `policy` has given, which takes all `but` some.

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
