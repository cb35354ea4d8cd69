"""check_env: says in plain words what is wrong with an environment.

Axes: G games, A actions, P players, D dimensions of a continuous action.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jzero.check.chance import chance_problems, chance_trace_problems
from jzero.check.errors import explain, shapes
from jzero.check.hidden import hidden_problems
from jzero.check.rows import differ, finite, host, row_bytes
from jzero.env import (
    Env,
    Symmetry,
    action_members,
    action_size,
    has_chance,
    init_batch,
    is_finished,
    missing_members,
    observe_batch,
    replace,
    step_batch,
)

Rules = Iterable[tuple[np.ndarray | jax.Array, str]]  # bool[G], where a rule is broken, and its message


class EnvError(ValueError):
    """What `check_env` found wrong with an environment, one problem per line."""


class Played(NamedTuple):
    """What `check_env` has played."""

    games: int
    """Games side by side."""
    finished: int
    """How many of them ended."""
    plies: int
    """Steps from unfinished states, in all games."""


def check_env(env: Env, *, seed: int = 0, num_games: int = 16, max_plies: int = 400) -> Played:
    """Plays `num_games` random games of at most `max_plies` plies and checks everything jzero relies on.

    Returns:
      what was played: where no game ended, ends are not checked. Of an emulator (`external`), which cannot go back
      to a state, only names, shapes and dtypes are checked: no games were played.

    Raises:
      EnvError: lists every problem found and its fix. Problems that prevent games (a missing method, changing
        shapes) are listed alone, since the other checks need games.
    """
    if isinstance(env, type):
        raise EnvError(f"check_env was given the class {env.__name__}: give an environment, {env.__name__}()")
    problems = _shape_problems(env)
    played = Played(num_games, 0, 0)
    if not problems and getattr(env, "external", False):
        return Played(0, 0, 0)
    if not problems:
        try:
            problems, played = _play_problems(env, seed, num_games, max_plies)
        except Exception as error:  # not seen by tracing, such as values kept between calls
            problems = [explain("random play", error)]
    if not problems and has_chance(env):
        problems = chance_problems(env, seed=seed, num_games=num_games, max_plies=max_plies)
    _raise(env, problems)
    return played


def check_shapes(env: Env) -> None:
    """The part of `check_env` that plays nothing: members, shapes and dtypes, by tracing alone.

    Raises:
      EnvError: lists the problems found and their fixes.
    """
    _raise(env, _shape_problems(env))


def _shape_problems(env: Env) -> list[str]:
    return [f"it lacks {member}" for member in missing_members(env)] or list(_trace_problems(env))


def _raise(env: Env, problems: list[str]) -> None:
    if problems:
        name = getattr(env, "name", type(env).__name__)
        lines = [f"- {text}" for text in problems]
        raise EnvError("\n".join([f"{name} breaks the environment protocol (jzero.env.Env):", *lines]))


# Without play: names, shapes, dtypes.


def _trace_problems(env: Env) -> Iterator[str]:
    """What is wrong with counts, shapes and dtypes; stops where the rest cannot be checked."""
    for name in [*action_members(env), "num_players"]:
        count = getattr(env, name)
        if not isinstance(count, int | np.integer) or count < 1:
            yield f"{name} is {count!r}, not an int of at least 1"
            return
    if action_size(env):
        yield from _continuous_problems(env)
    key, action = jax.random.key(0), _one_action(env)
    call = "init(key)"
    try:
        state = shapes(env.init, key)
        wrong_fields = list(_field_problems(env, state))
        yield from wrong_fields
        if wrong_fields:
            return
        call = "step(state, action, key)"
        if action_size(env):
            call += f", with an action {_describe(action)},"
        yield from _structure_problems(state, shapes(env.step, state, action, key))
        call = "observe(state)"
        observation = shapes(env.observe, state)
        if not jax.tree.leaves(observation):
            yield "observe(state) returns no array"
        if hasattr(env, "reveal"):
            call = "reveal(state)"
            if not jax.tree.leaves(shapes(env.reveal, state)):
                yield "reveal(state) returns no array; drop it where nothing is hidden"
            if not hasattr(env, "resample"):
                yield (
                    "it has reveal but no resample(state, key), so a search would see what is hidden: "
                    "add resample, or drop reveal"
                )
        call = "symmetries"
        for index, symmetry in enumerate(getattr(env, "symmetries", ())):
            yield from _symmetry_problems(env, index, symmetry, observation)
        call = "fingerprint(state)"
        if hasattr(env, "fingerprint"):
            code = _describe(shapes(env.fingerprint, state))
            if code != "uint32[2]":
                yield f"fingerprint(state) is {code}, not uint32[2]"
        call = "resample(state, key)"
        if hasattr(env, "resample"):
            redrawn = shapes(env.resample, state, key)
            if jax.tree.map(_describe, redrawn) != jax.tree.map(_describe, state):
                yield "resample(state, key) returns another structure, shape or dtype than the state it is given"
        call = "decide(state, action), chance_logits(afterstate) or resolve(afterstate, outcome)"
        yield from chance_trace_problems(env, state)
    except Exception as error:  # whatever the environment raises is the finding
        yield explain(call, error)


def _one_action(env: Env) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an action."""
    if size := action_size(env):
        return jax.ShapeDtypeStruct((size,), jnp.float32)
    return jax.ShapeDtypeStruct((), jnp.int32)


def _continuous_problems(env: Env) -> Iterator[str]:
    """Members that only numbered actions can have."""
    if getattr(env, "num_actions", 0):
        yield f"it has action_size {action_size(env)} and num_actions {env.num_actions}: keep one of them"
    for name in ("symmetries", "decide"):
        if getattr(env, name, ()):
            yield f"it has continuous actions and {name}, which is for numbered actions: drop it"


def _field_problems(env: Env, state: Any) -> Iterator[str]:
    """Required fields of `state` that are missing or have another shape or dtype than the protocol's."""
    expected = {
        "current_player": "int32[]",
        "legal_action_mask": f"bool[{1 if action_size(env) else env.num_actions}]",
        "rewards": f"float32[{env.num_players}]",
        "terminated": "bool[]",
        "truncated": "bool[]",
    }
    if not any(hasattr(state, name) for name in expected):
        yield (
            f"init(key) returns a {type(state).__name__} without the fields {', '.join(expected)}: make a state a "
            "typing.NamedTuple (or a chex.dataclass) that has them"
        )
        return
    for name, wanted in expected.items():
        if not hasattr(state, name):
            yield f"the state that init(key) returns lacks the field {name} ({wanted})"
        elif _describe(getattr(state, name)) != wanted:
            each = ": one number for each player" if name == "rewards" else ""
            yield f"the state's {name} is {_describe(getattr(state, name))}, not {wanted}{each}"


def _structure_problems(before: Any, after: Any) -> Iterator[str]:
    """Leaves that `step` adds, drops, or gives another shape or dtype than `init` does."""
    old = {jax.tree_util.keystr(path): _describe(leaf) for path, leaf in jax.tree.leaves_with_path(before)}
    new = {jax.tree_util.keystr(path): _describe(leaf) for path, leaf in jax.tree.leaves_with_path(after)}
    for path in sorted(old.keys() ^ new.keys()):
        yield f"only one of init and step returns the state's {path}; both must return the same structure"
    for path in sorted(old.keys() & new.keys()):
        if old[path] != new[path]:
            yield f"step turns the state's {path} from {old[path]} into {new[path]}: keep shape and dtype"


def _symmetry_problems(env: Env, index: int, symmetry: Symmetry, observation: Any) -> Iterator[str]:
    """A symmetry whose `action` is no permutation, or whose `observation` has another shape."""
    if sorted(np.asarray(symmetry.action).tolist()) != list(range(env.num_actions)):
        yield f"symmetries[{index}].action is not a permutation of 0..{env.num_actions - 1}"
    image = jax.eval_shape(symmetry.observation, observation)
    if jax.tree.map(_describe, image) != jax.tree.map(_describe, observation):
        yield f"symmetries[{index}].observation changes the shape or dtype of the observation"


def _describe(array: Any) -> str:
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"


# With play.


class _Game(NamedTuple):
    """An environment's functions, batched and compiled; they return numpy arrays."""

    init: Callable  # key -> states [G]
    step: Callable  # states, actions i32[G] or f32[G, D], key, ply -> states
    observe: Callable  # states -> observations
    reveal: Callable  # states -> what is hidden; only where the environment has it
    fingerprint: Callable  # states -> u32[G, 2]; likewise
    resample: Callable  # states, key -> states; likewise


def _compile(env: Any, num_games: int) -> _Game:
    """Every call traces the environment again, so two of them differ where chance is not the key's."""

    def step(states: Any, actions: Any, key: jax.Array, ply: jax.Array) -> Any:
        return step_batch(env, states, actions, jax.random.fold_in(key, ply))

    def resample(states: Any, key: jax.Array) -> Any:
        return jax.vmap(env.resample)(states, jax.random.split(key, num_games))

    def onhost(function: Callable) -> Callable:
        compiled = jax.jit(function)
        return lambda *arguments: jax.tree.map(host, compiled(*arguments))

    return _Game(
        init=onhost(lambda key: init_batch(env, key, num_games)),
        step=onhost(step),
        observe=onhost(lambda states: observe_batch(env, states)),
        reveal=onhost(lambda states: jax.vmap(env.reveal)(states)),
        fingerprint=onhost(lambda states: jax.vmap(env.fingerprint)(states)),
        resample=onhost(resample),
    )


def _play_problems(env: Env, seed: int, num_games: int, max_plies: int) -> tuple[list[str], Played]:
    """Rules that random games break, each with the first ply where it is broken, and what was played."""
    first_ply: dict[str, int] = {}

    def note(ply: int, rules: Rules) -> None:
        for broken, text in rules:
            if np.any(broken):
                first_ply.setdefault(text, ply)

    key, other_key = jax.random.key(seed), jax.random.key(seed + 1)
    game, twin = _compile(env, num_games), _compile(env, num_games)
    states, seen = game.init(key), {}
    note(0, _start_rules(states, twin.init(key)))
    is_random = differ(states, game.init(other_key)).any()
    draws, plies = not hasattr(env, "resample"), 0
    for ply in range(max_plies):
        observations = game.observe(states)
        actions = _random_actions(env, states, seed, ply)
        next_states = game.step(states, actions, key, ply)
        if action_size(env):
            note(ply, _clip_rules(game, states, actions, key, ply))
        note(ply, _position_rules(env, states, observations))
        note(ply, _step_rules(env, states, next_states))
        note(ply, _repeat_rules(observations, twin.observe(states), "observe"))
        note(ply, _repeat_rules(next_states, twin.step(states, actions, key, ply), "step"))
        is_random |= differ(next_states, game.step(states, actions, other_key, ply)).any()
        if hasattr(env, "reveal"):
            revealed = game.reveal(states)
            note(ply, [(~finite(revealed), "what reveal returns has a NaN or an infinity")])
            note(ply, _repeat_rules(revealed, twin.reveal(states), "reveal"))
        if hasattr(env, "fingerprint"):
            note(ply, _fingerprint_rules(game.fingerprint(states), states, observations, seen))
        if hasattr(env, "resample"):
            note(ply, _resample_rules(game, states, observations, key, other_key))
            draws |= differ(game.resample(states, key), game.resample(states, other_key)).any()
        all_finished = is_finished(states).all()  # and have just been stepped once more
        plies += int((~is_finished(states)).sum())
        states = next_states
        if all_finished:
            break
    problems = [f"{text} (first at ply {ply})" for text, ply in first_ply.items()]
    if not draws:
        problems.append(
            "resample draws nothing: it gives the same for all keys, so a search would see the true state; redraw "
            "what is hidden, or drop it where nothing is"
        )
    if not problems:
        choose = partial(_random_actions, env, seed=seed)
        problems += hidden_problems(env, game, choose, seed=seed, max_plies=max_plies)
    problems += _svg_problems(env, states)
    if not is_random:  # else one key may treat a game and its image differently
        for index, symmetry in enumerate(getattr(env, "symmetries", ())):
            problems += _lockstep_problems(env, game, index, symmetry, seed, max_plies)
    return problems, Played(num_games, int(is_finished(states).sum()), plies)


def _random_actions(env: Env, states: Any, seed: int, ply: int) -> np.ndarray:
    """i32[G], uniform over the legal actions; over all where the game is finished or none is legal.

    Continuous ones f32[G, D], uniform in [-1, 1].
    """
    if size := action_size(env):
        shape = (len(states.terminated), size)
        return np.random.default_rng((seed, ply)).uniform(-1, 1, shape).astype(np.float32)
    mask = states.legal_action_mask & ~is_finished(states)[:, None]
    chances = np.random.default_rng((seed, ply)).random(mask.shape)
    return np.argmax(chances + mask, axis=1).astype(np.int32)


def _start_rules(states: Any, again: Any) -> Rules:
    yield is_finished(states), "init(key) returns a finished state"
    yield (states.rewards != 0).any(axis=-1), "init(key) returns rewards that are not zero"
    yield from _repeat_rules(states, again, "init")


def _position_rules(env: Env, states: Any, observations: Any) -> Rules:
    player, stuck = states.current_player, ~states.legal_action_mask.any(axis=-1)
    yield (
        stuck & ~is_finished(states),
        "legal_action_mask is empty in an unfinished state: end the game there, or make an action a pass",
    )
    yield (player < 0) | (player >= env.num_players), f"current_player is not one of 0..{env.num_players - 1}"
    yield ~finite(observations), "the observation has a NaN or an infinity"


def _step_rules(env: Env, states: Any, next_states: Any) -> Rules:
    finished, rewards = is_finished(states), next_states.rewards
    mend = "end `step` with `return jzero.env.keep_finished(state, next_state)`"
    yield ~finite(rewards), "the rewards have a NaN or an infinity"
    yield finished & (rewards != 0).any(axis=-1), f"stepping a finished state gives rewards: {mend}"
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


def _clip_rules(game: _Game, states: Any, actions: np.ndarray, key: jax.Array, ply: int) -> Rules:
    """Numbers outside of [-1, 1] count as the nearest end."""
    beyond = game.step(states, 3 * actions, key, ply)
    clipped = game.step(states, np.clip(3 * actions, -1, 1), key, ply)
    yield (
        differ(beyond, clipped),
        "step takes numbers outside of [-1, 1] as they are: begin it with `action = jnp.clip(action, -1, 1)`",
    )


def _repeat_rules(result: Any, again: Any, name: str) -> Rules:
    """`again` is the result of the same call, traced a second time."""
    mend = "take all chance from the key (jax.random), none from numpy, `random` or attributes that change"
    yield differ(result, again), f"{name} gives two results for the same arguments: {mend}"


def _fingerprint_rules(codes: np.ndarray, states: Any, observations: Any, seen: dict[bytes, bytes]) -> Rules:
    """`seen` maps the fingerprints u32[2] so far to the views there."""
    views = row_bytes((states.current_player, observations))
    clash = [seen.setdefault(code.tobytes(), view) != view for code, view in zip(codes, views, strict=True)]
    yield np.array(clash), "two positions with different observations or movers have one fingerprint"


def _resample_rules(
    game: _Game, states: Any, observations: Any, key: jax.Array, other_key: jax.Array
) -> Rules:
    """What the player to move knows must not change, and what is redrawn must not matter.

    Hidden things that `resample` never redraws look like known ones here.
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
            f"resample changes the {name}: redraw only what the player to move cannot see, and let `observe` "
            "show nothing else",
        )
    yield (
        going
        & ~np.any(list(changed.values()), axis=0)
        & differ(game.resample(states, other_key), game.resample(worlds, other_key)),
        "resample gives two results for states that differ in hidden things only: compute them from what the "
        "player to move knows, or a search can infer the hidden things",
    )


def _svg_problems(env: Env, states: Any) -> list[str]:
    if not hasattr(env, "svg"):
        return []
    try:
        picture = env.svg(jax.tree.map(lambda leaf: leaf[0], states))
    except Exception as error:  # whatever it raises is the finding
        return [explain("svg(state)", error, how="fails")]
    good = isinstance(picture, str) and picture.startswith("<svg") and picture.rstrip().endswith("</svg>")
    return [] if good else ["svg(state) does not return a string that is one <svg> element"]


def _lockstep_problems(
    env: Env, game: _Game, index: int, symmetry: Symmetry, seed: int, max_plies: int
) -> list[str]:
    """Plays games and their images side by side: they must stay images of each other.

    Reports nothing for games whose first position the symmetry changes.
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
            return [f"symmetries[{index}] does not keep the game: its image differs in {wrong} (ply {ply})"]
        if wrong or finished.all():
            return []
        actions = _random_actions(env, states, seed, ply)
        states = game.step(states, actions, key, ply)
        images = game.step(images, action[actions], key, ply)
    return []
