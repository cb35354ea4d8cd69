"""Tables of a page, with names above the columns."""

from collections.abc import Iterable, Sequence
from html import escape


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """The HTML of a section with one table and a note below it; all are text."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<section><h2>{escape(title)}</h2><div class="card table"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table>{below}</div></section>"
    )
