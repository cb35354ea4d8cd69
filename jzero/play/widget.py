"""The page in a notebook cell: `agent.play()`. It uses the same desk, with messages instead of requests."""

from __future__ import annotations

import threading
from importlib import resources
from pathlib import Path
from typing import Any

from jzero.agent import Agent
from jzero.play.desk import Desk, checked_think
from jzero.play.game import Refused
from jzero.pytrees import Json
from jzero.show.page import PANELS, as_one, shown

_MODULES = ("board.js", "play.js", "widget.js")


def board_widget(*agents: Agent, names: list[str] | None = None, folder: Path | None = None) -> Any:
    """A widget with a board to play against agents.

    Args:
        agents: one or two agents for the same game.
        names: their names in the widget.
        folder: folder of saved games; None for memory only.

    Raises:
        ImportError: anywidget is not installed.
        ValueError: the agents cannot be played.
    """
    try:
        import anywidget
    except ImportError as error:
        raise ImportError(f'the board needs anywidget ({error}): pip install "jzero[play]"') from error
    called = names or ["the agent", "the second agent"][: len(agents)]
    desk = Desk(agents, called, folder)

    class Board(anywidget.AnyWidget):
        """A board; the desk answers its messages."""

        _esm = program()
        _css = shown("panels.css") + (resources.files("jzero.play") / "static" / "play.css").read_text(
            "utf-8"
        )

    widget = Board()
    stopped: set[int] = set()
    widget.on_msg(lambda _, message, buffers: _answer(desk, widget.send, stopped, message))
    return widget


def program() -> str:
    """The page's modules and the widget's entry point as one script."""
    folder = resources.files("jzero.play") / "static"
    return as_one([*map(shown, PANELS), *((folder / name).read_text("utf-8") for name in _MODULES)])


def _answer(desk: Desk, send: Any, stopped: set[int], message: Json) -> None:
    """Answers one message; an analysis runs in a separate thread, so that the kernel receives the next message."""
    number, method, body = message["id"], message["method"], message.get("body", {})
    if method == "stop":
        stopped.add(number)
    elif method == "think":
        threading.Thread(target=_think, args=(desk, send, stopped, number, body), daemon=True).start()
    else:
        try:
            answer = desk.ask(method, body)
        except Refused as error:
            answer = {"refused": str(error), "status": error.status}
        send({"id": number, "answer": answer, "done": True})


def _think(desk: Desk, send: Any, stopped: set[int], number: int, body: Any) -> None:
    try:
        for answer in desk.think(**checked_think(body)):
            if number in stopped:
                break
            send({"id": number, "answer": answer, "done": False})
    except Refused as error:
        send({"id": number, "answer": {"refused": str(error), "status": error.status}, "done": False})
    stopped.discard(number)
    send({"id": number, "answer": None, "done": True})
