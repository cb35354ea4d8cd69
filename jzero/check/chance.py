"""Checks of explicit chance (`jzero.env.ChanceEnv`). G games, C outcomes."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jzero.check.rows import differ, host
from jzero.env import init_batch, is_finished, random_actions, step_batch
from jzero.pytrees import OneState, PyTree, States

MEMBERS = {
    "decide": "decide(state, action)",
    "chance_logits": "chance_logits(afterstate)",
    "resolve": "resolve(afterstate, outcome)",
    "num_outcomes": "num_outcomes (int)",
}
DRAWS = 1000
"""Steps per state whose outcomes are counted."""
TESTS = 8
"""Number of states from which outcomes are counted."""
P_VALUE = 1e-6
"""Counts below this probability are an error; a correct environment fails once in 100,000 checks."""


def chance_trace_problems(env: Any, state: OneState) -> Iterator[str]:
    """Problems with the names, shapes and dtypes of explicit chance; `state` holds shapes."""
    missing = [name for name in MEMBERS if not hasattr(env, name)]
    if len(missing) == len(MEMBERS):
        return
    if missing:
        lacking = ", ".join(MEMBERS[name] for name in missing)
        yield f"it has explicit chance but lacks {lacking}: add them, or remove the others"
        return
    number = jax.ShapeDtypeStruct((), jnp.int32)
    after = jax.eval_shape(env.decide, state, number)
    if _shapes(after) != _shapes(state):
        yield "decide(state, action) returns another structure, shape or dtype than its state"
        return
    logits = jax.eval_shape(env.chance_logits, after)
    if logits.shape != (env.num_outcomes,) or logits.dtype != jnp.float32:
        yield (
            f"chance_logits(afterstate) is {logits.dtype}{list(logits.shape)}, not float32[{env.num_outcomes}]: "
            "one log-probability for each of num_outcomes"
        )
    if _shapes(jax.eval_shape(env.resolve, after, number)) != _shapes(state):
        yield "resolve(afterstate, outcome) returns another structure, shape or dtype than a state"


def chance_problems(env: Any, *, seed: int, num_games: int, max_plies: int) -> list[str]:
    """Rules of explicit chance that random games break, each with the first ply."""
    first_ply: dict[str, int] = {}
    key = jax.random.key(seed)
    start, ahead, count = _compiled(env, num_games)
    states, tested = start(key), 0
    for ply in range(max_plies):
        step_key, count_key = jax.random.split(jax.random.fold_in(key, ply))
        found = ahead(states, step_key)
        for text, broken in _rules(states, *found[1:]).items():
            if broken.any():
                first_ply.setdefault(text, ply)
        draws = (np.isfinite(found[2]).sum(axis=-1) > 1) & ~is_finished(states)
        # Plies of a game have different states: take the games in turn.
        if draws.any() and tested < TESTS and not first_ply and ply >= tested:
            row = int(np.flatnonzero(draws)[ply % draws.sum()])
            tested += 1
            if p_value(*count(states, found[0], row, count_key)) < P_VALUE:
                first_ply["step samples outcomes with other frequencies than chance_logits gives"] = ply
        if first_ply or is_finished(states).all():
            break
        states = found[-1]
    return [f"{text} (first at ply {ply})" for text, ply in first_ply.items()]


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Pearson's chi-square test: the p-value of counts i64[K] under probabilities f64[K].

    Classes with an expected count below 5 are merged.
    """
    expected = probabilities * counts.sum()
    rare = expected < 5
    expected = np.append(expected[~rare], expected[rare].sum())
    counts = np.append(counts[~rare], counts[rare].sum())
    if counts[-1] and not expected[-1]:
        return 0.0
    used = expected > 0
    if used.sum() < 2:
        return 1.0
    statistic = ((counts[used] - expected[used]) ** 2 / expected[used]).sum()
    return float(jax.scipy.stats.chi2.sf(statistic, used.sum() - 1))


def _compiled(env: Any, num_games: int) -> tuple[PyTree, PyTree, PyTree]:
    """(start, ahead, count), which return numpy arrays.

    - key -> states [G];
    - states, key -> actions i32[G], afterstates [G], chance logits f32[G, C], resolved states [G] for each of C
      outcomes, next states [G];
    - states, actions, row, key -> counts of DRAWS steps of that row, by classes of outcomes with equal states:
      counts i64[C], probabilities f64[C].
    """

    def ahead(states: States, key: jax.Array) -> tuple:
        action_key, step_key = jax.random.split(key)
        actions = random_actions(states, action_key)
        after = jax.vmap(env.decide)(states, actions)
        logits = jax.vmap(env.chance_logits)(after)
        outcomes = jnp.arange(env.num_outcomes, dtype=jnp.int32)
        resolved = jax.vmap(jax.vmap(env.resolve, in_axes=(0, None)), in_axes=(None, 0))(after, outcomes)
        return actions, after, logits, resolved, step_batch(env, states, actions, step_key)

    def draws(states: States, actions: jax.Array, row: jax.Array, key: jax.Array) -> tuple:
        state, action = jax.tree.map(lambda x: x[row], (states, actions))
        stepped = jax.vmap(env.step, in_axes=(None, None, 0))(state, action, jax.random.split(key, DRAWS))
        after = env.decide(state, action)
        outcomes = jnp.arange(env.num_outcomes, dtype=jnp.int32)
        resolved = jax.vmap(env.resolve, in_axes=(None, 0))(after, outcomes)
        return stepped, resolved, env.chance_logits(after)

    def count(states: States, actions: np.ndarray, row: int, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        stepped, resolved, logits = jax.tree.map(host, draw(states, actions, row, key))
        number = np.full(DRAWS, -1)
        classes = np.arange(env.num_outcomes)
        for outcome in range(env.num_outcomes):
            one = _repeated(resolved, outcome, env.num_outcomes)
            classes[outcome] = np.flatnonzero(~differ(one, resolved))[0]
            same = ~differ(_repeated(resolved, outcome, DRAWS), stepped)
            number[same & (number < 0)] = classes[outcome]
        counts = np.bincount(number[number >= 0], minlength=env.num_outcomes)
        probabilities = np.bincount(classes, np.exp(logits.astype(np.float64)), env.num_outcomes)
        return counts, probabilities

    start = jax.jit(lambda key: init_batch(env, key, num_games))
    draw, compiled = jax.jit(draws), jax.jit(ahead)
    return (
        lambda key: jax.tree.map(host, start(key)),
        lambda states, key: jax.tree.map(host, compiled(states, key)),
        count,
    )


def _rules(
    states: States, after: States, logits: np.ndarray, resolved: Any, next_states: States
) -> dict[str, np.ndarray]:
    """Rules, and the games that break them: bool[G]. `resolved` has leading axes [C, G]."""
    finished, possible = np.asarray(is_finished(states)), logits > -np.inf
    total = np.exp(logits.astype(np.float64)).sum(axis=-1)
    same = np.zeros_like(possible)
    for outcome in range(logits.shape[-1]):
        one = jax.tree.map(lambda x, outcome=outcome: x[outcome], resolved)
        same[:, outcome] = ~differ(one, next_states)
    comes, differs = np.any(same & possible, axis=-1), np.any(possible & ~same, axis=-1)
    return {
        # A NaN is not near 1 either.
        "chance_logits are not log-probabilities: their exponentials do not sum to 1": ~(
            np.abs(total - 1) < 1e-4
        ),
        "decide changes current_player: an afterstate keeps the mover, and resolve passes the turn": (
            after.current_player != states.current_player
        ),
        "step returns a state that no possible outcome of resolve(decide(state, action), outcome) returns": ~comes,
        "resolve changes a finished state: decide must keep it, with rewards of 0, and resolve must return a "
        "finished afterstate unchanged": finished & differs,
    }


def _repeated(tree: PyTree, row: int, times: int) -> PyTree:
    """Row `row` of every leaf, `times` times."""
    return jax.tree.map(lambda x: x[np.full(times, row)], tree)


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)
