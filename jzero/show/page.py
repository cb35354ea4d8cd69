"""The frame of a page that needs nothing else: no network, no other file."""

import re
from collections.abc import Iterable
from html import escape
from importlib import resources

PANELS = ("dom.js", "panels.js")
"""Scripts that draw what an agent thinks; `panels.css` is how it looks."""


def page(title: str, body: str, *, css: str = "", script: str = "") -> str:
    """The HTML of a page in the look of `report.css`.

    Args:
      title: its title, as text.
      body: what is inside `main`, as HTML.
      css: rules after those of `report.css`.
      script: what runs once the page is there.
    """
    style = shown("report.css")
    code = f"<script>\n{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{style}{css}\n</style></head>\n"
        f"<body><main>\n{body}\n</main>{code}</body></html>\n"
    )


def shown(name: str) -> str:
    """A style sheet or a script of this package."""
    return (resources.files("jzero.show") / name).read_text("utf-8")


def as_one(modules: Iterable[str]) -> str:
    """Scripts that import each other from /static/, each after those that it needs, as one that imports nothing."""
    text = re.sub(r'^import .* from "/static/.*";\n', "", "\n".join(modules), flags=re.MULTILINE)
    return re.sub(r"^export (?=async |function |class )", "", text, flags=re.MULTILINE)
