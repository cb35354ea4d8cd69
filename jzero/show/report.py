"""A run's report: one HTML file that needs nothing else, no network and no script.

It is made of what is in the run directory, and any of that may still be missing.
"""

import math
import statistics
from html import escape
from pathlib import Path
from typing import Any

from jzero.env import Env
from jzero.evaluate.measures import Strength
from jzero.pytrees import Record
from jzero.registry import make
from jzero.show.curves import (
    COUNTS,
    SPEEDS,
    STRENGTH,
    Metrics,
    column,
    curves,
    other_section,
    strength_section,
    training_section,
    unroll_section,
)
from jzero.show.games import games_script, games_section
from jzero.show.page import page
from jzero.show.words import duration, flat, number, short_number, spaced, whole_number
from jzero.storage.run_dir import CONFIG, read_json, read_metrics, resume_command, write_atomic

REPORT = "report.html"
SHOWN = tuple(Strength._fields)
"""Of a final strength: the rest are settings it was measured with."""


def write_report(run_dir: str | Path, env: Env | None = None) -> Path:
    """Writes `report.html` into a run directory and returns its path; the file is replaced as a whole.

    Args:
      run_dir: the run's directory.
      env: the environment of the sample games, to draw their boards; by default the one games.json names.

    Raises:
      RunDirError: the file cannot be written.
    """
    run_dir = Path(run_dir)
    metrics = read_metrics(run_dir)
    config, result, games = (
        read_json(run_dir / name) or {} for name in (CONFIG, "result.json", "games.json")
    )
    result = result if _is_current(result, metrics) else {}
    experiment = str(config.get("experiment") or run_dir.resolve().parent.name)
    strength = result.get("strength")
    strength = strength if isinstance(strength, dict) else {}
    games_html, games_css = games_section(games, env or _env_called(games.get("env")))
    charts = curves(metrics)
    body = (
        _header(experiment, run_dir, _trained(config), metrics, result),
        f'<div class="headline">{_strength(metrics, strength)}{_tiles(metrics, result)}</div>\n',
        strength_section(metrics, str(strength.get("unit") or "")),
        _parts(strength),
        games_html,
        training_section(charts),
        unroll_section(charts),
        other_section(charts),
        _tables(config, result),
        _usage(experiment, run_dir, config),
    )
    path = run_dir / REPORT
    script = games_script()
    write_atomic(path, page(spaced(experiment), "".join(body), css=games_css, script=script))
    return path


def _is_current(result: Record, metrics: Metrics) -> bool:
    """False where the run was resumed after its result: then metrics.jsonl is longer."""
    return max(column(metrics, "seconds"), default=0.0) <= (number(result.get("seconds")) or math.inf)


def _env_called(name: Any) -> Env | None:
    """The environment, None where it is not installed."""
    try:
        return make(name) if isinstance(name, str) else None
    except (ValueError, ImportError):
        return None


def _trained(config: Record) -> str:
    """Algorithm and environment; "" where they are not recorded."""
    found = config.get("config")
    train = found.get("train") if isinstance(found, dict) else None
    train = train if isinstance(train, dict) else {}
    said = " in ".join(str(train[name]) for name in ("algorithm", "env") if train.get(name))
    return f"{said}. " if said else ""


def _header(experiment: str, run_dir: Path, trained: str, metrics: Metrics, result: Record) -> str:
    seconds = _last(metrics, result, "seconds")
    time = "" if seconds is None else f" after {duration(seconds)}"
    state = f"Not finished; this is the state{time}." if metrics else "No metrics yet."
    if result:
        state = f"Finished{time}."
    return (
        f"<header><p><code>{escape(str(run_dir))}</code></p>"
        f"<h1>{escape(spaced(experiment))}</h1><p>{escape(trained)}{state}</p></header>\n"
    )


def _strength(metrics: Metrics, final: Record) -> str:
    """The final strength or the latest so far, with its interval and the settings it was measured with."""
    name, values = (
        str(final.get("name") or "Strength"),
        [number(final.get(key)) for key in ("value", "low", "high")],
    )
    if values[0] is None:
        lines = [line for line in metrics if number(line.get("strength")) is not None]
        name, values = "Strength so far", [number((lines or [{}])[-1].get(key)) for key in STRENGTH]
    value, low, high = ("" if value is None else whole_number(value) for value in values)
    untrained = ""
    if _last(metrics, final, "updates") == 0:
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
    table = f"<table><tr><th></th>{head}</tr>{rows}</table>"
    return f'<section><h2>Strength by part</h2><div class="card">{table}</div></section>\n'


def _tiles(metrics: Metrics, result: Record) -> str:
    """The run's time, counts and median speeds."""
    tiles = {}
    for name in ("seconds", *COUNTS[2:], "iteration"):
        if (value := _last(metrics, result, name)) is not None:
            tiles[spaced(name)] = duration(value) if name == "seconds" else short_number(value)
    for name in SPEEDS:
        if values := column(metrics, name):
            tiles[spaced(name.removesuffix("_per_second")) + " / s"] = short_number(statistics.median(values))
    shown = "".join(
        f"<div><dt>{name.replace('Seconds', 'Time')}</dt><dd>{value}</dd></div>"
        for name, value in tiles.items()
    )
    return f'<dl class="card tiles">{shown}</dl>' if shown else ""


def _tables(config: Record, result: Record) -> str:
    """The configuration, versions and results beyond the headline."""
    rest = {name: value for name, value in result.items() if name not in ("strength", *COUNTS)}
    tables = []
    for title, content in (
        ("Configuration", config.get("config")),
        ("Versions", config.get("versions")),
        ("Results", rest),
    ):
        rows = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in flat(content)]
        if rows:
            tables.append(f'<div class="card"><b>{title}</b><table>{"".join(rows)}</table></div>')
    return f'<section><h2>Settings</h2><div class="two">{"".join(tables)}</div></section>\n' if tables else ""


def _usage(experiment: str, run_dir: Path, config: Record) -> str:
    """How to continue, for as long again, and how to play."""
    resume = resume_command(experiment, run_dir)
    if minutes := number((config.get("config") or {}).get("minutes")):
        resume += f" --minutes {2 * minutes:g}"
    act = f"""import jax
import jzero

agent = jzero.load("{run_dir.as_posix()}")
states = jzero.init_batch(agent.env, jax.random.key(0), 8)  # eight games
actions = agent.act(states, jax.random.key(1), num_simulations=64)"""
    return (
        '<section><h2>Use this run</h2><div class="two">'
        f'<div class="card"><b>Train it further</b><pre>{escape(resume)}</pre></div>'
        f'<div class="card"><b>Use the agent</b><pre>{escape(act)}</pre></div></div></section>'
    )


def _last(metrics: Metrics, result: Record, name: str) -> float | None:
    """What the result says, or the last line that has it."""
    final = number(result.get(name))
    return final if final is not None else next(iter(column(metrics, name)[-1:]), None)
