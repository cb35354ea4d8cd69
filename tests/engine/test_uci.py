"""An agent as a chess engine: what UCI asks for, said by a searcher from a script; then a real process."""

import random
import re
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jzero.engine import chess
from jzero.engine.clock import for_move
from jzero.engine.game import Game
from jzero.engine.uci import COMMANDS, UciServer, centipawns
from jzero.networks.make import NetworkSettings
from jzero.registry import make
from tests.helpers.engines import FakeThinker, converse
from tests.helpers.runs import save_run
from tests.helpers.tiny import REPOSITORY, child_environment, tiny

pgx = pytest.importorskip("pgx", exc_type=ImportError)


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


@pytest.fixture(scope="module")
def game():
    return Game(make("pgx:chess"))


@pytest.fixture
def tell(game):
    """`tell(*lines)`: the lines that an engine says to them; `tell.server` is the engine then."""
    game.begin()

    def answers(*lines, thinker=None, patience=10**6, **options):
        def server(source, write):
            answers.server = UciServer(game, thinker or FakeThinker(), source, write, **options)
            return answers.server

        return converse(server, "\n".join(lines), patience).splitlines()

    return answers


def moves_asked(game, thinker, number=-1):
    """The names of the moves that a search could choose from."""
    state = game.state
    return {chess.to_uci(game.env, action, state) for action in thinker.asked[number][1]}


# What the engine is.


def test_an_engine_says_who_it_is_and_what_can_be_set(tell):
    said = tell("uci", "isready", simulations=20, name="jzero 1")
    assert said == [
        "id name jzero 1",
        "id author the jzero authors",
        "option name MultiPV type spin default 1 min 1 max 32",
        "option name Simulations type spin default 20 min 1 max 64",
        "option name Ponder type check default false",
        "uciok",
        "readyok",
    ]


def test_programs_are_compiled_once_and_before_ready(tell):
    compiled = []
    tell("uci", "isready", "isready", "go nodes 1", warm_up=lambda: compiled.append(1))
    assert compiled == [1]
    assert tell("uci", "quit", "isready", warm_up=lambda: compiled.append(2))[-1] == "uciok"
    assert compiled == [1]


def test_unknown_words_are_skipped(tell):
    assert tell("", "  ", "joho isready", "joho", "debug on", "register later", "stop", "ponderhit") == [
        "readyok"
    ]


# Positions.


def test_moves_lead_to_their_position(tell, game):
    tell("position startpos moves e2e4 e7e5 g1f3 b8c6 f1c4 g8f6 e1g1")
    assert game.env.to_fen(game.state).startswith(
        "r1bqkb1r/pppp1ppp/2n2n2/4p3/2B1P3/5N2/PPPP1PPP/RNBQ1RK1 b kq"
    )
    tell(
        "position startpos moves e2e4 e7e5 g1f3 b8c6 f1c4 g8f6 e1g1 f6e4 f1e1", "position startpos moves d2d4"
    )
    assert game.env.to_fen(game.state).startswith("rnbqkbnr/pppppppp/8/8/3P4/8/PPP1PPPP/RNBQKBNR b")


def test_a_game_that_goes_on_is_not_played_again(tell, game):
    steps = []
    step, game._step = game._step, lambda *arguments: steps.append(1) or step(*arguments)
    try:
        tell("position startpos moves e2e4", "position startpos moves e2e4 e7e5 g1f3")
    finally:
        game._step = step
    assert len(steps) == 3


def test_castling_en_passant_and_promotions_are_played(tell, game):
    fen = "r3k2r/1P6/8/8/4p3/8/3P4/R3K2R w KQkq - 0 1"
    for moves, wanted in (
        ("e1c1", "r3k2r/1P6/8/8/4p3/8/3P4/2KR3R b kq - 1 1"),
        ("b7a8n e8g8", "N4rk1/8/8/8/4p3/8/3P4/R3K2R w KQ - 1 2"),
        ("b7b8q", "rQ2k2r/8/8/8/4p3/8/3P4/R3K2R b KQkq - 0 1"),
        ("d2d4 e4d3", "r3k2r/1P6/8/8/8/3p4/8/R3K2R w KQkq - 0 2"),
    ):
        tell(f"position fen {fen} moves {moves}")
        assert game.env.to_fen(game.state) == wanted


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("position", "expected startpos or fen"),
        ("position here", "expected startpos or fen"),
        ("position fen", "fen is ''; expected pieces in 8 rows"),
        ("position fen 8/8/8/8/8/8/8/8 w - - 0 1", "expected pieces in 8 rows of 8"),
        ("position startpos moves e2e5", "e2e5 is illegal after 0 moves"),
        ("position startpos moves e2e4 e2e4", "e2e4 is illegal after 1 moves"),
        ("position startpos moves e7e8q", "e7e8q is illegal after 0 moves"),
    ],
)
def test_what_is_no_position_is_said_and_has_no_move(tell, line, said):
    info, over, best = tell(line, "go nodes 2")
    assert info.startswith("info string ")
    assert said in info
    assert (over, best) == ("info string there is no position", "bestmove 0000")


def test_after_an_error_a_position_can_be_set_up_again(tell):
    assert tell("position startpos moves e2e5", "position startpos", "go nodes 2")[-1] != "bestmove 0000"
    assert tell("position startpos moves e2e5", "ucinewgame", "go nodes 2")[-1] != "bestmove 0000"


def test_a_mate_is_the_end(tell):
    said = tell("position startpos moves f2f3 e7e5 g2g4 d8h4", "go nodes 2")
    assert said == ["info string the game is over", "bestmove 0000"]


def test_where_pgx_sees_a_draw_the_engine_plays_on(tell, game):
    back_and_forth = ["g1f3", "g8f6", "f3g1", "f6g8"] * 3
    said = tell(
        f"position startpos moves {' '.join(back_and_forth)}", "go nodes 2", thinker=(found := FakeThinker())
    )
    assert re.fullmatch(r"bestmove [a-h]\d[a-h]\d", said[-1])
    assert len(found.asked[0][1]) == 20
    tell(f"position startpos moves {' '.join([*back_and_forth, 'e2e4'])}")
    assert game.env.to_fen(game.state).startswith("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq")
    said = tell("position fen 7k/8/8/8/8/8/R7/K7 w - - 99 80 moves a2b2 h8g8", "go nodes 2")
    assert said[-1] != "bestmove 0000"


# Searches.


def test_a_search_tells_what_it_finds_and_a_move(tell, game):
    action = chess.legal_moves(game.env, game.state, game.legal)["e2e4"]
    info, best = tell("go nodes 5", thinker=FakeThinker(wanted=[action] * 9))
    pattern = r"info depth 1 seldepth 1 multipv 1 score cp (\d+) nodes 5 nps 50 time \d+ pv e2e4"
    assert int(re.fullmatch(pattern, info)[1]) == centipawns(0.5)
    assert best == "bestmove e2e4"


def test_several_lines_are_told_in_their_order(tell):
    said = tell("setoption name MultiPV value 3", "go nodes 9")
    assert [re.search(r"multipv (\d) score cp (-?\d+)", line).groups() for line in said[-4:-1]] == [
        ("1", str(centipawns(0.5))),
        ("2", str(centipawns(-0.5))),
        ("3", "0"),
    ]


def test_a_value_is_a_number_of_centipawns():
    assert [centipawns(v) for v in (-0.5, 0.0, 0.5)] == [-89, 0, 89]
    assert 10_000 < centipawns(1.0) == -centipawns(-2.0) < 100_000


def test_mate_in_one_is_said_to_be_one(tell, game):
    fen = "6k1/5ppp/8/8/8/8/8/R6K w - - 0 1"
    tell(f"position fen {fen}")
    action = chess.legal_moves(game.env, game.state, game.legal)["a1a8"]
    info, best = tell(f"position fen {fen}", "go nodes 3", thinker=FakeThinker(wanted=[action] * 9))
    assert "score mate 1" in info
    assert best == "bestmove a1a8"


@pytest.mark.parametrize(
    ("line", "options", "numbers"),
    [
        ("go nodes 7", {}, (7, 7)),
        ("go nodes 1000", {}, (64, 64)),
        ("go nodes 0", {}, (1, 1)),
        ("go", {"simulations": 12}, (12, 12)),
        ("go", {}, (64, 64)),
        ("go depth 3", {"simulations": 12}, (12, 12)),
        ("go wtime 5000 btime 10 winc 0 binc 0", {}, (10, 20)),
        ("go wtime 1000 btime 10 movestogo 1", {}, (30, 45)),
        ("go wtime 10 btime 5000", {}, (1, 1)),
        ("go wtime 0 btime 5000", {}, (1, 1)),
        ("go wtime -50 btime 5000 winc 0", {}, (1, 1)),
        ("go movetime 300", {}, (20, 28)),
        ("go movetime 300", {"simulations": 9}, (9, 9)),
        ("go nodes x movetime", {"simulations": 9}, (9, 9)),
    ],
)
def test_a_search_is_as_long_as_it_may_be(tell, line, options, numbers):
    thinker = FakeThinker(speed=100.0)
    tell("position startpos", line, thinker=thinker, **options)
    fewest, most = numbers
    assert fewest <= thinker.asked[-1][0] <= most


def test_a_clock_is_shared_out():
    assert for_move(60.0) < 60 / 20
    assert for_move(60.0, moves_to_go=10) == pytest.approx(6, abs=0.2)
    assert for_move(60.0, increment=2.0) > for_move(60.0) + 1
    assert for_move(0.5, increment=5.0) < 0.5
    assert for_move(0.0) == for_move(-3.0) == 0


def test_only_some_moves_may_be_searched(tell, game):
    thinker = FakeThinker()
    tell("go searchmoves e2e4 d2d4 nodes 4", thinker=thinker)
    assert moves_asked(game, thinker) == {"e2e4", "d2d4"}
    tell("go nodes 4 searchmoves e9e4", thinker=thinker)
    assert len(thinker.asked[-1][1]) == 20


def test_the_number_of_simulations_can_be_set(tell):
    thinker = FakeThinker()
    said = tell(
        "setoption name Simulations value 17",
        "go",
        "setoption name simulations value 0",
        "setoption name Hash value 64",
        "setoption name MultiPV",
        "setoption",
        thinker=thinker,
    )
    assert thinker.asked[-1][0] == 17
    assert [line for line in said if "ignored" in line] == [
        "info string option 'name simulations value 0' is ignored: expected 1 to 64",
        "info string option 'name Hash value 64' is ignored: known options are MultiPV and Simulations",
        "info string option 'name MultiPV' is ignored: expected 1 to 32",
        "info string option '' is ignored: known options are MultiPV and Simulations",
    ]


@pytest.mark.parametrize("looks", [0, 10**9])
@pytest.mark.parametrize("end", ["stop", "ponderhit"])
def test_an_endless_search_ends_when_it_is_told(tell, looks, end):
    thinker = FakeThinker(looks=looks)
    said = tell("go infinite", "isready", "nonsense", end, "isready", thinker=thinker, patience=3)
    assert said[-1] == "readyok"
    assert said[-2].startswith("bestmove ")
    assert said.index("readyok") < len(said) - 2
    assert sum(line.startswith("bestmove") for line in said) == 1


def test_a_search_ends_with_the_conversation(tell):
    for lines in (["go infinite", "quit"], ["go infinite"]):
        said = tell(*lines, thinker=FakeThinker(looks=10**9), patience=3)
        assert said[-1].startswith("bestmove ")
        assert not tell.server.running


def test_commands_that_come_during_a_search_wait_for_its_end(tell, game):
    thinker = FakeThinker(looks=10**9)
    said = tell(
        *("go infinite", "position startpos moves e2e4", "isready", "stop"),
        *("go nodes 2", "stop"),
        thinker=thinker,
        patience=3,
    )
    assert "readyok" in said[: next(at for at, line in enumerate(said) if line.startswith("bestmove"))]
    assert sum(line.startswith("bestmove") for line in said) == 2
    assert game.env.to_fen(game.state).startswith("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b")


def test_all_of_a_script_is_answered(tell):
    """Its lines, and their end, come while the first search goes on."""
    lines = ["position startpos moves e2e4", "go nodes 4"] * 3
    said = tell(*lines, thinker=FakeThinker(looks=3), patience=3)
    assert sum(line.startswith("bestmove") for line in said) == 3
    assert not tell.server.running
    ended = tell(*lines, "go infinite", thinker=FakeThinker(looks=3), patience=3)
    assert sum(line.startswith("bestmove") for line in ended) == 4


def test_huge_numbers_are_survived(tell):
    huge = "9" * 400
    for options in (f"nodes {huge}", f"wtime {huge} btime {huge} movestogo {huge}", f"movetime {huge}"):
        assert tell(f"go {options}", thinker=FakeThinker(most=2))[-1].startswith("bestmove")


def test_odd_input_is_survived(tell):
    rng = random.Random(0)
    words = [
        *COMMANDS,
        "startpos",
        "fen",
        "moves",
        "e2e4",
        "e7e5",
        "nodes",
        "2",
        "-1",
        "x",
        "w",
        "-",
        "name",
        "value",
    ]
    words.remove("quit")
    lines = [" ".join(rng.choices(words, k=rng.randrange(6))) for _ in range(200)]
    assert tell(*lines, "stop", "isready", thinker=FakeThinker(most=2))[-1] == "readyok"


def test_a_game_that_is_not_chess_is_refused():
    with pytest.raises(ValueError, match="give a run of pgx:chess or pgx:gardner_chess"):
        UciServer(Game(make("tic_tac_toe")), FakeThinker(), None, None)


# A process of its own.


class Process:
    """An engine in a child process."""

    def __init__(self, run, cache, *options):
        command = [sys.executable, "-m", "jzero", "uci", str(run), *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.child = subprocess.Popen(
            command, env=child_environment(cache), cwd=REPOSITORY, text=True, bufsize=1, **pipes
        )

    def send(self, line):
        self.child.stdin.write(f"{line}\n")

    def until(self, word):
        lines = []
        for line in self.child.stdout:
            lines.append(line.rstrip())
            if line.startswith(word):
                return lines
        raise AssertionError(f"the engine ended before {word}: {lines}, {self.child.stderr.read()[-2000:]}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pgx:chess", "pgx:gardner_chess"])
def test_a_run_is_an_engine_that_other_programs_can_start(name, tmp_path, cache):
    config = tiny(env=name, network=NetworkSettings(width=16, blocks=1))
    engine = Process(f"{save_run(tmp_path, config)}:24", cache)
    engine.send("uci")
    assert engine.until("uciok")[0].startswith("id name jzero ")
    engine.send("isready")
    engine.until("readyok")
    engine.send("position startpos moves a2a3")
    engine.send("go nodes 24")
    *infos, best = engine.until("bestmove")
    assert re.search(r"nodes 24 nps \d+ time \d+ pv [a-h]", infos[-1])
    env = make(name)
    state = jax.tree.map(lambda x: x[0], Game(env).states)
    after = env.step(
        state, chess.legal_moves(env, state, np.asarray(state.legal_action_mask))["a2a3"], jax.random.key(0)
    )
    assert best.split()[1] in chess.legal_moves(env, after, np.asarray(after.legal_action_mask))
    engine.send("go infinite")
    time.sleep(0.5)
    begun = time.monotonic()
    engine.send("stop")
    engine.until("bestmove")
    assert time.monotonic() - begun < 1
    engine.send("quit")
    assert engine.child.wait(60) == 0


@pytest.mark.slow
def test_games_with_python_chess_as_the_referee_have_no_error(tmp_path, cache):
    # Its licence is the GPL: it is imported in processes of its own alone.
    if subprocess.run([sys.executable, "-c", "import chess"], capture_output=True, check=False).returncode:
        pytest.skip("python-chess is not installed: pip install chess")
    run = save_run(tmp_path, tiny(env="pgx:chess", network=NetworkSettings(width=16, blocks=1)))
    script = ["experiments/benchmarks/engine_games.py", f"{run}:8", "--protocol", "uci", "--games", "2"]
    environment = child_environment(cache)
    ended = subprocess.run(
        [sys.executable, *script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPOSITORY,
        check=False,
    )
    assert ended.stdout.splitlines()[-1:] == ["2 games without an error"], ended.stderr[-2000:]
