"""What README.md and the pages of docs/ name exists: files, tests, links, options; README's game is right.

The pages in turn name what there is: every registered environment, every public name. `test_docs_blocks.py` runs
their code.
"""

import ast
import dataclasses
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import jax
import pytest

from jzero import check_env, make
from jzero.__main__ import COMMANDS
from jzero.evaluate import open_opponent, play_match, random_player
from jzero.evaluate.strength import contest
from jzero.look import look
from jzero.run.config import RunConfig
from tests.helpers.tiny import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
COMMAND = re.compile(
    r"python (?:-m jzero (\w+)|(?:PATH_OF_THE_CLONE/)?(experiments/[\w/]+\.py))((?:[^`|#\n\\]|\\\n)*)"
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tests_text():
    return "\n".join(path.name + text_of(path) for path in (REPOSITORY / "tests").rglob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_test_and_page_that_is_named_exists(page, tests_text):
    text = text_of(page)
    for name in set(re.findall(r"\b(?:jzero|envs|experiments|tests)/[\w./*-]+", text)):
        name = name.rstrip(".")
        assert [*REPOSITORY.glob(name), *REPOSITORY.glob(f"{name}.py")], name
    for name in set(re.findall(r"\btest_\w+", text)):
        assert name in tests_text, name
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_option_of_a_command_exists(page):
    settings = "\n".join(text_of(path) for path in (REPOSITORY / "jzero").rglob("*.py"))
    for command, script, arguments in COMMAND.findall(text_of(page)):
        script = script or f"{COMMANDS[command][0].replace('.', '/')}.py"
        known = text_of(REPOSITORY / script) + (settings if command in ("", "train") else "")
        for option in re.findall(r"--([\w.-]+)", arguments):
            field = option.rpartition(".")[2].removeprefix("no-").replace("-", "_")
            assert re.search(rf"^    {field}: |--{option}\b", known, re.MULTILINE), f"{script} --{option}"


def test_the_game_of_the_readme_keeps_the_protocol(monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", text_of(REPOSITORY / "README.md"), re.DOTALL)
    (game,) = [block for block in blocks if "class Nim" in block]
    (tmp_path / "readme_module.py").write_text(game, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    played = check_env(make("readme_module:Nim"), num_games=8, max_plies=30)
    assert played.finished == 8


def test_the_game_of_the_page_about_playing_together_is_seen_to_be_one(monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", text_of(REPOSITORY / "docs" / "cooperative.md"), re.DOTALL)
    (game,) = [block for block in blocks if "class Meet" in block]
    (tmp_path / "together_module.py").write_text(game, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    env = make("together_module:Meet")
    assert check_env(env, num_games=8, max_plies=30).finished == 8
    assert look(env).shared
    assert contest(env) == "returns"


def test_the_player_of_the_page_about_opponents_plays_with_its_option(monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", text_of(REPOSITORY / "docs" / "opponents.md"), re.DOTALL)
    (player,) = [block for block in blocks if "def lowest" in block]
    (tmp_path / "players_of_the_page.py").write_text(player, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    env = make("tic_tac_toe")
    for option, opening in (("", 0), ("?offset=2", 2)):
        found = open_opponent(env, "tic_tac_toe", f"players_of_the_page:lowest{option}").player
        result = play_match(env, found, random_player(env), num_games=2, key=jax.random.key(0))
        assert result.histories[0][0] == opening


def test_the_adapter_of_the_page_about_environments_keeps_the_protocol(monkeypatch, tmp_path):
    pytest.importorskip("jumanji", exc_type=ImportError)
    blocks = re.findall(r"```python\n(.*?)```", text_of(REPOSITORY / "docs" / "environments.md"), re.DOTALL)
    (adapter,) = [block for block in blocks if "OnePlayerEnv" in block]
    (tmp_path / "adapter_of_the_page.py").write_text(adapter, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert check_env(make("adapter_of_the_page:make"), num_games=8, max_plies=60).finished
    assert make("adapter_of_the_page:make?time_limit=50").name == "my:Snake-v1"


def test_every_registered_environment_is_listed():
    project = tomllib.loads(text_of(REPOSITORY / "pyproject.toml"))["project"]
    overview = text_of(REPOSITORY / "docs" / "environments.md").partition("\n## ")[0]
    for name, target in project["entry-points"]["jzero.envs"].items():
        ending = ":" if target.startswith("jzero_envs.adapters.") else "[`?]"
        assert re.search(f"`{name}{ending}", overview), name


@pytest.mark.parametrize(
    "package",
    [
        "jzero",
        "jzero.check",
        "jzero.evaluate",
        "jzero.export",
        "jzero.networks",
        "jzero.search",
        "jzero.show",
    ],
)
def test_every_public_name_is_in_the_reference(package):
    shown, words = reference()
    file = REPOSITORY / package.replace(".", "/") / "__init__.py"
    sources = {
        alias.name: node.module
        for node in ast.walk(ast.parse(text_of(file)))  # also of imports for types alone: lazy names
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    names = set(importlib.import_module(package).__all__) - {"__version__"}
    assert names
    for name in names:
        module = sources[name]
        if module.startswith("jzero."):
            defined = getattr(getattr(importlib.import_module(module), name), "__module__", module)
            places = (package, module, defined)
            assert any(is_shown(place, name, shown) for place in places), f"{module}.{name}"
        else:
            assert name in words, f"{name} of {module}"


def reference() -> tuple[dict[str, list[str] | None], set[str]]:
    """What docs/api shows: of each module the names, None for all; and every word in backticks."""
    pages = "\n".join(text_of(page) for page in (REPOSITORY / "docs" / "api").glob("*.md"))
    blocks = re.finditer(r"^::: (\S+)(?:\n +options: {members: \[(.*)\]})?", pages, re.MULTILINE)
    shown = {block[1]: None if block[2] is None else block[2].split(", ") for block in blocks}
    return shown, set(re.findall(r"`(\w+)`", pages))


def is_shown(module: str, name: str, shown: dict[str, list[str] | None]) -> bool:
    """Whether the reference shows it, by its module or by itself."""
    return f"{module}.{name}" in shown or (
        module in shown and (shown[module] is None or name in shown[module])
    )


def test_every_game_and_adapter_is_in_the_reference():
    shown, _ = reference()
    project = tomllib.loads(text_of(REPOSITORY / "pyproject.toml"))["project"]
    for target in project["entry-points"]["jzero.envs"].values():
        module, name = target.split(":")
        assert is_shown(module, name, shown), target


def test_every_setting_has_its_row():
    page = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")

    def options(cls: type, prefix: str = "") -> Iterator[str]:
        for field in dataclasses.fields(cls):
            if dataclasses.is_dataclass(field.default_factory):
                inner = "" if field.name == "train" else f"{prefix}{field.name}."
                yield from options(cast(type, field.default_factory), inner)
            else:
                yield f"`--{prefix}{field.name.replace('_', '-')}`"

    missing = [option for option in options(RunConfig) if option not in page]
    assert not missing
