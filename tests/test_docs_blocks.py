"""Every block of code in README.md and docs/ runs; a run of seconds stands in for one of minutes."""

import contextlib
import dataclasses
import functools
import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import pytest
import tyro

import jzero
from jzero import search
from jzero.__main__ import COMMANDS
from jzero.evaluate import random_player
from jzero.evaluate.measures import Strength
from jzero.models.plan import SearchSettings
from jzero.models.simulator import simulator_model
from jzero.networks import policy_value_network
from jzero.networks.make import NetworkSettings
from jzero.run.build import build_network
from jzero.run.export import main as export
from jzero.run.load import read_run_config
from tests.helpers.tiny import REPOSITORY

PAGES = {
    str(path.relative_to(REPOSITORY)): path
    for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
}
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
RUN = re.compile(r'"runs/\w+/[\w-]+"')
QUICK: dict[str, Any] = {
    "iterations": 1,
    "warmup_iterations": 0,
    "games": 8,
    "plies": 4,
    "replay_plies": 16,
    "batch_size": 8,
    "updates": 1,
    "opening_plies": 0,
    "td_lookahead": 2,
    "search": SearchSettings(num_simulations=2),
    "measure": lambda agent: Strength("nothing", 0.0, 0.0, 0.0),
}
NEEDS = {
    "docs/environments.md": ["jumanji"],
    "docs/export.md": ["safetensors", "jax2onnx", "onnxruntime", "flatbuffers"],
    "docs/opponents.md": ["pgx"],
    "docs/play.md": ["anywidget"],
}
"""Packages without which a page's blocks do not run."""
QUICK_PAGES = {f"docs/{page}.md" for page in ("chance", "cooperative", "hidden_information", "search")}
QUICK_PAGES |= {"docs/environments.md", "docs/opponents.md"}
"""Pages whose blocks train and load nothing."""


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a language, without what indents them in a list."""
    found = BLOCK.findall(PAGES[page].read_text(encoding="utf-8"))
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, name, text in found
        if name == language
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The directory of a run in Connect Four."""
    path = tmp_path_factory.mktemp("docs") / "run"
    jzero.train("connect_four", run_dir=path, **QUICK)
    return path


def around(page: str, run: Path, folder: Path) -> dict[str, Any]:
    """The names that the blocks of a page take from the text around them."""
    if page == "docs/opponents.md":
        return {"player": random_player(jzero.make("pgx:go_9x9"))}
    if page in QUICK_PAGES | {"README.md", "docs/quickstart.md", "docs/plug_in.md", "docs/own_training.md"}:
        return {}
    agent = jzero.load(run)
    env = agent.env
    keys = jax.random.split(jax.random.key(0), 2)
    states = jzero.init_batch(env, keys[0], 2)
    names = {"agent": agent, "env": env, "states": states, "key": keys[1], "jax": jax, "jzero": jzero}
    if page in ("docs/parallel_search.md", "docs/reuse_and_cache.md"):
        spec = jzero.describe(env)
        network = policy_value_network(spec, NetworkSettings(width=16, blocks=1), {})
        params = network.init(keys[0], jzero.observe_batch(env, states))
        model = simulator_model(spec, network)
        root = model.root(params, states)
        names |= {"search": search, "network": network, "params": params, "root": root, "next_root": root}
        names |= {"recurrent_fn": model.recurrent, "reply": jax.numpy.array([3, -1])}
    if page == "docs/own_network.md":
        names |= runpy.run_path(str(REPOSITORY / "experiments" / "own_network.py"))
        handed = {"network": names["network"], "algorithm": names["small_weights"]}
        jzero.train("connect_four", run_dir=folder / "handed", **QUICK, **handed)
    if page == "docs/export.md":
        to = ["--weights", "agent.safetensors", "--stablehlo", "agent.stablehlo", "--onnx", "agent.onnx"]
        assert export([str(run), *to]) == 0
        names |= {"network": build_network(jzero.describe(env), read_run_config(run)[0].train)}
    return names


def quicker(text: str, run: Path, folder: Path) -> str:
    """A block with a run that exists and fewer games."""
    handed = "network=network, algorithm=small_weights" in text
    text = RUN.sub(repr(str(folder / "handed" if handed else run)), text)
    text = re.sub(r"^player = \.\.\..*$", "", text, flags=re.MULTILINE)
    return text.replace("num_games=100", "num_games=2").replace("num_simulations=200", "num_simulations=4")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page in QUICK_PAGES else [pytest.mark.slow])
        for page in PAGES
        if blocks(page, "python")
    ],
)
def test_the_python_of_a_page_runs(page, request, tmp_path, monkeypatch, capsys):
    for package in NEEDS.get(page, []):
        pytest.importorskip(package, exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    run = tmp_path if page in QUICK_PAGES else request.getfixturevalue("run")
    names = around(page, run, tmp_path) | {"__name__": "page"}

    def train(*arguments: Any, minutes: float = 1, **options: Any) -> Any:
        directory = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        return real(*arguments, run_dir=directory, **{**QUICK, **options})

    real = jzero.train
    monkeypatch.setattr(jzero, "train", train)
    for number, text in enumerate(blocks(page, "python")):
        if "gnu_go(" in text and not shutil.which("gnugo"):
            continue
        code = compile(quicker(text, run, tmp_path), f"{page}, block {number}", "exec", dont_inherit=True)
        exec(code, names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json")])
def test_the_json_of_a_page_is_json(page):
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")])
def test_commands_of_a_page_take_their_options(page):
    for text in blocks(page, "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            for command in " ".join(map(shlex.quote, shlex.split(line, comments=True))).split(" '&&' "):
                words = shlex.split(command)
                if words[:3] == ["python", "-m", "jzero"]:
                    takes(words[3], words[4:])
                elif words[:1] == ["python"] and words[1].endswith(".py"):
                    assert (REPOSITORY / words[1]).exists(), words[1]


def takes(command: str, options: list[str]) -> None:
    """Reads the options of `python -m jzero command` as it does itself."""
    assert command in COMMANDS, command
    module = __import__(COMMANDS[command][0], fromlist=["main"])
    if command == "train":
        return  # tests/test_docs.py looks up its options
    try:
        tyro.cli(module.Config, args=options)
    except SystemExit as error:
        raise AssertionError(f"python -m jzero {command} {shlex.join(options)}") from error


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])
def test_the_page_of_commands_says_what_help_says(command, capsys):
    module = __import__(COMMANDS[command][0], fromlist=["main"])
    with contextlib.suppress(SystemExit):
        tyro.cli(module.Config, args=["--help"])
    shown = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    section = (
        PAGES["docs/command_line.md"].read_text().partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    )
    fields = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(module.Config)}
    known = fields | {option.replace("--", "--no-", 1) for option in fields}
    assert set(re.findall(r"`(--[a-z-]+)`", section)) == shown & known


def test_made_pages_are_in_step_with_data_and_code():
    made = runpy.run_path(str(REPOSITORY / "docs" / "make.py"))
    late = [path.name for path, text in made["pages"]().items() if path.read_text(encoding="utf-8") != text]
    assert not late, f"{', '.join(late)}: run `python docs/make.py`"


def test_a_number_of_results_comes_from_its_file(tmp_path):
    made = runpy.run_path(str(REPOSITORY / "docs" / "make.py"))
    (tmp_path / "file.json").write_text('{"runs": [{"value": 0.5, "low": 0.25, "high": 0.75}, {"value": 3}]}')
    made["FOLDERS"][""] = tmp_path
    filled = functools.partial(made["filled"])
    assert filled("{file/runs/0|interval.2}") == "0.50 [0.25, 0.75]"
    assert filled("{file/runs/*/value|range.1f}, {file/runs/*/value|.0f}") == "0.5 to 3.0, 0, 3"


def test_the_readme_is_short():
    assert len(PAGES["README.md"].read_bytes()) <= 7 * 1024
