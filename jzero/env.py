"""The environment protocol: what jzero asks of a game.

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

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jzero.pytrees import Embedding, Observation, OneState, PyTree, States


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
    - `svg_for(state, player)`: the same without what this player may not see, where information is hidden;
    - `text(state)` and `text_for(state, player)`: the same in words, for a terminal;
    - `areas(state)`: where one clicks on the picture, {action: (rectangle, ...)} with rectangles (x, y, width,
      height) in the picture's units, clicked one after another: one for a cell, two for a piece and where it goes;
    - `action_name(state, action)`: what players call an action of a state, a short text such as "d3";
    - `outcome_name(afterstate, outcome)`: what players call an outcome of explicit chance, such as "6-5";
    - `outcome_features(state, player)`: how a game ended as i32[] `player` sees it, an array of numbers in [-1, 1]
      such as who owns each point; with `symmetries` laid out like the observation;
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

    def init(self, key: jax.Array) -> PyTree:
        """The first state of a game."""

    def step(self, state: OneState, action: jax.Array, key: jax.Array) -> PyTree:
        """The state after `state.current_player` takes `action`: i32[], or f32[D] with continuous actions.

        The games of this repository take numbers of Python and of NumPy too; jzero itself gives arrays of JAX.
        """

    def observe(self, state: OneState) -> PyTree:
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

    def decide(self, state: OneState, action: jax.Array) -> PyTree:
        """The afterstate: what the player to move makes of `state` by `action` (i32[]), before chance."""

    def chance_logits(self, afterstate: Embedding) -> jax.Array:
        """f32[C]: log-probabilities of the outcomes, -inf where one is impossible.

        Where nothing is left to chance one outcome has probability 1; `certainty` is that.
        """

    def resolve(self, afterstate: Embedding, outcome: jax.Array) -> PyTree:
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
    """The key of a recorded game's first state (ply 0) or of its `ply`-th step, from the game's seed."""
    return jax.random.fold_in(jax.random.key(seed), ply)


def action_size(env: Any) -> int:
    """D, the numbers of a continuous action; 0 where actions are numbered."""
    return getattr(env, "action_size", 0)


def init_batch(env: Env, key: jax.Array, batch_size: int) -> States:
    """First states of `batch_size` games: every leaf has a leading axis [B]."""
    return jax.vmap(env.init)(jax.random.split(key, batch_size))


def step_batch(env: Env, states: States, actions: jax.Array, key: jax.Array) -> States:
    """One action (i32[B] or f32[B, D]) in each of B games, each with its own key split from `key`."""
    return jax.vmap(env.step)(states, actions, jax.random.split(key, actions.shape[0]))


def restart_batch(env: Env, states: States, key: jax.Array) -> States:
    """First states of the games that follow the finished `states` [B] in their lanes."""
    restart = getattr(env, "restart", None)
    keys = jax.random.split(key, states.terminated.shape[0])
    return jax.vmap(env.init)(keys) if restart is None else jax.vmap(restart)(states, keys)


def random_actions(states: States, key: jax.Array) -> jax.Array:
    """i32[B], uniform over the legal actions of each of `states` [B]; arbitrary where there is none."""
    logits = jnp.where(states.legal_action_mask, jnp.float32(0), -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def random_actions_in(env: Env, states: States, key: jax.Array) -> jax.Array:
    """`random_actions` where actions are numbered; continuous ones f32[B, D], uniform in [-1, 1]."""
    if not action_size(env):
        return random_actions(states, key)
    return random_vectors(key, (states.terminated.shape[0], action_size(env)))


def random_vectors(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """f32[*shape]: continuous actions, uniform in [-1, 1]."""
    return jax.random.uniform(key, shape, dtype=jnp.float32, minval=-1.0, maxval=1.0)


def where_rows(rows: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """Pytrees [B, ...]: `new` in the rows bool[B] that are marked, else `old`. The rows may have more axes."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(rows.shape + (1,) * (old.ndim - rows.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def observe_batch(env: Env, states: States) -> Observation:
    """Observations of B states, each from the side of its player to move."""
    return jax.vmap(env.observe)(states)


def shown(env: Env, state: OneState) -> Observation:
    """What AlphaZero's network is given of one state: an observation, or a `Revealed` one."""
    reveal, seen = getattr(env, "reveal", None), env.observe(state)
    return seen if reveal is None else Revealed(seen, reveal(state))


def reveal_batch(env: Env, states: States) -> Observation:
    """`shown` of B states."""
    return jax.vmap(lambda state: shown(env, state))(states)


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
