"""Check of hidden parts of a state: they must not replace the chance of the key. G games."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.check.draws import apart
from jzero.check.rows import differ, host, is_key, row_bytes
from jzero.env import Env, is_finished
from jzero.pytrees import PyTree, States

OTHER_KEYS = 12
"""Number of other keys to test whether a step depends on its key. A false report of dice in the state happens once
in 2^25 fair coin tosses."""
DICE_IN_STATE = (
    "games with equal observations continue differently whatever key step gets: something hidden that init sampled "
    "decides, so a search sees the dice: sample chance in step from step's key, not from a key or numbers in the "
    "state; if these are cards dealt face down, add resample(state, key), or give the class `hidden_information = "
    "True`"
)


def hidden_problems(
    env: Env, game: Any, choose: Callable[..., np.ndarray], *, seed: int, max_plies: int
) -> list[str]:
    """Reports chance that comes from the state instead of a step's key, with the first ply.

    Games with equal observations and different states are played side by side with the same actions and keys. If
    chance comes from the key, they stay equal, or another key changes the step too. Environments that declare
    hidden information (`resample`, `hidden_information`) are not checked. Numbers sampled in advance that are not
    keys are found if two games start with equal observations, or if `init` draws them apart from what is seen.

    Args:
      env: the environment.
      game: its compiled functions of states [G] (`init`, `step`, `observe`).
      choose: (states, ply=) -> actions [G].
      seed: seed of the games' keys.
      max_plies: largest number of plies.
    """
    if hasattr(env, "resample") or getattr(env, "hidden_information", False):
        return []
    states, others = (game.init(jax.random.key(number)) for number in (seed, seed + 1))
    for twins in _twins(game, states, others, apart(env.init)):
        ply = _first_parting(game, choose, states, twins, jax.random.key(seed), max_plies)
        if ply is not None:
            return [f"{DICE_IN_STATE} (first at ply {ply})"]
    return []


def _twins(game: Any, states: States, others: States, groups: list[list[int]]) -> Iterator[PyTree]:
    """Yields states [G] that may have the observations of `states` with other hidden parts, from other keys.

    First other initial states with equal observations, then the states themselves with the random keys of others,
    and with those `groups` of leaves (see `apart`) of others that are not seen.
    """
    place = {view: row for row, view in enumerate(_views(game, others))}
    rows = np.array([place.get(view, row) for row, view in enumerate(_views(game, states))])
    yield jax.tree.map(lambda leaf: leaf[rows], others)
    leaves, structure = jax.tree.flatten(states)
    pairs = list(zip(leaves, jax.tree.leaves(others), strict=True))
    keyed = [other if _keeps_keys(leaf, other) else leaf for leaf, other in pairs]
    yield jax.tree.unflatten(structure, keyed)
    hidden = list(leaves)
    for group in groups:
        one = [other if index in group else leaf for index, (leaf, other) in enumerate(pairs)]
        unseen = ~_look_different(game, states, jax.tree.unflatten(structure, one))
        for index in group:
            leaf, other = pairs[index]
            hidden[index] = _where(unseen, other, leaf)
    yield jax.tree.unflatten(structure, hidden)


def _where(rows: np.ndarray, leaf: PyTree, other: PyTree) -> PyTree:
    """[G, ...] `leaf` in these rows, bool[G], `other` elsewhere."""
    chosen = rows.reshape(-1, *[1] * (leaf.ndim - 1))
    return host((jnp if is_key(leaf) else np).where(chosen, leaf, other))


def _views(game: Any, states: States) -> list[bytes]:
    """The mover's observation of each of the states [G], as bytes."""
    return row_bytes((game.observe(states), states.legal_action_mask, states.current_player))


def _keeps_keys(leaf: PyTree, other: PyTree) -> bool:
    """Whether leaves [G, ...] of two batches are random keys: by type, or as distinct u32[G, 2]."""
    if is_key(leaf):
        return True
    both = np.concatenate([leaf, other])
    return both.dtype == np.uint32 and both.shape[1:] == (2,) and len(np.unique(both, axis=0)) == len(both)


def _first_parting(
    game: Any, choose: Callable[..., np.ndarray], states: States, twins: Any, key: jax.Array, max_plies: int
) -> int | None:
    """The ply at which a game and its twin first differ although their steps do not depend on the key."""
    alike = ~_look_different(game, states, twins)
    for ply in range(max_plies):
        if not (alike & ~is_finished(states) & differ(states, twins)).any():
            return None
        actions = choose(states, ply=ply)
        after, twins_after = (game.step(now, actions, key, ply) for now in (states, twins))
        different = _look_different(game, after, twins_after)
        parted = alike & different
        if parted.any():
            for now, then in ((states, after), (twins, twins_after)):
                parted &= ~_depends_on_key(game, now, actions, then, key, ply)
            if parted.any():
                return ply
        alike &= ~different
        states, twins = after, twins_after
    return None


def _depends_on_key(
    game: Any, states: States, actions: np.ndarray, after: States, key: jax.Array, ply: int
) -> np.ndarray:
    """bool[G]: whether `step` with another key has another observation than `after`."""
    results = [game.step(states, actions, other, ply) for other in jax.random.split(key, OTHER_KEYS)]
    return np.any([_look_different(game, after, result) for result in results], axis=0)


def _look_different(game: Any, states: States, others: States) -> np.ndarray:
    """bool[G]: whether they differ in rewards or end or, if unfinished, in the observation."""
    ended, others_ended = is_finished(states), is_finished(others)
    seen, others_seen = (
        (game.observe(each), each.legal_action_mask, each.current_player) for each in (states, others)
    )
    outcome = differ((states.rewards, ended), (others.rewards, others_ended))
    return outcome | (~ended & differ(seen, others_seen))
