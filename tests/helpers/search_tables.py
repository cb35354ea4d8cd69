"""Random games given by tables, so that one model exists for JAX and for plain Python.

Axes: S states, A actions, B games. A model's embedding is the number of a state. Priors, values and rewards
are continuous, so that no two actions ever score the same.
"""

import functools
from typing import NamedTuple

import jax
import mctx
import numpy as np

from jzero import search
from tests.oracles import search as oracle

# Compiling takes longer than running these searches.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

# Many small operations, each compiled by itself otherwise.
summary_of = quick_jit(lambda tree: tree.summary())


class TreeArrays(NamedTuple):
    """A batch of search trees as NumPy arrays [B, N, ...], named as in mctx."""

    node_visits: np.ndarray
    node_values: np.ndarray
    raw_values: np.ndarray
    parents: np.ndarray
    action_from_parent: np.ndarray
    children_prior_logits: np.ndarray
    children_index: np.ndarray
    children_visits: np.ndarray
    children_rewards: np.ndarray
    children_discounts: np.ndarray
    children_values: np.ndarray

    @classmethod
    def of(cls, tree: search.Tree | mctx.Tree) -> "TreeArrays":
        return cls(*map(np.asarray, _arrays_of(tree)))

    @property
    def qvalues(self) -> np.ndarray:
        return self.children_rewards + self.children_discounts * self.children_values


# Ours computes these from its own arrays.
_arrays_of = quick_jit(lambda tree: [getattr(tree, name) for name in TreeArrays._fields])


class Tables(NamedTuple):
    """The game and the "network". The last state is where a finished game stands: nothing is legal there."""

    successor: np.ndarray  # i32[S, A]
    reward: np.ndarray  # f32[S, A]
    discount: np.ndarray  # f32[S, A]; 0 where the game ends
    prior_logits: np.ndarray  # f32[S, A]; -inf where an action is illegal
    value: np.ndarray  # f32[S]


def random_tables(
    seed: int,
    num_actions: int,
    *,
    num_states: int = 500,
    discounts: tuple[float, ...] = (-1.0, 1.0, 0.9),
    share_terminal: float = 0.0,
    share_illegal: float = 0.0,
) -> Tables:
    """Tables with a discount drawn for each edge, and at least one legal action in each unfinished state."""
    rng = np.random.default_rng(seed)
    shape = (num_states, num_actions)
    illegal = rng.random(shape) < share_illegal
    illegal[np.arange(num_states), rng.integers(num_actions, size=num_states)] = False
    illegal[-1] = share_terminal > 0
    ends = rng.random(shape) < share_terminal
    last = num_states - 1
    return Tables(
        successor=np.where(ends, last, rng.integers(last, size=shape)).astype(np.int32),
        reward=rng.uniform(-1, 1, shape).astype(np.float32),
        discount=np.where(ends, 0.0, rng.choice(discounts, shape)).astype(np.float32),
        prior_logits=np.where(illegal, -np.inf, 1.5 * rng.standard_normal(shape)).astype(np.float32),
        value=rng.uniform(-1, 1, num_states).astype(np.float32),
    )


def random_roots(seed: int, tables: Tables, batch_size: int) -> np.ndarray:
    """i32[B] unfinished states."""
    return np.random.default_rng(seed).integers(len(tables.value) - 1, size=batch_size).astype(np.int32)


def random_invalid_actions(seed: int, tables: Tables, roots: np.ndarray, share: float = 0.4) -> np.ndarray:
    """bool[B, A]: what the model masks at the roots and, in half of the games, a random share of the rest."""
    rng = np.random.default_rng(seed)
    masked = np.isneginf(tables.prior_logits[roots])
    extra = (rng.random(masked.shape) < share) & (rng.random(len(roots)) < 0.5)[:, None]
    keep = np.argmax(np.where(masked, -1.0, rng.random(masked.shape)), axis=1)
    extra[np.arange(len(roots)), keep] = False
    return masked | extra


def jax_root(tables: Tables, roots: jax.Array) -> mctx.RootFnOutput:
    """What the model says of the states `roots` i32[B]."""
    return mctx.RootFnOutput(
        prior_logits=tables.prior_logits[roots], value=tables.value[roots], embedding=roots
    )


def recurrent_fn(
    tables: Tables, rng_key: jax.Array, action: jax.Array, state: jax.Array
) -> tuple[mctx.RecurrentFnOutput, jax.Array]:
    """The model as mctx calls it: `params` are the tables."""
    del rng_key
    successor = tables.successor[state, action]
    step = mctx.RecurrentFnOutput(
        reward=tables.reward[state, action],
        discount=tables.discount[state, action],
        prior_logits=tables.prior_logits[successor],
        value=tables.value[successor],
    )
    return step, successor


def python_root(tables: Tables, state: int) -> oracle.Root:
    """What the model says of one state, for the oracle."""
    return oracle.Root(tables.prior_logits[state].tolist(), float(tables.value[state]), int(state))


def python_model(tables: Tables) -> oracle.Model:
    """The model as the oracle calls it."""
    successor, reward, discount, prior_logits, value = (table.tolist() for table in tables)

    def step(state: int, action: int) -> oracle.Step:
        after = successor[state][action]
        return oracle.Step(
            reward[state][action], discount[state][action], list(prior_logits[after]), value[after], after
        )

    return step
