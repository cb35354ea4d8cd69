"""Writes the pages that are made from data and code: results.md, configuration.md, command_line.md, README's table.

    python docs/make.py            writes them
    python docs/make.py --check    says which are out of step; exit code 1 if any is

`experiments/results/index.json` has the rows of results. A number is `{file/path|format}` there: the file of
`experiments/results` or `experiments/benchmarks/results` (`file@benchmarks` where both have one of this name), keys
and places in it with `*` for all of a list, and how to write what is there. A format is one of Python's, or

    interval.3     value [low, high], three decimals
    range.0f       least to greatest
    median.0f      the middle one
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import statistics
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tyro

from jzero.__main__ import COMMANDS

REPOSITORY = Path(__file__).parents[1]
FOLDERS = {
    "": REPOSITORY / "experiments" / "results",
    "benchmarks": REPOSITORY / "experiments/benchmarks/results",
}
MADE = "<!-- made by docs/make.py; edit {} -->\n"


def found(data: Any, path: list[str]) -> Iterator[Any]:
    """What is at a path of JSON."""
    if not path:
        yield data
    elif path[0] == "*":
        for each in data:
            yield from found(each, path[1:])
    else:
        yield from found(data[int(path[0])] if isinstance(data, list) else data[path[0]], path[1:])


def interval(about: dict[str, Any], digits: str) -> str:
    """A measured value with its interval, whatever the file calls them."""
    value = next(
        about[name] for name in ("value", "score", "elo", "mean_score", "mean_return") if name in about
    )
    low, high = about["interval"] if "interval" in about else (about["low"], about["high"])
    spec = digits + "f"
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def written(values: list[Any], form: str) -> str:
    """Values as the format says."""
    if form.startswith("interval"):
        return ", ".join(interval(value, form.removeprefix("interval")) for value in values)
    if form.startswith("range"):
        spec = form.removeprefix("range")
        return f"{min(values):{spec}} to {max(values):{spec}}"
    if form.startswith("median"):
        return f"{statistics.median(values):{form.removeprefix('median')}}"
    return ", ".join(f"{value:{form}}" for value in values)


def filled(text: str) -> str:
    """The text with its numbers."""

    def number(match: re.Match[str]) -> str:
        path, form = match[1].rsplit("|", 1)
        name, *keys = path.split("/")
        name, _, folder = name.partition("@")
        paths = [FOLDERS[folder]] if folder else list(FOLDERS.values())
        file = next(path / f"{name}.json" for path in paths if (path / f"{name}.json").exists())
        return written(list(found(json.loads(file.read_text()), keys)), form)

    return re.sub(r"\{([^{}]+)\}", number, text)


def files(text: str) -> list[str]:
    """The names of the files that a text takes numbers from."""
    names = re.findall(r"\{([^/|{}]+)[^{}]*\}", text)
    return sorted({name.partition("@")[0] for name in names})


def results() -> str:
    """The page of results."""
    index = json.loads((FOLDERS[""] / "index.json").read_text())
    lines = [MADE.format("experiments/results/index.json"), INTRO]
    for section in index["sections"]:
        lines += [f"\n## {section['title']}\n"]
        if "text" in section:
            lines += [textwrap.fill(section["text"], 118), ""]
        lines += ["| what | result, 95 % interval | command | measured | data |", "|---|---|---|---|---|"]
        for row in section["rows"]:
            measured = f"commit {row['commit']}, {row['date']}; {row['machine']}; seeds: {row['seeds']}"
            data = ", ".join(f"`{name}`" for name in files(row["result"]))
            lines.append(
                f"| {row['what']} | {filled(row['result'])} | {row['command']} | {measured} | {data} |"
            )
    return "\n".join(lines) + "\n"


INTRO = """# Results

Every result has its command, commit, date, machine, seeds and 95 % interval. Unless a row says otherwise the
machine is an AMD EPYC server CPU or an Intel Xeon with Python 3.11 and jax 0.10.2. Many runs shared their cores
with other work.

- **Commit**: of the code that was measured, where the data records it. In brackets: the commit that added the data,
  where the code's own is not recorded. No row has been measured again on later code.
- **Interval**: 95 %, in brackets or as +-. Speeds have none. One value for each seed.
- **Data**: files in `experiments/results` and `experiments/benchmarks/results`, without `.json`.
  `python docs/make.py` reads the numbers of this page from there.

What was tried on the way, and what it gave, is in the [lab book](lab/index.md)."""


def readme_table() -> str:
    """README's rows."""
    index = json.loads((FOLDERS[""] / "index.json").read_text())
    lines = ["| what | result, 95 % interval | command | commit |", "|---|---|---|---|"]
    for section in index["sections"]:
        for row in section["rows"]:
            if "readme" in row:
                what, result = row["readme"]
                lines.append(f"| {what} | {filled(result)} | {row['command']} | {row['commit']} |")
    return "\n".join(lines) + "\n"


def docstrings(cls: type) -> dict[str, str]:
    """Of each field of a dataclass the text below it."""
    texts: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if dataclasses.is_dataclass(each):
            source = inspect.getsource(each)
            for match in re.finditer(
                r'^    (\w+): [^\n]*(?:\n(?!    \w|    """)[^\n]*)*\n    """(.*?)"""', source, re.M | re.S
            ):
                texts[match[1]] = " ".join(match[2].split())
    return texts


def default_of(field: dataclasses.Field) -> str:
    """A field's default as one types it."""
    if field.default is dataclasses.MISSING:
        return ""
    value = field.default
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "on" if value is True else "off" if value is False else "" if value is None else str(value)


def options(cls: type, prefix: str = "", own: set[str] | None = None) -> list[tuple[str, str, str]]:
    """(option, default, text) of a dataclass's fields; `own` are the fields to show."""
    texts, rows = docstrings(cls), []
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.default_factory) or (own is not None and field.name not in own):
            continue
        positional = any(part is tyro.conf.Positional for part in get_args(hints[field.name]))
        name = field.name.replace("_", "-")
        meta = [part for part in get_args(hints[field.name]) if hasattr(part, "metavar") and part.metavar]
        shown = str(meta[0].metavar) if positional and meta else name if positional else f"--{prefix}{name}"
        if field.type in ("bool", bool):
            shown += f"`, `--{prefix}no-{name}"
        rows.append((shown, default_of(field), texts.get(field.name, "")))
    return rows


def table(rows: list[tuple[str, str, str]]) -> str:
    """Options as a table."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for option, default, text in rows:
        lines.append(
            f"| `{option}` | {f'`{default}`' if default else ''} | {text.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines) + "\n"


def configuration() -> str:
    """The page of settings."""
    from jzero.algorithms.alphazero import AlphaZeroSettings
    from jzero.algorithms.auxiliary import AuxiliarySettings
    from jzero.algorithms.returns import LossSettings
    from jzero.algorithms.unrolled import MuZeroSettings
    from jzero.models.plan import SearchSettings
    from jzero.networks.make import NetworkSettings
    from jzero.optimizer import OptimizerSettings
    from jzero.program import ProgramSettings
    from jzero.run.config import RunConfig, TrainConfig
    from jzero.self_play import SelfPlaySettings

    inherited = {
        f.name
        for cls in TrainConfig.__mro__[1:]
        if dataclasses.is_dataclass(cls)
        for f in dataclasses.fields(cls)
    }
    of_games = {f.name for f in dataclasses.fields(SelfPlaySettings)}
    groups = [
        ("The run", RunConfig, "", None),
        ("What is trained", TrainConfig, "", {f.name for f in dataclasses.fields(TrainConfig)} - inherited),
        ("Self-play", SelfPlaySettings, "", None),
        ("The search", SearchSettings, "search.", None),
        ("What is learned", LossSettings, "", None),
        (
            "Replay and updates",
            ProgramSettings,
            "",
            {f.name for f in dataclasses.fields(ProgramSettings)} - of_games,
        ),
        ("The optimiser", OptimizerSettings, "", None),
        ("The network", NetworkSettings, "network.", None),
        ("AlphaZero", AlphaZeroSettings, "", {"reanalyse"}),
        ("A learned model", MuZeroSettings, "muzero.", None),
        ("Auxiliary targets of AlphaZero", AuxiliarySettings, "auxiliary.", None),
    ]
    lines = [MADE.format("the settings' docstrings"), CONFIGURATION]
    for title, cls, prefix, own in groups:
        where = f"{cls.__module__}.{cls.__name__}"
        lines += [f"\n## {title}\n", f"`{where}`\n", table(options(cls, prefix, own))]
    return "\n".join(lines)


CONFIGURATION = """# Configuration

Every setting is a field of a small frozen dataclass beside the code that reads it. Each is an option of
`python -m jzero train` and of every script in `experiments/`, and an argument of `jzero.train` with the name in
parentheses: `--games 256` (`games=256`), `--search.num-simulations 16`
(`search=SearchSettings(num_simulations=16)`). The `--network.*` options are the exception: `network=` takes a
network ([your own](own_network.md)), such as `lambda spec: policy_value_network(spec, NetworkSettings(width=128))`
of `jzero.networks`, which `jzero.load` then needs too.

The defaults below are those of the dataclasses. A run starts from a preset instead: that of a script, or for any
other environment the one that [random games suggest](choosing.md). The first lines of a run and its `config.json`
show what was chosen; a run on a GPU [changes some of it](choosing.md#on-a-gpu). `--resume` takes the settings of
the run in `--run-dir` as defaults."""


def commands() -> dict[str, type | None]:
    """Of each command the dataclass of its options; None for `train`."""
    found: dict[str, type | None] = {}
    for name, (module, _) in COMMANDS.items():
        loaded = importlib.import_module(module)
        found[name] = None if name == "train" else getattr(loaded, "Config", None) or loaded.engines.Config
    return found


def command_line() -> str:
    """The page of commands."""
    lines = [MADE.format("the commands' docstrings"), COMMAND_LINE]
    for name, cls in commands().items():
        lines += [f"\n## {name}\n", f"`python -m jzero {name}` {COMMANDS[name][1]}.\n"]
        if cls is None:
            lines += [TRAIN]
        else:
            lines += [table(options(cls))]
        if name in SEE:
            lines += [SEE[name] + "\n"]
    return "\n".join(lines)


COMMAND_LINE = """# Command line

Each command is `python -m jzero` and its name, or `jzero` and its name where the package is installed. `RUN` is the
directory that a run printed. `--help` of each command shows the same options."""
TRAIN = """`python -m jzero train --env NAME` takes every option of the [configuration](configuration.md). `NAME` is
what `jzero.make` takes: `connect_four`, `pgx:othello`, `my_module:MyGame` ([environments](environments.md)). Each
script in `experiments/` takes the same options over another preset.
"""
SEE = {
    "check": "Exit code 0: the environment keeps the protocol; 1: it does not. See [plug in a game](plug_in.md).",
    "export": "See [export](export.md).",
    "gtp": "See [engines](engines.md).",
    "match": "See [opponents](opponents.md).",
    "play": "See [play an agent](play.md).",
    "report": "See [the report](learning.md#the-report) and [compare runs](learning.md#compare-runs).",
    "uci": "See [engines](engines.md).",
}


def pages() -> dict[Path, str]:
    """Every file with what must be in it."""
    readme = REPOSITORY / "README.md"
    start, end = "<!-- results: made by docs/make.py -->\n", "<!-- end of results -->"
    head, _, rest = readme.read_text().partition(start)
    _, _, tail = rest.partition(end)
    made = {f"{name.__name__}.md": name() for name in (results, configuration, command_line)}
    found = {REPOSITORY / "docs" / name: text for name, text in made.items()}
    return found | {readme: head + start + readme_table() + end + tail}


def main(argv: list[str]) -> int:
    """Writes or checks."""
    late = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in late:
        print(f"{path.relative_to(REPOSITORY)}: {'out of step' if '--check' in argv else 'written'}")
        if "--check" not in argv:
            path.write_text(pages()[path])
    return int(bool(late) and "--check" in argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
