"""The frame of a self-contained page: it needs no network and no other file."""

import re
from collections.abc import Iterable
from html import escape
from importlib import resources

PANELS = ("dom.js", "panels.js")
"""Scripts that draw an agent's analysis; `panels.css` is their style."""


def page(title: str, body: str, *, css: str = "", script: str = "") -> str:
    """The HTML of a page in the style of `report.css`.

    Args:
      title: title of the page, as text.
      body: content of `main`, as HTML.
      css: rules to append to `report.css`.
      script: script to run after the page has loaded.
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
    """Joins scripts that import each other from /static/, in order of dependency, into one without imports."""
    text = re.sub(r'^import .* from "/static/.*";\n', "", "\n".join(modules), flags=re.MULTILINE)
    return re.sub(r"^export (?=async |function |class )", "", text, flags=re.MULTILINE)
