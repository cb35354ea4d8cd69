"""Games as text: moves by name, and SGF for Go.

A text is three lines: `env: connect_four`, `seed: 7`, `moves: 4, 4, 3`.
"""

from __future__ import annotations

import re

from jzero.evaluate.gtp import go_rules, to_action, to_vertex
from jzero.play.game import Game, Refused
from jzero.show.rules import Rules

MAX_TEXT = 60_000
"""Characters of a game that is read."""
_SGF_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def to_text(game: Game, rules: Rules) -> str:
    """The game's moves by name."""
    moves = [rules.name_of(state, a) for state, a in zip(game.states, game.actions, strict=False)]
    return f"env: {rules.spec.name}\nseed: {game.seed}\nmoves: {', '.join(moves)}\n"


def from_text(text: str, rules: Rules) -> tuple[int, list[int]]:
    """Seed and actions of a game that `to_text` or an SGF program wrote.

    Raises:
        Refused: it is of another game, or a move is not legal.
    """
    if len(text) > MAX_TEXT:
        raise Refused(f"the text has {len(text)} characters; at most {MAX_TEXT} are read")
    if text.lstrip().startswith("("):
        return 0, _from_sgf(text, rules)
    fields = dict(re.findall(r"^(env|seed|moves):[ \t]*(.*)$", text, re.MULTILINE))
    if "moves" not in fields:
        raise Refused("the text holds no game: expected a line such as moves: d3, c5")
    name, seed = fields.get("env", rules.spec.name), fields.get("seed", "0")
    if name.strip() != rules.spec.name:
        raise Refused(f"the game is of {name.strip()}, this page plays {rules.spec.name}")
    if not seed.strip().isdecimal() or int(seed) >= 2**32:
        raise Refused(f"seed is {seed.strip()!r}; expected a whole number below 2^32")
    return int(seed), _actions(
        [move for move in fields["moves"].split(",") if move.strip()], int(seed), rules
    )


def _actions(moves: list[str], seed: int, rules: Rules) -> list[int]:
    state, actions = rules.first(seed), []
    for ply, move in enumerate(moves, 1):
        try:
            action = rules.action_called(state, move)
        except ValueError as error:
            raise Refused(f"move {ply}: {error}") from None
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
        raise Refused("SGF is for Go; take the moves as text")
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
    size = board[0]
    found = re.search(r"SZ\[(\d+)\]", text)
    if found and int(found[1]) != size:
        raise Refused(f"the file's board has {found[1]} rows, this one {size}")
    if re.search(r"\bA[BW]\[", text):
        raise Refused("the file sets stones up before the first move; games begin with an empty board here")
    main_line = text.split(")", 1)[0]
    moves = []
    for ply, (colour, point) in enumerate(re.findall(r";\s*([BW])\[([a-z]{0,2})\]", main_line)):
        if colour != "BW"[ply % 2]:
            raise Refused(f"move {ply + 1} is {colour}'s; colours take turns here")
        is_pass = point == "" or (point == "tt" and size <= 19)
        action = size**2 if is_pass else _SGF_LETTERS.index(point[1]) * size + _SGF_LETTERS.index(point[0])
        moves.append(to_vertex(action, size))
    return _actions([str(to_action(move, size)) for move in moves], 0, rules)
