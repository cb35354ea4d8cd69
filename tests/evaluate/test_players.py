"""Players by name: which plays which game, their numbers, functions of your own."""

import importlib.util
import shlex
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.blob import Blob
from jzero_envs.connect_four import ConnectFour
from jzero_envs.go import Go
from jzero_envs.tic_tac_toe import TicTacToe

from jzero.evaluate import (
    Turn,
    agent_player,
    as_player,
    gnu_go,
    open_opponent,
    play_match,
    players,
    random_player,
)
from jzero.evaluate.gtp import GtpError
from jzero.registry import make
from tests.evaluate.test_measures import agent
from tests.helpers.env_examples import Aim, Emulator, TwoPiles
from tests.helpers.tiny import Race

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
FAKE = shlex.join([sys.executable, str(Path(__file__).parents[1] / "helpers" / "fake_gtp.py")])
needs_open_spiel = pytest.mark.skipif(importlib.util.find_spec("pyspiel") is None, reason="needs open-spiel")


def first_legal(env, column=None):
    """A player for the tests: the first legal action, or always the same one."""

    def act(states, key):
        chosen = jnp.argmax(states.legal_action_mask, axis=-1).astype(jnp.int32)
        return chosen if column is None else jnp.full_like(chosen, column)

    return as_player(act)


def no_player(env):
    return env.num_actions


def turn_of(env, num_games=2):
    states = jax.vmap(env.init)(jax.random.split(KEY, num_games))
    return Turn(states, [[] for _ in range(num_games)], np.ones(num_games, bool), KEY)


def test_a_program_is_refused_where_it_does_not_play():
    env = ConnectFour()
    with pytest.raises(
        ValueError, match=r"gnu_go: it plays go, pgx:go_9x9 and pgx:go_19x19, not connect_four"
    ):
        open_opponent(env, "connect_four", "gnu_go")
    with pytest.raises(ValueError, match=r"open_spiel_mcts: it plays connect_four, .*, not quoridor\?size=5"):
        open_opponent(env, "quoridor?size=5", "open_spiel_mcts")
    with pytest.raises(ValueError, match=r"bitbully: it plays connect_four, not tic_tac_toe; use rollouts"):
        open_opponent(TicTacToe(), "tic_tac_toe", "bitbully")
    for env in (Emulator(), Aim()):
        with pytest.raises(ValueError, match="rollouts: this game cannot be searched"):
            open_opponent(env, "x", "rollouts")


class Apart(TwoPiles):
    """Two players of their own interests."""

    zero_sum = False


class Lottery(TwoPiles):
    """Chance says who has won."""

    def step(self, state, action, key):
        after = super().step(state, action, key)
        return after._replace(rewards=after.rewards * jnp.where(jax.random.bernoulli(key), 1.0, -1.0))


@pytest.mark.parametrize("env", [Race(num_players=1), Apart(), Lottery(), Aim(), Emulator(), Blob(3, 1)])
def test_minimax_is_refused_where_there_is_more_than_a_result(env):
    with pytest.raises(
        ValueError, match=r"opponent minimax: it plays two-player games .* this is not one: use"
    ):
        open_opponent(env, "this", "minimax")


@needs_open_spiel
@pytest.mark.parametrize("name", players.OPEN_SPIEL)
def test_open_spiels_games_have_as_many_actions(name):
    import pyspiel

    pytest.importorskip("pgx", exc_type=ImportError)
    assert pyspiel.load_game(players.OPEN_SPIEL[name]).num_distinct_actions() == make(name).num_actions


@needs_open_spiel
@pytest.mark.parametrize(
    ("name", "full", "words"),
    [
        ("random", "random", "a random player"),
        ("rollouts:3", "rollouts:3", "tree search with 3 random rollouts"),
        ("rollouts", "rollouts:1000", "tree search with 1000 random rollouts"),
        ("open_spiel_mcts:4", "open_spiel_mcts:4", "OpenSpiel's MCTS with 4 simulations"),
        ("minimax", "minimax:4", "a minimax of 4 plies"),
    ],
)
def test_a_name_and_its_number_say_who_plays(name, full, words):
    found = open_opponent(ConnectFour(), "connect_four", name)
    assert (found.name, found.words) == (full, words)


def test_the_number_is_what_the_player_searches(monkeypatch):
    asked = []
    monkeypatch.setattr(players, "rollout_player", lambda *args: asked.append(args[2]))
    monkeypatch.setattr(players, "minimax_player", lambda *args: asked.append(args[2]))
    for name in ("rollouts:7", "rollouts", "minimax:3", "minimax"):
        open_opponent(TicTacToe(), "tic_tac_toe", name)
    assert asked == [7, 1000, 3, 4]


def test_minimax_sees_a_win_and_a_loss_within_its_depth():
    found = open_opponent(TicTacToe(), "tic_tac_toe", "minimax:2")
    env, state = TicTacToe(), TicTacToe().init(KEY)
    for action in (0, 3, 1, 4):  # X to move wins at 2
        state = env.step(state, jnp.int32(action), KEY)
    threatened = TicTacToe().init(KEY)
    for action in (0, 3, 8, 4):  # X to move must stop 5
        threatened = env.step(threatened, jnp.int32(action), KEY)
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), state, threatened)
    turn = Turn(states, [[0, 3, 1, 4], [0, 3, 8, 4]], np.ones(2, bool), KEY)
    assert found.player(turn).tolist() == [2, 5]


@pytest.mark.skipif(importlib.util.find_spec("bitbully") is None, reason="needs bitbully")
def test_bitbully_begins_in_the_middle_and_ends_when_told():
    found = open_opponent(ConnectFour(), "connect_four", "bitbully")
    assert found.player(turn_of(ConnectFour())).tolist() == [3, 3]
    found.close()
    with pytest.raises(RuntimeError, match="has ended"):
        found.player(turn_of(ConnectFour()))


def test_gnu_go_gets_the_board_and_the_komi_of_the_environment(monkeypatch):
    pytest.importorskip("pgx", exc_type=ImportError)
    asked = []

    class Engine:
        name = "Go"

        def close(self):
            asked.append("closed")

    monkeypatch.setattr(players, "gnu_go", lambda *rules, level: asked.append((rules, level)) or Engine())
    for size in (9, 19):
        name = f"pgx:go_{size}x{size}"
        found = open_opponent(make(name), name, "gnu_go:2")
        assert (found.name, found.words) == ("gnu_go:2", "Go, level 2")
    open_opponent(Go(size=7, komi=5), "go?size=7&komi=5", "gnu_go:1")
    assert asked == [((9, 7.5), 2), ((19, 7.5), 2), ((7, 5.0), 1)]
    found.close()
    assert asked[-1] == "closed"


@pytest.mark.parametrize(("level", "seed"), [(0, 1), (1, -1)])
def test_gnu_gos_settings_out_of_range_are_refused(level, seed):
    with pytest.raises(ValueError, match=f"level is {level} and seed {seed}"):
        gnu_go(9, 7.5, level=level, seed=seed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rolouts", r"unknown opponent 'rolouts': did you mean 'rollouts'\?.*or give module:function"),
        ("rollouts:many", r"'many' is not a number above 0; give one as in rollouts:1000, or 'rollouts'"),
        ("rollouts:0", r"'0' is not a number above 0"),
        ("random:3", "random takes no number; give 'random'"),
        ("minimax:99", "expected at most 64 plies"),
        ("no_module:f", r"cannot import the module 'no_module'.*start in the folder of no_module.py"),
        (f"{__name__}.py:f", "is a file; give its module, as Python imports it"),
        (
            f"{__name__}:first_lega",
            r"no function of the environment 'first_lega'; did you mean 'first_legal'\?",
        ),
        (
            f"{__name__}:first_legal?colum=3",
            r"got an unexpected keyword argument 'colum'; it takes \(env, col",
        ),
        (f"{__name__}:first_legal?column=3 4", r"cannot read the option 'column=3 4'; expected key=lit"),
        (f"{__name__}:no_player", "returned int, expected a player, a function of a Turn"),
    ],
)
def test_a_wrong_name_says_what_is_right(name, message):
    with pytest.raises(ValueError, match=message):
        open_opponent(TicTacToe(), "tic_tac_toe", name)


def test_a_function_of_ones_own_plays_with_its_options():
    name = f"{__name__}:first_legal"
    assert open_opponent(ConnectFour(), "connect_four", name).player(turn_of(ConnectFour())).tolist() == [
        0,
        0,
    ]
    found = open_opponent(ConnectFour(), "connect_four", f"{name}?column=5")
    assert found.name == f"{name}?column=5"
    assert found.player(turn_of(ConnectFour())).tolist() == [5, 5]


def test_names_of_opponents_are_told_from_paths():
    for name in (
        "random",
        "rollouts:1000",
        "rollouts:many",
        "a.module:function",
        "module:function?a=1",
        "gtp:a b",
    ):
        assert players.is_opponent(name)
    for name in ("runs/a", "runs/a:64", "run", "run:64", "./random"):
        assert not players.is_opponent(name)


def test_an_agent_searches_as_often_as_is_asked():
    env = TicTacToe()
    seven = agent(lambda states, number: jnp.full(2, 7 if number is None else number, jnp.int32))
    assert agent_player(seven, None)(turn_of(env)).tolist() == [7, 7]
    assert agent_player(seven, 3)(turn_of(env)).tolist() == [3, 3]


def test_random_play_of_continuous_actions_fills_their_range():
    actions = random_player(Aim())(turn_of(Aim(), 400))
    assert actions.shape[0] == 400
    assert -1 <= actions.min() < -0.95 < 0.95 < actions.max() <= 1


def test_opponents_play_whole_games():
    env = TicTacToe()
    strong, weak = (open_opponent(env, "tic_tac_toe", name).player for name in ("minimax:4", "rollouts:1"))
    result = play_match(env, strong, weak, num_games=20, key=KEY, opening_plies=(0, 2))
    assert result.score > 0.6


def test_any_program_that_speaks_gtp_plays_by_its_command_line():
    env = make("pgx:go_9x9")
    opponent = open_opponent(env, "pgx:go_9x9", f"gtp:{FAKE} 'A9,pass'")
    try:
        assert opponent.name == f"gtp:{FAKE} 'A9,pass'"
        assert opponent.player(turn_of(env)).tolist() == [0, 81]
    finally:
        opponent.close()


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        ("", ValueError, r"opponent 'gtp:': no command; give one as in 'gtp:my-program --gtp'"),
        ("go 'x", ValueError, "No closing quotation; quote it as in a shell"),
        ("no-such-program", ImportError, "no-such-program is not installed or not on the PATH"),
        (f"{FAKE} E5 --refuse boardsize", GtpError, "refused 'boardsize 9'"),
    ],
)
def test_a_command_that_starts_no_program_is_explained(command, kind, message):
    with pytest.raises(kind, match=message):
        open_opponent(make("pgx:go_9x9"), "pgx:go_9x9", f"gtp:{command}")
