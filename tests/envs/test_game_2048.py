"""2048: moves and merges equal those of a plain Python version and of pgx; symmetries, scores, ends, chance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.game_2048 import Game2048, can_slide_left, slide_left

from jzero import check_env, make
from jzero.env import init_batch, random_actions, step_batch
from tests.oracles import game_2048 as oracle

KEY = jax.random.key(0)
pytestmark = pytest.mark.usefixtures("quick_compilation")


def random_boards(seed, count, size, largest=7):
    """i8[count, size, size] of all densities, with equal neighbours more often than not."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(1, rng.integers(2, largest + 1, size=(count, 1, 1)), size=(count, size, size))
    filled = rng.random((count, size, size)) < rng.random((count, 1, 1)) * 1.2
    return np.where(filled, tiles, 0).astype(np.int8)


def as_tiles(board):
    return tuple(tuple(0 if x == 0 else 2 ** int(x) for x in row) for row in board)


def states_of(env, boards):
    """States with these boards and all four actions allowed or not by the rules."""
    start = env.init(KEY)

    def one(board):
        turned = jnp.stack([jnp.rot90(board, turns) for turns in range(4)])
        return start._replace(board=board, legal_action_mask=can_slide_left(turned))

    return jax.vmap(one)(jnp.asarray(boards))


@functools.partial(jax.jit, static_argnums=0)
def all_moves(env, boards):
    """(states [N], afterstates [4, N]) of the boards."""
    states = states_of(env, boards)
    return states, jax.vmap(jax.vmap(env.decide, in_axes=(0, None)), in_axes=(None, 0))(states, jnp.arange(4))


@pytest.mark.parametrize(("size", "count"), [(2, 600), (3, 1000), (4, 2000), (6, 1000)])
def test_moves_equal_those_of_plain_python(size, count):
    env, boards = Game2048(size), random_boards(size, count, size)
    states, after = all_moves(env, boards)
    legal = np.asarray(states.legal_action_mask)
    moved, gains, over = (np.asarray(x) for x in (after.board, after.rewards[..., 0], after.terminated))
    legal_moves = 0
    for n, board in enumerate(boards):
        tiles = as_tiles(board)
        for action in range(4):
            expected, score = oracle.slide(tiles, action)
            assert legal[n, action] == (expected != tiles)
            if legal[n, action]:
                legal_moves += 1
                assert as_tiles(moved[action, n]) == expected
                assert gains[action, n] == score
                assert not over[action, n]
            else:
                assert over[action, n]
                assert gains[action, n] == -1
    assert 0.2 < legal_moves / (4 * len(boards)) < 0.99


def test_moves_equal_those_of_pgx_on_20000_boards():
    pgx_2048 = pytest.importorskip("pgx.play2048")
    env, boards = Game2048(), random_boards(9, 20_000, 4, largest=16)
    states, after = all_moves(env, boards)

    @jax.jit
    def theirs(boards):
        def one(board, turns):
            lines, reward = jax.vmap(pgx_2048._slide_and_merge)(jnp.rot90(board, turns).astype(jnp.int32))
            return jnp.rot90(lines, -turns), reward.sum()

        moved = [jax.vmap(lambda board, t=t: one(board, t))(boards) for t in range(4)]
        legal = jax.vmap(lambda board: pgx_2048._legal_action_mask(board.astype(jnp.int32)))(boards)
        return *(jnp.stack(x) for x in zip(*moved, strict=True)), legal

    moved, rewards, legal = (np.asarray(x) for x in theirs(boards))
    np.testing.assert_array_equal(states.legal_action_mask, legal)
    allowed = legal.T
    np.testing.assert_array_equal(np.asarray(after.board)[allowed], moved[allowed])
    np.testing.assert_array_equal(np.asarray(after.rewards[..., 0])[allowed], rewards[allowed])
    assert allowed.sum() > 30_000


def test_the_new_tile_is_a_two_in_nine_cases_of_ten_on_any_empty_cell():
    env = Game2048(3)
    board = jnp.array([[1, 0, 2], [0, 3, 0], [1, 2, 1]], jnp.int8)
    after = jax.tree.map(lambda x: np.asarray(x)[0, 0], all_moves(env, board[None])[1])
    resolve = jax.jit(env.resolve)
    chances = {}
    for outcome, logit in enumerate(np.asarray(env.chance_logits(after))):
        if np.isfinite(logit):
            placed = resolve(after, np.int32(outcome))
            chances[as_tiles(np.asarray(placed.board))] = float(np.exp(logit))
    expected = {board: float(chance) for chance, board in oracle.new_tiles(as_tiles(np.asarray(after.board)))}
    assert chances == pytest.approx(expected, rel=1e-5)


def test_a_board_without_moves_ends_the_game():
    env = Game2048(2)
    after, resolve = (
        jax.jit(env.init)(KEY)._replace(board=np.array([[1, 2], [3, 0]], np.int8)),
        jax.jit(env.resolve),
    )
    assert resolve(after, np.int32(6)).terminated  # 2 4 / 8 2
    assert not resolve(after, np.int32(7)).terminated  # 2 4 / 8 4


def test_scores_add_up_and_are_scaled():
    env = Game2048(3, score_scale=8.0)
    states, total = init_batch(env, KEY, 32), 0.0
    step = jax.jit(lambda states, key: step_batch(env, states, random_actions(states, key), key))
    assert ((np.asarray(states.board) > 0).sum(axis=(1, 2)) == 2).all()
    for ply in range(150):
        states = step(states, jax.random.fold_in(KEY, ply))
        total = total + np.asarray(states.rewards[:, 0])
    assert states.terminated.all()
    np.testing.assert_allclose(total * 8, states.score)
    assert (np.asarray(states.score) > 0).all()


@pytest.mark.parametrize("size", [2, 4])
def test_symmetries_turn_moves_with_the_board(size):
    env, boards = Game2048(size), random_boards(11, 300, size)
    states, after = all_moves(env, boards)
    assert len(env.symmetries) == 7
    images = set()
    for symmetry in env.symmetries:
        turn = jax.jit(jax.vmap(symmetry.observation))
        turned = np.asarray(turn(boards))
        others, other_after = all_moves(env, turned)
        images.add(turned[:20].tobytes())
        for action, image in enumerate(symmetry.action):
            np.testing.assert_array_equal(
                others.legal_action_mask[:, image], states.legal_action_mask[:, action]
            )
            moved = np.asarray(turn(after.board[action]))
            legal = np.asarray(states.legal_action_mask[:, action])
            np.testing.assert_array_equal(other_after.board[image][legal], moved[legal])
    assert len(images) == 7


def test_observation_and_fingerprint_tell_boards_apart():
    env, boards = Game2048(), random_boards(12, 2000, 4, largest=15)

    @jax.jit
    def seen(boards):
        states = states_of(env, boards)
        return jax.vmap(env.observe)(states), jax.vmap(env.fingerprint)(states)

    observed, codes = map(np.asarray, seen(boards))
    np.testing.assert_array_equal(observed.argmax(axis=-1), boards)
    assert (observed.sum(axis=-1) == 1).all()
    assert len(np.unique(codes, axis=0)) == len(np.unique(boards, axis=0))


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_environment_keeps_the_protocol(size):
    check_env(make("2048", size=size), num_games=4, max_plies=150)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"size": 7}, "size is 7"), ({"score_scale": 0}, "scale is 0")]
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Game2048(**arguments)


def test_lines_of_the_largest_tiles():
    lines, gain = slide_left(jnp.array([[16, 16, 0, 1], [1, 1, 1, 1], [2, 1, 1, 2], [0, 0, 3, 3]], jnp.int8))
    assert lines.tolist() == [[17, 1, 0, 0], [2, 2, 0, 0], [2, 2, 2, 0], [4, 0, 0, 0]]
    assert gain.tolist() == [2**17, 8, 4, 16]
