"""Quoridor against OpenSpiel, against brute force on mazes, and against its own images."""

import random
from functools import cache, partial
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from jax.sharding import PartitionSpec as P
from jzero_envs import quoridor
from jzero_envs.quoridor import Quoridor, QuoridorState

import jzero
from jzero import check_env
from jzero.env import init_batch, is_finished, observe_batch, step_batch
from tests.helpers.playing import Batched, assert_symmetry_keeps_games, compile_run, state_after
from tests.oracles.quoridor import Quoridor as Oracle

SMALL = Quoridor(size=5, walls=3)
TINY = Quoridor(size=3, walls=2)
BATCHED = Batched(SMALL)
RUN = compile_run(SMALL)
pytestmark = pytest.mark.usefixtures("quick_compilation")


def play(actions, run=RUN):
    return state_after(run, actions, length=8)


def row(states, index):
    return jax.tree.map(lambda leaf: leaf[index], states)


def absolute(env, state, actions):
    """Action ids on the board as it is drawn, of actions that the state's mover sees."""
    return env.turn[actions] if state.current_player else np.asarray(actions)


def board(env, state):
    """Pawns (of player 0 and player 1) and walls bool[2, M, M], as the board is drawn."""
    m = env.size - 1
    flat = (state.walls[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1 == 1
    walls = flat.reshape(2, -1)[:, : m * m].reshape(2, m, m)
    pawns, left = [int(cell) for cell in state.pawns], [int(count) for count in state.walls_left]
    if state.current_player == 1:
        walls, pawns = walls[:, ::-1, ::-1], [env.size**2 - 1 - cell for cell in pawns[::-1]]
        left = left[::-1]
    return pawns, left, walls


# OpenSpiel.


def openspiel_ids(env, actions, mover_cell):
    """OpenSpiel's ids of actions on the board as it is drawn: pawn moves are steps, jumps count as steps."""
    n, m = env.size, env.size - 1
    ids = []
    for action in actions:
        if action < n * n:
            rows, columns = action // n - mover_cell // n, action % n - mover_cell % n
            if abs(rows) == 2 or abs(columns) == 2:
                rows, columns = rows // 2, columns // 2
            ids.append(2 + 2 * columns + (2 + 2 * rows) * (2 * n - 1))
        else:
            vertical, anchor = divmod(action - n * n, m * m)
            r, c = divmod(anchor, m)
            x, y = (2 * c + 1, 2 * r) if vertical else (2 * c, 2 * r + 1)
            ids.append(x + y * (2 * n - 1))
    return ids


def drawn(env, pawns, left, walls):
    """The position as OpenSpiel draws it (its observation tensor leaves the walls out)."""
    n = env.size
    lines = [[" "] * (4 * n + 1) for _ in range(2 * n - 1)]
    for r, c in np.ndindex(n, n):
        lines[2 * r][3 + 4 * c] = "0" if r * n + c == pawns[0] else "@" if r * n + c == pawns[1] else "."
    for r, c in np.argwhere(walls[0]):
        lines[2 * r + 1][2 + 4 * c : 9 + 4 * c] = "---+---"
    for r, c in np.argwhere(walls[1]):
        for line, sign in ((2 * r, "|"), (2 * r + 1, "+"), (2 * r + 2, "|")):
            lines[line][5 + 4 * c] = sign
    letters = "   " + "   ".join(map(chr, range(97, 97 + n)))
    text = [f"Board size: {n}, walls: {left[0]}, {left[1]}", letters]
    for index, line in enumerate(lines):
        row = index // 2 + 1
        text.append("".join([f"{row:2}", *line[2:], f"{row:2}"] if index % 2 == 0 else line).rstrip())
    return [*text, letters]


def record_games(env, num_games, num_plies, seed):
    """Random games [T, G]: states and actions, half of the games with few walls early on."""
    return jax.tree.map(np.asarray, compile_games(env, num_games, num_plies)(jax.random.key(seed)))


@cache
def compile_games(env, num_games, num_plies):
    def ply(states, key):
        rarely = jnp.arange(num_games) % 2 == 1
        is_wall = np.arange(env.num_actions) >= env.size**2
        scores = jax.random.gumbel(key, (num_games, env.num_actions))
        scores -= 4.0 * (rarely[:, None] & is_wall)
        actions = jnp.argmax(jnp.where(states.legal_action_mask, scores, -jnp.inf), axis=1)
        return step_batch(env, states, actions, key), (states, actions)

    @jax.jit
    def games(key):
        return jax.lax.scan(ply, init_batch(env, key, num_games), jax.random.split(key, num_plies))[1]

    return games


def assert_openspiel_agrees(env, num_games, seed):
    """Compares every state of random games with OpenSpiel; returns how many, and how many games the limit ended."""
    states, actions = record_games(env, num_games, env.ply_limit + 1, seed)
    game = pyspiel.load_game(
        "quoridor",
        {"players": 2, "board_size": env.size, "wall_count": env.walls, "ansi_color_output": False},
    )
    assert game.max_game_length() == env.ply_limit
    compared = limited = 0
    for lane in range(num_games):
        other = game.new_initial_state()
        for ply in range(env.ply_limit + 1):
            state = row(states, (ply, lane))
            compared += 1
            pawns, left, walls = board(env, state)
            assert [line.rstrip() for line in str(other).splitlines()] == drawn(env, pawns, left, walls)
            assert state.terminated == other.is_terminal()
            assert not state.truncated
            assert state.rewards.tolist() == list(other.returns())
            legal = absolute(env, state, np.flatnonzero(state.legal_action_mask))
            if other.is_terminal():
                assert legal.size == 0
                limited += ply == env.ply_limit
                break
            assert state.current_player == other.current_player()
            cell = pawns[state.current_player]
            assert sorted(openspiel_ids(env, legal, cell)) == other.legal_actions()
            action = absolute(env, state, actions[ply, lane])
            other.apply_action(openspiel_ids(env, [action], cell)[0])
        assert other.is_terminal()
    return compared, limited


OPENSPIEL_GAMES = [(3, 2, 60), (5, 3, 30), (7, 6, 14), (9, 10, 8)]


@pytest.mark.parametrize(("size", "walls", "games"), OPENSPIEL_GAMES)
def test_random_games_agree_with_openspiel(size, walls, games):
    env = Quoridor(size=size, walls=walls, openspiel_limit=True)
    compared, _ = assert_openspiel_agrees(env, games, seed=size)
    assert compared > 500


@pytest.mark.slow
def test_fifty_thousand_states_agree_with_openspiel():
    counts = [
        assert_openspiel_agrees(
            Quoridor(size=size, walls=walls, openspiel_limit=True), factor * games, seed=100
        )
        for size, walls, games, factor in (
            (3, 2, 60, 5),
            (3, 10, 60, 5),
            (5, 3, 30, 8),
            (5, 10, 30, 8),
            (7, 6, 14, 8),
            (9, 10, 8, 13),
            (9, 20, 8, 8),
        )
    ]
    print("states:", sum(compared for compared, _ in counts))
    assert sum(compared for compared, _ in counts) >= 50_000
    assert sum(limited for _, limited in counts) > 20


# Brute force.


def random_maze(size, rng, *, adjacent, dense):
    """A position with random walls; the pawns side by side or anywhere but on their goals."""
    position = Oracle(size, walls=99)
    position.mover = rng.randrange(2)
    while True:
        own = (rng.randrange(size), rng.randrange(size))
        down, right = rng.choice([(0, 1), (1, 0), (0, -1), (-1, 0)])
        other = (own[0] + down, own[1] + right) if adjacent else (rng.randrange(size), rng.randrange(size))
        if own != other and position.on_board(other) and own[0] != 0 and other[0] != size - 1:
            break
    position.pawns = [own, other]
    every = [(kind, r, c) for kind in "hv" for r in range(size - 1) for c in range(size - 1)]
    rng.shuffle(every)
    for wall in every if dense else every[: rng.randrange(len(every))]:
        if position.fits(wall) and position.both_can_arrive(position.walls | {wall}):
            position.walls.add(wall)
            if dense and rng.random() < 0.02:
                break
    return position


@cache
def compile_position(env):
    def make(walls, pawns, left, player, ply):
        return env.position(walls=walls, pawns=pawns, walls_left=left, current_player=player, ply=ply)

    return jax.jit(jax.vmap(make))


ROWS = {3: 160, 5: 160, 7: 32, 9: 32}  # of the one program that judges positions of a size


def states_of(env, positions, rows=None):
    """[G] the environment's states of the oracle's positions, judged among so many `rows`."""
    m, count = env.size - 1, len(positions)
    rows = ROWS.get(env.size, count) if rows is None else rows
    positions = [*positions, *positions[:1] * (rows - count)]
    walls = np.zeros((len(positions), 2, m, m), bool)
    for game, position in enumerate(positions):
        for kind, r, c in position.walls:
            walls[game, "hv".index(kind), r, c] = True
    pawns = [[r * env.size + c for r, c in position.pawns] for position in positions]
    left, player = [position.left for position in positions], [position.mover for position in positions]
    ply = [position.ply for position in positions]
    states = compile_position(env)(walls, np.array(pawns), np.array(left), np.array(player), np.array(ply))
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], states)


@pytest.mark.parametrize(
    ("size", "mazes"),
    [(3, 150), (5, 100), (7, 24), (9, 10), pytest.param(11, 3, marks=pytest.mark.slow), (13, 2)],
)
def test_mazes_agree_with_brute_force(size, mazes):
    env, rng = Quoridor(size=size, walls=99), random.Random(size)
    positions = [random_maze(size, rng, adjacent=game % 2 == 0, dense=game % 3 == 0) for game in range(mazes)]
    states = states_of(env, positions)
    cut = 0
    for game, position in enumerate(positions):
        state = row(states, game)
        legal = absolute(env, state, np.flatnonzero(state.legal_action_mask))
        assert sorted(legal.tolist()) == position.legal_actions()
        fitting = [(k, r, c) for k in "hv" for r in range(size - 1) for c in range(size - 1)]
        cut += sum(map(position.fits, fitting)) - sum(action >= size**2 for action in legal)
    assert cut > mazes // 2  # walls that fit, but would cut a pawn off


def test_observed_distances_and_walls_agree_with_brute_force():
    size = 5
    env, rng = Quoridor(size=size, walls=99), random.Random(0)
    positions = [random_maze(size, rng, adjacent=False, dense=game % 2 == 0) for game in range(40)]
    seen = np.asarray(jax.jit(lambda states: observe_batch(env, states))(states_of(env, positions)))
    assert seen.shape == (40, size, size, 16)
    assert seen.dtype == np.float32
    unreachable = 0
    for planes, position in zip(seen, positions, strict=True):
        planes = planes if position.mover == 0 else planes[::-1, ::-1][..., TURNED]
        mover, blocked = position.mover, position.blocked(position.walls)
        for cell in np.ndindex(size, size):
            view = planes[cell]
            assert view[:2].tolist() == [cell == position.pawns[mover], cell == position.pawns[1 - mover]]
            walls = [
                (kind, cell[0] + r, cell[1] + c) in position.walls
                for kind in "hv"
                for r in (-1, 0)
                for c in (-1, 0)
            ]
            assert view[2:10].tolist() == walls
            assert view[12:14].tolist() == [1.0, 1.0]
            for plane, player in ((10, mover), (11, 1 - mover)):
                moves = position.distance(cell, player, blocked)
                unreachable += moves is None
                assert np.isclose(view[plane], 3 if moves is None else min(moves, 3 * size) / size)
                pawn = position.distance(position.pawns[player], player, blocked)
                assert np.isclose(view[plane + 4], pawn / size)
    assert unreachable > 0


def snake(size):
    """bool[2, M, M]: horizontal walls that leave one cell of every row open below, right and left in turn."""
    walls = np.zeros((2, size - 1, size - 1), bool)
    walls[0, 0::2, 0::2] = walls[0, 1::2, 1::2] = True
    return walls


def snake_position(env, walls_left):
    """A state with the walls of a snake and the pawns in its ends, its `way_lengths` and its observation."""

    @jax.jit
    def make(walls, pawns, left):
        state = env.position(walls=walls, pawns=pawns, walls_left=left)
        return state, env.way_lengths(state), env.observe(state)

    return jax.tree.map(
        np.asarray, make(snake(env.size), np.array([env.size**2 - 1, 0]), np.full(2, walls_left))
    )


@pytest.mark.parametrize("size", [3, 5, 9])
def test_ways_along_a_snake_have_the_greatest_length(size):
    env = Quoridor(size=size, walls=99)
    _, lengths, seen = snake_position(env, walls_left=0)
    ahead = 1 + np.arange(size * (size - 1)).reshape(size - 1, size)
    ahead[0::2] = ahead[0::2, ::-1]
    to_the_top = np.concatenate([np.zeros((1, size), int), ahead])
    assert (lengths[0] == to_the_top).all()
    assert lengths[0].max() == lengths[1].max() == size**2 - size
    assert np.allclose(seen[..., 10], np.minimum(to_the_top, 3 * size) / size)


@cache
def walls_and_pawns(size, mazes):
    """Words of the walls of random mazes and of a snake, 2 x n of u32[R], and cells of the pawns, 2 x i32[R]."""
    rng = random.Random(size)
    positions = [random_maze(size, rng, adjacent=False, dense=game % 2 == 0) for game in range(mazes)]
    states = states_of(Quoridor(size=size, walls=99), positions)
    whole, _, _ = snake_position(Quoridor(size=size), walls_left=1)
    states = jax.tree.map(lambda many, one: np.concatenate([many, one[None]]), states, whole)
    return list(states.walls.reshape(mazes + 1, -1).T), list(states.pawns.astype(np.int32).T)


@pytest.mark.parametrize(
    ("size", "mazes"), [(3, 60), (5, 60), pytest.param(7, 10, marks=pytest.mark.slow), (9, 10)]
)
def test_a_fixed_number_of_rounds_finds_the_same_closing_walls(size, mazes):
    walls, pawns = walls_and_pawns(size, mazes)
    judge = jax.jit(partial(quoridor._closing_walls, size), static_argnums=2)
    some = judge(walls, pawns, quoridor._label_pieces)
    assert any(np.asarray(word).any() for word in some)
    jax.tree.map(np.testing.assert_array_equal, judge(walls, pawns, quoridor._label_pieces_at_once), some)


@pytest.mark.parametrize("size", [3, 5, 9])
@pytest.mark.parametrize("far", [False, True])
def test_a_flood_of_a_fixed_number_of_rounds_reaches_the_same_cells(size, far, monkeypatch):
    monkeypatch.setattr(quoridor, "UNROLLED_MOVES", 2)  # compiles sooner
    walls, _ = walls_and_pawns(size, 20)
    limit = size**2 if far else 3 * size
    moves = min(limit - 1, size**2 - size)

    def flood(form, horizontal, vertical):
        return form(size, moves, limit, *quoridor._passages(size, horizontal, vertical))

    halves = tuple(walls[: len(walls) // 2]), tuple(walls[len(walls) // 2 :])
    forms = quoridor._flood, quoridor._flood_at_once
    jax.tree.map(np.testing.assert_array_equal, *(jax.jit(partial(flood, form))(*halves) for form in forms))


# Planes after a turn of the board: the corners of a cell change places.
TURNED = [0, 1, 5, 4, 3, 2, 9, 8, 7, 6, *range(10, 16)]


# Images of the game.


def test_the_mirror_image_is_the_same_game():
    (mirror,) = SMALL.symmetries
    assert mirror.action[[0, 4, 25, 28, 41, 40]].tolist() == [4, 0, 28, 25, 44, 37]
    limited = Batched(Quoridor(size=5, walls=3, openspiel_limit=True))
    assert_symmetry_keeps_games(limited, limited.env.symmetries[0], num_games=64, seed=2)


@pytest.mark.parametrize("size", [5, 9])
def test_mirrored_mazes_have_mirrored_actions_and_observations(size):
    env, rng = Quoridor(size=size, walls=99), random.Random(1)
    positions, images = [], []
    for game in range(32):
        position = random_maze(size, rng, adjacent=game % 2 == 0, dense=False)
        image = Oracle(size, walls=99)
        image.mover = position.mover
        image.pawns = [(r, size - 1 - c) for r, c in position.pawns]
        image.walls = {(kind, r, size - 2 - c) for kind, r, c in position.walls}
        positions.append(position)
        images.append(image)
    states, mirrored = states_of(env, positions), states_of(env, images)
    (mirror,) = env.symmetries
    assert (states.legal_action_mask == mirrored.legal_action_mask[:, mirror.action]).all()
    observe = jax.jit(lambda states: observe_batch(env, states))
    seen = [mirror.observation(view) for view in observe(states)]
    assert (np.array(seen) == np.asarray(observe(mirrored))).all()


def test_the_turned_game_with_exchanged_seats_is_the_same_game():
    env, rng = Quoridor(size=5, walls=99), random.Random(2)
    positions, images = [], []
    for game in range(32):
        position = random_maze(5, rng, adjacent=game % 2 == 0, dense=False)
        image = Oracle(5, walls=99)
        image.mover = 1 - position.mover
        image.pawns = [(4 - r, 4 - c) for r, c in position.pawns[::-1]]
        image.walls = {(kind, 3 - r, 3 - c) for kind, r, c in position.walls}
        positions.append(position)
        images.append(image)
    states, turned = states_of(env, positions), states_of(env, images)
    batched, choices = Batched(env), np.random.default_rng(0)
    for _ in range(20):
        assert (states.legal_action_mask == turned.legal_action_mask).all()
        assert (batched.observe(states) == batched.observe(turned)).all()
        assert (states.rewards == turned.rewards[:, ::-1]).all()
        assert (is_finished(states) == is_finished(turned)).all()
        actions = (choices.random(states.legal_action_mask.shape) + states.legal_action_mask).argmax(axis=1)
        states, turned = batched.step(states, actions), batched.step(turned, actions)
    assert states.terminated.any()


def test_turning_actions_twice_gives_them_back():
    assert (SMALL.turn[SMALL.turn] == np.arange(57)).all()
    assert SMALL.turn[[0, 24, 25, 40, 41, 56]].tolist() == [24, 0, 40, 25, 56, 41]


# The protocol.


def test_check_env_finds_nothing():
    check_env(SMALL)


def test_quoridor_is_found_by_name():
    assert jzero.make("quoridor?size=5&walls=3") == SMALL
    assert jzero.make("quoridor").num_actions == 209


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 4}, r"size is 4; expected an odd int of at least 3; leave it out for size=9"),
        ({"size": 1}, r"size is 1; expected an odd int"),
        ({"size": 5.0}, r"size is 5.0; expected an odd int"),
        ({"walls": -1}, r"walls is -1; expected an int from 0 to 65535; leave it out for walls=10"),
        ({"walls": True}, r"walls is True; expected an int"),
        (
            {"max_plies": 0},
            r"max_plies is 0; expected an int of at least 1, or None; leave it out",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quoridor(**arguments)


@pytest.mark.parametrize("action", [57, -1, 0, 22, 10_000, -57])
def test_an_illegal_action_loses_at_once(action):
    for opening, rewards in (([], [-1.0, 1.0]), ([17], [1.0, -1.0])):
        before, after = play([*opening, 17] if opening else [17]), play([*opening, action])
        del before
        assert after.terminated
        assert after.rewards.tolist() == rewards
        assert not after.legal_action_mask.any()
        assert after.current_player == len(opening)


def test_an_overlapping_wall_loses():
    wall = 25 + 5
    state = play([wall])
    assert not state.legal_action_mask[SMALL.turn[[wall, wall - 1, wall + 1, wall + 16]]].any()
    after = play([wall, SMALL.turn[wall]])
    assert after.terminated
    assert after.rewards.tolist() == [1.0, -1.0]
    assert (after.walls == state.walls).all()


def test_finished_states_stay():
    walk = [17, 17, 12, 0]  # the pawns meet in the middle: the last one is no legal move, so player 1 loses
    states = RUN(np.array([*walk, 25, 26, 3, 17], np.int32))
    assert states.terminated.tolist() == [False] * 3 + [True] * 5
    assert states.rewards[3:].tolist() == [[1.0, -1.0]] + [[0.0, 0.0]] * 4
    last = row(states, 3)._replace(rewards=0)
    jax.tree.map(np.testing.assert_array_equal, last, row(states, 6)._replace(rewards=0))


def race(env):
    """Player 0 walks straight up, player 1 steps aside first."""
    return play([17, 21, 12, 16, 7, 11, 2], compile_run(env))


def test_the_first_on_the_far_side_wins():
    state = race(SMALL)
    assert state.terminated
    assert not state.truncated
    assert state.rewards.tolist() == [1.0, -1.0]
    assert not state.legal_action_mask.any()


@pytest.mark.parametrize("limit", [6, 7])
@pytest.mark.parametrize("openspiel_limit", [False, True])
def test_the_ply_limit_cuts_the_game_short(limit, openspiel_limit):
    state = race(Quoridor(size=5, walls=3, max_plies=limit, openspiel_limit=openspiel_limit))
    assert state.ply == limit
    won = limit == 7 and not openspiel_limit
    assert state.terminated == (won or openspiel_limit)
    assert state.truncated == (limit == 6 and not openspiel_limit)
    assert not state.legal_action_mask.any()
    assert state.rewards.tolist() == ([1.0, -1.0] if won else [0.0, 0.0])


def test_plies_are_seen_only_where_their_limit_is_a_rule():
    first = jax.tree.map(np.asarray, init_batch(SMALL, jax.random.key(0), 2))
    rule = Quoridor(size=5, walls=3, openspiel_limit=True, distances=False)
    later = first._replace(ply=np.array([0, 25], first.ply.dtype))

    def seen(env):
        both = jax.jit(lambda states: (observe_batch(env, states), jax.vmap(env.fingerprint)(states)))
        return jax.tree.map(np.asarray, both(later))

    observed, fingerprints = seen(SMALL)
    assert (observed[0] == observed[1]).all()
    assert (fingerprints[0] == fingerprints[1]).all()
    observed, fingerprints = seen(rule)
    assert (fingerprints[0] != fingerprints[1]).any()
    assert observed[1].shape == (5, 5, 13)
    assert (observed[1, ..., 12] == 0.25).all()


def test_without_walls_only_pawns_move():
    state = Quoridor(size=5, walls=0).init(jax.random.key(0))
    assert np.flatnonzero(state.legal_action_mask).tolist() == [17, 21, 23]
    assert np.isfinite(Quoridor(size=5, walls=0).observe(state)).all()


def test_fingerprints_tell_positions_apart_and_know_transpositions():
    fingerprint = jax.jit(jax.vmap(SMALL.fingerprint))
    states, _ = record_games(SMALL, 64, 60, seed=3)
    states = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)
    codes = {}
    fields = (*(states.walls, states.pawns, states.walls_left), states.current_player, states.terminated)
    for code, *parts in zip(np.asarray(fingerprint(states)), *fields, strict=True):
        codes.setdefault(code.tobytes(), set()).add(b"".join(part.tobytes() for part in parts))
    assert len(codes) > 1_000
    assert all(len(positions) == 1 for positions in codes.values())
    assert len(set.union(*codes.values())) == len(codes)
    few = [play(actions) for actions in ([25, 30, 28, 34], [28, 34, 25, 30], [25], [41])]
    one, other, left, right = fingerprint(jax.tree.map(lambda *leaves: np.stack(leaves), *few))
    assert (one == other).all()
    assert (left != right).any()


def test_batching_in_any_way_gives_the_same_states():
    recorded, actions = record_games(TINY, 24, 4, seed=4)
    states, actions = row(recorded, 3), actions[3]
    assert not states.terminated.all()
    key = jax.random.key(0)
    step = lambda state, action: TINY.step(state, action, key)  # noqa: E731
    step_rows = jax.jit(jax.vmap(step))
    batched = step_rows(states, actions)
    nested = jax.tree.map(lambda leaf: leaf.reshape(4, 6, *leaf.shape[1:]), (states, actions))
    twice = jax.jit(jax.vmap(jax.vmap(step)))(*nested)
    one_by_one = jax.jit(lambda states, actions: jax.lax.map(lambda pair: step(*pair), (states, actions)))(
        states, actions
    )
    repeated = jax.tree.map(lambda leaf: np.repeat(leaf[:1], 24, axis=0), states)
    one_state = jax.jit(jax.vmap(step, in_axes=(None, 0)))(row(states, 0), actions)
    jax.tree.map(np.testing.assert_array_equal, one_state, step_rows(repeated, actions))
    for index in range(24):
        want = row(batched, index)
        jax.tree.map(np.testing.assert_array_equal, want, row(one_by_one, index))
        jax.tree.map(np.testing.assert_array_equal, want, row(twice, (index // 6, index % 6)))


def test_under_shard_map_the_states_are_the_same():
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))

    def ahead(states):
        def ply(states, _):
            return step_batch(
                TINY, states, jnp.argmax(states.legal_action_mask, axis=1), jax.random.key(0)
            ), None

        states = jax.lax.scan(ply, states, None, length=5)[0]
        return states, observe_batch(TINY, states)

    states = row(record_games(TINY, 24, 4, seed=5)[0], 1)
    assert not states.terminated.any()
    rows = P("devices")
    sharded = jax.jit(jax.shard_map(ahead, mesh=mesh, in_specs=(rows,), out_specs=(rows, rows)))(states)
    jax.tree.map(np.testing.assert_array_equal, sharded, jax.jit(ahead)(states))


def test_many_rows_are_judged_in_several_chunks():
    rng = random.Random(7)
    env, positions = Quoridor(size=5, walls=99), []
    while len(positions) < 150:
        positions.append(random_maze(5, rng, adjacent=False, dense=False))
        positions[-1].left[positions[-1].mover] = len(positions) % 5  # the mover of every fifth has none
    whole = states_of(env, positions, rows=150)
    for start in (0, 50, 100):
        part = states_of(env, positions[start : start + 50], rows=50)
        jax.tree.map(np.testing.assert_array_equal, part, row(whole, slice(start, start + 50)))


def test_a_state_takes_251_bytes():
    state = jax.eval_shape(Quoridor().init, jax.random.key(0))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) == 251


def test_svg_shows_the_board_as_it_is_drawn():
    state = play([25, 17, 17])
    assert isinstance(state, QuoridorState)
    drawing = ElementTree.fromstring(SMALL.svg(state))
    shapes = list(drawing.iter())
    assert sum(shape.get("class") == "cell" for shape in shapes) == 25
    (wall,) = [shape for shape in shapes if shape.get("class") == "wall"]
    assert (wall.get("x"), wall.get("y"), wall.get("width")) == ("2", "18", "36")
    pawns = [(c.get("cx"), c.get("cy"), c.get("fill")) for c in shapes if c.tag.endswith("circle")]
    assert pawns == [("50", "70", "#dc2626"), ("50", "30", "#2563eb")]
    assert [shape.text for shape in shapes if shape.tag.endswith("text")] == ["walls: 2", "walls: 3"]
