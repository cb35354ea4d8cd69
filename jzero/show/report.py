"""A run's report: one HTML file that needs no other file and no network, and is readable without its script.

It is made from the files in the run directory; any of them may still be missing. While the run goes on, the page
reloads itself; one that is stopped says so.
"""

import shlex
import statistics
from html import escape
from pathlib import Path
from typing import Any

from jzero.env import Env, action_size
from jzero.evaluate.measures import Strength
from jzero.pytrees import Record
from jzero.registry import make
from jzero.show.curves import (
    COUNTS,
    SPEEDS,
    column,
    curves,
    other_section,
    strength_section,
    training_section,
    unroll_section,
)
from jzero.show.games import games_script, games_section
from jzero.show.page import page, shown
from jzero.show.run_files import RunFiles, read_run
from jzero.show.words import duration, flat, number, short_number, spaced, whole_number
from jzero.storage.files import read_json, write_atomic
from jzero.storage.run_dir import resume_command

REPORT = "report.html"
RELOAD = 20
"""Seconds between reloads of the page while the run goes on."""
SHOWN = tuple(Strength._fields)
"""Of a final strength: the rest are settings it was measured with."""
LONG = 20
"""Rows of a table that is folded."""


def write_report(
    run_dir: str | Path, env: Env | None = None, folder: Path | None = None, *, stopped: bool = False
) -> Path:
    """Writes `report.html` and returns its path; the file is replaced as a whole.

    Args:
      run_dir: the run's directory.
      env: the environment of the sample games, to draw their boards; by default the one games.json names.
      folder: where it is written; by default the run's directory.
      stopped: no process trains here any more, so the page does not reload itself.

    Raises:
      RunDirError: the file cannot be written.
    """
    run = read_run(run_dir)
    games = read_json(run.path / "games.json") or {}
    env = env or _env_called(games.get("env") or run.env)
    games_html, games_css = games_section(games, env)
    charts = curves(run.metrics)
    body = (
        _header(run, stopped),
        f'<div class="headline">{_strength(run)}{_tiles(run)}</div>\n',
        strength_section(run.metrics, str(run.strength.get("unit") or "")),
        _parts(run.strength),
        games_html,
        training_section(charts),
        unroll_section(charts),
        other_section(charts),
        _tables(run),
        _usage(run, env),
    )
    path = (folder or run.path) / REPORT
    script = games_script() + shown("live.js")
    write_atomic(path, page(spaced(run.experiment), "".join(body), css=games_css, script=script))
    return path


def _env_called(name: Any) -> Env | None:
    """The environment, None where it is not installed."""
    try:
        return make(name) if isinstance(name, str) else None
    except (ValueError, ImportError):
        return None


def _header(run: RunFiles, stopped: bool) -> str:
    seconds = run.last("seconds")
    time = "" if seconds is None else f" after {duration(seconds)}"
    about, reload = f"{run.trained}. " if run.trained else "", ""
    if run.result:
        state = f"Finished{time}."
    elif stopped:
        state = f"Stopped{time}. The end of the page says how to go on."
    else:
        state = f"Not finished; this is the state{time}." if run.metrics else "No metrics yet."
        state, reload = f"{state} This page reloads itself.", f' data-reload="{RELOAD}"'
    line = f"<p{reload}>{escape(about)}{state}</p>"
    return (
        f"<header><p><code>{escape(str(run.path))}</code></p>"
        f"<h1>{escape(spaced(run.experiment))}</h1>{line}</header>\n"
    )


def _strength(run: RunFiles) -> str:
    """The final strength or the latest so far, with its interval and the settings it was measured with."""
    final = run.strength
    name, found = run.measured()
    value, low, high = ("" if value is None else whole_number(value) for value in found)
    untrained = ""
    if run.last("updates") == 0:
        untrained = '<p class="big">NOTHING WAS LEARNED</p><p>No update was made: the agent is untrained.</p>'
    if not value:
        note = escape(str(final.get("name") or "Not measured yet."))
        return f'<div class="card strength">{untrained}<p>Strength</p><p class="note">{note}</p></div>'
    interval = f"<p>95 % interval {low} to {high}</p>" if low and high else ""
    extra = {key: item for key, item in final.items() if key not in SHOWN}
    settings = " · ".join(f"{key.replace('_', ' ')} {item}" for key, item in flat(extra))
    return (
        f'<div class="card strength">{untrained}<p class="what">{escape(name[:1].upper() + name[1:])}</p>'
        f'<p class="big">{value} <small>{escape(str(final.get("unit") or ""))}</small></p>{interval}'
        f'<p class="settings">{escape(settings)}</p></div>'
    )


def _parts(final: Record) -> str:
    """What the final strength consists of, a row per kind and a column per group; "" without any."""
    found = final.get("parts")
    parts = [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []
    groups, kinds = ([*dict.fromkeys(str(part.get(key)) for part in parts)] for key in ("group", "kind"))
    if not parts:
        return ""
    cells = {
        (str(part.get("kind")), str(part.get("group"))): [
            "" if (value := number(part.get(key))) is None else whole_number(value)
            for key in ("value", "low", "high")
        ]
        for part in parts
    }

    def cell(kind: str, group: str) -> str:
        value, low, high = cells.get((kind, group), ("", "", ""))
        return f"<td>{value}<br><small>{low} to {high}</small></td>" if value else "<td></td>"

    head = "".join(f"<th>{escape(group)}</th>" for group in groups)
    rows = "".join(
        f"<tr><th>{escape(kind)}</th>{''.join(cell(kind, group) for group in groups)}</tr>" for kind in kinds
    )
    table = f"<table><thead><tr><th></th>{head}</tr></thead>{rows}</table>"
    return f'<section><h2>Strength by part</h2><div class="card table">{table}</div></section>\n'


def _tiles(run: RunFiles) -> str:
    """The run's time, counts and median speeds."""
    tiles = {}
    for name in ("seconds", *COUNTS[2:], "iteration"):
        if (value := run.last(name)) is not None:
            tiles[spaced(name)] = duration(value) if name == "seconds" else short_number(value)
    for name in SPEEDS:
        if values := column(run.metrics, name):
            tiles[spaced(name.removesuffix("_per_second")) + " / s"] = short_number(statistics.median(values))
    entries = "".join(
        f"<div><dt>{name.replace('Seconds', 'Time')}</dt><dd>{value}</dd></div>"
        for name, value in tiles.items()
    )
    return f'<dl class="card tiles">{entries}</dl>' if entries else ""


def _tables(run: RunFiles) -> str:
    """The configuration, versions and results beyond the headline; a long table is folded."""
    rest = {name: value for name, value in run.result.items() if name not in ("strength", *COUNTS)}
    tables = []
    for title, content in (
        ("Configuration", run.settings),
        ("Versions", run.config.get("versions")),
        ("Results", rest),
    ):
        rows = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in flat(content)]
        if rows:
            unfolded = "" if len(rows) > LONG else " open"
            tables.append(
                f'<details class="card"{unfolded}><summary>{title}</summary>'
                f"<table>{''.join(rows)}</table></details>"
            )
    return f'<section><h2>Settings</h2><div class="two">{"".join(tables)}</div></section>\n' if tables else ""


def _usage(run: RunFiles, env: Env | None) -> str:
    """How to play, how to continue, for as long again, and how to act."""
    resume = resume_command(run.experiment, run.path, 2 * (number(run.settings.get("minutes")) or 0))
    parts = "".join(f", {name}={name}" for name in run.needed)
    act = f"""import jax
import jzero

agent = jzero.load("{run.path.as_posix()}"{parts})
states = jzero.init_batch(agent.env, jax.random.key(0), 8)  # eight games
actions = agent.act(states, jax.random.key(1), num_simulations=64)"""
    cards = {"Train it further": resume, "Use the agent": act}
    # Only numbered actions can be played.
    if run.loads and not action_size(env):
        cards = {"Play": f"python -m jzero play {shlex.quote(str(run.path))}", **cards}
    found = "".join(
        f'<div class="card"><b>{title}</b><pre>{escape(text)}</pre></div>' for title, text in cards.items()
    )
    return f'<section><h2>Use this run</h2><div class="two">{found}</div></section>'
