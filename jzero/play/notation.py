"""Games as text: moves by name, and SGF for Go.

A text is three lines: `env: connect_four`, `seed: 7`, `moves: 4, 4, 3`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jzero.evaluate.gtp import go_rules
from jzero.play.game import Game, Refused
from jzero.show.rules import Rules

MAX_TEXT = 60_000
"""Largest number of characters of a text to read."""
_SGF_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SGF_PART = re.compile(r"[()]|([A-Za-z]+)\s*((?:\[(?:\\.|[^\]\\])*\]\s*)+)", re.DOTALL)
"""A parenthesis, or a property with its values; in values a backslash escapes the next character."""


def to_text(game: Game, rules: Rules) -> str:
    """The game's moves by name."""
    moves = [rules.name_of(state, a) for state, a in zip(game.states, game.actions, strict=False)]
    return f"env: {rules.spec.name}\nseed: {game.seed}\nmoves: {', '.join(moves)}\n"


def from_text(text: str, rules: Rules) -> tuple[int, list[int]]:
    """Seed and actions of a game, from a text of `to_text` or an SGF file.

    Raises:
        Refused: it belongs to another game, or a move is not legal.
    """
    if len(text) > MAX_TEXT:
        raise Refused(f"the text has {len(text)} characters; at most {MAX_TEXT} are allowed")
    if text.lstrip().startswith("("):
        return 0, _from_sgf(text, rules)
    fields = dict(re.findall(r"^(env|seed|moves):[ \t]*(.*)$", text, re.MULTILINE))
    if "moves" not in fields:
        raise Refused("the text holds no game; expected a line such as moves: d3, c5")
    name, seed = fields.get("env", rules.spec.name), fields.get("seed", "0")
    if name.strip() != rules.spec.name:
        raise Refused(f"the game is {name.strip()}, but this page plays {rules.spec.name}")
    if not seed.strip().isdecimal() or int(seed) >= 2**32:
        raise Refused(f"seed is {seed.strip()!r}; expected an integer below 2^32")
    return int(seed), _actions(
        [move for move in fields["moves"].split(",") if move.strip()], int(seed), rules
    )


def _actions(moves: list[str], seed: int, rules: Rules, written: Sequence[str] | None = None) -> list[int]:
    """The actions of moves by name or number; `written` is how a file calls them, for messages."""
    state, actions = rules.first(seed), []
    for ply, move in enumerate(moves, 1):
        try:
            action = rules.action_called(state, move)
        except ValueError:
            name = move.strip() if written is None else written[ply - 1]
            raise Refused(f"move {ply}: {name!r:.40} is not a legal move here") from None
        state = rules.after(state, action, seed, ply)
        actions.append(action)
    return actions


def to_sgf(game: Game, rules: Rules) -> str:
    """The game as SGF.

    Raises:
        Refused: the game is not Go.
    """
    board = go_rules(rules.env)
    if board is None:
        raise Refused("SGF is for Go; save the moves as text")
    size, komi = board
    moves = "".join(f";{'BW'[ply % 2]}[{_sgf_point(a, size)}]" for ply, a in enumerate(game.actions))
    return f"(;GM[1]FF[4]CA[UTF-8]AP[jzero]SZ[{size}]KM[{komi:g}]RU[Chinese]{moves})\n"


def _sgf_point(action: int, size: int) -> str:
    row, column = divmod(action, size)
    return "" if row == size else _SGF_LETTERS[column] + _SGF_LETTERS[row]


def _from_sgf(text: str, rules: Rules) -> list[int]:
    """The actions of an SGF file's main line."""
    board = go_rules(rules.env)
    if board is None:
        raise Refused("SGF is for Go, which this page does not play")
    size, komi = board
    moves, written = [], []
    properties = _sgf_properties(text)
    if not properties:
        raise Refused("the file holds no game; expected SGF such as (;GM[1]SZ[9];B[ee])")
    for name, value in properties:
        if name == "GM" and value.strip() != "1":
            raise Refused(f"the file's game has the number {value} (GM), which is not Go's 1")
        if name == "SZ" and set(value.split(":")) != {str(size)}:
            raise Refused(f"the file's board is {value.replace(':', ' x ')}, but this one is {size} x {size}")
        if name == "KM" and _komi(value) != komi:
            raise Refused(f"the file's komi is {value}, but this game's is {komi:g}")
        if name in ("AB", "AW"):
            raise Refused(
                "the file places stones before the first move; games start with an empty board here"
            )
        if name not in ("B", "W"):
            continue
        ply, point = len(moves), value.strip()
        if name != "BW"[ply % 2]:
            raise Refused(f"move {ply + 1} is {name}'s; colours alternate here")
        written.append(f"{name}[{point}]")
        if point == "" or (point == "tt" and size <= 19):
            moves.append(str(size**2))
            continue
        letters = _SGF_LETTERS[:size]
        if len(point) != 2 or not set(point) <= set(letters):
            raise Refused(
                f"move {ply + 1} is {point!r:.12}; expected two letters from a to {letters[-1]}, or none for a pass"
            )
        moves.append(str(letters.index(point[1]) * size + letters.index(point[0])))
    return _actions(moves, 0, rules, written)


def _komi(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sgf_properties(text: str) -> list[tuple[str, str]]:
    """Names and first values of the properties in an SGF file's main line, up to the first closing parenthesis."""
    found = []
    for part in _SGF_PART.finditer(text):
        if part[0] == ")":
            break
        if part[1]:
            value = re.match(r"\[((?:\\.|[^\]\\])*)\]", part[2], re.DOTALL)
            assert value is not None
            found.append(("".join(filter(str.isupper, part[1])), value[1]))
    return found
