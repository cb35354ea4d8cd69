"""The frame of a page that needs nothing else: no network, no other file."""

from html import escape
from importlib import resources


def page(title: str, body: str, *, css: str = "", script: str = "") -> str:
    """The HTML of a page in the look of `report.css`.

    Args:
      title: its title, as text.
      body: what is inside `main`, as HTML.
      css: rules after those of `report.css`.
      script: what runs once the page is there.
    """
    style = (resources.files("jzero.show") / "report.css").read_text("utf-8")
    code = f"<script>\n{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{style}{css}\n</style></head>\n"
        f"<body><main>\n{body}\n</main>{code}</body></html>\n"
    )
