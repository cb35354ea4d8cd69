"""The command line's table: each command has a module with a `main`, unknown ones get help."""

import importlib
import tomllib

import pytest

from jzero.__main__ import COMMANDS, main
from tests.helpers.tiny import REPOSITORY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_that_is_given_its_options(name, monkeypatch):
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.main)
    monkeypatch.setattr(module, "main", lambda argv: 7 if argv == ["--games", "3"] else 8)
    assert main([name, "--games", "3"]) == 7
    monkeypatch.setattr("sys.argv", ["jzero", name, "--games", "3"])
    assert main() == 7


def test_without_a_command_there_is_help(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err
    assert all(name in said and does in said for name, (_, does) in COMMANDS.items())
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == said


def test_an_unknown_command_gets_the_nearest(capsys):
    assert main(["mach", "--games", "3"]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("unknown command 'mach': did you mean 'match'?")


def test_the_console_script_is_this_function():
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"jzero": f"{main.__module__}:{main.__name__}"}
