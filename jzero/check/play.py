"""Checks that need play: random games, checked against the rules at every ply.

Axes: G games, A actions, D dimensions of a continuous action.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.check.errors import explain
from jzero.check.hidden import hidden_problems
from jzero.check.rows import differ, finite, host
from jzero.check.rules import (
    Game,
    Rules,
    clip_rules,
    fingerprint_rules,
    position_rules,
    repeat_rules,
    resample_rules,
    start_rules,
    step_rules,
)
from jzero.env import Env, Symmetry, action_size, init_batch, is_finished, observe_batch, step_batch
from jzero.pytrees import PyTree, States


class Played(NamedTuple):
    """The games that `check_env` played."""

    games: int
    """Number of games."""
    finished: int
    """Number of games that ended."""
    plies: int
    """Steps from unfinished states, in all games."""


def _compile(env: Any, num_games: int) -> Game:
    """Every call retraces the environment, so two calls differ if chance does not come from the key."""

    def step(states: States, actions: Any, key: jax.Array, ply: jax.Array) -> PyTree:
        return step_batch(env, states, actions, jax.random.fold_in(key, ply))

    def resample(states: States, key: jax.Array) -> PyTree:
        return jax.vmap(env.resample)(states, jax.random.split(key, num_games))

    def onhost(function: Callable) -> Callable:
        compiled = jax.jit(function)
        return lambda *arguments: jax.tree.map(host, compiled(*arguments))

    return Game(
        init=onhost(lambda key: init_batch(env, key, num_games)),
        step=onhost(step),
        observe=onhost(lambda states: observe_batch(env, states)),
        reveal=onhost(lambda states: jax.vmap(env.reveal)(states)),
        fingerprint=onhost(lambda states: jax.vmap(env.fingerprint)(states)),
        resample=onhost(resample),
    )


def play_problems(env: Env, seed: int, num_games: int, max_plies: int) -> tuple[list[str], Played]:
    """Rules that random games break, each with the first ply, and the games played."""
    first_ply: dict[str, int] = {}

    def note(ply: int, rules: Rules) -> None:
        for broken, text in rules:
            if np.any(broken):
                first_ply.setdefault(text, ply)

    key, other_key = jax.random.key(seed), jax.random.key(seed + 1)
    game, twin = _compile(env, num_games), _compile(env, num_games)
    states, seen = game.init(key), {}
    note(0, start_rules(states, twin.init(key)))
    is_random = differ(states, game.init(other_key)).any()
    draws, plies = not hasattr(env, "resample"), 0
    for ply in range(max_plies):
        observations = game.observe(states)
        actions = _random_actions(env, states, seed, ply)
        next_states = game.step(states, actions, key, ply)
        if action_size(env):
            note(ply, clip_rules(game, states, actions, key, ply))
        note(ply, position_rules(env, states, observations))
        note(ply, step_rules(env, states, next_states))
        note(ply, repeat_rules(observations, twin.observe(states), "observe"))
        note(ply, repeat_rules(next_states, twin.step(states, actions, key, ply), "step"))
        is_random |= differ(next_states, game.step(states, actions, other_key, ply)).any()
        if hasattr(env, "reveal"):
            revealed = game.reveal(states)
            note(ply, [(~finite(revealed), "the output of reveal has a NaN or an infinity")])
            note(ply, repeat_rules(revealed, twin.reveal(states), "reveal"))
        if hasattr(env, "fingerprint"):
            note(ply, fingerprint_rules(game.fingerprint(states), states, observations, seen))
        if hasattr(env, "resample"):
            note(ply, resample_rules(game, states, observations, key, other_key))
            draws |= differ(game.resample(states, key), game.resample(states, other_key)).any()
        all_finished = is_finished(states).all()  # and have just been stepped once more
        plies += int((~is_finished(states)).sum())
        states = next_states
        if all_finished:
            break
    problems = [f"{text} (first at ply {ply})" for text, ply in first_ply.items()]
    if not draws:
        problems.append(
            "resample returns the same state for all keys, so a search would see the true state: resample the "
            "hidden information, or remove resample if there is none"
        )
    if not problems:
        choose = partial(_random_actions, env, seed=seed)
        problems += hidden_problems(env, game, choose, seed=seed, max_plies=max_plies)
    problems += _svg_problems(env, states) + _hand_problems(env, game.init(key))
    if not is_random:  # else one key may treat a game and its image differently
        for index, symmetry in enumerate(getattr(env, "symmetries", ())):
            problems += _lockstep_problems(env, game, index, symmetry, seed, max_plies)
    return problems, Played(num_games, int(is_finished(states).sum()), plies)


def _random_actions(env: Env, states: States, seed: int, ply: int) -> np.ndarray:
    """i32[G], uniform over the legal actions; over all if the game is finished or none is legal.

    Continuous actions f32[G, D] are uniform in [-1, 1].
    """
    if size := action_size(env):
        shape = (len(states.terminated), size)
        return np.random.default_rng((seed, ply)).uniform(-1, 1, shape).astype(np.float32)
    mask = states.legal_action_mask & ~is_finished(states)[:, None]
    chances = np.random.default_rng((seed, ply)).random(mask.shape)
    return np.argmax(chances + mask, axis=1).astype(np.int32)


def _svg_problems(env: Env, states: States) -> list[str]:
    if not hasattr(env, "svg"):
        return []
    try:
        picture = env.svg(jax.tree.map(lambda leaf: leaf[0], states))
    except Exception as error:  # whatever it raises is the finding
        return [explain("svg(state)", error, how="fails")]
    good = isinstance(picture, str) and picture.startswith("<svg") and picture.rstrip().endswith("</svg>")
    return [] if good else ["svg(state) does not return a string with one <svg> element"]


def _hand_problems(env: Any, states: States) -> list[str]:
    """Problems for a person at the board: names of actions and outcomes, and places to click."""
    state, problems = jax.tree.map(lambda leaf: leaf[0], states), []
    if action_size(env):
        return []
    legal = np.flatnonzero(np.asarray(state.legal_action_mask)).tolist()
    if hasattr(env, "action_name"):
        problems += _name_problems(
            partial(env.action_name, state), legal, "action_name(state, action)", "legal action"
        )
    if hasattr(env, "outcome_name") and hasattr(env, "decide"):
        after = jax.jit(env.decide)(state, np.int32(legal[0]))
        possible = np.flatnonzero(np.isfinite(env.chance_logits(after))).tolist()
        problems += _name_problems(
            partial(env.outcome_name, after),
            possible,
            "outcome_name(afterstate, outcome)",
            "possible outcome",
        )
    if hasattr(env, "areas"):
        try:
            areas = env.areas(state)
            rows = [area for places in areas.values() for area in places]
            good = areas.keys() <= set(range(env.num_actions)) and all(len(area) == 4 for area in rows)
        except Exception as error:  # whatever it raises is the finding
            return [*problems, explain("areas(state)", error, how="fails")]
        if not good:
            problems.append("areas(state) does not return {action: ((x, y, width, height), ...)}")
    return problems


def _name_problems(name: Callable[[int], Any], numbers: list[int], call: str, kind: str) -> list[str]:
    """Problems with `name` on the `numbers`: it must return distinct texts."""
    try:
        names = [name(number) for number in numbers]
    except Exception as error:  # whatever it raises is the finding
        return [explain(call, error, how="fails")]
    if all(isinstance(text, str) and text for text in names) and len(set(names)) == len(names):
        return []
    return [f"{call} does not return a different text for each {kind}"]


def _lockstep_problems(
    env: Env, game: Game, index: int, symmetry: Symmetry, seed: int, max_plies: int
) -> list[str]:
    """Plays games and their symmetric images side by side: they must stay images of each other.

    Skips games whose initial position the symmetry changes.
    """
    move, action = jax.jit(jax.vmap(symmetry.observation)), np.asarray(symmetry.action)
    key = jax.random.key(seed)
    states = images = game.init(key)
    for ply in range(max_plies):
        finished = is_finished(states)
        image_mask = images.legal_action_mask[:, action]
        differences = {
            "observation": differ(move(game.observe(states)), game.observe(images)),
            "legal actions": ~finished & differ(states.legal_action_mask, image_mask),
            "mover": differ(states.current_player, images.current_player),
            "outcome": differ((states.rewards, finished), (images.rewards, is_finished(images))),
        }
        wrong = ", ".join(name for name, differs in differences.items() if differs.any())
        if wrong and ply > 0:
            return [
                f"symmetries[{index}] does not preserve the game: the image differs in {wrong} (ply {ply})"
            ]
        if wrong or finished.all():
            return []
        actions = _random_actions(env, states, seed, ply)
        states = game.step(states, actions, key, ply)
        images = game.step(images, action[actions], key, ply)
    return []
