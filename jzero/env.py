"""The environment protocol: what jzero asks of a game, and how a game is found by name.

An environment is any object with `num_actions`, `num_players` and three pure functions of one (unbatched)
state: `init`, `step` and `observe`. There is no class to inherit from; jzero adds the batch axis [B] itself.

Rules, which `jzero.check_env` verifies:
- A finished state (terminated or truncated) is a fixed point: stepping it returns it with zero rewards.
  Environments never restart themselves. A truncated game was cut short, so its value is still bootstrapped.
- An unfinished state has at least one legal action. The mask of a finished state means nothing.
- With two players the rewards sum to zero, unless the environment sets `zero_sum = False`.
- Chance comes from the key alone: the same state, action and key give the same next state, and nothing that is
  kept in the state decides in its place what the player cannot see, or a search would see the dice.

Continuous actions: an environment that has `action_size` D in place of `num_actions` takes vectors f32[D] with each
number in [-1, 1], and its `legal_action_mask` is bool[1], true. jzero gives nothing else; a `step` treats a number
beyond as the nearest of the two ends. Learned models plan there, AlphaZero does not.

By convention an illegal action loses at once: the game is over, -1 for the mover and +1 for everyone else.
"""

import ast
import dataclasses
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

ENTRY_POINTS = "jzero.envs"


class State(Protocol):
    """The fields jzero reads of a state, a pytree that may hold any others. A actions, P players."""

    @property
    def current_player(self) -> jax.Array:
        """i32[]: the player to move, 0 .. P - 1."""

    @property
    def legal_action_mask(self) -> jax.Array:
        """bool[A]: the actions the player to move may take; bool[1] with continuous actions."""

    @property
    def rewards(self) -> jax.Array:
        """f32[P]: what each player earned by the last step; zero after `init`."""

    @property
    def terminated(self) -> jax.Array:
        """bool[]: the game has ended by its rules."""

    @property
    def truncated(self) -> jax.Array:
        """bool[]: the game was cut short, by a ply limit for instance."""


class Env(Protocol):
    """A game. Optional members:

    - `action_size`: D, in place of `num_actions`, where actions are vectors f32[D] in [-1, 1];
    - `name`, `zero_sum`;
    - `alternates`: false where one of two players may move twice in a row. A learned model, which changes the
      value's sign at every step, is then refused;
    - `hidden_information`: true where a state holds what its player to move may not see. Searches that step states
      then need `resample`;
    - `symmetries`: a tuple of `Symmetry`, the identity left out;
    - `fingerprint(state)`: u32[2] that tells positions apart;
    - `resample(state, key)`: the state with what its player to move cannot see drawn anew, consistently with all
      that it has seen; the same for states that differ in hidden things only. Searches then plan in such worlds;
    - `reveal(state)`: what the player to move cannot see, as a pytree of arrays. AlphaZero's values (not its
      policy) may then depend on it: a search looks at it in the worlds that it draws, and only there;
    - `decide`, `chance_logits`, `resolve` and `num_outcomes`: chance that a search can count, see `ChanceEnv`;
    - `svg(state)`: a picture of one state as a standalone `<svg>` string;
    - `external`: true where the game goes on outside of the state (an emulator), so that a run that is resumed has
      to begin new games;
    - `restart(state, key)`: the first state of the game after the finished `state`, where `init` cannot know it (an
      emulator that starts again by itself); `init(key)` where it is missing;
    - `record(state)`, `history` and `recall(records)`: what a replay keeps of a state, for observations that look
      back (a stack of frames). `record` returns a part of the state that has the field `legal_action_mask`;
      `recall` makes the observation of a state from the records of the last `history` states of its game, oldest
      first [history, ...], the first one repeated where the game is younger. Without them a replay keeps states.
    """

    @property
    def num_actions(self) -> int:
        """How many actions there are, legal or not: A."""

    @property
    def num_players(self) -> int:
        """How many players there are: P."""

    def init(self, key: jax.Array) -> Any:
        """The first state of a game."""

    def step(self, state: Any, action: jax.Array, key: jax.Array) -> Any:
        """The state after `state.current_player` takes `action`: i32[], or f32[D] with continuous actions.

        The games of this repository take numbers of Python and of NumPy too; jzero itself gives arrays of JAX.
        """

    def observe(self, state: Any) -> Any:
        """What `state.current_player` may see, and nothing else: a pytree of arrays."""


class ChanceEnv(Protocol):
    """What an environment adds to `Env` where the chance of a step is a draw from a few outcomes: dice, a tile.

    A step is the mover's deterministic part, then the draw: `step(state, action, key)` equals in distribution
    `resolve(decide(state, action), outcome)` with an outcome drawn from `chance_logits`; `step_by_chance` is that
    step. AlphaZero then searches with chance nodes, which weigh the outcomes; without these members an edge of its
    tree holds the one state that its key gave.

    An afterstate is a pytree like a state. Its `current_player` is still the player who acted; of its other fields
    only those count that the environment itself reads. Where the action decided the game, or the state was
    finished before, the afterstate is finished and `resolve` returns it as it is, for every outcome.
    """

    @property
    def num_outcomes(self) -> int:
        """How many outcomes there are, possible or not: C."""

    def decide(self, state: Any, action: jax.Array) -> Any:
        """The afterstate: what the player to move makes of `state` by `action` (i32[]), before chance."""

    def chance_logits(self, afterstate: Any) -> jax.Array:
        """f32[C]: log-probabilities of the outcomes, -inf where one is impossible.

        Where nothing is left to chance one outcome has probability 1; `certainty` is that.
        """

    def resolve(self, afterstate: Any, outcome: jax.Array) -> Any:
        """The state after `outcome` (i32[]), which is possible."""


class Symmetry(NamedTuple):
    """A renaming of the board that leaves the game as it is."""

    observation: Callable[[Any], Any]  # the observation (unbatched) of the renamed position
    action: np.ndarray  # i32[A], a permutation: policy'[action[a]] = policy[a]


def square_symmetries(size: int, num_actions: int) -> tuple[Symmetry, ...]:
    """The seven rotations and reflections of a board [N, N, ...] whose cells, row by row, are the first actions.

    Further actions (a pass) stay what they are.

    Args:
      size: N.
      num_actions: A >= N^2.
    """
    return tuple(
        _square_symmetry(size, num_actions, turns, flip)
        for flip in (False, True)
        for turns in range(4)
        if turns or flip
    )


def _square_symmetry(size: int, num_actions: int, turns: int, flip: bool) -> Symmetry:
    # Cell i of the moved board shows old cell `source[i]`, so action `source[i]` becomes action i.
    source = np.rot90(np.arange(size**2).reshape(size, size), turns)
    source = (source[:, ::-1] if flip else source).ravel()
    stay = np.arange(size**2, num_actions)
    action = np.argsort(np.append(source, stay)).astype(np.int32)
    return Symmetry(observation=lambda board: turn_square(board, turns, flip), action=action)


def turn_square(board: jax.Array, turns: int, flip: bool) -> jax.Array:
    """The board [N, N, ...] after `turns` quarter turns to the left and then, if `flip`, mirrored left to right."""
    turned = jnp.rot90(board, turns)
    return turned[:, ::-1] if flip else turned


class Revealed(NamedTuple):
    """What a network is given of an environment that has `reveal`."""

    seen: Any
    """The observation."""
    hidden: Any
    """What `reveal` gives; for values only."""


StateT = TypeVar("StateT", bound=State)


def is_finished(state: State) -> jax.Array:
    """bool[...]: terminated or truncated; the state may be batched."""
    return state.terminated | state.truncated


def keep_finished(state: StateT, next_state: StateT) -> StateT:
    """`next_state`, unless `state` is finished: then `state` with zero rewards. The last line of a `step`."""
    finished = is_finished(state)
    kept = jax.tree.map(lambda old, new: jnp.where(finished, old, new), state, next_state)
    return replace(kept, rewards=jnp.where(finished, 0.0, next_state.rewards))


def forfeit(state: StateT, illegal: jax.Array, next_state: StateT) -> StateT:
    """`next_state`, unless `illegal` (bool[]): then `state`, lost by its mover (-1, everyone else +1)."""
    mover = jnp.arange(state.rewards.shape[-1]) == state.current_player
    lost = replace(
        state,
        legal_action_mask=jnp.zeros_like(state.legal_action_mask),
        rewards=jnp.where(mover, -1.0, 1.0).astype(state.rewards.dtype),
        terminated=jnp.ones_like(state.terminated),
    )
    return jax.tree.map(lambda if_lost, otherwise: jnp.where(illegal, if_lost, otherwise), lost, next_state)


def has_chance(env: Any) -> bool:
    """Whether the environment is a `ChanceEnv`."""
    return hasattr(env, "decide")


def step_by_chance(env: Any, state: Any, action: jax.Array, key: jax.Array) -> Any:
    """The `step` of a `ChanceEnv`."""
    after = env.decide(state, action)
    return env.resolve(after, jax.random.categorical(key, env.chance_logits(after)).astype(jnp.int32))


def certainty(num_outcomes: int) -> jax.Array:
    """Chance logits f32[C] of an afterstate after which only the outcome 0 is possible."""
    return jnp.where(jnp.arange(num_outcomes) == 0, 0.0, -jnp.inf)


def replace(state: Any, **fields: Any) -> Any:
    """A copy of `state` (a NamedTuple or a dataclass) with some fields replaced."""
    if dataclasses.is_dataclass(state):
        return dataclasses.replace(state, **fields)
    return state._replace(**fields)


def seeded_key(seed: jax.Array | int, ply: jax.Array | int) -> jax.Array:
    """The key of a recorded game's first state (ply 0) or of its `ply`-th step, from the game's seed."""
    return jax.random.fold_in(jax.random.key(seed), ply)


def action_size(env: Any) -> int:
    """D, the numbers of a continuous action; 0 where actions are numbered."""
    return getattr(env, "action_size", 0)


def init_batch(env: Env, key: jax.Array, batch_size: int) -> Any:
    """First states of `batch_size` games: every leaf has a leading axis [B]."""
    return jax.vmap(env.init)(jax.random.split(key, batch_size))


def step_batch(env: Env, states: Any, actions: jax.Array, key: jax.Array) -> Any:
    """One action (i32[B] or f32[B, D]) in each of B games, each with its own key split from `key`."""
    return jax.vmap(env.step)(states, actions, jax.random.split(key, actions.shape[0]))


def restart_batch(env: Env, states: Any, key: jax.Array) -> Any:
    """First states of the games that follow the finished `states` [B] in their lanes."""
    restart = getattr(env, "restart", None)
    keys = jax.random.split(key, states.terminated.shape[0])
    return jax.vmap(env.init)(keys) if restart is None else jax.vmap(restart)(states, keys)


def record_batch(env: Env, states: Any) -> Any:
    """What a replay keeps of `states` [B]: all of them, or what the environment's `record` says."""
    record = getattr(env, "record", None)
    return states if record is None else jax.vmap(record)(states)


def random_actions(states: Any, key: jax.Array) -> jax.Array:
    """i32[B], uniform over the legal actions of each of `states` [B]; arbitrary where there is none."""
    logits = jnp.where(states.legal_action_mask, 0.0, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def random_actions_in(env: Env, states: Any, key: jax.Array) -> jax.Array:
    """`random_actions` where actions are numbered; continuous ones f32[B, D], uniform in [-1, 1]."""
    if not action_size(env):
        return random_actions(states, key)
    return random_vectors(key, (states.terminated.shape[0], action_size(env)))


def random_vectors(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """f32[*shape]: continuous actions, uniform in [-1, 1]."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def where_rows(rows: jax.Array, new: Any, old: Any) -> Any:
    """Pytrees [B, ...]: `new` in the rows bool[B] that are marked, else `old`. The rows may have more axes."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(rows.shape + (1,) * (old.ndim - rows.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def observe_batch(env: Env, states: Any) -> Any:
    """Observations of B states, each from the side of its player to move."""
    return jax.vmap(env.observe)(states)


def reveal_batch(env: Env, states: Any) -> Any:
    """What AlphaZero's network is given of B states: observations, or `Revealed` ones."""
    reveal, seen = getattr(env, "reveal", None), observe_batch(env, states)
    return seen if reveal is None else Revealed(seen, jax.vmap(reveal)(states))


def make(name: str, **kwargs: Any) -> Env:
    """The environment called `name`, built with `kwargs`.

    `name` is a registered name ("connect_four"), a registered adapter and its game ("pgx:go_9x9"), or a class
    of your own ("my_module:MyGame"; the working directory is searched first). A package registers names by
    entry points of the group "jzero.envs"; an adapter is one that takes the text after the colon. More keyword
    arguments may stand in the name itself, as Python literals: "gymnax:Breakout-MinAtar?sticky_actions=0.1".

    Raises:
      ValueError: no such name, module or class, it does not take the arguments, or the object does not have what an
        environment needs.
      ImportError: an adapter's package is not installed.
    """
    name, _, options = name.partition("?")
    kwargs |= _options(name, options)
    registered = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    prefix, colon, rest = name.partition(":")
    if name in registered:
        env = _build(name, registered[name].value, **kwargs)
    elif colon and prefix in registered:
        env = _build(name, registered[prefix].value, rest, **kwargs)
    elif colon:
        env = _build(name, name, **kwargs)
    else:
        raise ValueError(f"{unknown_name('env', name, sorted(registered))}; or give {_own_class(name)}")
    missing = missing_members(env)
    if missing:
        raise ValueError(f"env {name!r} is no environment: it lacks {', '.join(missing)}; see jzero.env.Env")
    return env


def _options(name: str, text: str) -> dict[str, Any]:
    """Keyword arguments from "key=literal&key=literal"."""
    found = {}
    for option in filter(None, text.split("&")):
        key, _, value = option.partition("=")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise ValueError(
                f"env {name!r}: cannot read the option {option!r}; expected key=literal, such as sticky_actions=0.1"
            ) from None
    return found


def _build(name: str, target: str, *arguments: str, **kwargs: Any) -> Env:
    """What the class or function `target` ("module:attribute") makes of the arguments; errors speak of `name`."""
    factory = _load(name, target)
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some classes written in C have none
        return factory(*arguments, **kwargs)
    try:
        signature.bind(*arguments, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"env {name!r}: {error}; it takes {signature}: give options as in 'name?key=literal', the game "
            "of an adapter as in 'adapter:game'"
        ) from None
    return factory(*arguments, **kwargs)


def _load(name: str, target: str) -> Callable[..., Env]:
    """The class or function that `target` ("module:attribute") names; errors speak of the env `name`."""
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        raise ValueError(
            f"env {name!r}: {module_name!r} is a file; give its module, as Python imports it from the working "
            f"directory: {_as_module(module_name)}:{attribute}"
        )
    if not module_name or module_name.startswith("."):
        raise ValueError(
            f"env {name!r}: {module_name!r} names no module; give it as Python imports it from the working "
            "directory"
        )
    if name == target and sys.path[0] not in ("", os.getcwd()):
        # A script's path starts at its own folder, whose files must not hide those of where the user stands.
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        known = [point.name for point in metadata.entry_points(group=ENTRY_POINTS)]
        known += [path.stem for path in Path().glob("*.py")]
        hint = ""
        if error.name and f"{module_name}.".startswith(
            f"{error.name}."
        ):  # else it was found, and lacks another
            hint = _package_found(error, module_name) or _did_you_mean(module_name, known, f":{attribute}")
        if not hint and error.name == module_name:
            hint = f"start in the folder of {module_name}.py, or add that to PYTHONPATH"
        text = f"env {name!r}: cannot import the module {module_name!r}: {error}"
        raise ValueError(f"{text}; {hint}".removesuffix("; ")) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        hint = _did_you_mean(attribute, [key for key, value in vars(module).items() if callable(value)])
        hint = hint or f"it was read from {getattr(module, '__file__', None) or 'Python itself'}"
        raise ValueError(f"env {name!r}: the module {module_name!r} has no class {attribute!r}; {hint}")
    return found


def _own_class(name: str) -> str:
    """How to name a class of one's own; with the module where `name` is that of a file in the working directory."""
    module, _, attribute = name.removesuffix(".py").partition(".")
    return f'"{module}:{attribute or "Class"}"' if Path(f"{module}.py").is_file() else '"module:Class"'


def _as_module(file: str) -> str:
    """The name of the module in `file`, seen from the working directory where it lies in there."""
    path = os.path.relpath(file)
    path = os.path.basename(path) if path.startswith("..") else path
    return path.removesuffix(".py").replace("/", ".")


def _package_found(error: ImportError, module_name: str) -> str:
    """Which package Python took, where it has that of `module_name` but not the module; else ""."""
    package = module_name.partition(".")[0]
    places = list(getattr(sys.modules.get(package), "__path__", []))
    missing = error.name or ""
    if not places or missing == package or not f"{module_name}.".startswith(f"{missing}."):
        return ""
    return f"the package {package!r} is the one in {places[0]}: rename yours if another is meant"


def unknown_name(what: str, name: str, known: list[str]) -> str:
    """The message that `known` has no `what` (a kind of thing) called `name`, with the nearest names."""
    hint = _did_you_mean(name, known)
    return f"unknown {what} {name!r}: {hint}{' ' if hint else ''}known: {', '.join(known) or 'none'}"


def options_of(made: type) -> list[str]:
    """The names of the arguments of a class's constructor, its bases' where it hands them further arguments."""
    names: dict[str, None] = {}
    for base in made.__mro__:
        if "__init__" in vars(base):
            kinds = {name: each.kind for name, each in inspect.signature(base).parameters.items()}
            more = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
            names |= {name: None for name, kind in kinds.items() if kind not in more}
            if inspect.Parameter.VAR_KEYWORD not in kinds.values():
                break
    return list(names)


def _did_you_mean(name: str, known: list[str], ending: str = "") -> str:
    """A question with the names nearest to `name`, or "" where none is near."""
    exact = {other.lower(): other for other in known}
    near = [exact[other] + ending for other in difflib.get_close_matches(name.lower(), exact)]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def missing_members(env: Any) -> list[str]:
    """What `env` lacks of the protocol, as readable names."""
    counts = [name for name in [*action_members(env), "num_players"] if not hasattr(env, name)]
    signatures = {"init": "init(key)", "step": "step(state, action, key)", "observe": "observe(state)"}
    methods = [text for name, text in signatures.items() if not callable(getattr(env, name, None))]
    missing = [f"the attribute {name} (int)" for name in counts] + [f"the method {text}" for text in methods]
    try:
        hash(env)
    except TypeError:
        missing.append(
            "a hash, by which JAX knows it again: make its class @dataclass(frozen=True), without lists"
        )
    return missing


def action_members(env: Any) -> list[str]:
    """The names of what says which actions there are."""
    return ["action_size"] if action_size(env) else ["num_actions"]
