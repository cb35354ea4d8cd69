"""The environment protocol: the interface of a game.

An environment is any object with `num_actions`, `num_players` and three pure functions of one (unbatched)
state: `init`, `step` and `observe`. There is no class to inherit from; jzero adds the batch axis [B].

Rules, which `jzero.check_env` verifies:
- A finished state (terminated or truncated) is a fixed point: stepping it returns it with zero rewards.
  Environments never reset themselves. A truncated game is cut short, so its value is bootstrapped.
- An unfinished state has at least one legal action. The mask of a finished state is ignored.
- With two players the rewards sum to zero, unless the environment sets `zero_sum = False`.
- Chance comes from the key alone: the same state, action and key give the same next state. Nothing in the state may
determine future chance, or a search would see the dice.

Continuous actions: an environment with `action_size` D instead of `num_actions` takes vectors f32[D] with each
number in [-1, 1], and its `legal_action_mask` is bool[1], true. jzero passes nothing else; `step` clips numbers to
this range. They need a learned model; AlphaZero does not support them.

By convention an illegal action loses at once: the game is over, -1 for the mover and +1 for everyone else.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import Embedding, Observation, OneState, PyTree, States


class State(Protocol):
    """The fields of a state that jzero reads; the pytree may hold others. A actions, P players."""

    @property
    def current_player(self) -> jax.Array:
        """i32[]: the player to move, 0 .. P - 1."""

    @property
    def legal_action_mask(self) -> jax.Array:
        """bool[A]: the actions the player to move may take; bool[1] with continuous actions."""

    @property
    def rewards(self) -> jax.Array:
        """f32[P]: rewards of the last step; zero after `init`."""

    @property
    def terminated(self) -> jax.Array:
        """bool[]: whether the game has ended by its rules."""

    @property
    def truncated(self) -> jax.Array:
        """bool[]: whether the game was cut short, for example by a ply limit."""


class Env(Protocol):
    """A game. Optional members:

    - `action_size`: D, instead of `num_actions`, if actions are vectors f32[D] in [-1, 1];
    - `name`, `zero_sum`;
    - `alternates`: false if one of two players may move twice in a row. Learned models, which flip the value's sign
    at every step, then raise an error;
    - `hidden_information`: true if a state holds information that its player to move may not see. Searches that
    step states then need `resample`;
    - `symmetries`: a tuple of `Symmetry`, without the identity;
    - `fingerprint(state)`: u32[2], a hash that distinguishes positions;
    - `resample(state, key)`: the state with its hidden information resampled, consistently with all that the player
    to move has seen; equal for states that differ only in hidden information. Searches then plan in such worlds;
    - `reveal(state)`: the information hidden from the player to move, as a pytree of arrays. AlphaZero's values
    (not its policy) may then depend on it: a search reads it only in sampled worlds;
    - `decide`, `chance_logits`, `resolve` and `num_outcomes`: explicit chance, see `ChanceEnv`;
    - `svg(state)`: a picture of one state as a standalone `<svg>` string;
    - `svg_for(state, player)`: the same without information hidden from this player;
    - `text(state)` and `text_for(state, player)`: the same as text, for a terminal;
    - `areas(state)`: places to click on the picture, {action: (rectangle, ...)} with rectangles (x, y, width,
    height) in the picture's units, clicked one after another: one for a cell, two for a piece and its target;
    - `action_name(state, action)`: the usual name of an action in a state, such as "d3";
    - `outcome_name(afterstate, outcome)`: the usual name of an outcome of explicit chance, such as "6-5";
    - `outcome_features(state, player)`: features of the end of a game for i32[] `player`, an array of numbers in
    [-1, 1] such as the owner of each point; with `symmetries`, in the layout of the observation;
    - `external`: true if the game runs outside the state (an emulator), so that a resumed run must start new games;
    - `restart(state, key)`: the initial state of the game after the finished `state`, if `init` cannot make it (an
    emulator that resets itself); by default `init(key)`;
    - `record(state)`, `history` and `recall(records)`: compact replay for observations with a history (a stack of
    frames). `record` returns a part of the state with the field `legal_action_mask`; `recall` makes the observation
    of a state from the records of the last `history` states of its game, oldest first [history, ...], repeating the
    first one in a younger game. Without them a replay keeps states.
    """

    @property
    def num_actions(self) -> int:
        """A, the number of actions, legal or not."""

    @property
    def num_players(self) -> int:
        """P, the number of players."""

    def init(self, key: jax.Array) -> PyTree:
        """The initial state of a game."""

    def step(self, state: OneState, action: jax.Array, key: jax.Array) -> PyTree:
        """The state after `state.current_player` takes `action`: i32[], or f32[D] with continuous actions.

        The games of this repository also take Python and NumPy numbers; jzero passes JAX arrays.
        """

    def observe(self, state: OneState) -> PyTree:
        """What `state.current_player` may see, and nothing more: a pytree of arrays."""


class ChanceEnv(Protocol):
    """`Env` with explicit chance: the chance of a step is one of a few outcomes, such as dice or a tile.

    A step is the mover's deterministic part, then the outcome: `step(state, action, key)` equals in distribution
    `resolve(decide(state, action), outcome)` with an outcome sampled from `chance_logits`; `step_by_chance` is that
    step. AlphaZero then searches with chance nodes, which average over the outcomes; without these members an edge
    of its tree holds the one state sampled with its key.

    An afterstate is a pytree like a state. Its `current_player` is still the player who acted; its other fields are
    read only by the environment. If the action ended the game, or the state was already finished, the afterstate is
    finished and `resolve` returns it unchanged for every outcome.
    """

    @property
    def num_outcomes(self) -> int:
        """C, the number of outcomes, possible or not."""

    def decide(self, state: OneState, action: jax.Array) -> PyTree:
        """The afterstate: `state` after `action` (i32[]) of the player to move, before chance."""

    def chance_logits(self, afterstate: Embedding) -> jax.Array:
        """f32[C]: log-probabilities of the outcomes, -inf for impossible ones.

        Without chance one outcome has probability 1, as in `certainty`.
        """

    def resolve(self, afterstate: Embedding, outcome: jax.Array) -> PyTree:
        """The state after a possible `outcome` (i32[])."""


class Symmetry(NamedTuple):
    """A symmetry of the game: a transformation of the observation and of the actions."""

    observation: Callable[[Any], Any]  # the observation (unbatched) of the renamed position
    action: np.ndarray  # i32[A], a permutation: policy'[action[a]] = policy[a]


def square_symmetries(size: int, num_actions: int) -> tuple[Symmetry, ...]:
    """The seven rotations and reflections of a board [N, N, ...] whose cells, row by row, are the first N^2
    actions.

    Further actions (a pass) are unchanged.

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
    """The board [N, N, ...] after `turns` quarter turns to the left, then mirrored left to right if `flip`."""
    turned = jnp.rot90(board, turns)
    return turned[:, ::-1] if flip else turned


class Revealed(NamedTuple):
    """The network's input for an environment with `reveal`."""

    seen: Any
    """The observation."""
    hidden: Any
    """The output of `reveal`; for values only."""


StateT = TypeVar("StateT", bound=State)


def is_finished(state: State) -> jax.Array:
    """bool[...]: whether the state is terminated or truncated; it may be batched."""
    return state.terminated | state.truncated


def keep_finished(state: StateT, next_state: StateT) -> StateT:
    """`next_state`, unless `state` is finished: then `state` with zero rewards. The last line of a `step`."""
    finished = is_finished(state)
    kept = jax.tree.map(lambda old, new: jnp.where(finished, old, new), state, next_state)
    return replace(kept, rewards=jnp.where(finished, 0.0, next_state.rewards))


def forfeit(state: StateT, illegal: jax.Array, next_state: StateT) -> StateT:
    """`next_state`, unless `illegal` (bool[]): then `state` as a loss for its mover (-1, everyone else +1)."""
    mover = jnp.arange(state.rewards.shape[-1], dtype=jnp.int32) == state.current_player
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


def step_by_chance(env: Any, state: OneState, action: jax.Array, key: jax.Array) -> PyTree:
    """The `step` of a `ChanceEnv`."""
    after = env.decide(state, action)
    return env.resolve(after, jax.random.categorical(key, env.chance_logits(after)).astype(jnp.int32))


def certainty(num_outcomes: int) -> jax.Array:
    """Chance logits f32[C] of an afterstate after which only the outcome 0 is possible."""
    return jnp.where(jnp.arange(num_outcomes, dtype=jnp.int32) == 0, jnp.float32(0), -jnp.inf)


def replace(state: OneState, **fields: Any) -> PyTree:
    """A copy of `state` (a NamedTuple or a dataclass) with some fields replaced."""
    if dataclasses.is_dataclass(state):
        return dataclasses.replace(state, **fields)
    return state._replace(**fields)


def seeded_key(seed: jax.Array | int, ply: jax.Array | int) -> jax.Array:
    """The key of a recorded game's initial state (ply 0) or of its `ply`-th step, from the game's seed."""
    return jax.random.fold_in(jax.random.key(seed), ply)


def action_size(env: Any) -> int:
    """D, the size of a continuous action; 0 for discrete actions."""
    return getattr(env, "action_size", 0)


def init_batch(env: Env, key: jax.Array, batch_size: int) -> States:
    """Initial states of `batch_size` games: every leaf has a leading axis [B]."""
    return jax.vmap(env.init)(jax.random.split(key, batch_size))


def step_batch(env: Env, states: States, actions: jax.Array, key: jax.Array) -> States:
    """Takes one action (i32[B] or f32[B, D]) in each of B games, each with a key split from `key`."""
    return jax.vmap(env.step)(states, actions, jax.random.split(key, actions.shape[0]))


def restart_batch(env: Env, states: States, key: jax.Array) -> States:
    """Initial states of the games that follow the finished `states` [B] in their lanes."""
    restart = getattr(env, "restart", None)
    keys = jax.random.split(key, states.terminated.shape[0])
    return jax.vmap(env.init)(keys) if restart is None else jax.vmap(restart)(states, keys)


def random_actions(states: States, key: jax.Array) -> jax.Array:
    """i32[B], uniform over the legal actions of each of `states` [B]; arbitrary if there is none."""
    logits = jnp.where(states.legal_action_mask, jnp.float32(0), -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def random_actions_in(env: Env, states: States, key: jax.Array) -> jax.Array:
    """`random_actions` for discrete actions; continuous ones f32[B, D] are uniform in [-1, 1]."""
    if not action_size(env):
        return random_actions(states, key)
    return random_vectors(key, (states.terminated.shape[0], action_size(env)))


def random_vectors(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """f32[*shape]: continuous actions, uniform in [-1, 1]."""
    return jax.random.uniform(key, shape, dtype=jnp.float32, minval=-1.0, maxval=1.0)


def where_rows(rows: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """Pytrees [B, ...]: `new` in the marked `rows` bool[B], else `old`. `rows` may have more axes."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(rows.shape + (1,) * (old.ndim - rows.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def observe_batch(env: Env, states: States) -> Observation:
    """Observations of B states, each for its player to move."""
    return jax.vmap(env.observe)(states)


def shown(env: Env, state: OneState) -> Observation:
    """The input of AlphaZero's network for one state: an observation, or a `Revealed` one."""
    reveal, seen = getattr(env, "reveal", None), env.observe(state)
    return seen if reveal is None else Revealed(seen, reveal(state))


def reveal_batch(env: Env, states: States) -> Observation:
    """`shown` of B states."""
    return jax.vmap(lambda state: shown(env, state))(states)


def missing_members(env: Any) -> list[str]:
    """The members of the protocol that `env` lacks, as readable names."""
    counts = [name for name in [*action_members(env), "num_players"] if not hasattr(env, name)]
    signatures = {"init": "init(key)", "step": "step(state, action, key)", "observe": "observe(state)"}
    methods = [text for name, text in signatures.items() if not callable(getattr(env, name, None))]
    missing = [f"the attribute {name} (int)" for name in counts] + [f"the method {text}" for text in methods]
    try:
        hash(env)
    except TypeError:
        missing.append(
            "a hash, which JAX needs for caching: make its class @dataclass(frozen=True), without lists"
        )
    return missing


def action_members(env: Any) -> list[str]:
    """The names of the members that define the actions."""
    return ["action_size"] if action_size(env) else ["num_actions"]
