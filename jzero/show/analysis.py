"""Display of an analysis: as HTML without scripts and server, and as text.

It has the style of the play page (`panels.css`), with a tree of `details` instead of requests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

import jax
import numpy as np

from jzero.analysis import Analysis
from jzero.pytrees import Json, OneState, PyTree
from jzero.show.boards import data_url
from jzero.show.branches import Branch, Searched, unfolds
from jzero.show.page import shown as file_shown
from jzero.show.rules import Rules
from jzero.show.thoughts import thought_of
from jzero.show.words import percent, signed

ROWS = 8
"""Rows of a batch to show by default."""
BARS = 8
"""Actions with bars."""
LINE = 12
"""Moves of an expected line."""
NODES = 600
"""Largest number of nodes in all trees; the most visited ones are shown."""
BOARD_BYTES = 1_000_000
"""Limit for the boards of all nodes in bytes, estimated from the first; other nodes have no board."""
SEED = 0
"""Seed of chance and hidden information in hypothetical positions."""


class Shown:
    """Rows of an analysis; a notebook shows it as HTML, a terminal as text."""

    def __init__(self, found: Analysis, rows: Sequence[int]) -> None:
        self._found, self._rows = found, rows
        self._rules = Rules(found.env, found.name)
        # The tree stays where it is: of it single rows are read.
        self._numbers = jax.device_get(dataclasses.replace(found, tree=()))

    def _repr_html_(self) -> str:
        body = "".join(map(self._html, self._rows))
        return f'<div class="jz jz-shown"><style>{file_shown("panels.css")}</style>{body}{self._left()}</div>'

    def __repr__(self) -> str:
        return "\n\n".join(map(self._text, self._rows))

    def _state(self, row: int) -> OneState:
        return jax.tree.map(lambda x: x[row], self._numbers.states)

    def _left(self) -> str:
        batch = self._numbers.action.shape[0]
        if len(self._rows) == batch:
            return ""
        return f'<p class="jz-note">{len(self._rows)} of {batch} rows; show(rows=[...]) shows others.</p>'

    def _title(self, row: int) -> str:
        state = self._state(row)
        mover = (
            "the game is over"
            if self._rules.over(state)
            else f"player {self._rules.mover(state) + 1} to move"
        )
        return f"Row {row}: {mover}"

    def _thought(self, row: int, state: OneState) -> Json:
        return thought_of(self._rules, state, self._numbers, row, BARS)

    def _text(self, row: int) -> str:
        state = self._state(row)
        viewer = self._rules.mover(state)
        lines = [self._title(row), self._rules.text(state, viewer)]
        if not self._rules.over(state):
            thought = self._thought(row, state)
            line = " ".join(self._line(state, thought, self._searched(row)))
            lines += [bars_text(thought), f"value {_value(thought)}; line {line}"]
        return "\n".join(lines)

    def _line(self, state: OneState, thought: Json, searched: Searched | None) -> list[str]:
        """Names of the expected moves, and of chance between them."""
        if self._rules.spec.action_size:
            return [row["name"] for row in thought["actions"] if row["action"] in thought["variation"]]
        if searched is not None:
            return searched.walk(self._rules, state, searched.line(thought["variation"])[:LINE], SEED)[1]
        path = thought["variation"][:LINE]
        states = self._rules.imagine(state, path, SEED)
        return [self._rules.name_of(*move) for move in zip(states[: len(states) - 1], path, strict=False)]

    def _searched(self, row: int) -> Searched | None:
        return Searched(self._found, row) if unfolds(self._rules, self._found) else None

    def _html(self, row: int) -> str:
        state = self._state(row)
        viewer = self._rules.mover(state)
        board = _board(self._rules, state, viewer)
        parts = [f"<div>{board}</div>"]
        if not self._rules.over(state):
            thought = self._thought(row, state)
            searched = self._searched(row)
            names = self._line(state, thought, searched)
            line = "".join(f"<li>{escape(name)}</li>" for name in names)
            about = f"{thought['simulations']} simulations, value {_value(thought)}"
            parts.append(
                f"<div><p>{about}</p>{_bars(thought)}<h2>Expected line</h2>"
                f'<ol class="jz-line-of-play">{line}</ol></div>'
            )
            if searched is not None:
                share, worlds = len(self._rows), f" of {self._found.worlds} worlds" * (self._found.worlds > 0)
                nodes, boards = NODES // share, BOARD_BYTES // (share * len(board))
                decides = self._found.chance == "explicit"
                tree = _Tree(self._rules, searched, state, viewer, decides, nodes, boards)
                panel = f'<div class="jz-tree-panel">{tree.html()}</div>'
                parts.append(f"<div><h2>Tree{worlds}</h2>{panel}</div>")
        title = escape(self._title(row))
        return (
            f'<section class="jz-card"><h2>{title}</h2><div class="jz-seen">{"".join(parts)}</div></section>'
        )


def shown(found: Analysis, rows: Sequence[int] | None = None) -> Shown:
    """Some rows of an analysis, for display.

    Raises:
        ValueError: there is no such row.
    """
    batch = np.shape(found.visits)[0]
    rows = range(min(ROWS, batch)) if rows is None else rows
    for row in rows:
        if not 0 <= row < batch:
            raise ValueError(f"rows has {row}; expected rows from 0 to {batch - 1}")
    return Shown(found, rows)


class _Tree:
    """The tree of one row as nested lists that unfold: its most visited nodes, the first ones with boards."""

    def __init__(
        self,
        rules: Rules,
        searched: Searched,
        state: OneState,
        viewer: int,
        decides: bool,
        nodes: int,
        boards: int,
    ) -> None:
        self._rules, self._searched, self._viewer, self._decides = rules, searched, viewer, decides
        self._root, self._branches = state, searched.branches
        self._shown, self._drawn = self._branches.most_visited(nodes), self._branches.most_visited(boards)
        roots = searched.worlds or [rules.redrawn(state, SEED)]
        self._states: dict[tuple[int, ...], PyTree] = {(world,): root for world, root in enumerate(roots)}

    def html(self) -> str:
        """The branches of the root."""
        return self._below(0, ())

    def _state(self, world: int, path: tuple[int, ...]) -> PyTree:
        """The state at the end of a path in a world."""
        place = (world, *path)
        if place not in self._states:
            above = self._state(world, path[:-1])
            after = self._rules.along(above, path[-1], SEED, len(path), decides=self._decides)
            self._states[place] = after
        return self._states[place]

    def _below(self, node: int, path: tuple[int, ...]) -> str:
        children = self._branches.below(node)
        kept = [child for child in children if child.node in self._shown and self._begins(child, path)]
        total = sum(child.visits for child in children)
        left = len(children) - len(kept)
        more = f'<li class="jz-note">{left} more</li>' if left else ""
        items = "".join(self._item(child, child.visits / total, path) for child in kept)
        return f"<ul>{items}{more}</ul>" if items or more else ""

    def _begins(self, child: Branch, path: tuple[int, ...]) -> bool:
        """Whether the edge exists in the game: a learned model may expect others. Its codes always exist."""
        if self._searched.stateless((*path, child.action)):
            return True
        above = self._state(child.world, path)
        return self._rules.begins_at(above, child.action, between=self._rules.is_outcome(child.action))

    def _item(self, child: Branch, share: float, above: tuple[int, ...]) -> str:
        path = (*above, child.action)
        coded, chance = self._searched.stateless(path), self._searched.is_chance(self._rules, child.action)
        name = escape(
            self._searched.stateless_name(self._rules, self._root, child.action)
            if coded
            else self._rules.name_of(self._state(child.world, above), child.action)
        )
        name += f"<small>{percent(child.prior)}</small>" * chance
        kind = "jz-node jz-chance" if chance else "jz-node"
        summary = (
            f'<b>{name}</b><span class="jz-share"><i style="width:{100 * share:.3g}%"></i></span>'
            f"<span>{child.visits}</span><span>{signed(child.qvalue)}</span>"
        )
        board = ""
        if child.node in self._drawn and not coded:
            board = _board(self._rules, self._state(child.world, path), self._viewer, imagined=True)
        below = f'<div class="jz-below">{board}{self._below(child.node, path)}</div>'
        return f'<li><details><summary class="{kind}">{summary}</summary>{below}</details></li>'


def _board(rules: Rules, state: OneState, viewer: int, *, imagined: bool = False) -> str:
    """The state as its viewer sees it: a picture, or text."""
    svg = rules.picture(state, viewer, imagined=imagined)
    if svg:
        return f'<img class="jz-picture" alt="" src="{escape(data_url(svg))}">'
    return f"<pre>{escape(rules.text(state, viewer, imagined=imagined))}</pre>"


def _value(thought: Json) -> str:
    """The value for the player to move; with more than two players, for each."""
    value = thought["value"]
    return ", ".join(map(signed, value)) if len(value) > 2 else signed(value[thought["mover"]])


def _bars(thought: Json) -> str:
    """The bars of `panels.js`, without a script."""
    total = sum(row["visits"] for row in thought["actions"]) or 1.0
    known = [row["q"] for row in thought["actions"] if row["q"] is not None]
    low, high = (-1.0, 1.0) if all(abs(q) <= 1 for q in known) else (min(known), max(known))
    rows = []
    for row in thought["actions"]:
        q = 0.0 if row["q"] is None else (row["q"] - low) / (high - low) if high > low else 0.5
        best = ' class="jz-best"' if row["action"] == thought["action"] else ""
        rows.append(
            f'<tr{best}><th scope="row"><b>{escape(row["name"])}</b></th>'
            + _bar("prior", row["prior"], percent(row["prior"]))
            + _bar("visits", row["visits"] / total, f"{row['visits']:.0f}")
            + _bar("q", q, "" if row["q"] is None else signed(row["q"]))
            + "</tr>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("move", "prior", "visits", "value"))
    return f'<table class="jz-bars"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _bar(kind: str, share: float, text: str) -> str:
    width = 100 * max(0.0, min(1.0, share))
    return f'<td class="jz-bar jz-{kind}"><i style="width:{width:.3g}%"></i><span>{text}</span></td>'


def bars_text(thought: Json, most: int = BARS) -> str:
    """The bars as a table of text."""
    lines = [f"{'move':>8} {'prior':>7} {'visits':>7} {'value':>7}"]
    for row in thought["actions"][:most]:
        value = "" if row["q"] is None else f"{row['q']:+.2f}"
        best = "  <" if row["action"] == thought["action"] else ""
        lines.append(f"{row['name']:>8} {row['prior']:7.1%} {row['visits']:7.0f} {value:>7}{best}")
    return "\n".join(lines)
