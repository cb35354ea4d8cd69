"""An agent as a Go engine: what GTP asks for, said by a searcher from a script; then a real process."""

import importlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from jzero_envs.adapters.pgx import PgxEnv
from jzero_envs.go import Go

from jzero.engine import go
from jzero.engine.clock import Clock
from jzero.engine.game import Game
from jzero.engine.gtp import COMMANDS, STREAMS, GtpServer
from jzero.evaluate import GtpProcess, gnu_go
from jzero.evaluate.gtp import to_action, to_vertex
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from jzero.run.engines import Config, open_engine
from tests.helpers.engines import FakeThinker, converse
from tests.helpers.runs import save_run
from tests.helpers.tiny import REPOSITORY, child_environment, tiny

pgx = pytest.importorskip("pgx", exc_type=ImportError)


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


@pytest.fixture(scope="module")
def games():
    """`games(size, rules)`: a game of pgx, or of this repository by `rules`; it is begun anew for every test."""
    made = {}

    def env(size, rules):
        if rules is not None:
            return Go(size=size, rules=rules)
        go = importlib.import_module("pgx.go").Go(size=size)
        return PgxEnv(f"go_{size}x{size}", size**2 + 1, 2, go)

    def game(size, rules):
        if (size, rules) not in made:
            made[size, rules] = Game(env(size, rules))
        made[size, rules].begin()
        return made[size, rules]

    return game


@pytest.fixture
def ask(games):
    """`ask(*commands)`: the answers of an engine to them; the game is in `ask.game` then."""

    def answers(*commands, size=5, rules=None, thinker=None, patience=0, **options):
        answers.game, searcher = games(size, rules), thinker or FakeThinker()

        def server(lines, write):
            return GtpServer(answers.game, searcher, lines, write, komi=7.5, version="1", **options)

        said = converse(server, "\n".join(commands), patience)
        assert said == "" or said.endswith("\n\n")
        return said[:-2].split("\n\n") if said else []

    return answers


def stones(answer):
    """The board of an answer to showboard, its rows from the top."""
    return ["".join(c for c in line if c in ".XO") for line in answer.splitlines()[2:-2]]


# The form of answers.


def test_an_answer_has_the_number_of_its_command(ask):
    assert ask("name", "12 protocol_version", "013 known_command play", "4 nothing", "5 known_command x") == [
        "= jzero",
        "=12 2",
        "=013 true",
        "?4 unknown command",
        "=5 false",
    ]


def test_comments_empty_lines_tabs_and_carriage_returns_are_no_part_of_a_command(ask):
    assert ask("# hello", "", "  \t ", "7\tname # what?\r", "#name", "\x01version\x7f\r") == [
        "=7 jzero",
        "= 1",
    ]


def test_every_command_is_listed_and_known(ask):
    listed, *known = ask("list_commands", *(f"known_command {name}" for name in [*COMMANDS, *STREAMS]))
    assert listed.removeprefix("= ").split("\n") == sorted([*COMMANDS, *STREAMS])
    assert set(known) == {"= true"}
    # GTP 2, section 6: what every engine must have; then what GoGui, Sabaki and twogtp ask for.
    needed = {"protocol_version", "name", "version", "known_command", "list_commands", "quit", "boardsize"}
    needed |= {"clear_board", "komi", "play", "genmove", "undo", "time_settings", "time_left", "final_score"}
    needed |= {
        "final_status_list",
        "showboard",
        "reg_genmove",
        "fixed_handicap",
        "lz-analyze",
        "kata-analyze",
    }
    assert needed <= {*COMMANDS, *STREAMS}


def test_quit_is_answered_and_ends_the_conversation(ask):
    assert ask("1 quit", "2 name") == ["=1"]


# The game.


def test_moves_are_played_and_shown(ask):
    *_, shown = ask("play black b2", "play W C3", "play b pass", "showboard")
    assert stones(shown) == [".....", ".....", "..O..", ".X...", "....."]
    assert shown.endswith("white to move, komi 7.5")
    assert "(O)" in ask("play b a1", "play w c3", "showboard")[-1]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("play b e6", "? invalid coordinate 'e6'"),
        ("play b i1", "? invalid coordinate 'i1'"),
        ("play red a1", "? syntax error: expected a colour, black or white"),
        ("play b", "? syntax error: expected a colour and a vertex"),
        ("play", "? syntax error: expected a colour, black or white"),
        ("genmove", "? syntax error: expected a colour, black or white"),
        ("undo", "? cannot undo"),
        ("boardsize 19", "? unacceptable size"),
        ("boardsize x", "? syntax error: expected 1 integer"),
        ("boardsize", "? syntax error: expected 1 integer"),
        ("komi x", "? syntax error: expected a number"),
        ("komi nan", "? syntax error: expected a number"),
        ("time_settings 1 2", "? syntax error: expected 3 integers"),
        ("time_settings -5 0 0", "? syntax error: expected times of at least 0"),
        (f"time_settings {'9' * 400} 0 0", "? syntax error: expected 3 integers"),
        ("kgs-time_settings often 1", "? syntax error: expected none, absolute, byoyomi or canadian"),
        ("final_status_list sick", "? syntax error: expected alive, dead or seki"),
        ("fixed_handicap 2", "? invalid number of stones: 2 on a board of 5 rows, there is none"),
        ("set_free_handicap a1 a1", "? bad vertex list: expected different points"),
        ("set_free_handicap a1", "? bad vertex list: expected at least two points"),
        ("boardsize " + "9" * 5000, "? syntax error: expected 1 integer"),
    ],
)
def test_what_cannot_be_done_is_refused(ask, command, said):
    assert ask(command) == [said]


def test_occupied_points_suicide_and_ko_are_illegal(ask):
    # Black takes at c3 by b3; white may not take back at once.
    ko = [
        f"play {color} {vertex}"
        for color, vertex in zip("bwbwbwb", ["b4", "c4", "a3", "d3", "b2", "c2", "e5"], strict=True)
    ]
    answers = ask(*ko, "play w b3", "play b c3", "play w b3", "play w c3", "showboard")
    assert answers[7:11] == ["=", "=", "? illegal move", "? illegal move"]
    assert stones(answers[-1]) == ["....X", ".XO..", "X.XO.", ".XO..", "....."]
    assert ask("play b a2", "play b b1", "play w a1")[-1] == "? illegal move"


@pytest.mark.parametrize("rules", [None, "pgx", "tromp_taylor"])
def test_a_move_that_brings_a_former_board_back_is_illegal_and_not_chosen(ask, rules):
    order = zip("bwbwbw", ["a2", "b1", "a1", "b2", "a2", "a1"], strict=True)
    moves = [f"play {color} {vertex}" for color, vertex in order]
    a2 = to_action("a2", 2)
    answers = ask(*moves, "play b a2", "genmove b", size=2, rules=rules, thinker=FakeThinker(wanted=[a2]))
    assert answers[:6] == ["="] * 6
    assert answers[6] == "? illegal move"
    assert answers[7] not in ("= A2", "= A1")
    mask = ask.game.positions[-2].states.legal_action_mask[0]
    assert mask[a2] == (rules != "tromp_taylor")  # pgx lets it be played


def test_a_colour_may_move_twice_and_first(ask):
    answers = ask(
        "play w a1", "play w a2", "play w a3", "play b e5", "showboard", "undo", "undo", "showboard"
    )
    assert stones(answers[4]) == [*("....X", "....."), "O....", "O....", "O...."]
    assert stones(answers[-1]) == [".....", ".....", ".....", "O....", "O...."]


def test_after_two_passes_the_game_goes_on(ask):
    passes = ["play b c3", "play w pass", "play b pass"]
    for more, board in ((["play w a1"], ["..X..", "O...."]), (["play b a1"], ["..X..", "X...."])):
        answers = ask(*passes, *more, "showboard", "undo", "undo", "showboard")
        assert set(answers[: len(passes) + 1]) == {"="}
        assert [line for line in stones(answers[4]) if line != "....."] == board
        assert stones(answers[-1])[2] == "..X.."
    assert ask(*passes, "play w pass", "play b pass", "play w a1")[-1] == "="
    # White passes, and moves again: black's pass between them is no end of the game.
    assert (
        ask("play b c3", "play w pass", "play w a1", "genmove b", thinker=FakeThinker(wanted=[6]))[-1]
        == "= B4"
    )


def test_a_board_is_set_up_anew(ask):
    for command in ("clear_board", "boardsize 5"):
        answers = ask("play b a1", command, "showboard", "undo")
        assert stones(answers[2]) == ["....."] * 5
        assert answers[3] == "? cannot undo"


@pytest.mark.parametrize("rules", [None, "tromp_taylor"])
def test_another_komi_counts_in_the_score(ask, rules):
    commands = ("play b c3", "final_score", "komi 0.5", "final_score", "komi 25", "final_score")
    assert ask(*commands, rules=rules)[1::2] == [
        "= B+17.5",
        "= B+24.5",
        "= 0",
    ]


def test_all_stones_live(ask):
    answers = ask(
        "play b a1", "play w c3", "play b a2", *(f"final_status_list {s}" for s in ("alive", "dead", "seki"))
    )
    assert answers[3:] == ["= C3\nA2 A1", "=", "="]


@pytest.mark.parametrize("size", [7, 9, 13, 19])
def test_handicap_stones_are_where_gnu_go_puts_them(size, ask):
    try:
        other = gnu_go(size, 7.5, level=1)
    except ImportError as error:
        pytest.skip(str(error))
    with other:
        for number in range(2, 10 if size > 7 else 5):
            wanted = other.ask("clear_board", f"fixed_handicap {number}")[1].split()
            assert sorted(go.fixed_handicap(number, size)) == sorted(wanted)
    with pytest.raises(ValueError, match="expected 2 to"):
        go.fixed_handicap(1, size)


def test_after_a_handicap_white_moves(ask):
    answers = ask("set_free_handicap a1 b2 c3", "showboard", "undo", "showboard", "fixed_handicap 2", size=7)
    assert answers[0] == "="
    assert answers[1].endswith("white to move, komi 7.5")
    assert stones(answers[1])[-3:] == ["..X....", ".X.....", "X......"]
    assert stones(answers[3]) == ["." * 7] * 7
    assert answers[4] == "= C3 E5"
    assert ask("play b a1", "fixed_handicap 2", size=7)[-1] == "? board not empty"


@pytest.mark.parametrize("rules", [None, "tromp_taylor"])
def test_random_moves_are_answered_as_gnu_go_does(ask, rules):
    """Legal or not, and the board after them, for a tenth of all random commands out of turn or illegal."""
    try:
        other = gnu_go(5, 7.5, level=1)
    except ImportError as error:
        pytest.skip(str(error))
    rng, compared, refused = random.Random(0), 0, 0
    with other:
        for _ in range(6):
            color, commands, wanted = 0, [], []
            other.ask("clear_board")
            for _ in range(40):
                color = color if rng.random() < 0.1 else 1 - color
                command = f"play {'bw'[color]} {to_vertex(rng.randrange(25), 5)}"
                try:
                    other.ask(command)
                    wanted.append("=")
                except Exception:
                    wanted.append("?")
                    refused += 1
                commands.append(command)
            answers = ask(*commands, "showboard", rules=rules)
            assert [answer[0] for answer in answers[:-1]] == wanted
            board = np.zeros(25, np.int32)
            for sign, said in zip((1, -1), other.ask("list_stones black", "list_stones white"), strict=True):
                board[[to_action(vertex, 5) for vertex in said.split()]] = sign
            assert "".join(stones(answers[-1])) == "".join(".XO"[x] for x in board)
            compared += len(commands)
    assert compared == 240
    assert 20 < refused < 220


# Searches.


def test_a_move_is_searched_and_played(ask):
    thinker = FakeThinker(wanted=[12, 12, 25])
    answers = ask("genmove b", "genmove w", "3 genmove b", "showboard", thinker=thinker, simulations=10)
    assert answers[:3] == ["= C3", "= A5", "=3 pass"]
    assert [simulations for simulations, _ in thinker.asked] == [10, 10, 10]
    assert stones(answers[3]) == ["O....", ".....", "..X..", ".....", "....."]


def test_a_move_that_is_asked_for_by_the_way_is_not_played(ask):
    answers = ask("reg_genmove w", "showboard", "undo", thinker=FakeThinker(wanted=[12]))
    assert answers[0] == "= C3"
    assert stones(answers[1]) == ["....."] * 5
    assert answers[2] == "? cannot undo"


def test_a_search_is_as_long_as_the_clock_allows(ask):
    thinker = FakeThinker(most=400, speed=100.0)
    ask("time_settings 50 0 0", "genmove b", thinker=thinker)
    long = thinker.asked[-1][0]
    assert 100 < long <= 200  # 50 s / 25 moves at 100 simulations a second
    thinker.asked.clear()
    ask(
        "time_settings 50 0 0",
        "time_left b 1 0",
        "genmove b",
        "time_left w 0 0",
        "genmove w",
        thinker=thinker,
    )
    assert [simulations for simulations, _ in thinker.asked] == [1, 1]
    thinker.asked.clear()
    ask("time_settings 0 10 0", "genmove b", "kgs-time_settings none", "genmove w", thinker=thinker)
    assert [simulations for simulations, _ in thinker.asked] == [400, 400]
    thinker.asked.clear()
    ask("time_settings 50 0 0", "genmove b", thinker=thinker, simulations=8)
    assert thinker.asked[-1][0] == 8


def test_clocks_have_main_time_and_periods():
    absolute = Clock(100.0)
    assert 2 < absolute.seconds() < 5
    canadian = Clock(1.0, 30.0, 10)
    canadian.used(2.0)
    assert (canadian.left, canadian.to_play) == (30.0, 10)
    canadian.used(6.0)
    assert canadian.to_play == 9
    assert canadian.seconds() == pytest.approx(24 / 9, abs=0.1)
    for _ in range(9):
        canadian.used(1.0)
    assert (canadian.left, canadian.to_play) == (30.0, 10)
    japanese = Clock(0.0, 30.0, 1, japanese=True)
    assert 25 < japanese.seconds() < 30
    japanese.said(12.0, 5)  # of the third period before the last one
    assert 10 < japanese.seconds() < 12
    assert Clock(-1.0).seconds() == 0


def test_an_analysis_goes_on_until_the_next_line(ask):
    thinker = FakeThinker(most=100, wanted=[12] * 9)
    answers = ask("5 lz-analyze b 10", "6 name", thinker=thinker, patience=20)
    first, *lines = answers[0].split("\n")
    assert first == "=5"
    assert len(lines) == len(thinker.asked) > 3
    numbers = [simulations for simulations, _ in thinker.asked]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 100
    assert lines[-1] == (
        "info move C3 visits 100 winrate 7500 prior 385 order 0 pv C3 "
        "info move A5 visits 2 winrate 2500 prior 385 order 1 pv A5 "
        "info move B5 visits 1 winrate 5000 prior 385 order 2 pv B5"
    )
    assert answers[1] == "=6 jzero"
    assert thinker.asked[0][1] == list(range(26))


def test_an_analysis_ends_at_once(ask):
    thinker = FakeThinker(looks=10**9)
    (said,) = ask("kata-analyze 10", thinker=thinker)
    assert said.startswith("=\ninfo move A5 visits 10 winrate 0.7500 prior 0.0385 order 0 pv A5 info")
    assert len(thinker.asked) == 1


def test_an_analysed_move_is_played(ask):
    said, shown = ask("8 lz-genmove_analyze b 20", "showboard", thinker=FakeThinker(wanted=[12]))
    lines = said.split("\n")
    assert lines[0] == "=8"
    assert lines[1].startswith("info move C3 visits 64")
    assert lines[-1] == "play C3"
    assert stones(shown)[2] == "..X.."


def test_gogui_shows_what_the_agent_thinks(ask):
    listed, value, prior, before, _, visits = ask(
        "gogui-analyze_commands", "jzero-value", "jzero-prior", "jzero-visits", "genmove b", "jzero-visits"
    )
    assert {line.rpartition("/")[2] for line in listed.removeprefix("= ").split("\n")} <= COMMANDS.keys()
    assert value == "= 0.250"
    rows = [[float(x) for x in line.split()] for line in prior.split("\n")[1:]]
    assert np.shape(rows) == (5, 5)
    assert rows[0][0] == pytest.approx(1 / 26, abs=1e-3)
    assert set(before.split()) == {"=", "0"}
    assert visits.split("\n")[1].split()[0] == "64"


def test_odd_input_is_answered_and_nothing_fails(ask):
    rng = random.Random(0)
    words = [
        *COMMANDS,
        *STREAMS,
        "b",
        "w",
        "a1",
        "e5",
        "pass",
        "-3",
        "0",
        "7",
        "1e9",
        "\xff",
        "é",
        "٣",
        "=",
        "?",
        "resign",
    ]
    words.remove("quit")
    lines = [" ".join(rng.choices(words, k=rng.randrange(5))) for _ in range(300)]
    answers = ask(*lines, "99 name", thinker=FakeThinker(most=2))
    assert answers[-1] == "=99 jzero"
    assert all(answer[:1] in "=?" for answer in answers)


def test_a_game_that_is_not_go_is_refused():
    env = make("tic_tac_toe")
    with pytest.raises(ValueError, match=r"env is .* give a run of go, pgx:go_9x9"):
        GtpServer(Game(env), FakeThinker(), None, None, komi=7.5)


# A process of its own.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny(env="pgx:go_9x9", network=NetworkSettings(width=16, blocks=1))
    return save_run(tmp_path_factory.mktemp("go"), config)


def test_a_run_is_an_engine_that_other_programs_can_start(run, cache, monkeypatch):
    for name, value in child_environment(cache).items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "jzero", "gtp", f"{run}:8"]
    with GtpProcess(command, size=9, komi=7.5, timeout=300) as engine:
        assert engine.name.startswith("jzero ")
        first = engine.choose([40])
        assert first != 40
        assert engine.choose([40]) == first
        assert engine.final_score([40]) == 81 - 7.5
        engine.ask("clear_board", "time_settings 1 0 0", "genmove b", "genmove w")
        # An analysis ends with the next command, whose answer follows.
        begun = time.monotonic()
        info, said = engine.ask("kata-analyze b 10", "name")
        assert said == "jzero"
        assert info.startswith("info move ")
        assert time.monotonic() - begun < 5
    assert engine._process.returncode == 0


@pytest.mark.parametrize(
    ("name", "most", "words"),
    [
        ("{}/nothing", None, "there is no such run"),
        ("random", None, "an opponent; give the directory"),
        ("{}:0", None, "at least 1 simulation"),
        ("{}:9", 4, "--max-simulations is 4; expected at least 9"),
        ("{}", 0, "--max-simulations is 0; expected at least 1"),
    ],
)
def test_an_engine_without_a_run_or_simulations_is_refused(run, name, most, words):
    with pytest.raises(ValueError, match=words):
        open_engine(Config(run=name.format(run), max_simulations=most))


def test_simulations_are_those_of_the_command_line(run):
    named, free = open_engine(Config(run=f"{run}:9")), open_engine(Config(run=str(run)))
    assert (named.simulations, named.thinker.most) == (9, 9)
    assert (free.simulations, free.thinker.most) == (None, 512)


def test_a_run_of_another_game_is_an_error_beside_the_protocol(tmp_path, cache):
    command = [sys.executable, "-m", "jzero", "gtp", str(save_run(tmp_path, tiny()))]
    environment = child_environment(cache)
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "give a run of go, pgx:go_9x9" in ended.stderr
    assert "Traceback" not in ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_games_against_gnu_go_have_no_error(run, cache):
    try:
        gnu_go(9, 7.5, level=1).close()
    except ImportError as error:
        pytest.skip(str(error))
    command = [sys.executable, "experiments/benchmarks/engine_games.py", f"{run}:8", "--games", "2"]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=child_environment(cache), cwd=REPOSITORY, check=False
    )
    assert ended.stdout.splitlines()[-1:] == ["2 games without an error"], ended.stderr[-2000:]
