"""The board in a terminal: type a move, or a command of `HELP`."""

from __future__ import annotations

from jzero.play.analyst import LEVELS
from jzero.play.desk import Desk
from jzero.play.game import HUMAN, Refused
from jzero.play.notation import MAX_TEXT
from jzero.pytrees import Json
from jzero.show.analysis import bars_text

HELP = """Type the name of a move, or
  hint         show the agent's move and its search
  go           let the agent play this move for you
  undo         take your last move back
  seats 0 human    set who plays each seat: human, or an agent's number
  level 400    set the simulations per move: {levels}
  moves        list the legal moves
  save FILE    write the game as text;  load FILE reads one
  game ID      continue another game, by the name of its file
  new, quit"""


def play_in_terminal(desk: Desk) -> None:
    """Plays games until the end of the input or `quit`."""
    game = desk.ask("new", {})
    print(f"{desk.rules.spec.name} against {' and '.join(desk.names)}; type help for the commands")
    print(f"From its first move on this is game {game['id']}.")
    _show(desk, game)
    while True:
        try:
            game = _agents_move(desk, game)
            line = input("over> " if game["over"] else "move> ").strip()
        except EOFError:
            print()
            return
        if line in ("quit", "exit", "q"):
            return
        try:
            game = _obey(desk, game, line)
        except Refused as error:
            print(error)
        except OSError as error:
            print(f"{error.filename}: {error.strerror}")


def _obey(desk: Desk, game: Json, line: str) -> Json:
    """Executes one line; returns the game.

    Raises:
        Refused: the line is invalid.
        OSError: a file cannot be read or written.
    """
    word, _, rest = line.partition(" ")
    here: Json = {"game": game["id"], "ply": game["ply"]}
    kept = {"seats": game["seats"], "simulations": game["simulations"]}
    if word in ("", "help", "?"):
        print(HELP.format(levels=", ".join(map(str, LEVELS))))
    elif word == "moves":
        print(", ".join(game["legal"].values()))
    elif word in ("hint", "go"):
        thought = _think(desk, here | {"simulations": game["simulations"]})
        print(bars_text(thought))
        if word == "go":
            return _shown(desk, desk.ask("play", here | {"action": thought["action"]}))
    elif word == "undo":
        return _shown(desk, desk.ask("undo", here))
    elif word == "new":
        return _shown(desk, desk.ask("new", kept))
    elif word == "seats":
        return desk.ask(
            "sit", {"game": game["id"], "seats": rest.split(), "simulations": game["simulations"]}
        )
    elif word == "level" and rest.isdecimal():
        return desk.ask("sit", {"game": game["id"], "seats": game["seats"], "simulations": int(rest)})
    elif word in ("level", "save", "load", "game") and not rest:
        raise Refused(f"{word} needs {'a number' if word == 'level' else 'a name'} after it; type help")
    elif word == "save":
        with open(rest, "w", encoding="utf-8") as file:
            file.write(desk.ask("text", {"game": game["id"]})["text"])
    elif word == "load":
        try:
            with open(rest, encoding="utf-8") as file:
                text = file.read(MAX_TEXT + 1)
        except UnicodeDecodeError:
            raise Refused(f"{rest} is not text in UTF-8") from None
        return _shown(desk, desk.ask("load", {"text": text} | kept))
    elif word == "game":
        return _shown(desk, desk.ask("get", {"game": rest}))
    else:
        return _shown(desk, desk.ask("play", here | {"action": _action(desk, game, line)}))
    return game


def _action(desk: Desk, game: Json, line: str) -> int:
    try:
        return desk.rules.action_called(desk.store.get(game["id"]).state, line)
    except ValueError as error:
        raise Refused(f"{error}; type moves for the legal moves, help for the commands") from None


def _agents_move(desk: Desk, game: Json) -> Json:
    """Plays the agents' moves until a human is to move or the game is over."""
    while not game["over"] and game["seats"][game["mover"]] != HUMAN:
        arguments = {"game": game["id"], "ply": game["ply"], "simulations": game["simulations"], "move": True}
        for answer in desk.think(**arguments):
            game = answer.get("game", game)
        print(f"{desk.names[int(game['seats'][game['movers'][-2]])]} plays {game['moves'][-1]}")
        _show(desk, game)
    return game


def _think(desk: Desk, arguments: Json) -> Json:
    thought: Json = {}
    for answer in desk.think(**arguments):
        thought = answer["thought"]
    return thought


def _shown(desk: Desk, game: Json) -> Json:
    _show(desk, game)
    return game


def _show(desk: Desk, game: Json) -> None:
    """Prints the position."""
    state = desk.store.get(game["id"]).state
    print("\n" + desk.rules.text(state, desk.viewer(game["id"])))
    if desk.rules.spec.num_players == 1:
        print(game["note"])
    if game["over"]:
        print(f"The game is over: {game['outcome']}.")
