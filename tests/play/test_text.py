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


def test_agents_play_to_the_end_and_the_outcome_is_told(desk_of, monkeypatch, capsys):
    out = typed(monkeypatch, capsys, desk_of("tic_tac_toe"), "level 0", "seats 0 0", "quit")
    assert "The game is over: " in out
    assert out.count("newcomer plays") >= 5


def test_cards_of_others_are_not_printed(desk_of, monkeypatch, capsys):
    out = typed(monkeypatch, capsys, desk_of("blob?players=3&cards=3"), "level 0", "quit")
    assert out.count("?? ?? ??") >= 2
