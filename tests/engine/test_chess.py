"""Names of pgx's chess moves: each next to OpenSpiel's in random games, Gardner's next to an oracle."""

import collections

import jax
import numpy as np
import pytest
from jzero_envs.adapters import pgx_chess

from jzero.engine import chess
from jzero.registry import make
from tests.helpers.playing import Batched, random_games
from tests.oracles import gardner_chess

pgx = pytest.importorskip("pgx", exc_type=ImportError)

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
POSITIONS = [
    # Castling both ways and through attacks, en passant, pins, promotions by capture and without, of both colours.
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
    "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1",
    "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1",
    "r2q1rk1/pP1p2pp/Q4n2/bbp1p3/Np6/1B3NBn/pPPP1PPP/R3K2R b KQ - 0 1",
    "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1",
    "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N w - - 0 1",
    "rnbqkbnr/ppp1pppp/8/8/3pP3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 3",
    "8/8/8/K2pP2r/8/8/8/7k w - d6 0 2",
]


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


@pytest.fixture(scope="module")
def game():
    return Batched(make("pgx:chess"))


def kinds(move, piece, ep):
    """What is special about a move of a piece, where pawns may capture en passant on `ep`."""
    if piece == 6 and move in ("e1g1", "e1c1", "e8g8", "e8c8"):
        yield "castling"
    if piece == 1 and move[2:4] == ep and move[0] != move[2]:
        yield "en passant"
    if len(move) == 5:
        yield f"promotion {move[4]} {move[3]}"


def assert_names_are_open_spiels(game, fens, plies, seed):
    """Plays random games from positions on both sides, by name; what special moves there were."""
    spiel = pytest.importorskip("pyspiel", exc_type=ImportError)
    rng, seen = np.random.default_rng(seed), collections.Counter()
    referees = [spiel.load_game("chess").new_initial_state(fen) for fen in fens]
    states = jax.tree.map(lambda *x: np.stack(x), *map(game.env.from_fen, fens))
    over = np.zeros(len(fens), bool)
    for _ in range(plies):
        weights = rng.random(states.legal_action_mask.shape) + states.legal_action_mask
        actions = weights.argmax(axis=1)
        for row in np.flatnonzero(~over):
            state, other = jax.tree.map(lambda x, row=row: x[row], states), referees[row]
            over[row] = bool(state.terminated) or other.is_terminal()
            if over[row]:
                continue
            assert game.env.to_fen(state).split()[:3] == str(other).split()[:3]
            seen += compare(game, state, other, spiel)
            other.apply_action(names_of(other, spiel)[pgx_chess.to_uci(int(actions[row]), state)])
        states = game.step(states, actions)
    return seen


def names_of(other, spiel):
    """OpenSpiel's legal actions by their names."""
    board = other.board()
    return {spiel.chess.action_to_move(action, board).to_lan(): action for action in other.legal_actions()}


def compare(game, state, other, spiel):
    moves, wanted = chess.legal_moves(game.env, state, state.legal_action_mask), names_of(other, spiel)
    assert moves.keys() == wanted.keys()
    ep, seen = str(other).split()[3], collections.Counter({"positions": 1, "moves": len(moves)})
    for move, action in moves.items():
        piece = pgx_chess.board(state)[action // 73]
        assert pgx_chess.to_uci(action, state) == move
        seen.update(kinds(move, piece, ep))
    seen["black"] += bool(pgx_chess.is_black(state))
    return seen


def test_names_of_moves_are_those_of_open_spiel_in_random_games(game):
    seen = assert_names_are_open_spiels(game, [START, *POSITIONS], plies=120, seed=0)
    assert seen["positions"] > 600
    assert seen["black"] > 200
    assert seen["castling"] > 10
    assert seen["en passant"] > 1
    for row in "18":
        for piece in "rb":
            assert seen[f"promotion {piece} {row}"] == seen[f"promotion q {row}"] > 10


@pytest.mark.slow
def test_names_of_moves_are_those_of_open_spiel_in_many_random_games(game):
    seen = assert_names_are_open_spiels(game, [START, *POSITIONS] * 6, plies=300, seed=1)
    assert seen["positions"] > 10_000
    assert seen["castling"] > 200
    assert seen["en passant"] > 20


@pytest.mark.parametrize("fen", POSITIONS)
def test_a_position_that_is_set_up_is_written_as_it_was(game, fen):
    assert game.env.to_fen(game.env.from_fen(fen)) == fen


def test_a_position_that_is_set_up_has_no_past(game):
    env = game.env
    first = jax.tree.map(lambda x: x[0], game.init(1))
    assert (np.asarray(env.observe(env.from_fen(START))) == np.asarray(env.observe(first))).all()
    other = np.asarray(env.observe(env.from_fen("4k3/8/8/8/8/8/8/R3K3 b - -")))
    assert other[..., :14].any()
    assert not other[..., 14 : 14 * 2 - 2].any()  # the board before


@pytest.mark.parametrize(
    "fen",
    [
        "",
        "w",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR",
        "rnbqkbnr/pppppppp/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "rnbqkbnr/pppppppp/9/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "rnbqkbnr/pppppppp/p7/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "rnbqxbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "rnbq1bnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR x KQkq - 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq z9 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w AB - 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - a 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1 9",
    ],
)
def test_what_is_no_position_is_refused(game, fen):
    with pytest.raises(ValueError, match=r"fen is .*; expected pieces in 8 rows of 8"):
        game.env.from_fen(fen)


def test_an_action_off_the_board_has_no_name(game):
    state = jax.tree.map(lambda x: x[0], game.init(1))
    with pytest.raises(ValueError, match="action 9 leads off the board of 8 x 8"):
        pgx_chess.to_uci(9, state)


def test_other_games_have_no_such_moves():
    env = make("tic_tac_toe")
    with pytest.raises(ValueError, match=r"UCI needs pgx's chess.*pgx:chess"):
        chess.side_of(env, env.init(jax.random.key(0)))


# Gardner's chess.


def fen_of(board, white):
    rows = "/".join(board).replace(".....", "5").replace("....", "4").replace("...", "3")
    return f"{rows.replace('..', '2').replace('.', '1')} {'w' if white else 'b'}"


@pytest.mark.slow
def test_gardners_moves_are_those_of_an_oracle_in_random_games():
    game, num_games = Batched(make("pgx:gardner_chess")), 16
    boards, white, seen = [gardner_chess.START] * num_games, True, collections.Counter()
    for states, actions in random_games(game, num_games, seed=0):
        for row in np.flatnonzero(~states.terminated):
            state = jax.tree.map(lambda x, row=row: x[row], states)
            assert game.env.to_fen(state).split()[:2] == fen_of(boards[row], white).split()
            moves = chess.legal_moves(game.env, state, state.legal_action_mask)
            assert moves.keys() == gardner_chess.legal_moves(boards[row], white)
            seen.update(f"promotion {move[3:]}" for move in moves if len(move) == 5)
            seen["positions"] += 1
            boards[row] = gardner_chess.moved(boards[row], pgx_chess.to_uci(int(actions[row]), state))
        white = not white
    assert seen["positions"] > 400
    assert {f"promotion {row}{piece}" for row in "15" for piece in "qrbn"} <= seen.keys()


@pytest.mark.parametrize(
    ("board", "white"),
    [
        (gardner_chess.START, True),
        (("r...k", "P....", ".....", "....p", "K...."), True),
        (("r.n.k", ".P...", ".....", "...p.", "K.R.N"), True),
        (("r.n.k", ".P...", ".....", "...p.", "K.R.N"), False),
        (("q...k", ".....", "..p..", ".P.p.", "K.R.B"), False),
    ],
)
def test_a_position_of_gardners_chess_has_the_moves_of_an_oracle(board, white):
    env = make("pgx:gardner_chess")
    state = env.from_fen(fen_of(board, white))
    assert env.to_fen(state) == f"{fen_of(board, white)} - - 0 1"
    moves = chess.legal_moves(env, state, np.asarray(state.legal_action_mask))
    assert moves.keys() == gardner_chess.legal_moves(board, white)


def test_a_position_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match="expected pieces in 5 rows of 5, each side at most 10"):
        make("pgx:gardner_chess").from_fen(START)
