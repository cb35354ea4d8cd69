"""Which program plays which game."""

import importlib.util

import pytest

from experiments import programs
from jzero.env import make
from jzero.evaluate import gnu_go


def test_a_program_is_refused_where_it_does_not_play():
    env = make("connect_four")
    with pytest.raises(ValueError, match=r"gnu_go plays pgx:go_9x9 and pgx:go_19x19, not connect_four"):
        next(programs.players(env, "connect_four", ["gnu_go"]))
    with pytest.raises(ValueError, match=r"open_spiel_mcts plays connect_four, .*, not quoridor\?size=5"):
        next(programs.players(env, "quoridor?size=5", ["open_spiel_mcts"]))


@pytest.mark.skipif(importlib.util.find_spec("pyspiel") is None, reason="needs open-spiel")
@pytest.mark.parametrize("name", programs.OPEN_SPIEL)
def test_open_spiels_games_have_as_many_actions(name):
    import pyspiel

    pytest.importorskip("pgx", exc_type=ImportError)
    assert pyspiel.load_game(programs.OPEN_SPIEL[name]).num_distinct_actions() == make(name).num_actions


@pytest.mark.skipif(importlib.util.find_spec("pyspiel") is None, reason="needs open-spiel")
def test_there_is_one_opponent_for_each_number_of_simulations():
    found = programs.players(
        make("connect_four"),
        "connect_four",
        ["random", "rollouts", "open_spiel_mcts"],
        num_simulations=(3, 4),
    )
    assert [words for words, _ in found] == [
        "a random player",
        "tree search with 3 random rollouts",
        "tree search with 4 random rollouts",
        "OpenSpiel's MCTS with 3 simulations",
        "OpenSpiel's MCTS with 4 simulations",
    ]


def test_gnu_go_gets_the_board_and_the_komi_of_the_environment(monkeypatch):
    pytest.importorskip("pgx", exc_type=ImportError)
    asked = []

    class Engine:
        name = "Go"

    monkeypatch.setattr(programs, "gnu_go", lambda *rules, level: asked.append((rules, level)) or Engine())
    for size in (9, 19):
        name = f"pgx:go_{size}x{size}"
        ((words, _),) = programs.players(make(name), name, ["gnu_go"], level=2)
        assert words == "Go, level 2"
    assert asked == [((9, 7.5), 2), ((19, 7.5), 2)]


@pytest.mark.parametrize(("level", "seed"), [(0, 1), (1, -1)])
def test_gnu_gos_settings_out_of_range_are_refused(level, seed):
    with pytest.raises(ValueError, match=f"level is {level} and seed {seed}"):
        gnu_go(9, 7.5, level=level, seed=seed)
