"""Play in the terminal: what is typed and what is printed."""

import builtins

from jzero.play.text import play_in_terminal


def typed(monkeypatch, capsys, desk, *lines):
    """What the terminal shows when these lines are typed, and then the input ends."""
    rest = iter(lines)

    def answer(prompt):
        print(prompt, end="")
        line = next(rest, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr(builtins, "input", answer)
    play_in_terminal(desk)
    return capsys.readouterr().out


def test_moves_hints_undo_and_files(desk_of, monkeypatch, capsys, tmp_path):
    path = tmp_path / "game.txt"
    lines = [
        "b2",
        "b2",
        "hint",
        f"save {path}",
        "undo",
        "moves",
        f"load {path}",
        "level 17",
        "nonsense",
        "help",
    ]
    out = typed(monkeypatch, capsys, desk_of("tic_tac_toe"), *lines)
    assert "2 . X ." in out
    assert "newcomer plays" in out
    assert "'b2' is not a legal move here" in out
    assert "prior  visits   value" in out
    assert "a3, b3, c3, a2, b2, c2, a1, b1, c1" in out
    assert path.read_text(encoding="utf-8").startswith("env: tic_tac_toe\nseed: ")
    assert "simulations is 17; expected one of 0, 16, 64, 400, 1600" in out
    assert "'nonsense' is not a legal move here" in out
    assert "seats 0 human" in out


def test_a_game_goes_on_by_its_name_and_what_cannot_be_read_is_said(desk_of, monkeypatch, capsys, tmp_path):
    desk, binary = desk_of("tic_tac_toe"), tmp_path / "game.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    out = typed(
        monkeypatch, capsys, desk, "level 16", "b2", f"load {binary}", "load nowhere", "save", "seats 0"
    )
    assert f"{binary} is not text in UTF-8" in out
    assert "nowhere: No such file or directory" in out
    assert "save needs a name after it" in out
    assert "seats are 0; expected human or one of 0 for each of 2 players" in out
    name = out.split("this is game ")[1].split(".")[0]
    again = typed(monkeypatch, capsys, desk_of("tic_tac_toe"), f"game {name}", "undo", "game nothing")
    assert again.count("2 . X .") == 1
    assert "there is no such game" in again


def test_a_loaded_game_keeps_seats_and_level(desk_of, monkeypatch, capsys, tmp_path):
    desk, path = desk_of("tic_tac_toe"), tmp_path / "game.txt"
    typed(
        monkeypatch,
        capsys,
        desk,
        "seats human human",
        "level 16",
        "b2",
        f"save {path}",
        "new",
        f"load {path}",
    )
    game = next(reversed(desk.store._live.values()))
    assert (game.seats, game.simulations, game.actions) == (["human", "human"], 16, [4])


def test_agents_play_to_the_end_and_the_outcome_is_told(desk_of, monkeypatch, capsys):
    out = typed(monkeypatch, capsys, desk_of("tic_tac_toe"), "level 0", "seats 0 0", "quit")
    assert "The game is over: " in out
    assert out.count("newcomer plays") >= 5


def test_cards_of_others_are_not_printed(desk_of, monkeypatch, capsys):
    out = typed(monkeypatch, capsys, desk_of("blob?players=3&cards=3"), "level 0", "quit")
    assert out.count("?? ?? ??") >= 2
