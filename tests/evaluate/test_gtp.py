"""Go programs over GTP: names of moves, a fake program's good and bad manners, and GNU Go next to pgx's rules."""

import importlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jzero_envs.adapters.pgx import PgxEnv
from jzero_envs.go import Go

from jzero.evaluate import GtpError, GtpProcess, Turn, gnu_go, gtp, gtp_player, play_match, random_player
from jzero.evaluate.gtp import to_action, to_vertex
from jzero.registry import make
from tests.helpers.playing import Batched, random_games

FAKE = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "fake_gtp.py")]
KEY = jax.random.key(0)
SIZE = 9
PASS = SIZE**2


def fake(moves="E5", *habits, size=SIZE, timeout=20.0):
    return GtpProcess([*FAKE, moves, *habits], size=size, komi=7.5, timeout=timeout)


# Names of moves.


@pytest.mark.parametrize(
    ("size", "action", "vertex"),
    [
        (9, 0, "A9"),
        (9, 8, "J9"),
        (9, 7, "H9"),
        (9, 72, "A1"),
        (9, 80, "J1"),
        (9, 12, "D8"),
        (9, 81, "pass"),
        (19, 18, "T19"),
        (19, 360, "T1"),
        (19, 361, "pass"),
    ],
)
def test_points_are_named_by_column_without_i_and_row_from_the_bottom(size, action, vertex):
    assert to_vertex(action, size) == vertex
    assert to_action(vertex.lower(), size) == action


@pytest.mark.parametrize("size", [2, 9, 19, 25])
def test_names_and_actions_are_one_to_one(size):
    names = [to_vertex(action, size) for action in range(size**2 + 1)]
    assert len(set(names)) == size**2 + 1
    assert [to_action(name, size) for name in names] == list(range(size**2 + 1))


@pytest.mark.parametrize("vertex", ["I5", "K5", "E0", "E10", "E", "", "5", "E-1", "5E", "resign"])
def test_what_is_no_point_is_refused(vertex):
    with pytest.raises(
        ValueError, match=f"expected pass or a point such as C3 of a board of 9 rows, got '{vertex}'"
    ):
        to_action(vertex, SIZE)


# A program as a player.


def test_a_program_is_told_the_whole_game_and_answers_a_move():
    with fake("C3") as engine:
        assert engine.name == "Fake 1.0"
        assert engine.choose([0, PASS, 80]) == 56
        assert engine.ask("log") == [
            "name; version; boardsize 9; clear_board; komi 7.5; "
            "clear_board; play black A9; play white pass; play black J1; genmove white"
        ]


def test_a_player_asks_for_marked_rows_only():
    with fake("A9,pass") as engine:
        turn = Turn(None, [[1], [2], [3, 4]], np.array([True, False, True]), KEY)
        assert gtp_player(engine)(turn).tolist() == [0, 0, PASS]
        assert engine.ask("log")[0].endswith(
            "clear_board; play black B9; genmove white; clear_board; play black D9; play white E9; genmove black"
        )


def test_an_opinion_of_the_score_is_blacks():
    with fake() as engine:
        assert engine.final_score([0, 1]) == -3.5


# Bad manners.


@pytest.mark.parametrize("answer", ["Z9", "E10", "hello"])
def test_an_answer_that_is_no_point_is_an_error_with_the_answer(answer):
    with (
        fake(answer) as engine,
        pytest.raises(GtpError, match=rf"answered genmove after \[3\]: .* got '{answer}'"),
    ):
        engine.choose([3])


def test_a_program_that_resigns_is_told_how_not_to():
    with fake("resign") as engine, pytest.raises(GtpError, match=r"resigned after \[\].*--never-resign"):
        engine.choose([])


def test_a_refusal_is_an_error_with_the_programs_words_and_leaves_no_answer_behind():
    with fake("E5", "--refuse", "play") as engine:
        with pytest.raises(GtpError, match="refused 'play black A9': illegal move"):
            engine.choose([0, 1])
        assert engine.choose([]) == 40


def test_settings_that_a_program_refuses_are_an_error():
    with pytest.raises(GtpError, match="refused 'boardsize 25'"):
        fake("E5", "--refuse", "boardsize", size=25)


@pytest.mark.parametrize("command", ["genmove", "komi"])
def test_a_program_that_dies_is_an_error_with_its_last_words(command):
    def play():
        with fake("E5", "--die", command) as engine:
            engine.choose([0])

    with pytest.raises(
        GtpError, match=rf"ended at '{command} .*' with exit code 3; its output: no stones left$"
    ):
        play()


def test_a_program_that_died_stays_dead():
    with fake("E5", "--die", "genmove") as engine:
        for said in ("ended at 'genmove black'", "has been closed; start a new GtpProcess"):
            with pytest.raises(GtpError, match=said):
                engine.choose([])


def test_a_program_that_hangs_is_ended_after_its_time(monkeypatch):
    monkeypatch.setattr(gtp, "GRACE", 0.5)
    with fake("E5", "--hang", "genmove") as engine:
        engine._timeout = 1.0  # not before it has started, which takes longer on a busy machine
        begun = time.monotonic()
        with pytest.raises(GtpError, match="no answer to 'genmove black' within 1 s and was ended"):
            engine.choose([])
        assert 1.0 <= time.monotonic() - begun < 10.0
        assert engine._process.poll() is not None


def test_a_program_of_another_tongue_is_an_error():
    with pytest.raises(GtpError, match="does not speak GTP: it answered 'name' with 'Welcome to Go!'"):
        fake("E5", "--babble", "name")


def test_a_missing_program_is_one_line_with_the_command():
    with pytest.raises(ImportError, match=r"no-such-go is not installed.*apt-get install gnugo") as error:
        GtpProcess(["no-such-go"], size=SIZE, komi=7.5)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"size": 26}, "size: .* 2 to 25, got 26"), ({"timeout": 0}, "timeout: .* > 0, got 0")],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        GtpProcess(FAKE, **{"size": SIZE, "komi": 7.5, **settings})


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_ends_with_its_block_politely_or_not(monkeypatch):
    for habits in ([], ["--deaf"]):
        if habits:
            monkeypatch.setattr(gtp, "GRACE", 0.5)
        with fake("E5", *habits) as engine:
            child = engine._process
            assert child.poll() is None
        assert child.returncode == (-9 if habits else 0)
        engine.close()
        with pytest.raises(GtpError, match="has been closed"):
            engine.choose([])


def test_a_program_ends_with_python():
    code = (
        "import sys; from jzero.evaluate import GtpProcess, gtp; gtp.GRACE = 0.5; "
        "engine = GtpProcess(sys.argv[1:], size=9, komi=7.5); print(engine._process.pid)"
    )
    command = [sys.executable, "-c", code, *FAKE, "E5", "--deaf"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not is_running(int(found.stdout))


# GNU Go, where it is installed.


@pytest.fixture(scope="module")
def go(quick_compilation):
    pytest.importorskip("pgx", exc_type=ImportError)
    return Batched(make("pgx:go_9x9"))


@pytest.fixture(scope="module")
def gnu():
    try:
        engine = gnu_go(SIZE, 7.5, level=1)
    except ImportError as error:
        pytest.skip(str(error))
    with engine:
        yield engine


def pgx_go(size):
    """pgx's Go on a board of any size."""
    return importlib.import_module("pgx.go").Go(size=size)


def stones(engine):
    """i32[N^2]: 1 where GNU Go has a black stone, -1 a white one."""
    board = np.zeros(engine.size**2, np.int32)
    for sign, answer in zip((1, -1), engine.ask("list_stones black", "list_stones white"), strict=True):
        board[[to_action(vertex, engine.size) for vertex in answer.split()]] = sign
    return board


def stones_after(engine, history):
    """The board after a game's actions."""
    engine.ask(*engine._replay(history))
    return stones(engine)


def area(board):
    """Black's points by Tromp and Taylor, less white's: stones, and empty regions that reach one colour only."""
    score, seen = int(board.sum()), set()
    for start in np.flatnonzero(board == 0).tolist():
        if start in seen:
            continue
        region, reached, open_points = {start}, set(), [start]
        while open_points:
            row, column = divmod(open_points.pop(), SIZE)
            for r, c in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                point = SIZE * r + c
                if not (0 <= r < SIZE and 0 <= c < SIZE) or point in region:
                    continue
                if board[point]:
                    reached.add(int(board[point]))
                else:
                    region.add(point)
                    open_points.append(point)
        seen |= region
        score += sum(reached) * len(region) if len(reached) == 1 else 0
    return score


@pytest.mark.parametrize(("size", "num_games"), [(3, 40), (9, 8)])
def test_gnu_gos_board_and_legal_moves_are_pgxs_in_random_games(size, num_games, go, gnu):
    if size != SIZE:  # where a board comes back soon
        go = Batched(PgxEnv(f"go_{size}x{size}", size**2 + 1, 2, pgx_go(size)))
    plies = list(random_games(go, num_games, seed=0))
    compared, captures, repeats = 0, 0, 0
    with gnu_go(size, 7.5, level=1) as engine:
        for game in range(num_games):
            engine.ask("clear_board")
            before = np.zeros(size**2, np.int32)
            for color, (states, actions) in zip(itertools.cycle(("black", "white")), plies, strict=False):
                board, mask = np.sign(states._x.board[game]), states.legal_action_mask[game]
                assert (stones(engine) == board).all()
                if states.terminated[game]:
                    break
                legal = [to_action(vertex, size) for vertex in engine.ask(f"all_legal {color}")[0].split()]
                assert mask[[*legal, size**2]].all()
                mask = mask.copy()
                mask[[*legal, size**2]] = False
                for action in np.flatnonzero(mask):  # brings a former board back
                    after = go.step(states, np.where(np.arange(num_games) == game, action, actions))
                    assert after.terminated[game]
                    assert after.rewards[game, states.current_player[game]] == -1
                    repeats += 1
                if actions[game] not in {*legal, size**2}:
                    break
                engine.ask(f"play {color} {to_vertex(actions[game], size)}")
                captures += ((before != 0) & (board == 0)).any()
                before, compared = board, compared + 1
    assert compared > (500 if size == SIZE else 200)
    assert captures > 50
    assert repeats > 0 or size == SIZE


@pytest.mark.parametrize(("size", "num_games"), [(3, 24), pytest.param(9, 8, marks=pytest.mark.slow)])
def test_gnu_gos_board_and_legal_moves_are_the_native_games(size, num_games, gnu):
    """By positional superko both, so that no move is left out of the comparison."""
    plies = list(random_games(Batched(Go(size=size)), num_games, seed=0))
    compared, forbidden = 0, 0
    with gnu_go(size, 7.5, level=1) as engine:
        for game in range(num_games):
            engine.ask("clear_board")
            for color, (states, actions) in zip(itertools.cycle(("black", "white")), plies, strict=False):
                assert (stones(engine) == states.stones[game]).all()
                if states.terminated[game]:
                    break
                legal = [to_action(vertex, size) for vertex in engine.ask(f"all_legal {color}")[0].split()]
                mask = states.legal_action_mask[game]
                assert sorted({*legal, size**2}) == np.flatnonzero(mask).tolist()
                engine.ask(f"play {color} {to_vertex(actions[game], size)}")
                forbidden += (~mask[:-1] & (states.stones[game] == 0)).sum()
                compared += 1
    assert compared > 100
    assert forbidden > 50


def test_gnu_go_plays_legal_moves_in_random_positions(go, gnu):
    asked, histories = 0, [[] for _ in range(12)]
    for ply, (states, actions) in enumerate(random_games(go, num_games=12, seed=1)):
        for game in np.flatnonzero(~states.terminated):
            if (ply + game) % 8 == 0:
                assert states.legal_action_mask[game, gnu.choose(histories[game])]
                asked += 1
            histories[game].append(int(actions[game]))
    assert asked > 100


@pytest.mark.slow
def test_games_that_gnu_go_ends_are_worth_the_same_to_pgx(go, gnu):
    states, histories = go.init(6), [[7 * game] for game in range(6)]
    black = states.current_player
    states, rewards = go.step(states, np.arange(6) * 7), np.zeros((6, 2))
    while not states.terminated.all():
        actions = np.full(6, PASS)
        for game in np.flatnonzero(~states.terminated):
            actions[game] = gnu.choose(histories[game])
            histories[game].append(int(actions[game]))
        states = go.step(states, actions)
        rewards += states.rewards
    ended_by_passes = 0
    for game, history in enumerate(histories):
        assert (stones_after(gnu, history) == np.sign(states._x.board[game])).all()
        score = area(np.sign(states._x.board[game])) - 7.5
        assert rewards[game, black[game]] == np.sign(score)
        if history[-2:] == [PASS, PASS]:
            assert gnu.final_score(history) == score
            ended_by_passes += 1
    assert ended_by_passes >= 4


@pytest.mark.slow
def test_gnu_go_beats_random_play_and_repeats_itself(go, gnu):
    results = [
        play_match(go.env, gtp_player(gnu), random_player(go.env), num_games=4, key=KEY, opening_plies=2)
        for _ in range(2)
    ]
    assert results[0].wins == 4
    assert results[0].histories == results[1].histories
