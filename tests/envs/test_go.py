"""Go against the rules played point by point, against pgx, and on boards made by hand."""

from functools import partial
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from jzero_envs.go import Go

from jzero import check_env
from jzero.evaluate.gtp import to_vertex
from tests.helpers.playing import Batched, assert_symmetry_keeps_games, compile_run, state_after
from tests.oracles import go as oracle

KEY = jax.random.key(0)
COLOURS = {1: oracle.BLACK, -1: oracle.WHITE, 0: None}
SMALL = Go(size=5)
RUN = compile_run(SMALL)


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


def play(vertices, run=RUN, size=5):
    """The state after these moves, such as "C3 D4 pass"."""
    return state_after(run, [action(name, size) for name in vertices.split()], length=2 * size**2)


def action(vertex, size=5):
    names = [to_vertex(number, size) for number in range(size**2 + 1)]
    return names.index(vertex)


def long_games(batched, num_games, seed, states=None):
    """States and actions of random games, up to their ends, in which a player seldom passes if others are legal."""
    rng = np.random.default_rng(seed)
    states = batched.init(num_games) if states is None else states
    while True:
        mask = states.legal_action_mask
        weights = rng.random(mask.shape) + mask
        weights[:, -1] -= 0.98 * mask[:, :-1].any(axis=1)
        actions = weights.argmax(axis=1)
        yield states, actions
        if states.terminated.all():
            return
        states = batched.step(states, actions)


# The rules.


def compared_with_the_rules(env, num_games, seed):
    """How many states were compared, and how many moves were forbidden by superko alone."""
    others = [oracle.Go(env.size, env.komi, env.ply_limit) for _ in range(num_games)]
    batched, owners = Batched(env), jax.jit(jax.vmap(partial(env.outcome_features, player=0)))
    over, compared, repeats = np.zeros(num_games, bool), 0, 0
    for states, actions in long_games(batched, num_games, seed):
        owned, seen = np.asarray(owners(states)), batched.observe(states)
        for game in np.flatnonzero(~over):
            other = others[game]
            over[game] = other.is_terminal()
            assert states.terminated[game] == over[game]
            legal = other.legal_actions()
            assert np.flatnonzero(states.legal_action_mask[game]).tolist() == legal
            assert states.rewards[game].tolist() == other.returns()
            board = [other.board.get(divmod(point, env.size)) for point in range(env.size**2)]
            assert [COLOURS[stone] for stone in states.stones[game].tolist()] == board
            assert [COLOURS[owner] for owner in owned[game].ravel().tolist()] == other.owners()
            compared += 1
            if over[game]:
                continue
            assert states.current_player[game] == other.current_player()
            planes = seen[game].reshape(env.size**2, -1)
            mover = other.mover
            for point, stone in enumerate(board):
                count = len(other.liberties(other.board, divmod(point, env.size))) if stone else 0
                expected = [stone == mover, stone == oracle.OTHER[mover], count == 1, count == 2, count > 2]
                assert planes[point, :6].tolist() == [*expected, point in legal]
                repeats += (
                    stone is None and point not in legal and other.after(divmod(point, env.size)) is not None
                )
            last = other.moves[-1:] == [env.size**2]
            assert (planes[:, 6:8] == [last, mover == oracle.WHITE]).all()
            np.testing.assert_allclose(planes[:, 8], len(other.moves) / env.ply_limit, rtol=1e-6)
            other.apply_action(int(actions[game]))
    assert over.all()
    return compared, repeats


@pytest.mark.parametrize(
    ("size", "komi", "max_plies", "games", "fewest"),
    [
        (2, 1.0, 30, 32, 20),
        (3, 0.0, 60, 24, 20),
        pytest.param(3, 0.0, 150, 400, 1_000, marks=pytest.mark.slow),
        pytest.param(4, 2, 100, 200, 100, marks=pytest.mark.slow),
        pytest.param(5, 7.5, 120, 100, 20, marks=pytest.mark.slow),
        pytest.param(9, 7.5, 200, 4, 1, marks=pytest.mark.slow),
    ],
)
def test_random_games_agree_with_the_rules(size, komi, max_plies, games, fewest):
    env = Go(size=size, komi=komi, max_plies=max_plies)
    compared, repeats = compared_with_the_rules(env, games, seed=size)
    assert compared > 8 * games
    assert repeats >= fewest


@pytest.mark.parametrize(("size", "count"), [(2, 57), pytest.param(3, 12_675, marks=pytest.mark.slow)])
def test_as_many_positions_are_legal_as_tromp_counted(size, count):
    """https://tromp.github.io/go/legal.html"""
    points = [divmod(point, size) for point in range(size**2)]
    found = 0
    for number in range(3 ** len(points)):
        kinds = [number // 3**i % 3 for i in range(len(points))]
        board = {
            p: (oracle.BLACK, oracle.WHITE)[kind - 1] for p, kind in zip(points, kinds, strict=True) if kind
        }
        found += oracle.is_legal_position(size, board)
    assert found == count


@pytest.mark.parametrize("size", [2, 5, pytest.param(9, marks=pytest.mark.slow)])
def test_areas_of_any_boards_are_the_rules(size):
    rng, boards = np.random.default_rng(size), []
    for share in (0.05, 0.2, 0.4, 0.6):
        boards += list(rng.choice([1, -1, 0], (60, size**2), p=[share / 2, share / 2, 1 - share]))
    # A way as long as can be: walls of one colour with a gap at one end and at the other in turn, along rows and
    # columns, and one stone of the other colour at its beginning or end.
    for corner in (0, -1):
        snake = np.zeros((size, size), int)
        snake[1::2] = 1
        snake[1::4, -1] = snake[3::4, 0] = 0
        snake[corner, 0] = -1
        boards += [snake.ravel(), snake.T.ravel(), -snake[::-1].ravel(), snake.T[:, ::-1].ravel()]
    boards = np.stack(boards).astype(np.int8)
    env = Go(size=size)
    state = env.init(KEY)
    found = jax.jit(jax.vmap(lambda stones: env.outcome_features(state._replace(stones=stones), 0)))(boards)
    for board, owners in zip(boards, np.asarray(found), strict=True):
        other = oracle.Go(size)
        other.board = {divmod(p, size): COLOURS[s] for p, s in enumerate(board.tolist()) if s}
        assert [COLOURS[owner] for owner in owners.ravel().tolist()] == other.owners()


def test_a_ko_is_taken_back_a_move_later():
    taken = play("B3 C3 C4 D4 C2 D2 A1 E3 D3")  # of the white stone on C3 D3 was the last liberty
    assert taken.stones[action("C3")] == 0
    assert not taken.legal_action_mask[action("C3")]
    assert play("B3 C3 C4 D4 C2 D2 A1 E3 D3 A5 A2").legal_action_mask[action("C3")]


def test_two_passes_end_the_game_and_one_does_not():
    one, two = play("C3 pass"), play("C3 pass pass")
    assert not one.terminated
    assert (two.terminated, two.rewards.tolist()) == (True, [1.0, -1.0])
    assert not two.legal_action_mask.any()
    assert play("pass pass").rewards.tolist() == [-1.0, 1.0]


def test_a_tie_is_a_draw_but_by_pgxs_rules_white_wins():
    for rules, rewards in (("tromp_taylor", [0.0, 0.0]), ("pgx", [-1.0, 1.0])):
        run = compile_run(Go(size=3, komi=9, rules=rules))
        assert play("B2 pass pass", run, 3).rewards.tolist() == rewards


def test_at_the_limit_the_position_is_scored():
    run = compile_run(Go(size=3, max_plies=3))
    states = run(np.array([4, 0, 5, 1], np.int32))
    assert states.terminated.tolist() == [False, False, True, True]
    assert not states.truncated.any()
    assert states.rewards.tolist() == [[0, 0], [0, 0], [-1, 1], [0, 0]]


@pytest.mark.parametrize("wrong", [-1, 12, 26])
def test_an_illegal_action_loses_and_keeps_the_board(wrong):
    before, after = play("C3"), state_after(RUN, [12, wrong], length=50)
    assert after.terminated
    assert after.rewards.tolist() == [1.0, -1.0]
    assert (after.stones == before.stones).all()
    assert not after.legal_action_mask.any()


# pgx.


@pytest.mark.parametrize(
    ("size", "games", "fewest"),
    [
        (3, 96, 1),
        (5, 16, 0),
        pytest.param(3, 512, 20, marks=pytest.mark.slow),
        pytest.param(5, 500, 1, marks=pytest.mark.slow),
        pytest.param(9, 120, 1, marks=pytest.mark.slow),
        pytest.param(19, 2, 0, marks=pytest.mark.slow),
    ],
)
def test_by_pgxs_rules_it_is_pgxs_game(size, games, fewest):
    """Masks, boards, rewards, ends and observations of random games, ply by ply; `fewest` are lost by superko."""
    other = pytest.importorskip("pgx.go", exc_type=ImportError).Go(size=size)
    batched, step = Batched(Go(size=size, rules="pgx")), jax.jit(jax.vmap(other.step))
    theirs = jax.jit(jax.vmap(other.init))(jax.random.split(KEY, games))
    seat = np.asarray(theirs.current_player)[:, None]  # of black, who is player 0 here
    going, compared, lost = np.ones(games, bool), 0, 0
    for states, actions in long_games(batched, games, seed=size):
        np.testing.assert_array_equal(states.terminated[going], np.asarray(theirs.terminated)[going])
        board, rewards = np.sign(np.asarray(theirs._x.board)), np.asarray(theirs.rewards)
        np.testing.assert_array_equal(states.stones[going], board[going])
        np.testing.assert_array_equal(states.rewards, np.where(seat == 1, rewards[:, ::-1], rewards))
        lost += (np.asarray(theirs._x.is_psk) & going).sum()
        compared += going.sum()
        going &= ~states.terminated
        np.testing.assert_array_equal(
            states.legal_action_mask[going], np.asarray(theirs.legal_action_mask)[going]
        )
        np.testing.assert_array_equal(batched.observe(states)[going], np.asarray(theirs.observation)[going])
        theirs = step(theirs, actions.astype(np.int32))
    assert not going.any()
    assert compared > 5 * games
    assert lost >= fewest


# What jzero asks of a game.


@pytest.mark.parametrize("rules", ["tromp_taylor", "pgx"])
def test_turned_and_mirrored_games_are_games(rules):
    batched = Batched(Go(size=3, rules=rules))
    assert len({tuple(symmetry.action) for symmetry in batched.env.symmetries}) == 7
    for symmetry in batched.env.symmetries:
        assert_symmetry_keeps_games(batched, symmetry, num_games=4, seed=3)


@pytest.mark.parametrize("rules", ["tromp_taylor", pytest.param("pgx", marks=pytest.mark.slow)])
def test_check_env_finds_nothing(rules):
    check_env(Go(size=3, rules=rules), num_games=8, max_plies=20)


def test_fingerprints_tell_positions_apart():
    env = Go(size=3, max_plies=40)
    batched, fingerprint = Batched(env), jax.jit(jax.vmap(env.fingerprint))
    codes, positions = {}, set()
    for states, _ in long_games(batched, 64, seed=4):
        for game, code in enumerate(np.asarray(fingerprint(states))):
            parts = (states.stones, states.legal_action_mask, states.ply, states.last_action == 9)
            position = tuple(part[game].tobytes() for part in (*parts, states.terminated))
            codes.setdefault(code.tobytes(), set()).add(position)
            positions.add(position)
    assert len(positions) > 500
    assert len(codes) == len(positions)
    assert all(len(same) == 1 for same in codes.values())


def test_the_order_of_moves_is_not_in_a_fingerprint():
    first, second = (SMALL.fingerprint(play(moves)) for moves in ("A1 B3 C3 D4", "C3 D4 A1 B3"))
    assert first.tolist() == second.tolist()
    assert first.tolist() != SMALL.fingerprint(play("A1 B3 D4 C3")).tolist()


@pytest.mark.parametrize(
    ("size", "rules", "count"),
    [(9, "tromp_taylor", 1649), (9, "pgx", 2153), (19, "tromp_taylor", 7971), (19, "pgx", 9035)],
)
def test_a_state_is_small(size, rules, count):
    state = jax.eval_shape(Go(size=size, rules=rules).init, KEY)
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, r"size is 1; expected an int from 2 to 19; leave it out for size=9"),
        ({"size": 9.0}, r"size is 9\.0; expected an int"),
        ({"komi": "7"}, r"komi is '7'; expected a finite number"),
        ({"komi": float("nan")}, r"komi is nan; expected a finite number"),
        ({"rules": "chinese"}, r"rules is 'chinese'; expected 'tromp_taylor' or 'pgx'"),
        ({"max_plies": 0}, r"max_plies is 0; expected an int of at least 1, or None"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Go(**options)


# Pictures and names.


def test_the_picture_shows_stones_and_the_last_move():
    drawing = ElementTree.fromstring(SMALL.svg(play("A5 B4 E1")))
    circles = list(drawing.iter("{http://www.w3.org/2000/svg}circle"))
    places = {
        kind: [(int(c.get("cx")) // 20, int(c.get("cy")) // 20) for c in circles if c.get("class") == kind]
        for kind in ("stone", "last")
    }
    assert places == {"stone": [(0, 0), (1, 1), (4, 4)], "last": [(4, 4)]}
    names = {
        t.text: (float(t.get("x")), float(t.get("y")))
        for t in drawing.iter("{http://www.w3.org/2000/svg}text")
    }
    (x, _), (_, y) = names["E"], names["1"]  # the last move, E1
    assert (x // 20, y // 20) == (4, 4)
    assert 'class="last"' not in SMALL.svg(play("A5 pass"))
    assert Go(size=9).svg(Go(size=9).init(KEY)).count('class="star"') == 9


def test_actions_have_the_names_of_gtp():
    state = SMALL.init(KEY)
    assert [SMALL.action_name(state, a) for a in range(26)] == [to_vertex(a, 5) for a in range(26)]
    assert Go(size=19).action_name(state, 18 * 19 + 8) == "J1"


def test_the_places_to_click_lie_on_the_points():
    places = SMALL.areas(SMALL.init(KEY))
    assert sorted(places) == list(range(26))
    assert places[action("B4")] == ((20, 20, 20, 20),)


def test_a_board_in_letters():
    assert SMALL.text(play("A5 B4")).splitlines() == [
        " 5 X . . . .",
        " 4 . O . . .",
        " 3 . . . . .",
        " 2 . . . . .",
        " 1 . . . . .",
        "   A B C D E",
        "last: B4",
    ]
