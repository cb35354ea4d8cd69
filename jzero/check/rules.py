"""The rules that `check_env` checks at every ply, each with its message.

Axes: G games, A actions, P players, D dimensions of a continuous action.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.check.rows import differ, finite, row_bytes
from jzero.env import Env, is_finished, replace
from jzero.pytrees import Observation, PyTree, States

Rules = Iterable[tuple[np.ndarray | jax.Array, str]]  # bool[G], where a rule is broken, and its message


class Game(NamedTuple):
    """An environment's functions, batched and compiled; they return numpy arrays."""

    init: Callable  # key -> states [G]
    step: Callable  # states, actions i32[G] or f32[G, D], key, ply -> states
    observe: Callable  # states -> observations
    reveal: Callable  # states -> what is hidden; only where the environment has it
    fingerprint: Callable  # states -> u32[G, 2]; likewise
    resample: Callable  # states, key -> states; likewise


def start_rules(states: States, again: PyTree) -> Rules:
    """Rules of initial states; `again` comes from the same keys."""
    yield is_finished(states), "init(key) returns a finished state"
    yield (states.rewards != 0).any(axis=-1), "init(key) returns rewards that are not zero"
    yield from repeat_rules(states, again, "init")


def position_rules(env: Env, states: States, observations: Observation) -> Rules:
    """Rules of states and their observations."""
    player, stuck = states.current_player, ~states.legal_action_mask.any(axis=-1)
    yield (
        stuck & ~is_finished(states),
        "legal_action_mask is empty in an unfinished state: end the game there, or make an action a pass",
    )
    yield (player < 0) | (player >= env.num_players), f"current_player is not one of 0..{env.num_players - 1}"
    yield ~finite(observations), "the observation has a NaN or an infinity"


def step_rules(env: Env, states: States, next_states: States) -> Rules:
    """Rules of steps, including those from finished states."""
    finished, rewards = is_finished(states), next_states.rewards
    mend = "end `step` with `return jzero.env.keep_finished(state, next_state)`"
    yield ~finite(rewards), "the rewards have a NaN or an infinity"
    yield finished & (rewards != 0).any(axis=-1), f"stepping a finished state returns rewards: {mend}"
    kept = replace(next_states, rewards=states.rewards)
    yield finished & differ(states, kept), f"stepping a finished state changes it: {mend}"
    if env.num_players == 2 and getattr(env, "zero_sum", True):
        yield (
            np.abs(rewards.sum(axis=-1)) > 1e-4,
            "the two players' rewards do not sum to zero: fix them, or give the class `zero_sum = False`",
        )
        goes_on = ~(finished | is_finished(next_states))
        again = goes_on & (next_states.current_player == states.current_player)
        yield (
            again & getattr(env, "alternates", True),
            "a player moves twice in a row: give the class `alternates = False`, so that learned models, which "
            "change the value's sign at every step, refuse it",
        )


def clip_rules(game: Game, states: States, actions: np.ndarray, key: jax.Array, ply: int) -> Rules:
    """Rule that numbers outside [-1, 1] are clipped."""
    beyond = game.step(states, 3 * actions, key, ply)
    clipped = game.step(states, np.clip(3 * actions, -1, 1), key, ply)
    yield (
        differ(beyond, clipped),
        "step does not clip numbers outside [-1, 1]: start it with `action = jnp.clip(action, -1, 1)`",
    )


def repeat_rules(result: Any, again: PyTree, name: str) -> Rules:
    """Rule that a call is reproducible; `again` is the result of the same call, traced again."""
    mend = "take all chance from the key (jax.random), none from numpy, `random` or attributes that change"
    yield differ(result, again), f"{name} returns different results for the same arguments: {mend}"


def fingerprint_rules(
    codes: np.ndarray, states: States, observations: Observation, seen: dict[bytes, bytes]
) -> Rules:
    """Rule that fingerprints are unique; `seen` maps the fingerprints u32[2] so far to their observations."""
    views = row_bytes((states.current_player, observations))
    clash = [seen.setdefault(code.tobytes(), view) != view for code, view in zip(codes, views, strict=True)]
    yield np.array(clash), "two positions with different observations or movers have one fingerprint"


def resample_rules(
    game: Game, states: States, observations: Observation, key: jax.Array, other_key: jax.Array
) -> Rules:
    """Rules of `resample`: it keeps what the player to move knows, and ignores the hidden information it replaces.

    Hidden information that `resample` never changes counts as known here.
    """
    worlds, going = game.resample(states, key), ~is_finished(states)
    known = {
        "observation": (observations, game.observe(worlds)),
        "legal actions": (states.legal_action_mask, worlds.legal_action_mask),
        "player to move": (states.current_player, worlds.current_player),
        "end of the game": (is_finished(states), is_finished(worlds)),
    }
    changed = {name: going & differ(before, after) for name, (before, after) in known.items()}
    for name, rows in changed.items():
        yield (
            rows,
            f"resample changes the {name}: resample only what the player to move cannot see, and let `observe` "
            "show only what it can",
        )
    yield (
        going
        & ~np.any(list(changed.values()), axis=0)
        & differ(game.resample(states, other_key), game.resample(worlds, other_key)),
        "resample returns different results for states that differ only in hidden information: compute it from "
        "what the player to move knows, or a search can infer the hidden information",
    )
