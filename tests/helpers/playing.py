"""What the tests of the games share: batched random play, next to other implementations of the rules."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jzero.env import Env, Symmetry, init_batch, observe_batch, step_batch
from tests.oracles.games import LineGame


class Batched:
    """An environment's functions over a batch, compiled once, with numpy arrays on both sides. G games."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self._step = jax.jit(lambda states, actions: step_batch(env, states, actions, jax.random.key(0)))
        self._observe = jax.jit(lambda states: observe_batch(env, states))

    def init(self, num_games: int) -> Any:
        return jax.tree.map(np.asarray, init_batch(self.env, jax.random.key(0), num_games))

    def step(self, states: Any, actions: np.ndarray) -> Any:
        return jax.tree.map(np.asarray, self._step(states, np.asarray(actions, np.int32)))

    def observe(self, states: Any) -> np.ndarray:
        return np.asarray(self._observe(states))


class Ply(NamedTuple):
    states: Any
    actions: np.ndarray  # i32[G]: legal, but for games that are finished


def random_games(batched: Batched, num_games: int, seed: int) -> Iterator[Ply]:
    """Random games up to the ply at which all are finished, that ply included."""
    rng = np.random.default_rng(seed)
    states = batched.init(num_games)
    while True:
        weights = rng.random(states.legal_action_mask.shape) + states.legal_action_mask
        actions = weights.argmax(axis=1)
        yield Ply(states, actions)
        if states.terminated.all():
            return
        states = batched.step(states, actions)


def assert_same_game(batched: Batched, referee: Callable[[], Any], num_games: int, seed: int) -> int:
    """Plays random games next to `referee` (an OpenSpiel state or an oracle); returns the states compared."""
    referees = [referee() for _ in range(num_games)]
    over = np.zeros(num_games, bool)
    compared = 0
    for states, actions in random_games(batched, num_games, seed):
        observations = batched.observe(states)
        for game in np.flatnonzero(~over):
            other, state = referees[game], jax.tree.map(lambda leaf, game=game: leaf[game], states)
            over[game] = other.is_terminal()
            assert state.terminated == over[game]
            assert np.flatnonzero(state.legal_action_mask).tolist() == other.legal_actions()
            assert state.rewards.tolist() == list(other.returns())
            if isinstance(other, LineGame):
                assert (observations[game] == planes(other)).all()
            if not over[game]:
                assert state.current_player == other.current_player()
                other.apply_action(int(actions[game]))
            compared += 1
    assert over.all()
    return compared


def planes(position: LineGame) -> np.ndarray:
    """What `observe` must return: the mover's stones and the opponent's, [rows, columns, 2]."""
    board = np.array([[-1 if stone is None else stone for stone in row] for row in position.board])
    return np.stack([board == position.mover, board == 1 - position.mover], axis=-1).astype(np.float32)


def assert_symmetry_keeps_games(
    batched: Batched, symmetry: Symmetry, num_games: int, seed: int, images: Any = None
) -> None:
    """Random games and their images, side by side, agree in everything at every ply.

    `images` are the first states' images where they are not those states themselves.
    """
    images = batched.init(num_games) if images is None else images
    for states, actions in random_games(batched, num_games, seed):
        seen = np.stack([symmetry.observation(view) for view in batched.observe(states)])
        assert (seen == batched.observe(images)).all()
        assert (states.legal_action_mask == images.legal_action_mask[:, symmetry.action]).all()
        assert (states.terminated == images.terminated).all()
        assert (states.rewards == images.rewards).all()
        images = batched.step(images, symmetry.action[actions])


def assert_fingerprints_tell_apart(
    batched: Batched, stones: Callable[[Any], np.ndarray], num_games: int, seed: int
) -> int:
    """Of random games' states, those that differ in stones, mover or end have other fingerprints, and only those.

    Returns:
        how many there are.
    """
    fingerprint = jax.jit(jax.vmap(batched.env.fingerprint))
    codes: dict[bytes, set[tuple[bytes, ...]]] = {}
    for states, _ in random_games(batched, num_games, seed):
        fields = (stones(states), states.current_player, states.terminated)
        for code, *position in zip(np.asarray(fingerprint(states)), *fields, strict=True):
            codes.setdefault(code.tobytes(), set()).add(tuple(field.tobytes() for field in position))
    assert all(len(positions) == 1 for positions in codes.values())
    assert len(set.union(*codes.values())) == len(codes)
    return len(codes)


def assert_any_actions_are_safe(
    run: Callable[[np.ndarray], Any], oracle: Callable[[], Any], actions: list[int]
) -> None:
    """Any actions at all: legal ones follow the rules, an illegal one loses at once, then nothing changes.

    `run` maps actions i32[T] to the states after each of them, every leaf [T, ...].
    """
    states, position = run(np.array(actions, np.int32)), oracle()
    finished_at = None
    for ply, action in enumerate(actions):
        now = jax.tree.map(lambda leaf, ply=ply: leaf[ply], states)
        if finished_at is not None:
            ended = jax.tree.map(lambda leaf, end=finished_at: leaf[end], states)
            assert now.rewards.tolist() == [0.0, 0.0]
            jax.tree.map(np.testing.assert_array_equal, now._replace(rewards=0), ended._replace(rewards=0))
            continue
        legal = position.legal_actions()
        if action in legal:
            position.apply_action(action)
            assert now.terminated == position.is_terminal()
            assert now.rewards.tolist() == position.returns()
        else:
            assert now.terminated
            assert now.rewards.tolist() == ([-1.0, 1.0] if position.mover == 0 else [1.0, -1.0])
            assert not now.legal_action_mask.any()
        finished_at = ply if now.terminated else None


def compile_run(env: Env) -> Callable[[np.ndarray], Any]:
    """The `run` that `assert_any_actions_are_safe` asks for, compiled for one length of actions."""

    @jax.jit
    def run(actions: jax.Array) -> Any:
        def step(state: Any, action: jax.Array) -> tuple[Any, Any]:
            state = env.step(state, action, jax.random.key(0))
            return state, state

        return jax.lax.scan(step, env.init(jax.random.key(0)), actions)[1]

    return lambda actions: jax.tree.map(np.asarray, run(actions))


def state_after(run: Callable[[np.ndarray], Any], actions: list[int], length: int) -> Any:
    """The state after `actions`, of which there are at most `length`: that `run` is compiled for."""
    states = run(np.pad(np.array(actions, np.int32), (0, length - len(actions))))
    return jax.tree.map(lambda leaf: leaf[len(actions) - 1], states)
