"""Checks of `check_env` without games: names, shapes and dtypes, by tracing. A actions, P players."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jzero.check.chance import chance_trace_problems
from jzero.check.errors import explain, shapes
from jzero.env import Env, Symmetry, action_members, action_size, missing_members
from jzero.pytrees import Observation, OneState, PyTree, States


def shape_problems(env: Env) -> list[str]:
    """Problems with members, counts, shapes and dtypes; missing members are listed alone."""
    return [f"it lacks {member}" for member in missing_members(env)] or list(_trace_problems(env))


def _trace_problems(env: Env) -> Iterator[str]:
    """Problems with counts, shapes and dtypes; stops if the rest cannot be checked."""
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
            yield "observe(state) does not return an array"
        if hasattr(env, "reveal"):
            call = "reveal(state)"
            if not jax.tree.leaves(shapes(env.reveal, state)):
                yield "reveal(state) does not return an array; remove it if nothing is hidden"
            if not hasattr(env, "resample"):
                yield (
                    "it has reveal but no resample(state, key), so a search would see hidden information: add "
                    "resample, or remove reveal"
                )
        call = "symmetries"
        for index, symmetry in enumerate(getattr(env, "symmetries", ())):
            yield from _symmetry_problems(env, index, symmetry, observation)
        call = "fingerprint(state)"
        if hasattr(env, "fingerprint"):
            code = _describe(shapes(env.fingerprint, state))
            if code != "uint32[2]":
                yield f"fingerprint(state) is {code}, not uint32[2]"
        call = "outcome_features(state, player)"
        if hasattr(env, "outcome_features"):
            yield from _outcome_problems(env, shapes(env.outcome_features, state, _index()))
        call = "resample(state, key)"
        if hasattr(env, "resample"):
            redrawn = shapes(env.resample, state, key)
            if jax.tree.map(_describe, redrawn) != jax.tree.map(_describe, state):
                yield "resample(state, key) returns another structure, shape or dtype than its state"
        call = "decide(state, action), chance_logits(afterstate) or resolve(afterstate, outcome)"
        yield from chance_trace_problems(env, state)
    except Exception as error:  # whatever the environment raises is the finding
        yield explain(call, error)


def _one_action(env: Env) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an action."""
    if size := action_size(env):
        return jax.ShapeDtypeStruct((size,), jnp.float32)
    return _index()


def _index() -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), jnp.int32)


def _outcome_problems(env: Env, features: PyTree) -> Iterator[str]:
    """Features that are not an array of numbers, or that the symmetries of the observation cannot transform."""
    if not hasattr(features, "dtype") or features.dtype == bool or not features.size:
        yield "outcome_features(state, player) does not return one array of numbers"
        return
    for index, symmetry in enumerate(getattr(env, "symmetries", ())):
        image = jax.eval_shape(symmetry.observation, features)
        if jax.tree.map(_describe, image) != _describe(features):
            yield (
                f"symmetries[{index}].observation cannot transform the output of outcome_features, "
                f"{_describe(features)}: use the layout of the observation, such as [height, width, 1]"
            )


def _continuous_problems(env: Env) -> Iterator[str]:
    """Members that only discrete actions support."""
    if getattr(env, "num_actions", 0):
        yield f"it has action_size {action_size(env)} and num_actions {env.num_actions}: keep only one of them"
    for name in ("symmetries", "decide"):
        if getattr(env, name, ()):
            yield f"it has continuous actions and {name}, which is for discrete actions: remove it"


def _field_problems(env: Env, state: OneState) -> Iterator[str]:
    """Required fields of `state` that are missing or have the wrong shape or dtype."""
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
            found = _describe(getattr(state, name))
            each = ": one number per player" if name == "rewards" else ""
            if found.startswith("float64"):
                each += "; in 64-bit mode give its dtype, as in jnp.zeros(2, jnp.float32)"
            yield f"the state's {name} is {found}, not {wanted}{each}"


def _structure_problems(before: PyTree, after: States) -> Iterator[str]:
    """Leaves that `step` adds, removes, or returns with another shape or dtype than `init`."""
    old = {jax.tree_util.keystr(path): _describe(leaf) for path, leaf in jax.tree.leaves_with_path(before)}
    new = {jax.tree_util.keystr(path): _describe(leaf) for path, leaf in jax.tree.leaves_with_path(after)}
    for path in sorted(old.keys() ^ new.keys()):
        yield f"only one of init and step returns the state's {path}; both must return the same structure"
    for path in sorted(old.keys() & new.keys()):
        if old[path] != new[path]:
            yield f"step turns the state's {path} from {old[path]} into {new[path]}: keep shape and dtype"


def _symmetry_problems(env: Env, index: int, symmetry: Symmetry, observation: Observation) -> Iterator[str]:
    """A symmetry whose `action` is not a permutation, or whose `observation` has another shape."""
    if sorted(np.asarray(symmetry.action).tolist()) != list(range(env.num_actions)):
        yield f"symmetries[{index}].action is not a permutation of 0..{env.num_actions - 1}"
    image = jax.eval_shape(symmetry.observation, observation)
    if jax.tree.map(_describe, image) != jax.tree.map(_describe, observation):
        yield f"symmetries[{index}].observation changes the shape or dtype of the observation"


def _describe(array: PyTree) -> str:
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"
